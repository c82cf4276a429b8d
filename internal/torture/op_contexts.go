package main

import (
	"context"
	"fmt"
	"runtime/pprof"
)

// Operations on contexts, with scopes and with profiler labels of other code.

// context draws one of the contexts that the goroutine has, or the background.
func (g *goroutine) context() ctx {
	if i := g.rng.IntN(len(g.ctxs) + 1); i > 0 {
		return g.ctxs[i-1]
	}
	return background
}

type contextKey struct{}

func (g *goroutine) keepContext() {
	c := g.context()
	how := g.rng.IntN(6)
	switch {
	case how == 0:
		c.real = context.WithValue(c.real, contextKey{}, 1)
	case how == 1 && g.inherits:
		inner, labels := g.labelled(c)
		inner.real = pprof.WithLabels(c.real, labels)
		c = inner
	default:
		s := g.someScope()
		c = c.newContext(s.real, s.st, g.bound)
	}
	g.did("keep a context", "", how)
	keep(g, &g.ctxs, c)
}

// labelled is the model of what pprof.WithLabels makes of c with a new label.
func (g *goroutine) labelled(c ctx) (ctx, pprof.LabelSet) {
	g.values++
	label := fmt.Sprint(g.values)
	c.frozen, c.live, c.label = c.answer(g.bound), false, label
	return c, pprof.Labels("foreign", label)
}

func (g *goroutine) setLabels() {
	c := g.context()
	g.did("SetGoroutineLabels", "live="+fmt.Sprint(c.live), len(g.ctxs))
	pprof.SetGoroutineLabels(c.real)
	g.bound = c.answer(g.bound)
}

// do runs a block of operations in pprof.Do. When that returns it binds what its context
// answers then.
func (g *goroutine) do() {
	c := g.context()
	g.did("pprof.Do", "live="+fmt.Sprint(c.live), len(g.ctxs))
	defer g.unwound("Do has returned")
	defer func() { g.bound = c.answer(g.bound) }()
	inner, labels := g.labelled(c)
	pprof.Do(c.real, labels, func(real context.Context) {
		inner.real = real
		g.bound = inner.frozen
		keep(g, &g.ctxs, inner)
		g.block(1 + g.rng.IntN(5))
	})
}
