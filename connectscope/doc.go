// Package connectscope gives each call of Connect a scope of its own, and carries it on to the next
// service, by the Connect protocol, gRPC and gRPC-Web. It is httpscope's and grpcscope's sibling,
// in a module of its own.
//
//	scoped := connect.WithInterceptors(connectscope.NewInterceptor(nil))
//	mux.Handle(userv1connect.NewUserServiceHandler(users, scoped))              // entry
//	client := userv1connect.NewUserServiceClient(http.DefaultClient, url, scoped) // exit
//
// Around a handler the interceptor binds a new task to the goroutine for the time of the call,
// unary or stream. It starts from the fields of the process, those that a bare Set had bound where
// NewInterceptor was called, as in main; never from what an earlier call left on a connection, or
// from a task in which the interceptor happens to be made. The handler's context carries the scope
// too. Goroutines that a handler starts inherit the scope; start those that outlive the call with
// scope.Go, and what serves other calls too inside scope.Outside.
//
// Interceptors in front of this one run outside of the scope. Those behind it run within it: a
// logging interceptor there has the call's fields on its lines, and a panic that connect.WithRecover
// ends there is an error like any other.
//
// # Inside net/http
//
// Connect serves calls inside net/http. An httpscope.Handler around it serves the same request: the
// call is in the request's task then, has its id, and adds its fields. It has a line of its own if
// [Options.Log] says so. If the Handler writes lines, the task's last line, with its totals, is the
// Handler's. What the call's handler sets with scope.Set is on the lines of the call alone, and with
// scope.Share on the request's line too. What Connect answers before it calls interceptors has only
// the Handler's line: a request in a protocol that it doesn't know, a unary call whose message doesn't
// arrive. A middleware between the two must leave X-Request-Id in the request as it is.
//
// # One call, one id
//
// The id that a call has come with as X-Request-Id, or that was made for it, is in the scope, in
// the header of the answer, and in that of the request as handlers see it: by RequestHeader of a
// stream, or of connect.CallInfoForHandlerContext. The Header of a unary connect.Request has
// what came in: Connect has no way to replace it, and others may be reading it. An id that a handler
// sets in its answer is left out, in trailers and in the Meta of an error too; the error itself isn't
// changed: a program may return one error from many calls.
//
// # What is trusted
//
// X-Request-Id is taken if [Options.ValidID] says so, by default if it is 1 to 128 of the
// characters A-Z a-z 0-9 . _ -, and replaced by a new id otherwise. traceparent is taken
// if it is valid, and tracestate with it. baggage is taken only if [Options.TrustBaggage] says so.
// Anyone can send these: they identify a call in the logs and prove nothing. The client's address
// is set only if it is given a name.
//
// # What is sent
//
// With a client's call the interceptor sends X-Request-Id, traceparent with its tracestate, and of the
// other fields only those whose keys are declared scope.Propagated: with the first message of a
// stream, or when it is closed for sending. It keeps untrusted baggage from travelling through a
// proxy, even one from httpscope or grpcscope to Connect or back. Interceptors behind it see the
// request as a connect.AnyRequest of this package's own.
//
// # Connections
//
// An http.Client connects within the call that finds no connection: all goroutines of the new one
// come from there. With this interceptor no call hands its scope on to them. The functions of
// the program that the transport calls for a call find the scope in the request's context;
// httpscope.Transport binds it for them.
//
// # Streams
//
// The scope lasts as long as the call. With [Options.PerMessage] each message that a stream
// receives has a scope of its own, made from what was bound before the first one.
//
// # OpenTelemetry
//
// The trace ids agree with those of otelconnect's interceptor: both take the traceparent that came in,
// and of the headers that both send, otelconnect's stay if it is in front. For the ids of the span that
// it starts on a server, put it in front of this one there too, and return otelscope.SpanFields(ctx)
// from [Options.Fields]; and give otelscope.Finish to [Options.Finish]. [NewerNames] has the names that
// it now uses for fields.
//
// # What it costs
//
// To the 120 or so allocations that a unary call takes over a connection, the interceptor adds 13 on
// a server and 14 on a client. With a line at the end of the call it adds 14 and 22, not counting the
// logger's. [Options.Sizes] measures each message, which takes time.
package connectscope
