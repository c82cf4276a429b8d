package main

import (
	"fmt"

	"github.com/taskscope/taskscope/scope"
)

// Operations on scopes as values: they are made, kept, and run.

// current is what is bound.
func (g *goroutine) current() pair { return pair{scope.Current(), g.bound} }

// someScope makes a scope in one of all ways.
func (g *goroutine) someScope() pair {
	args, fields := g.args()
	current := g.current()
	switch g.rng.IntN(10) {
	case 0:
		return g.fresh(scope.New(args...), fields)
	case 1, 2:
		if len(args) == 0 {
			return current
		}
		if g.bound == nil {
			return g.fresh(scope.With(args...), fields)
		}
		return current.with(args, fields)
	case 3:
		key := g.key()
		s := current.real
		st := g.bound.makes(func() { s = s.Without(key) }, func() *state { return g.bound.without(key) })
		return pair{s, st}
	case 4:
		return current.detach()
	case 5:
		if len(g.scopes) > 0 {
			return g.scopes[g.rng.IntN(len(g.scopes))]
		}
		return current
	case 6:
		return pair{}
	case 7:
		return current
	case 8:
		if g.bound == nil {
			return current
		}
		return g.deep(current)
	default:
		return g.picked()
	}
}

// deep is s with fields that were added one by one: more than the store lets hang together.
func (g *goroutine) deep(s pair) pair {
	for i := range 10 + g.rng.IntN(12) {
		f, value, _ := g.newField()
		f.key = "deep" + fmt.Sprint(i)
		s = s.with([]any{f.key, value}, []field{f.asSet(value)})
	}
	return s
}

// picked is what Pick makes of a context. The program goes on with it as with any other scope.
func (g *goroutine) picked() pair {
	c := g.context()
	st, other, how := c.pick(g.bound)
	if other != nil {
		return g.current()
	}
	var s scope.Scope
	st = g.bound.makes(func() { s = scope.Current().Pick(c.real) }, func() *state { return st })
	g.did("Pick", how, 0)
	return pair{s, st}
}

// fresh is s, which has begun a task with these fields.
func (g *goroutine) fresh(s scope.Scope, fields []field) pair {
	return pair{s, (*state)(nil).with(&task{scope: s}, fields...)}
}

// freshScope makes a scope of a task that nobody else has.
func (g *goroutine) freshScope() pair {
	args, fields := g.args()
	if g.rng.IntN(2) == 0 {
		return g.current().detach()
	}
	return g.fresh(scope.New(args...), fields)
}

// with is s with more fields. s is not the zero Scope.
func (s pair) with(args []any, fields []field) pair {
	next := s
	next.st = s.st.makes(func() { next.real = s.real.With(args...) },
		func() *state { return s.st.with(s.st.task, fields...) })
	return next
}

func (s pair) detach() pair {
	into := s.st.taskOf().detaching()
	next := s
	next.st = s.st.makes(func() { next.real = s.real.Detach() }, func() *state { return s.st.with(into()) })
	next.st.task.scope = next.real
	return next
}

func (g *goroutine) keepScope() {
	g.did("keep a scope", "", 0)
	keep(g, &g.scopes, g.someScope())
}

// runScope runs a block of operations with another scope bound.
func (g *goroutine) runScope() {
	n := 1 + g.rng.IntN(7)
	s := g.someScope()
	if t := s.st.taskOf(); !g.mayEnter(t) && !g.over(t) {
		g.log()
		return
	}
	wrapped := g.rng.IntN(3) == 0
	g.did("Run", "", n)
	if wrapped {
		g.within(s, func(fn func()) { s.real.Wrap(fn)() }, n)
	} else {
		g.within(s, s.real.Run, n)
	}
}

// within does n operations within bind, which binds s.
func (g *goroutine) within(s pair, bind func(func()), n int) {
	defer g.unwound("the scope is put back")
	saved, leave := g.bound, g.enter(s.st.taskOf())
	defer func() {
		g.bound = saved
		leave()
	}()
	bind(func() {
		g.bound = s.st
		g.block(n)
	})
}
