// Package httpscope gives each HTTP request a scope of its own, and carries it on to the
// next service.
//
//	http.ListenAndServe(addr, httpscope.Handler(mux, nil))           // entry
//	client := &http.Client{Transport: httpscope.Transport(nil, nil)} // exit
//
// [Handler] binds a new task to the goroutine for the time of the request. It starts from
// the fields that were bound where Handler was called, never from what an earlier request
// left on the connection. The request's context carries the scope too: a line
// that is given it has what is bound when the line is written, with what was set since, and
// in a goroutine that has nothing bound what Handler has set. A middleware may add to it, for
// the lines and the requests that are given its context:
//
//	r = r.WithContext(scope.NewContext(r.Context(), scope.With("user", user)))
//
// Goroutines that the handler starts inherit the scope; start those that outlive the request
// with scope.Go, and what serves other requests too, such as a pool, inside scope.Outside.
//
// # What is trusted
//
// X-Request-Id is taken if it is 1 to 128 of the characters A-Z a-z 0-9 . _ - and replaced
// by a new id otherwise; no part of a bad one is used. traceparent is taken if it is valid.
// baggage is taken only if [Options.TrustBaggage] says so. Anyone can send these headers:
// they identify a request in the logs and prove nothing.
//
// # What is sent
//
// [Transport] sends X-Request-Id, traceparent, and of the other fields only those whose
// keys are declared scope.Propagated. It sends nothing to a host that a redirect led to.
//
// # What it costs
//
// Handler adds some eleven allocations to a request, and its id in the answer as many in
// net/http and the client. An access log adds some fifteen, for a
// ResponseWriter that counts and still has the interfaces of the one that it wraps.
package httpscope
