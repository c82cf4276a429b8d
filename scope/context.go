package scope

import (
	"context"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// NewContext returns a context that carries s, for code that is given a context and
// for [FromContext].
//
// It also keeps the goroutine's scope alive through code that sets profiler labels:
// pprof.Do, pprof.SetGoroutineLabels and the tracers that call them replace the slot
// that a scope lives in by what their context answers, and this context answers with
// its own labels and the scope that is bound at that moment. A context that
// pprof.WithLabels derives from it has a copy of that moment instead; give NewContext
// such a context before passing it to another pprof.Do.
//
// NewContext panics if ctx is nil, as the functions of package context do.
func NewContext(ctx context.Context, s Scope) context.Context {
	if ctx == nil {
		panic("scope: NewContext with a nil context")
	}
	c := &scopeContext{Context: ctx, scope: s}
	c.shown.Init(s.n.header())
	return c
}

// FromContext returns the scope that [NewContext] put into ctx or into what ctx derives
// from, the innermost if there are several, and whether there is one. A nil ctx has
// none.
func FromContext(ctx context.Context) (Scope, bool) {
	if ctx == nil {
		return Scope{}, false
	}
	if c, ok := ctx.Value(contextKey{}).(*scopeContext); ok {
		return c.scope, true
	}
	return Scope{}, false
}

type contextKey struct{}

type scopeContext struct {
	context.Context
	scope Scope
	shown carrier.Shown // of scope
}

func (c *scopeContext) Value(key any) any {
	switch key {
	case contextKey{}:
		return c
	case carrier.LabelKey:
		n := bound()
		return carrier.Answer(c.Context.Value(key), n.header(), n.labels(), &c.shown)
	}
	return c.Context.Value(key)
}
