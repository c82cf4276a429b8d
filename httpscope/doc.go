// Package httpscope gives each HTTP request a scope of its own, and carries it on to the
// next service.
//
//	http.ListenAndServe(addr, httpscope.Handler(mux, nil))           // entry
//	client := &http.Client{Transport: httpscope.Transport(nil, nil)} // exit
//
// [Handler] binds a new task to the goroutine for the time of the request. It starts from
// the fields of the process, those that a bare Set had bound where Handler was called, as in
// main; never from what an earlier request left on the connection, or from those of a request
// in which Handler happens to be called. The request's context carries the scope too: a line
// that is given it has what is bound when the line is written, including what was set since. In a
// goroutine that has nothing bound it has what Handler has set. A middleware may add to it, for
// the lines and the requests that are given its context:
//
//	r = r.WithContext(scope.NewContext(r.Context(), scope.With("user", user)))
//
// Goroutines that the handler starts inherit the scope; start those that outlive the request
// with scope.Go, and what serves other requests too, such as a pool, inside scope.Outside.
//
// # One request, one id
//
// The id that a request has come with, or that Handler has made, is in the scope, in the
// X-Request-Id of the request that the handler gets, and exactly once in that of the answer,
// whatever a middleware, a proxy or the service behind it does. So middleware that wants an id
// finds this one. A Handler inside another one keeps the id, adds its fields to the same task, and
// tells the outer one the route that it knows. Requests that the program makes itself and gives
// to a Handler, such as the parts of a batch, have an id and a task each, unless they come with
// the id and the context of the one that is being served.
//
// # What is trusted
//
// X-Request-Id is taken if [Options.ValidID] says so, by default if it is 1 to 128 of the
// characters A-Z a-z 0-9 . _ -, and replaced by a new id otherwise; no part of a bad one is
// used. traceparent is taken if it is valid, and tracestate with it.
// baggage is taken only if [Options.TrustBaggage] says so. Anyone can send these headers:
// they identify a request in the logs and prove nothing. A grpc-gateway may send headers that begin
// with Grpc-Metadata- on without this prefix: of these the id is removed, and the baggage isn't
// trusted either. What a client sends is kept only as copies, of at most 1024 bytes a field, and
// 8192 bytes of baggage in all: no long header or URL
// stays in memory with a scope.
//
// # What is sent
//
// [Transport] sends X-Request-Id, traceparent with its tracestate, and of the other fields
// only those whose keys are declared scope.Propagated. It sends nothing to a host that a
// redirect led to, and keeps untrusted baggage from travelling through a proxy.
//
// # What stays as it is
//
// The handler gets a copy of the request, and a ResponseWriter with the optional interfaces of
// the one that it wraps. net/http, an http.ServeMux and middleware around Handler find afterwards
// what they look for in their request: the form of a body, the pattern, the trailers; but not the
// pattern's values. The headers that they see are those that came in. net/http removes the
// temporary files of a form; Handler itself does so after a panic and over HTTP/2, where net/http
// may not. If a middleware inside copies the request and doesn't copy back, all that is lost, as
// it is without Handler.
//
// When http.MaxBytesReader reaches its limit, the answer doesn't wait for the rest of the body,
// and the connection is closed. Handler learns of the limit from how the body is read. Through a
// reader of the program's own between the two it doesn't, and a handler that stops reading
// before the limit may have the connection closed, too.
//
// # HTTP/2 without TLS
//
// Put Handler inside the h2c.NewHandler of golang.org/x/net, not around it: that handler serves all
// requests of a connection within the first one, which may be only the preface of HTTP/2. Handler
// passes a preface on as it is. With the Protocols of an http.Server there is nothing to heed.
//
// # What it costs
//
// Handler adds about twelve allocations to a request, and its id in the answer as many in
// net/http and the client. A line at the end adds two, for a *slog.Logger that has its own.
// Behind a middleware whose ResponseWriter has an unusual choice of optional interfaces, unlike those
// of chi and otelhttp over HTTP/1, it is about sixteen more.
//
// [docs/unstamped.md] says, from symptom to cause to cure, why a line isn't stamped, or late.
//
// [docs/unstamped.md]: https://github.com/taskscope/taskscope/blob/main/docs/unstamped.md
package httpscope
