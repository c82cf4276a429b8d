package httpscope

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/scope"
)

// A handler gets a copy of its request, whose context carries the scope. To change the
// request itself, as *r = *r.WithContext(ctx) would, is no way: a middleware around Handler may
// have started a goroutine that reads it meanwhile (its context, to watch for the end; its
// header, which is a map, so that the process would crash). But net/http, an http.ServeMux and
// middleware around Handler look at their own request afterwards. So what the handler has found
// out is copied back, on the goroutine of ServeHTTP and when the handler has returned or ended
// early. It is read from the handler's own copy, which http.TimeoutHandler, or whoever leaves a
// handler behind with a context of its own, has copied once more: that handler writes to
// another request.

// An exchange is a request and its answer, as Handler serves it.
type exchange struct {
	start     time.Time
	path      string // as the client has sent it
	id        string
	untrusted string // members of baggage that came in and aren't trusted
	task      scope.Scope
	outer     outer         // the Handler around this one
	mark      *mark         // what a Handler further in sees of this one; nil if it needs none
	r         *http.Request // the handler's
	answer    *answer
	returned  bool // the handler has; false if it has ended with a panic or with runtime.Goexit
	panicked  any
}

// A mark is in the context of a handler if its request has more than others: an id that other
// Handlers might not take, baggage, a line to be written.
type mark struct {
	context.Context
	id        string
	untrusted string
	task      scope.Scope
	route     atomic.Pointer[string] // that a Handler further in has found
}

type markKey struct{}

func (m *mark) Value(key any) any {
	if key == (markKey{}) {
		return m
	}
	return m.Context.Value(key)
}

// markOf returns that of ctx; nil if there is none.
func markOf(ctx context.Context) *mark {
	m, _ := ctx.Value(markKey{}).(*mark)
	return m
}

// An outer is a Handler that a request has gone through on its way to another one.
type outer struct {
	id   string // "" if there is none
	mark *mark  // may be nil
}

// around returns the Handler around this one that is still serving r.
func around(r *http.Request) outer {
	id := r.Header[idHeader]
	if len(id) != 1 { // the outer one would have seen to that
		return outer{}
	}
	task, ok := scope.FromContext(r.Context())
	if !ok {
		return outer{}
	}
	known, _ := task.Get(string(RequestID))
	m := markOf(r.Context())
	if m != nil {
		task, known = m.task, m.id
	}
	// A client in this process may send a request of its own with this context.
	if task.Ended() || known != id[0] || !isOfRequest(r.Context()) {
		return outer{}
	}
	return outer{id[0], m}
}

// isOfRequest reports whether the scope in ctx came there when the server already had the
// request. One of the server's BaseContext or ConnContext is a job's, or another request's, and
// a client that knows that one's id is no part of it.
func isOfRequest(ctx context.Context) bool {
	wrapped, ok := ctx.Value(memo.WrappedKey{}).(context.Context)
	if !ok {
		return false
	}
	// net/http sets the one before ConnContext and the other behind.
	was, _ := wrapped.Value(http.ServerContextKey).(*http.Server)
	is, _ := ctx.Value(http.ServerContextKey).(*http.Server)
	return was == is && (wrapped.Value(http.LocalAddrContextKey) == nil) == (ctx.Value(http.LocalAddrContextKey) == nil)
}

// copyRequest makes the copy of r for the handler.
func (e *exchange) copyRequest(r *http.Request) {
	if r.Trailer == nil && r.ProtoMajor == 1 && r.ContentLength < 0 {
		// net/http puts trailers that weren't announced into a new map of its own request
		// unless there is one.
		r.Trailer = http.Header{}
	}
	ctx := r.Context()
	if e.mark != nil {
		ctx = e.mark
	}
	e.r = withOwnPathValues(r, scope.NewContext(ctx, e.task))
	if id := r.Header[idHeader]; len(id) != 1 || id[0] != e.id {
		// In a map of its own: whoever reads that of r at this moment would crash.
		if e.r.Header = maps.Clone(r.Header); e.r.Header == nil {
			e.r.Header = http.Header{}
		}
		e.r.Header[idHeader] = e.answer.sent[:]
	}
	e.answer.body.watch(e.r)
}

// withOwnPathValues is r.WithContext(ctx) with a copy of the path values, which are a map too:
// copyBack writes to that of r, while goroutines of the handler may still read theirs.
func withOwnPathValues(r *http.Request, ctx context.Context) *http.Request {
	c := *r
	// Of what Clone copies, the path values are all that is needed, and alone can't be got.
	c.URL, c.Header, c.Trailer, c.TransferEncoding = nil, nil, nil, nil
	c.Form, c.PostForm, c.MultipartForm = nil, nil, nil
	own := c.Clone(ctx)
	own.URL, own.Header, own.Trailer, own.TransferEncoding = r.URL, r.Header, r.Trailer, r.TransferEncoding
	own.Form, own.PostForm, own.MultipartForm = r.Form, r.PostForm, r.MultipartForm
	return own
}

// copyBack gives r what the handler has found out about c.
func copyBack(r, c *http.Request) {
	if c.MultipartForm != nil {
		r.MultipartForm = c.MultipartForm // net/http removes its files
	}
	if c.Form != nil {
		r.Form = c.Form
	}
	if c.PostForm != nil {
		r.PostForm = c.PostForm
	}
	if c.Pattern != r.Pattern {
		r.Pattern = c.Pattern
		for _, rest, ok := strings.Cut(c.Pattern, "{"); ok; _, rest, ok = strings.Cut(rest, "{") {
			name, _, _ := strings.Cut(rest, "}")
			if name = strings.TrimSuffix(name, "..."); name != "" && name != "$" {
				r.SetPathValue(name, c.PathValue(name))
			}
		}
	}
}
