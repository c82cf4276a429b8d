package main

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/taskscope/taskscope/scope"
)

// The operation that lets goroutines of one task race: they share, add to totals and log at the
// same instant.

// race runs goroutines of the bound task beside each other and this one, and waits for them.
func (g *goroutine) race() {
	g.did("race", "", 0)
	g.freeze()
	t := g.bound.taskOf()
	var wg sync.WaitGroup
	begin := g.racers(2+g.rng.IntN(2), true, func(c *goroutine, fn func()) {
		if how := c.rng.IntN(3); how > 0 && t != nil && g.mayEnter(t) && !g.over(t) {
			g.spawn(c, &wg, fn)
		} else {
			c.bound = g.inherited()
			wg.Go(fn)
		}
	})
	begin()
	g.raceOn(6, true)
	wg.Wait()
	g.unwound("race ends")
}

// spawn starts c with scope.Go, in the bound task.
func (g *goroutine) spawn(c *goroutine, wg *sync.WaitGroup, fn func()) {
	t := g.bound.task
	t.spawned.Store(true)
	c.bound = g.bound
	leave := c.enter(t)
	wg.Add(1)
	scope.Go(func() {
		defer wg.Done()
		defer leave()
		fn()
	})
}

// racers starts goroutines, which wait until begin is called. Unless sharing is true, they change
// no shared fields.
func (g *goroutine) racers(n int, sharing bool, start func(c *goroutine, fn func())) (begin func()) {
	gate := make(chan struct{})
	var ready atomic.Int64
	for range n {
		c := g.child(nil)
		start(c, func() {
			defer c.finish()
			share := func() {}
			if sharing {
				share = c.volley()
			}
			<-gate
			ready.Add(1)
			for i := 0; ready.Load() < int64(n); i++ { // so that they run at the same instant, if there are processors
				if i%100 == 99 {
					runtime.Gosched()
				}
			}
			share()
			if c.raceOn(8, sharing); sharing && c.bound != nil && c.rng.IntN(3) > 0 {
				own := c.ownSharer()
				own.change(nil, func() { scope.Unshare(own.keys()...) })
			}
		})
	}
	return func() { close(gate) }
}

// volley returns a function that shares a key of this goroutine's own over and over, with hardly
// anything in between: for several goroutines to do at the same instant.
func (g *goroutine) volley() func() {
	if g.bound == nil {
		return func() {}
	}
	s := g.ownSharer()
	key, next := s.keys()[0], s.now()
	var versions [6]string
	var moments [len(versions)][]field
	for i := range versions {
		versions[i] = g.version()
		next = merged(next, versionField(key, versions[i]))
		moments[i] = next
	}
	return func() {
		g.did("Share", "a volley", len(versions))
		for i := range versions {
			s.change(moments[i], func() { scope.Share(key, versions[i]) })
		}
	}
}

// raceOn does n random operations, of the kinds that the model can judge while other goroutines of the
// task do the same.
func (g *goroutine) raceOn(n int, sharing bool) {
	for range n {
		switch what := g.rng.IntN(16); {
		case g.stop.Load():
			return
		case what < 6:
			g.log()
		case what < 9 && sharing:
			g.shareOwn()
		case what < 10 && sharing:
			g.share()
		case what < 11:
			g.look()
		case what < 12:
			g.set()
		default:
			g.addUp()
		}
	}
}
