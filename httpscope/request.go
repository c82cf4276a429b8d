package httpscope

import (
	"context"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/scope"
)

// A handler gets a copy of its request, whose context carries the scope. The request itself must
// not be changed, as *r = *r.WithContext(ctx) would do: a middleware around Handler may
// have started a goroutine that reads it meanwhile (its context, to watch for the end; its
// header, which is a map, so that the process would crash). But net/http, an http.ServeMux and
// middleware around Handler look at their own request afterwards. So what the handler has found
// out is copied back, on the goroutine of ServeHTTP, when the handler has returned or ended
// early. It is read from the copy that was made here. Code that leaves a handler behind, as
// http.TimeoutHandler does, has given it yet another copy, with a context of its own: so a handler
// that was left behind doesn't write to this one.

// An exchange is a request and its answer, as Handler serves it.
type exchange struct {
	start     time.Time
	path      string // as the client has sent it
	id        string
	untrusted string // members of baggage that came in and aren't trusted
	task      scope.Scope
	outer     *mark         // of the Handler around this one; nil if there is none
	mark      *mark         // what Handlers further in, and Transport, see of this one
	r         *http.Request // the handler's
	answer    *answer
	returned  bool // the handler has; false if it has ended with a panic or with runtime.Goexit
	panicked  any
}

// A mark is in the context of a Handler's request. It is an entry.Serving.
type mark struct {
	context.Context
	id        string
	untrusted string
	task      scope.Scope
	route     atomic.Pointer[string] // that a Handler further in has found
	logs      bool                   // this Handler, or one around it, writes a line: the task's last
	over      atomic.Bool            // the handler has hijacked the connection: what comes through it are other requests
}

type markKey struct{}

func (m *mark) Value(key any) any {
	switch key {
	case markKey{}:
		return m
	case entry.ServingKey{}:
		return m
	case entry.UntrustedKey{}:
		return m.untrusted // "" too: it is this request's, and no other's
	}
	return m.Context.Value(key)
}

// Request implements entry.Serving.
func (m *mark) Request(ctx context.Context) (entry.Request, bool) {
	return entry.Request{ID: m.id, Logs: m.logs}, !m.over.Load() && !m.task.Ended() && isOfRequest(ctx)
}

// markOf returns the mark in ctx, or nil if there is none.
func markOf(ctx context.Context) *mark {
	m, _ := ctx.Value(markKey{}).(*mark)
	return m
}

// around returns the mark of the Handler around this one, if it is still serving r.
func around(r *http.Request) *mark {
	m := markOf(r.Context())
	if m == nil {
		return nil
	}
	if _, ok := m.Request(r.Context()); !ok {
		return nil
	}
	// The program may serve requests of its own with this context: parts of a batch, which have
	// no RequestURI. A request that a server received stays the same, whatever its header says by now.
	if id := r.Header[idHeader]; r.RequestURI == "" && (len(id) != 1 || id[0] != m.id) {
		return nil
	}
	return m
}

// isOfRequest reports whether the scope was put into ctx after the server had received the
// request. A scope from the server's BaseContext or ConnContext belongs to a job or to another
// request, and a client that knows its id must not become part of that.
func isOfRequest(ctx context.Context) bool {
	wrapped, ok := ctx.Value(memo.WrappedKey{}).(context.Context)
	if !ok {
		return false
	}
	// net/http sets ServerContextKey before it calls ConnContext, and LocalAddrContextKey after.
	was, _ := wrapped.Value(http.ServerContextKey).(*http.Server)
	is, _ := ctx.Value(http.ServerContextKey).(*http.Server)
	return was == is && (wrapped.Value(http.LocalAddrContextKey) == nil) == (ctx.Value(http.LocalAddrContextKey) == nil)
}

// copyRequest makes the copy of r for the handler.
func (e *exchange) copyRequest(r *http.Request) {
	e.r = r.WithContext(scope.NewContext(e.mark, e.task))
	_, another := r.Header[gatewayPrefix+idHeader]
	if id := r.Header[idHeader]; len(id) != 1 || id[0] != e.id || another {
		// In a map of its own: other code may be reading that of r, and would crash.
		if e.r.Header = maps.Clone(r.Header); e.r.Header == nil {
			e.r.Header = http.Header{}
		}
		e.r.Header[idHeader] = e.answer.sent[:]
		delete(e.r.Header, gatewayPrefix+idHeader)
	}
	e.answer.body.watch(r, e.r)
}

// copyBack gives r what the handler has found out about c. It leaves out the values of the
// pattern: SetPathValue would write to a map that other code with r may be reading.
func copyBack(r, c *http.Request) {
	if c.MultipartForm != nil {
		r.MultipartForm = c.MultipartForm // net/http removes its files
	}
	if c.Pattern != r.Pattern {
		r.Pattern = c.Pattern
	}
	if r.Body == nil || r.Body == http.NoBody {
		// Without a body the form can be read from the query again, and a goroutine of the handler
		// may be doing that with c right now.
		return
	}
	if c.Form != nil {
		r.Form = c.Form
	}
	if c.PostForm != nil {
		r.PostForm = c.PostForm
	}
}
