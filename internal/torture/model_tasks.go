package main

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// The model of tasks: whether one is live or over. The program is made so that this follows from
// its shape and never from timing: a task is live for a goroutine that is inside a Run, Go or Wrap
// of it, and for those that this one starts and waits for (goroutine.held). Where there is no such
// frame, only one goroutine can reach the task; or else nobody may enter it any more (goroutine.freeze).

// A task is what scopes are of.
type task struct {
	anonymous bool // begun by a bare Set: it never ends
	job       bool // it has a last line

	entered bool // once: noted while only one goroutine can reach the task
	dead    bool // it may not be entered again, since several goroutines can reach it
	ended   bool // it is over; only used if it is dead

	leaked  atomic.Bool // a goroutine that will be left behind has it
	common  atomic.Bool // several goroutines may have it
	spawned atomic.Bool // scope.Go was called: its end may show a little later
	scope   scope.Scope // one of its scopes, to ask for that end

	totals totals
	sharing
}

// endsWithin waits until the store says that t is over. The model knows that it is; but a goroutine
// of scope.Go leaves its task after its function has returned.
func (t *task) endsWithin(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); !t.scope.Ended(); time.Sleep(10 * time.Microsecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// holds says whether t is live for sure.
func (g *goroutine) holds(t *task) bool { return slices.Contains(g.held, t) }

// ended says whether lines of t must say that it is over.
func (g *goroutine) ended(t *task) bool {
	if t == nil || t.anonymous || g.holds(t) {
		return false
	}
	ended := t.entered
	if t.dead {
		ended = t.ended
	}
	if ended && t.spawned.Load() && !t.endsWithin(time.Minute) {
		g.fail("a task doesn't end", "live", "ended")
	}
	return ended
}

// mayEnter says whether the program's shape still tells when t ends if g enters it.
func (g *goroutine) mayEnter(t *task) bool { return t == nil || t.anonymous || g.holds(t) || !t.dead }

// over says whether g has been left behind by t. Then it can't enter that any more, and may try.
func (g *goroutine) over(t *task) bool { return g.bound.taskOf() == t && g.ended(t) }

// enter is called where a Run, Go or Wrap of t begins, and leave where it ends.
func (g *goroutine) enter(t *task) (leave func()) {
	if t == nil || t.anonymous {
		return func() {}
	}
	if g.over(t) {
		g.did("enter what is over", "", 0)
		return func() {}
	}
	if !g.holds(t) {
		t.entered = true
	}
	g.held = append(g.held, t)
	return func() {
		g.held = g.held[:len(g.held)-1]
		if !g.holds(t) && t.leaked.Load() {
			t.dead, t.ended = true, true
		}
	}
}

// freeze is called before anything is handed to another goroutine. Of the tasks that it may reach
// then, those that aren't live while both run may not be entered any more.
func (g *goroutine) freeze() {
	kill := func(st *state) {
		t := st.taskOf()
		if t == nil {
			return
		}
		t.common.Store(true)
		if !t.anonymous && !t.dead && !g.holds(t) {
			t.dead, t.ended = true, t.entered
		}
	}
	kill(g.bound)
	for _, c := range g.ctxs {
		kill(c.scope)
		kill(c.frozen)
	}
	for _, s := range g.scopes {
		kill(s.st)
	}
	for _, t := range g.held {
		t.common.Store(true)
	}
}
