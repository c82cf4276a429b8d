package main

import "runtime"

// Operations that leave blocks: by a panic, by runtime.Goexit, and out of a range over a function.

// unwound is deferred outside what puts a scope back, so that a line shows whether it has: also
// while a panic or Goexit is on its way.
func (g *goroutine) unwound(what string) {
	g.did(what, "", 0)
	if !g.stop.Load() {
		g.log()
	}
}

// thrown is what the program's panics have.
type thrown struct{}

func (g *goroutine) try() {
	g.did("try", "", g.tries)
	defer g.unwound("recovered or not")
	defer func() {
		g.tries--
		if p := recover(); p != nil {
			if _, ours := p.(thrown); !ours {
				panic(p)
			}
		}
	}()
	g.tries++
	g.block(2 + g.rng.IntN(8))
}

func (g *goroutine) panic() {
	g.did("panic", "", g.tries)
	panic(thrown{})
}

func (g *goroutine) goexit() {
	g.did("Goexit", "", 0)
	runtime.Goexit()
}

// rangeOver ranges over a function. Its body sees what the function sets, and the function sees
// what the body does.
func (g *goroutine) rangeOver() {
	g.did("range", "", 0)
	steps := func(yield func(int) bool) {
		for i := range 2 {
			g.set()
			if !yield(i) {
				return
			}
			g.log()
		}
	}
	for i := range steps {
		g.block(2)
		if i == 1 && g.rng.IntN(2) == 0 {
			break
		}
	}
}
