package httpscope

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/felixge/httpsnoop"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// Handler returns a handler that calls next with a scope of the request bound to the
// goroutine, as a task of its own, and in the request's context. It sets the fields of
// [Field] that are on by default and answers with the request's id in X-Request-Id. nil opts are the
// defaults. It panics if next is nil.
func Handler(next http.Handler, opts *Options) http.Handler {
	if next == nil {
		panic("httpscope.Handler: next, the handler to wrap, is nil")
	}
	h := &handler{next: next, base: scope.Current()}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.NewID == nil {
		h.opts.NewID = NewID
	}
	h.routes, _ = next.(router)
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
	opts   Options
	names  struct {
		requestID, traceID, parentSpanID, method, route string
		clientAddress, userAgent, path, query           string
	}
}

// A router is what http.ServeMux is: it knows the pattern of a request before it serves it.
type router interface {
	Handler(*http.Request) (http.Handler, string)
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.opts.Skip != nil && h.opts.Skip(r) {
		// What it sets must not stay on the connection either.
		scope.Run(func() { h.next.ServeHTTP(w, r) })
		return
	}
	h.base.Detach().Run(func() { h.serve(w, r) })
}

// serve runs in the task of the request.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	id, rejected := h.setFields(r)
	r = r.WithContext(scope.NewContext(r.Context(), scope.Current()))
	w.Header()["X-Request-Id"] = []string{id} // as Set does, which would check the name first
	if h.opts.Log == nil {
		h.call(w, r, rejected)
		return
	}
	rec := &recorder{start: time.Now()}
	returned := false
	defer func() {
		panicked := recover()
		h.log(r, rec, returned, panicked)
		if panicked != nil {
			panic(panicked) // net/http ends the connection, and knows ErrAbortHandler
		}
	}()
	h.call(rec.wrap(w), r, rejected)
	returned = true
}

func (h *handler) call(w http.ResponseWriter, r *http.Request, rejected int) {
	if rejected > 0 && h.opts.BadID != nil {
		h.opts.BadID(r, rejected)
	}
	h.next.ServeHTTP(w, r)
}

// setFields binds the request's fields and returns its id, and the length of the one that
// was rejected.
func (h *handler) setFields(r *http.Request) (id string, rejected int) {
	var room [12]slog.Attr
	attrs := room[:0]
	put := func(name, value string) {
		if name != "" && value != "" {
			attrs = append(attrs, slog.String(name, clip(value)))
		}
	}
	id = strings.Join(r.Header["X-Request-Id"], ",") // of several, none is valid
	if !propagation.ValidRequestID(id) {
		rejected = len(id)
		id = h.opts.NewID()
	}
	put(h.names.requestID, id)
	if tp := r.Header["Traceparent"]; len(tp) == 1 { // two are as good as none
		if tp, ok := propagation.ParseTraceparent(tp[0]); ok {
			put(h.names.traceID, tp.TraceID)
			put(h.names.parentSpanID, tp.SpanID)
			if h.names.traceID != "" {
				put(propagation.TraceFlagsKey, tp.Flags)
			}
		}
	}
	put(h.names.method, method(r.Method))
	if h.names.route != "" {
		pattern := r.Pattern
		if h.routes != nil {
			if _, p := h.routes.Handler(r); p != "" {
				pattern = p
			}
		}
		put(h.names.route, route(pattern))
	}
	if h.names.clientAddress != "" {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		put(h.names.clientAddress, host)
	}
	if h.names.userAgent != "" {
		put(h.names.userAgent, r.UserAgent())
	}
	put(h.names.path, r.URL.Path)
	put(h.names.query, r.URL.RawQuery)
	if h.opts.TrustBaggage != nil && h.opts.TrustBaggage(r) {
		own := attrs
		for _, a := range propagation.Fields("", "", strings.Join(r.Header["Baggage"], ",")) {
			if !slices.ContainsFunc(own, func(b slog.Attr) bool { return a.Key == b.Key }) {
				attrs = append(attrs, a)
			}
		}
	}
	if h.opts.Fields != nil {
		attrs = append(attrs, h.opts.Fields(r)...)
	}
	scope.SetAttrs(attrs...)
	return id, rejected
}

// clip returns value as valid UTF-8, and of one that is longer than a field should be the
// start: a client may send a megabyte, and it would be on every line.
func clip(value string) string {
	const limit = 1024
	if len(value) > limit {
		end := limit
		for end > limit-utf8.UTFMax && !utf8.RuneStart(value[end]) {
			end--
		}
		value = value[:end] + "…"
	}
	if utf8.ValidString(value) { // looks at eight bytes at a time
		return value
	}
	return strings.ToValidUTF8(value, "\uFFFD")
}

// method returns the method as the semantic conventions want it: an unknown one could be
// any text that a client sends.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "QUERY":
		return m
	}
	return "_OTHER"
}

// log writes the access-log line of a request that next has returned from, or that
// ended with a panic or, if that is nil, with runtime.Goexit.
func (h *handler) log(r *http.Request, rec *recorder, returned bool, panicked any) {
	h.refineRoute(r)
	attrs := rec.attrs[:0]
	if status := rec.status(returned); status != 0 {
		attrs = append(attrs, slog.Int("http.response.status_code", status))
	}
	if r.Method == http.MethodHead {
		rec.bytes = 0 // what the handler wrote wasn't sent
	}
	attrs = append(attrs,
		slog.Int64("http.response.body.size", rec.bytes),
		slog.Float64("http.server.request.duration", time.Since(rec.start).Seconds()))
	level := slog.LevelInfo
	switch {
	case panicked == http.ErrAbortHandler:
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error.type", "abort"))
	case panicked != nil:
		level = slog.LevelError
		attrs = append(attrs,
			slog.String("exception.message", fmt.Sprint(panicked)),
			slog.String("exception.stacktrace", string(debug.Stack())))
	case !returned:
		level = slog.LevelError
		attrs = append(attrs, slog.String("error.type", "goexit"))
	case rec.code >= 500:
		level = slog.LevelError
	}
	h.opts.Log(r.Context(), level, "request", attrs...)
}

// refineRoute sets the route that a router further in has found since, unless the
// handler has set another.
func (h *handler) refineRoute(r *http.Request) {
	name, found := h.names.route, route(r.Pattern)
	if name == "" || found == "" {
		return
	}
	first, _ := scope.FromContext(r.Context())
	set, _ := first.Get(name)
	was, _ := set.(string)
	if now := scope.GetOr(name, ""); now == was && now != found {
		scope.SetAttrs(slog.String(name, found))
	}
}

// A recorder knows what a handler has answered.
type recorder struct {
	start    time.Time
	code     int // 0 iff no header was written
	bytes    int64
	hijacked bool
	attrs    [5]slog.Attr // room for the line
}

// status returns the status that the handler has answered with, or 0 if there is none:
// it ended early, or took the connection over.
func (rec *recorder) status(returned bool) int {
	if rec.code == 0 && returned && !rec.hijacked {
		return http.StatusOK
	}
	return rec.code
}

func (rec *recorder) wrote(n int64) {
	rec.bytes += n
	if rec.code == 0 {
		rec.code = http.StatusOK
	}
}

// wrap returns w, watched. It has the optional interfaces that w has, and no others.
func (rec *recorder) wrap(w http.ResponseWriter) http.ResponseWriter {
	hooks := httpsnoop.Hooks{
		WriteHeader: func(next httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
			return func(code int) {
				next(code) // panics if code is none
				// 1xx announce the answer; 101 is one.
				if rec.code == 0 && (code >= 200 || code == http.StatusSwitchingProtocols) {
					rec.code = code
				}
			}
		},
		Write: func(next httpsnoop.WriteFunc) httpsnoop.WriteFunc {
			return func(p []byte) (int, error) {
				n, err := next(p)
				rec.wrote(int64(n))
				return n, err
			}
		},
		WriteString: func(next httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
			return func(s string) (int, error) {
				n, err := next(s)
				rec.wrote(int64(n))
				return n, err
			}
		},
	}
	// Each hook is an allocation, also one that w has no use for.
	if _, ok := w.(http.Flusher); ok {
		hooks.Flush = func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() {
				next()
				rec.wrote(0)
			}
		}
	}
	if _, ok := w.(io.ReaderFrom); ok {
		hooks.ReadFrom = func(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) {
				n, err := next(src)
				rec.wrote(n)
				return n, err
			}
		}
	}
	if _, ok := w.(http.Hijacker); ok {
		hooks.Hijack = func(next httpsnoop.HijackFunc) httpsnoop.HijackFunc {
			return func() (net.Conn, *bufio.ReadWriter, error) {
				conn, buf, err := next()
				rec.hijacked = rec.hijacked || err == nil
				return conn, buf, err
			}
		}
	}
	return httpsnoop.Wrap(w, hooks)
}
