package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// A run is one program being run: units 0, 1, 2 and so on. What a unit does depends on the
// seed and on its number alone.
type run struct {
	*loggers
	seed     uint64
	inherits bool // a plain go statement passes the scope on: false on the portable path

	lines   [kinds]atomic.Int64 // written and compared
	reads   atomic.Int64        // answers of the store that were compared
	started atomic.Int64        // goroutines

	lateBefore int64        // scope.Late when the run began
	missed     atomic.Int64 // what it must have counted since

	stop    atomic.Bool // a deviation was found
	mu      sync.Mutex
	failure *deviation // the first one

	talking sync.Map  // *logging by goroutine id, while a line is written that may have a talker
	seen    *sync.Map // for tests: what the program has reached; else nil
}

func newRun(seed uint64, w wrappers) *run {
	return &run{loggers: newLoggers(w), seed: seed, inherits: scope.Carrier() != "portable", lateBefore: scope.Late()}
}

// atATime is how many units run beside each other.
const atATime = 16

// units runs units, from first on, with this many at a time, until they have written this
// many lines.
func (r *run) units(first uint64, lines int64, atATime int) (ran uint64) {
	var next atomic.Uint64
	next.Store(first)
	var wg sync.WaitGroup
	for range atATime {
		wg.Go(func() {
			for !r.stop.Load() && r.total() < lines {
				r.unit(next.Add(1) - 1)
			}
		})
	}
	wg.Wait()
	return next.Load() - first
}

func (r *run) total() (n int64) {
	for k := range r.lines {
		n += r.lines[k].Load()
	}
	return n
}

// saw notes that the program has reached something that a test looks for.
func (r *run) saw(what string) {
	if r.seen != nil {
		r.seen.Store(what, true)
	}
}

// A unit is one tree of goroutines.
type unit struct {
	number uint64
	gate   chan struct{}  // closed when the root's first phase is over, and with it each task around a goroutine left behind
	behind sync.WaitGroup // the goroutines left behind: they wait at the gate
	totals sync.Map       // one scope of each task that has totals
}

// unit runs one unit: in a goroutine of its own, which begins with nothing bound.
func (r *run) unit(number uint64) {
	u := &unit{number: number, gate: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g := &goroutine{run: r, unit: u, name: "0", rng: rand.New(rand.NewPCG(r.seed, number)), budget: 80}
		g.begin()
		defer g.finish()
		g.block(60)
		close(u.gate)
		g.late = true
		g.block(10)
		u.behind.Wait()
		g.checkTotals()
	}()
	<-done
}

// A deviation is the place where the program and its model part.
type deviation struct {
	seed, unit      uint64
	goroutine, what string
	got, want       string
	trace           string
}

func (d *deviation) Error() string {
	return fmt.Sprintf("deviation: seed %d, unit %d, goroutine %s\n%s\ngot  %s\nwant %s\nits operations, after those of the goroutines that led to it:\n%s",
		d.seed, d.unit, d.goroutine, d.what, strings.TrimSuffix(d.got, "\n"), strings.TrimSuffix(d.want, "\n"), d.trace)
}

// verdict is called when all units are done. It returns the first deviation, or what only
// shows at the end.
func (r *run) verdict() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil {
		return r.failure
	}
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	if r.stray != nil {
		return fmt.Errorf("deviation: seed %d: a line without the fields that all have: %s", r.seed, r.stray)
	}
	if got, want := scope.Late()-r.lateBefore, r.missed.Load(); got != want {
		return fmt.Errorf("deviation: seed %d: scope.Late has counted %d; %d are on no last line, or shared later", r.seed, got, want)
	}
	return nil
}

// report says how many lines of each logger were compared.
func (r *run) report(w io.Writer, units uint64, took time.Duration) {
	fmt.Fprintf(w, "seed %d: %d units, %d goroutines, %d lines (", r.seed, units, r.started.Load(), r.total())
	for k := range kinds {
		if k > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprintf(w, "%s %d", k, r.lines[k].Load())
	}
	fmt.Fprintf(w, "), %d reads, carrier %s, %.1f s\n", r.reads.Load(), scope.Carrier(), took.Seconds())
}
