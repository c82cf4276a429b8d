package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
)

// The operation that runs a job: a task with a last line, which has the totals.

// A job is a task with a last line, and goroutines that add to its totals: before that line,
// while it is written, and after it. What isn't on it must be counted as late.
type job struct {
	// "waits": the job waits for its goroutines; "awaits": its last line does; "leaves": they go
	// on while that is written.
	how string

	saved        *state        // what was bound around it
	last         *goroutine    // writes the last line
	written      chan struct{} // closed when that is written
	racing, late sync.WaitGroup

	// What was added, and what of it the last line has: at least what was done before it, and at
	// most what had begun when it was written.
	done, begun, got [kindsOfTotals]int64
}

func (g *goroutine) job() {
	how := [...]string{"waits", "awaits", "leaves"}[g.rng.IntN(3)]
	g.did("job", how, 0)
	g.freeze()
	process := (*state)(nil) // what is bound, if it is like what main has set for the whole process
	if t := g.bound.taskOf(); t != nil && t.anonymous {
		process = g.bound
	}
	into := process.taskOf().detaching()
	j := &job{how: how, saved: g.bound, last: g.child(nil), written: make(chan struct{})}
	_ = jobscope.Run(context.Background(), "tidy", func(context.Context) error {
		t := into()
		t.job, t.scope = true, scope.Current()
		t.common.Store(true)
		t.spawned.Store(true)
		g.bound = process.with(t, field{key: "request_id", json: `"j"`}, field{key: "job.name", json: `"tidy"`})
		defer g.enter(t)()
		g.inJob(j)
		return nil
	}, &jobscope.Options{
		ID:    func() string { return "j" },
		Await: how == "awaits",
		Log: func(_ context.Context, _ slog.Level, _ string, attrs ...slog.Attr) {
			j.log(attrs)
			close(j.written)
		},
	})
	select {
	case <-j.written:
	case <-time.After(time.Minute):
		g.fail("a job has no last line", "none", "one")
		return
	}
	j.racing.Wait()
	j.late.Wait()
	g.bound = j.saved
	g.checkJob(j)
	j.last.finish()
	g.unwound("job ends")
}

// inJob is what the job does.
func (g *goroutine) inJob(j *job) {
	sharing := j.how != "leaves" // how many late Shares there are would depend on timing
	begin := g.racers(g.rng.IntN(4), sharing, func(c *goroutine, fn func()) { g.spawn(c, &j.racing, fn) })
	if j.how != "awaits" {
		c := g.child(nil)
		g.spawn(c, &j.late, func() {
			defer c.finish()
			<-j.written
			c.missed.Add(c.shareOwn())
			c.log()
			c.addUp()
		})
	}
	begin()
	g.raceOn(g.rng.IntN(4), sharing)
	if j.how == "waits" {
		j.racing.Wait()
	}
	j.done = g.bound.task.totals.done()
	j.last.bound, j.last.held = g.bound, slices.Clone(g.held)
}

// log is called with what the last line has of its own, where it is written.
func (j *job) log(attrs []slog.Attr) {
	t := j.last.bound.task
	if j.how == "awaits" {
		j.done = t.totals.done()
	}
	j.begun, j.got = t.totals.begun(), totalsOf(attrs)
	j.last.log()
}

// checkJob compares the totals on the last line. What has been added since is what it has missed.
func (g *goroutine) checkJob(j *job) {
	t := j.last.bound.task
	for kind, got := range j.got {
		g.check("total of a job that "+j.how+": "+totalKeys[kind], got, min(max(got, j.done[kind]), j.begun[kind]))
		g.missed.Add(t.totals[kind].begun.Load() - got)
	}
}
