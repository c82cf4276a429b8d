// Package grpcscope gives each gRPC call a scope of its own, and carries it on to the next
// service. It is httpscope's sibling, in a module of its own.
//
//	server := grpc.NewServer(grpcscope.ServerOptions(nil)...)            // entry
//	conn, err := grpc.NewClient(target, grpcscope.DialOptions(nil)...)   // exit
//
// The interceptors of a server, unary and stream, bind a new task to the goroutine for the time
// of the call. It starts from the fields of the process, those that a bare Set had bound where
// the interceptors were made, as in main; never from what an earlier call left on a worker of
// grpc.NumStreamWorkers, or from a task in which the server happens to be made. The handler's
// context carries the scope too. Goroutines that a handler starts inherit the scope; start those
// that outlive the call with scope.Go, and what serves other calls too inside scope.Outside.
//
// Interceptors that are chained in front of these run outside of the scope, and so do the
// stats handlers of a server. Those behind them run within it: a logging interceptor there
// has the call's fields on its lines.
//
// # One call, one id
//
// The id that a call has come with as x-request-id, or that was made for it, is in the scope,
// in the metadata that the handler sees, and in the answer: in its header, or, if it is an error with
// nothing sent before, in its trailer. (A client's retry policy doesn't retry a call whose answer has
// a header.) A stream's SetHeader, SendHeader and SetTrailer leave out another id. An id that a
// handler sets with the funcs grpc.SetHeader and grpc.SetTrailer is sent beside it: gRPC has no way to
// take back what is set. An answer that gRPC gives itself has no id: to a method that it doesn't know,
// or to a message that it can't take.
//
// # What is trusted
//
// x-request-id is taken if [Options.ValidID] says so, by default if it is 1 to 128 of the
// characters A-Z a-z 0-9 . _ -, and replaced by a new id otherwise. traceparent is taken
// if it is valid, and tracestate with it. baggage is taken only if [Options.TrustBaggage] says so.
// Anyone can send these: they identify a call in the logs and prove nothing. The client's address
// is set only if it is given a name.
//
// # What is sent
//
// The interceptors of a client send x-request-id, traceparent with its tracestate, and of the other
// fields only those whose keys are declared scope.Propagated. They keep untrusted baggage from
// travelling through a proxy, even one from httpscope to gRPC or back. OpenTelemetry's stats
// handler sends its own traceparent in place of this one, and its own baggage, if it has any.
//
// # Connections
//
// A gRPC client connects when it is first used, and again when a connection is lost. The call
// that finds no connection starts the new one's goroutines. With these interceptors it doesn't
// hand its scope on to them. grpc.NewClient starts goroutines itself, which inherit from its
// caller: call it in main, or in scope.Outside. The same is true of grpc.NewServer and the method
// Serve of a server.
//
// # Streams
//
// The scope lasts as long as the call. With [Options.PerMessage] each message that a stream
// receives has a scope of its own, made from what was bound before the first one.
//
// # OpenTelemetry
//
// The trace ids agree with those of its stats handler: both take the traceparent that came in. For
// the ids of the span that it starts on a server, return otelscope.SpanFields(ctx) from
// [Options.Fields]; and give otelscope.Finish to [Options.Finish]. [NewerNames] has the names that it
// now uses for fields.
//
// # What it costs
//
// Of the 150 or so allocations that a unary call takes over a connection, the interceptor of a server
// makes 13, four of which are for the answer's id; that of a client makes 10. With a line at the end
// of the call they make 14 and 20, not counting the logger's, and each message is measured, which
// takes time.
package grpcscope
