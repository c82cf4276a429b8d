package httpscope

import (
	"net/http"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// Handler returns a handler that calls next with a scope of the request bound to the
// goroutine, as a task of its own, and in the request's context. It sets the fields of
// [Field] that are on by default, in addition to those of the process: what was bound where
// Handler was called, if a bare scope.Set had begun its task. It answers with the request's id
// in X-Request-Id. nil opts are the defaults. It panics if next is nil.
func Handler(next http.Handler, opts *Options) http.Handler {
	if next == nil {
		panic("httpscope.Handler: next, the handler to wrap, is nil")
	}
	h := &handler{next: next, base: processWide(scope.Current())}
	if opts != nil {
		h.opts = *opts
	}
	h.routes, _ = next.(router)
	h.marks = h.opts.Log != nil || h.opts.ValidID != nil || h.opts.NewID != nil || h.opts.Fields != nil ||
		h.opts.name(RequestID) != string(RequestID)
	if h.opts.ValidID == nil {
		h.opts.ValidID = PlainID
	}
	for f, name := range map[Field]*string{
		RequestID: &h.names.requestID, TraceID: &h.names.traceID, ParentSpanID: &h.names.parentSpanID,
		Method: &h.names.method, Route: &h.names.route, ClientAddress: &h.names.clientAddress,
		UserAgent: &h.names.userAgent, Path: &h.names.path, Query: &h.names.query,
	} {
		*name = h.opts.name(f)
	}
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
	marks  bool // a mark for each request
	opts   Options
	names  struct {
		requestID, traceID, parentSpanID, method, route string
		clientAddress, userAgent, path, query           string
	}
}

// processWide returns s if a bare Set began its task, as main does it for the fields of the
// whole process. Others are a request's, or a job's, that happens to build a handler.
func processWide(s scope.Scope) scope.Scope {
	if s.Internal().Bare() {
		return s
	}
	return scope.Scope{}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.opts.Skip != nil && h.opts.Skip(r) {
		// What it sets must not stay on the connection either.
		scope.Run(func() { h.next.ServeHTTP(w, r) })
		return
	}
	if o := around(r); o.id != "" {
		scope.Current().Pick(r.Context()).Run(func() { h.serve(w, r, o) })
		return
	}
	h.base.Detach().Run(func() { h.serve(w, r, outer{}) })
}

// serve runs in the task of the request.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, o outer) {
	e := exchange{start: time.Now(), path: r.URL.Path, outer: o}
	rejected := h.setFields(r, &e)
	e.task = scope.Current()
	if h.marks || e.untrusted != "" {
		e.mark = &mark{Context: r.Context(), id: e.id, untrusted: e.untrusted, task: e.task}
	}
	e.answer, w = answerTo(w, r, e.id)
	e.copyRequest(r)
	defer func() {
		if h.opts.Log != nil {
			e.panicked = recover()
		}
		e.answer.end()
		copyBack(r, e.r)
		if (!e.returned || r.ProtoMajor != 1) && e.r.MultipartForm != nil {
			// After a panic net/http removes no files any more, and that of Go 1.27.4 none of
			// HTTP/2 at all. What a middleware outside may look at, the form's values, stays.
			_ = e.r.MultipartForm.RemoveAll()
		}
		h.end(&e)
		if e.panicked != nil {
			panic(e.panicked) // net/http ends the connection, and knows ErrAbortHandler
		}
	}()
	if rejected > 0 && h.opts.BadID != nil {
		h.opts.BadID(e.r, rejected)
	}
	h.next.ServeHTTP(w, e.r)
	e.returned = true
}
