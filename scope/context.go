package scope

import (
	"context"
	"sync/atomic"

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
	return &scopeContext{Context: ctx, scope: s}
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
	scope    Scope
	answered atomic.Pointer[answer]
}

// An answer is the label set for a bound scope and a context without labels: pprof.Do
// asks twice for it.
type answer struct {
	bound *node
	set   any
}

func (c *scopeContext) Value(key any) any {
	switch key {
	case contextKey{}:
		return c
	case carrier.LabelKey:
		own, n := c.Context.Value(key), bound()
		labels := n.labels()
		if own != nil || n == nil || labels != nil {
			return carrier.Answer(own, labels)
		}
		a := c.answered.Load()
		if a == nil || a.bound != n {
			a = &answer{n, carrier.Answer(nil, nil)}
			if n == c.scope.n { // not the scope of whoever else asks: ctx would keep it
				c.answered.Store(a)
			}
		}
		return a.set
	}
	return c.Context.Value(key)
}
