package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A goroutine is one of the program's. It draws operations and does each of them twice: on
// the real store, and on the model, which is in these fields.
type goroutine struct {
	*run
	unit *unit
	name string // "0" is the root, and "0.2" its third child
	rng  *rand.Rand

	// What it has, in the model.
	bound  *state
	ctxs   []ctx
	scopes []pair
	own    map[*task]*sharer // of the shared keys that only this goroutine changes
	held   []*task           // the tasks that are live for sure: see model_tasks.go
	base   int               // how many of held are held by those that started it

	// What it may do.
	budget int  // operations left
	depth  int  // of blocks
	tries  int  // calls of try around: a panic is recovered iff there is one
	exits  bool // it may call runtime.Goexit
	late   bool // the gate of the unit is open

	// What it has done.
	values    int // field values made
	children  int // goroutines started
	written   int // lines
	lineCount [kinds]int64
	read      int // answers of the store that were compared
	trace     []step
	before    []ancestor
	finished  bool

	id   string // the real goroutine's, once it was needed
	slot int    // where the sink puts its lines

	// Room that is used again.
	want   []byte
	oldest []int
}

// A step is an operation that was done. It is made into text only if there is a deviation.
type step struct {
	op, detail string
	n          int
}

// An ancestor is a goroutine that led to another one, and what it had done by then.
type ancestor struct {
	name  string
	trace []step
}

func (g *goroutine) begin() {
	g.slot = g.take()
	g.started.Add(1)
}

// finish adds what g has counted to the run. Only the first call counts.
func (g *goroutine) finish() {
	if g.finished {
		return
	}
	g.finished = true
	for k := range g.lineCount {
		g.lines[k].Add(g.lineCount[k])
	}
	g.reads.Add(int64(g.read))
	g.giveBack(g.slot)
}

// child returns a goroutine that g is about to start, with what it can reach through
// variables. bound is what it begins with.
func (g *goroutine) child(bound *state) *goroutine {
	c := &goroutine{
		run: g.run, unit: g.unit, name: fmt.Sprintf("%s.%d", g.name, g.children),
		rng: rand.New(rand.NewPCG(g.rng.Uint64(), g.rng.Uint64())), bound: bound,
		ctxs: slices.Clip(g.ctxs), scopes: slices.Clip(g.scopes),
		held: slices.Clone(g.held), base: len(g.held), late: g.late,
		before: append(slices.Clip(g.before), ancestor{g.name, slices.Clip(g.trace)}),
	}
	g.children++
	share := 4 + g.rng.IntN(20)
	c.budget = min(share, max(g.budget/2, 4))
	g.budget -= c.budget / 3
	c.begin()
	return c
}

// inherited is what a plain go statement passes on.
func (g *goroutine) inherited() *state {
	if g.inherits {
		return g.bound
	}
	return nil
}

// did notes an operation. It is called before the operation is done, so that the trace of a
// deviation ends with the one that deviates.
func (g *goroutine) did(op, detail string, n int) {
	g.trace = append(g.trace, step{op, detail, n})
	if g.seen != nil {
		g.saw(op)
		g.saw(op + " " + detail)
	}
}

// check compares an answer of the store with the model's.
func (g *goroutine) check(what string, got, want any) {
	g.read++
	if got != want {
		g.fail(what, fmt.Sprintf("%T %v", got, got), fmt.Sprintf("%T %v", want, want))
	}
}

// fail reports a deviation and stops the run.
func (g *goroutine) fail(what, got, want string) {
	g.stop.Store(true)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failure != nil {
		return
	}
	var trace strings.Builder
	for _, a := range append(slices.Clip(g.before), ancestor{g.name, g.trace}) {
		for _, s := range a.trace {
			fmt.Fprintf(&trace, "  %s: %s %s %d\n", a.name, s.op, s.detail, s.n)
		}
	}
	g.failure = &deviation{g.seed, g.unit.number, g.name, what, got, want, trace.String()}
}
