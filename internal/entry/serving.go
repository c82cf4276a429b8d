package entry

import (
	"context"

	"github.com/taskscope/taskscope/scope"
)

// ServingKey is the key under which the context of a request has its Serving, for the entries of
// other protocols that run inside that request.
type ServingKey struct{}

// A Serving is an entry that is around others.
type Serving interface {
	// Request returns the request that is being served with ctx, in which the Serving was
	// found. It returns false if that request is over, or if ctx belongs to another one.
	Request(ctx context.Context) (Request, bool)
}

// A Request is what an entry tells those inside it about what it serves.
type Request struct {
	ID   string
	Logs bool // the entry, or one around it, writes the task's last line
}

// InServing reports whether ctx belongs to something that an entry serves or has served: the contexts
// of all entries know an UntrustedKey.
func InServing(ctx context.Context) bool { return ctx.Value(UntrustedKey{}) != nil }

// An Outer is the entry around another one. The zero Outer is none.
type Outer struct {
	Request
	serving Serving
}

// OuterOf returns the entry around a request or call that came with ctx and these ids, which are asked
// for only if there may be one. inner is the Outer of a call that is being served in ctx already. If
// its entry is the same, what came now is a call made in this process, which gets a task of its own.
func OuterOf(ctx context.Context, ids func() []string, inner Outer) (o Outer) {
	serving, _ := ctx.Value(ServingKey{}).(Serving)
	if serving == nil || serving == inner.serving {
		return Outer{}
	}
	r, ok := serving.Request(ctx)
	if !ok {
		return Outer{}
	}
	if came := ids(); len(came) != 1 || came[0] != r.ID {
		return Outer{}
	}
	return Outer{r, serving}
}

// Found reports whether there is an outer entry.
func (o Outer) Found() bool { return o.serving != nil }

// Run calls fn in the task of the outer entry.
func (o Outer) Run(ctx context.Context, fn func()) { scope.Current().Pick(ctx).Run(fn) }
