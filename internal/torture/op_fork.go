package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// The operation that starts goroutines, in each way there is, and what they tell each other.

// section starts up to three goroutines and goes on beside them. It ends when they have ended,
// or wait at the gate.
func (g *goroutine) section() {
	n := 1 + g.rng.IntN(3)
	down := make([]chan message, n) // to each child
	side := make([]chan message, n) // from each child to the one after it
	for i := range n {
		down[i], side[i] = make(chan message, 4), make(chan message, 4)
	}
	var joins []func()
	defer g.unwound("section ends")
	defer func() { // also if a panic or Goexit ends it
		for i := range n {
			close(down[i])
		}
		for i := len(joins); i < n; i++ { // those that would have closed it weren't started
			close(side[i])
		}
		for _, join := range joins {
			join()
		}
	}()
	for i := range n {
		g.freeze()
		var from <-chan message
		if i > 0 {
			from = side[i-1]
		}
		joins = append(joins, g.start(down[i], from, side[i]))
		g.block(g.rng.IntN(4))
		if g.rng.IntN(2) == 0 {
			g.send(down[g.rng.IntN(n)], g.held)
		}
	}
}

// A fork is a child on its way.
type fork struct {
	g     *goroutine // starts it
	child *goroutine
	scope pair // that it is started with, if not by inheritance
	fresh bool // scope is of a new task
	over  bool // g can't enter scope's task any more
	body  func()
	done  chan struct{}
	join  func() // waits for it
}

// The ways to start a goroutine.
var ways = [...]struct {
	name   string
	start  func(*fork)
	fresh  bool // with a scope of a new task
	enters bool // with the scope that is bound, whose task it enters
	leaves bool // and leaves it behind
}{
	{name: "go", start: (*fork).plainly},
	{name: "WaitGroup.Go", start: (*fork).byWaitGroup},
	{name: "Go of a new task", start: (*fork).byScope, fresh: true},
	{name: "scope.Go", start: (*fork).byScope, enters: true},
	{name: "Go of a new task", start: (*fork).byScope, fresh: true},
	{name: "time.AfterFunc Wrap", start: (*fork).byWrappedTimer, enters: true},
	{name: "time.AfterFunc Wrap of a new task", start: (*fork).byWrappedTimer, fresh: true},
	{name: "time.AfterFunc", start: (*fork).byTimer},
	{name: "context.AfterFunc Wrap", start: (*fork).byWrappedCancel, enters: true},
	{name: "context.AfterFunc Wrap of a new task", start: (*fork).byWrappedCancel, fresh: true},
	{name: "context.AfterFunc", start: (*fork).byCancel},
	{name: "go, left behind", start: (*fork).behind, leaves: true},
	{name: "go, left behind", start: (*fork).behind, leaves: true},
}

// start starts a goroutine in one of all ways and returns what waits for it.
func (g *goroutine) start(down, from <-chan message, to chan<- message) (join func()) {
	how := ways[g.rng.IntN(len(ways))]
	over := g.over(g.bound.taskOf())
	if how.leaves && g.late || how.enters && !over && !g.mayEnter(g.bound.taskOf()) {
		how = ways[0]
	}
	f := &fork{g: g, scope: g.current(), fresh: how.fresh, over: over && !how.fresh, done: make(chan struct{})}
	if f.fresh {
		f.scope = g.freshScope()
	}
	f.join = func() { <-f.done }
	g.did("start", how.name, g.children)
	f.child = g.child(nil)
	f.child.exits = !how.leaves
	f.body = func() { f.child.live(down, from, to) }
	how.start(f)
	return f.join
}

// live is the body of a goroutine that has been started.
func (g *goroutine) live(down, from <-chan message, to chan<- message) {
	defer close(to)
	g.block(3)
	for i := range 3 {
		switch {
		case from != nil && i == 0 && g.rng.IntN(2) == 0:
			g.receive(from)
		case g.rng.IntN(3) == 0:
			g.receive(down)
		}
		g.block(4)
		if g.rng.IntN(2) == 0 {
			g.send(to, g.held[:g.base])
		}
	}
}

// main is what most ways start.
func (f *fork) main() {
	defer close(f.done)
	defer f.child.finish()
	f.body()
}

func (f *fork) plainly() {
	f.child.bound = f.g.inherited()
	go f.main()
}

func (f *fork) byWaitGroup() {
	f.child.bound = f.g.inherited()
	var wg sync.WaitGroup
	wg.Go(f.main)
	f.join = wg.Wait
}

func (f *fork) byScope() {
	t := f.scope.st.taskOf()
	if t != nil {
		t.spawned.Store(true)
	}
	f.child.bound = f.scope.st
	leave := f.child.enter(t)
	fn := func() {
		defer close(f.done)
		defer f.child.finish()
		defer leave()
		f.body()
	}
	if f.fresh {
		f.scope.real.Go(fn)
	} else {
		scope.Go(fn)
	}
}

func (f *fork) byTimer()         { f.called(f.afterTime) }
func (f *fork) byCancel()        { f.called(f.afterCancel) }
func (f *fork) byWrappedTimer()  { f.calledWrapped(f.afterTime) }
func (f *fork) byWrappedCancel() { f.calledWrapped(f.afterCancel) }

// afterTime has fn called by a timer, with nothing bound.
func (f *fork) afterTime(fn func(bound *state)) {
	time.AfterFunc(0, func() { fn(nil) })
}

// afterCancel has fn called when a context is cancelled. It inherits what is bound where that
// is done, not what is bound where it is registered.
func (f *fork) afterCancel(fn func(bound *state)) {
	var bound *state
	parent, cancel := context.WithCancel(f.g.context().real)
	context.AfterFunc(parent, func() { fn(bound) })
	f.g.set()
	f.g.freeze()
	bound = f.g.inherited()
	cancel()
}

// called starts the child by after.
func (f *fork) called(after func(fn func(bound *state))) {
	after(func(bound *state) {
		f.child.bound = bound
		f.main()
	})
}

// calledWrapped starts the child by after, with scope bound by Wrap.
func (f *fork) calledWrapped(after func(fn func(bound *state))) {
	wrap := scope.Wrap
	if f.fresh {
		wrap = f.scope.real.Wrap
	}
	wrapped := wrap(f.body)
	after(func(bound *state) {
		c := f.child
		defer close(f.done)
		defer c.finish()
		leave := func() {}
		if !f.over { // as it was where Wrap was called
			leave = c.enter(f.scope.st.taskOf())
		}
		defer func() {
			c.bound = bound
			leave()
			c.unwound("the wrapped function has returned")
		}()
		c.bound = f.scope.st
		wrapped()
	})
}

// behind starts a child that outlives the tasks around. It waits at the gate until they are over.
func (f *fork) behind() {
	c, u := f.child, f.g.unit
	c.bound = f.g.inherited()
	for _, t := range f.g.held {
		t.leaked.Store(true)
	}
	u.behind.Add(1)
	go func() {
		defer u.behind.Done()
		defer c.finish()
		f.body()
		close(f.done)
		<-u.gate
		c.did("the gate is open", "", 0)
		c.held, c.base, c.late = nil, 0, true
		c.budget += 12
		c.log()
		c.runScope()
		c.block(8)
	}()
}

// A message is what goroutines pass on through channels.
type message struct {
	c ctx
	s pair
}

// mayPass says whether goroutines for which these tasks are live may use all that can be reached
// through m.
func (m message) mayPass(live []*task) bool {
	for _, st := range []*state{m.c.scope, m.c.frozen, m.s.st} {
		if t := st.taskOf(); t != nil && !t.anonymous && !t.dead && !slices.Contains(live, t) {
			return false
		}
	}
	return true
}

func (g *goroutine) message() (m message) {
	m.c = g.context()
	if g.rng.IntN(2) == 0 {
		m.c = m.c.newContext(scope.Current(), g.bound, g.bound)
	}
	if len(g.scopes) > 0 {
		m.s = g.scopes[g.rng.IntN(len(g.scopes))]
	}
	return m
}

func (g *goroutine) send(to chan<- message, live []*task) {
	g.freeze()
	if m := g.message(); m.mayPass(live) {
		g.did("send", "", 0)
		select {
		case to <- m:
		default: // full: as many as there may be
		}
	}
}

func (g *goroutine) receive(from <-chan message) {
	m, ok := <-from
	g.did("receive", fmt.Sprint(ok), 0)
	if ok {
		keep(g, &g.ctxs, m.c)
		keep(g, &g.scopes, m.s)
	}
}
