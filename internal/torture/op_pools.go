package main

import (
	"iter"
	"sync"
)

// Operations that hand work over: to a pool's workers, and to the other side of iter.Pull.

// A worker does the jobs that it is sent.
type worker struct {
	*goroutine
	jobs chan func()
}

func (w *worker) work() {
	defer w.finish()
	for job := range w.jobs {
		job()
	}
}

// pool starts workers and sends them jobs: wrapped, or as they are, so that what those set stays
// with the worker.
func (g *goroutine) pool() {
	var workers [2]*worker
	var wg sync.WaitGroup
	defer g.unwound("pool ends")
	defer func() {
		for _, w := range workers {
			if w != nil {
				close(w.jobs)
			}
		}
		wg.Wait()
	}()
	g.did("pool", "", len(workers))
	for i := range workers {
		g.freeze()
		w := &worker{g.child(g.inherited()), make(chan func(), 8)}
		w.budget += 6
		workers[i] = w
		wg.Go(w.work)
	}
	for range 2 + g.rng.IntN(5) {
		g.freeze()
		g.submit(workers[g.rng.IntN(len(workers))])
		g.block(g.rng.IntN(3))
	}
}

// submit sends w a job in one of three ways.
func (g *goroutine) submit(w *worker) {
	const (
		bare    = iota
		bound   // wrapped with what is bound
		newTask // wrapped with a scope of a new task
		kindsOfJobs
	)
	n := 1 + g.rng.IntN(4)
	how := g.rng.IntN(kindsOfJobs)
	s := g.current()
	if how == bound && !g.mayEnter(s.st.taskOf()) {
		how = bare
	}
	if how == newTask {
		s = g.freshScope()
	}
	g.did("submit", w.name, how)
	if how == bare {
		w.jobs <- func() { w.block(n) }
		return
	}
	wrapped := s.real.Wrap(func() {
		w.bound = s.st
		w.block(n)
	})
	w.jobs <- func() {
		w.did("job", "", how)
		w.within(s, func(func()) { wrapped() }, n)
	}
}

// pull iterates with iter.Pull. What either side sets later the other side doesn't see.
func (g *goroutine) pull() {
	g.freeze()
	c := g.child(g.inherited())
	g.did("Pull", c.name, 0)
	next, stop := iter.Pull(func(yield func(int) bool) {
		for i := range 3 {
			c.block(3)
			if !yield(i) {
				return
			}
		}
	})
	defer g.unwound("Pull ends")
	defer c.finish()
	defer stop()
	for range 1 + g.rng.IntN(4) {
		if _, ok := next(); !ok {
			break
		}
		g.block(2)
	}
}
