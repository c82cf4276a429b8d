package httpscope

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope"
)

// log writes the last line of the request. It is a deferred call: a panic goes on.
func (h *handler) log(e *exchange) {
	if e.panicked = recover(); e.panicked != nil {
		e.returned = false      // also if it was Finish that has panicked
		defer panic(e.panicked) // net/http ends the connection, and knows ErrAbortHandler
	}
	if e.answer == nil { // an option has panicked; r's context may be that of a job
		e.answer = &answer{ctx: e.r.Context()}
		e.r = e.r.WithContext(scope.NewContext(e.r.Context(), scope.Current()))
	}
	a := e.answer
	attrs := make([]slog.Attr, 0, 4)
	if status := e.status(); status != 0 {
		attrs = append(attrs, slog.Int("http.response.status_code", status))
	}
	if e.r.Method == http.MethodHead || e.clientLeft() {
		a.bytes = 0 // what the handler wrote wasn't sent
	}
	attrs = append(attrs,
		slog.Int64("http.response.body.size", a.bytes),
		slog.Float64("http.server.request.duration", time.Since(e.start).Seconds()))
	if h.opts.AccessPath {
		attrs = h.appendPath(attrs, e)
	}
	level, outcome := e.outcome()
	attrs = append(attrs, outcome...)
	line := entry.Line{Log: h.opts.Log, Level: level, Msg: "request", Attrs: attrs}
	ctx := e.r.Context()
	s := scope.Current().Pick(ctx)
	if e.outer != nil && e.outer.logs { // the task's last line is that of another Handler
		line.WriteInner(ctx, s)
		return
	}
	line.Write(ctx, s, entry.AwaitLimit(h.opts.Await && e.returned, h.opts.AwaitLimit))
}

// appendPath appends the path, unless the line has a route or the path already.
func (h *handler) appendPath(attrs []slog.Attr, e *exchange) []slog.Attr {
	key := cmp.Or(h.names.path, string(Path))
	if h.names.route != "" && scope.GetOr(h.names.route, "") != "" || scope.Current().Has(key) {
		return attrs
	}
	return append(attrs, slog.String(key, entry.Clip(e.path)))
}

// status returns the status that the handler has answered with, or 0 if there is none: the handler
// ended early, took the connection over, or ran out of time, or the client had gone.
func (e *exchange) status() int {
	a := e.answer
	switch {
	case e.clientLeft():
		return 0
	case a.code == 0 && e.returned && !a.hijacked && a.ctxErr != context.DeadlineExceeded:
		return http.StatusOK
	}
	return a.code
}

// clientLeft reports whether the client went away before an answer began: net/http ends the
// context then, with no cause of its own. It does so too when a read of the body has timed
// out; then the client may still be there.
func (e *exchange) clientLeft() bool {
	a := e.answer
	return a.ctxErr != nil && !a.hijacked && !a.body.timedOut.Load() && context.Cause(a.ctx) == context.Canceled
}

// outcome returns the level of the line, and the attributes that say what went wrong.
func (e *exchange) outcome() (slog.Level, []slog.Attr) {
	failed := func(kind string) []slog.Attr { return []slog.Attr{slog.String("error.type", kind)} }
	switch {
	case e.panicked != nil && e.panicked != http.ErrAbortHandler:
		return slog.LevelError, []slog.Attr{
			slog.String("exception.message", values.Text(e.panicked)),
			slog.String("exception.stacktrace", string(debug.Stack())),
		}
	case !e.returned && e.panicked == nil:
		return slog.LevelError, failed("goexit")
	case e.clientLeft():
		return slog.LevelWarn, failed("client_closed")
	case e.panicked != nil:
		return slog.LevelWarn, failed("abort")
	case e.answer.code == 0 && e.answer.ctxErr == context.DeadlineExceeded && !e.answer.hijacked:
		return slog.LevelWarn, failed("timeout")
	case e.answer.code >= 500:
		return slog.LevelError, nil
	}
	return slog.LevelInfo, nil
}
