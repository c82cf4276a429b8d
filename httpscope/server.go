package httpscope

import (
	"net/http"
	"time"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
)

// Handler returns a handler that calls next with a scope of the request bound to the
// goroutine, as a task of its own, and in the request's context. It sets the fields of
// [Field] that are on by default, in addition to those of the process: what was bound where
// Handler was called, if a bare scope.Set had begun its task. What scope.Share has shared there,
// up to the moment that the request comes in, is shared in the request too. It answers with the
// request's id in X-Request-Id. nil opts are the defaults. It panics if next is nil.
func Handler(next http.Handler, opts *Options) http.Handler {
	if next == nil {
		panic("httpscope.Handler: next, the handler to wrap, is nil")
	}
	h := &handler{next: next, base: entry.ProcessWide(scope.Current())}
	if opts != nil {
		h.opts = *opts
	}
	h.routes, _ = next.(router)
	if h.opts.ValidID == nil {
		h.opts.ValidID = PlainID
	}
	n, names := &h.names, h.opts.Names
	n.requestID, n.traceID, n.parentSpanID = name(names, RequestID), name(names, TraceID), name(names, ParentSpanID)
	h.in = entry.Incoming{TraceID: n.traceID, ParentSpanID: n.parentSpanID, ValidID: h.opts.ValidID, NewID: h.opts.NewID}
	n.method, n.route, n.clientAddress = name(names, Method), name(names, Route), name(names, ClientAddress)
	n.userAgent, n.path, n.query = name(names, UserAgent), name(names, Path), name(names, Query)
	return h
}

// Middleware is Handler for routers that take their middleware as a function.
func Middleware(opts *Options) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return Handler(next, opts) }
}

type handler struct {
	next   http.Handler
	routes router // next, if it can tell the route beforehand
	base   scope.Scope
	opts   Options
	in     entry.Incoming
	names  struct {
		requestID, traceID, parentSpanID, method, route string
		clientAddress, userAgent, path, query           string
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isPreface(w, r) || h.skips(r) {
		// What it sets must not stay on the connection either.
		scope.Run(func() { h.next.ServeHTTP(w, r) })
		return
	}
	if outer := around(r); outer != nil {
		scope.Current().Pick(r.Context()).Run(func() { h.run(w, r, outer) })
		return
	}
	h.base.Detach().Run(func() { h.run(w, r, nil) })
}

// isPreface reports whether r is no request, but the beginning of an HTTP/2 connection, which
// golang.org/x/net/http2/h2c takes over, only if it has no header. It serves requests that must not
// get into one task.
func isPreface(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != "PRI" || r.RequestURI != "*" || len(r.Header) > 0 {
		return false
	}
	_, ok := w.(http.Hijacker) // a request through an HTTP/2 connection that looks the same has none
	if !ok {
		_, ok = behind(w)
	}
	return ok && r.ProtoMajor == 2
}

// skips reports what Skip says of r. What Skip sets ends with it.
func (h *handler) skips(r *http.Request) (skip bool) {
	if h.opts.Skip != nil {
		scope.Run(func() { skip = h.opts.Skip(r) })
	}
	return skip
}

// run runs in the task of the request.
func (h *handler) run(w http.ResponseWriter, r *http.Request, outer *mark) {
	if !h.serve(w, r, outer) { // a panic(nil), with GODEBUG=panicnil=1: log took it for a Goexit, after which this isn't reached
		panic(nil)
	}
}

// serve reports whether the next handler has returned.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, outer *mark) (returned bool) {
	e := exchange{path: r.URL.Path, outer: outer, r: r}
	if h.opts.Log != nil {
		e.start = time.Now()
		defer h.log(&e)
	}
	rejected := h.setFields(r, &e)
	e.task = scope.Current()
	e.mark = &mark{Context: r.Context(), id: e.id, untrusted: e.untrusted, task: e.task}
	e.mark.logs = h.opts.Log != nil || outer != nil && outer.logs
	e.answer, w = answerTo(w, r, e.mark)
	e.copyRequest(r)
	defer h.end(r, &e)
	if rejected > 0 && h.opts.BadID != nil {
		h.opts.BadID(e.r, rejected)
	}
	h.next.ServeHTTP(w, e.r)
	e.returned = true
	return true
}

// end is called when the handler of r has returned or ended early.
func (h *handler) end(r *http.Request, e *exchange) {
	e.answer.end()
	copyBack(r, e.r)
	if (!e.returned || r.ProtoMajor != 1) && e.r.MultipartForm != nil {
		// net/http removes no files after a panic, and over HTTP/2 none in Go 1.27. What a
		// middleware outside may look at, the form's values, stays.
		_ = e.r.MultipartForm.RemoveAll()
	}
	if h.opts.Finish != nil || h.opts.Route != nil {
		if p := recover(); p != nil {
			defer panic(p) // not with what Finish or Route may panic with
		}
	}
	if h.opts.Log != nil || h.opts.Finish != nil || e.outer != nil {
		h.refineRoute(e)
	}
	if h.opts.Finish != nil {
		h.opts.Finish(e.r.Context())
	}
}
