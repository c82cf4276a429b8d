package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
)

// Operations on what belongs to a whole task, by several goroutines of it at once.

// ---- shared fields ----

// share changes the keys that all goroutines of the task share, in turn. Where nothing is bound,
// that begins a task.
func (g *goroutine) share() {
	t := g.startedTask()
	all := t.all()
	all.turn.Lock()
	defer all.turn.Unlock()
	if g.rng.IntN(4) == 0 {
		key := g.key()
		g.did("Unshare", key, 0)
		all.change(less(all.now(), key), func() { scope.Unshare(key, "none") })
		return
	}
	if g.rng.IntN(2) == 0 {
		f, value, _ := g.shareable(t)
		g.did("Share", f.key, 0)
		all.change(merged(all.now(), f.asSet(value)), func() { scope.Share(f.key, value) })
	} else {
		var fields []field
		var attrs []slog.Attr
		for range 1 + g.rng.IntN(3) {
			f, _, attr := g.shareable(t)
			fields, attrs = append(fields, f), append(attrs, attr)
		}
		g.did("ShareAttrs", "", len(attrs))
		all.change(merged(all.now(), fields...), func() { scope.ShareAttrs(attrs...) })
	}
	if g.bound == nil {
		g.bound = (*state)(nil).with(t)
	}
}

// shareable returns a field to be shared. If several goroutines have the task it is no talker: that
// needs to know each line that it is on.
func (g *goroutine) shareable(t *task) (f field, value any, attr slog.Attr) {
	for {
		if f, value, attr = g.newField(); !f.talks() || !t.common.Load() {
			return f, value, attr
		}
	}
}

// shareOwn changes shared keys that this goroutine alone changes, whatever others do. Its values
// are versions that no other goroutine of the program has. It returns how many calls
// would count as late ones.
func (g *goroutine) shareOwn() (calls int64) {
	if g.bound == nil || !g.bound.task.common.Load() {
		g.share()
		return 0
	}
	s := g.ownKeys()
	keys := []string{s.prefix + "a", s.prefix + "b", s.prefix + "c"}
	from := g.rng.IntN(len(keys))
	if g.rng.IntN(5) == 0 {
		g.did("Unshare", "own", 0)
		s.change(less(s.now(), keys[from:]...), func() { scope.Unshare(keys[from:]...) })
		return 0
	}
	g.values++
	version := fmt.Sprintf("%d/%s v%d", g.unit.number, g.name, g.values)
	var fields []field
	var attrs []slog.Attr
	for _, key := range keys[from:] {
		fields = append(fields, field{key: key, want: version, json: strconv.Quote(version)})
		attrs = append(attrs, slog.String(key, version))
	}
	g.did("Share", "own", len(fields))
	s.change(merged(s.now(), fields...), func() {
		if len(attrs) == 1 {
			scope.Share(keys[from], version)
		} else {
			scope.ShareAttrs(attrs...)
		}
	})
	return 1
}

// ownKeys returns the sharer of the keys of the bound task that this goroutine alone shares.
func (g *goroutine) ownKeys() *sharer {
	t := g.bound.task
	s := g.own[t]
	if s == nil {
		if g.own == nil {
			g.own = map[*task]*sharer{}
		}
		s = t.ownSharer(fmt.Sprintf("s%s/%d.", g.name, len(g.own)))
		g.own[t] = s
	}
	return s
}

// volley returns a function that shares a key of this goroutine's own over and over, with hardly
// anything in between: for several goroutines to do at the same instant.
func (g *goroutine) volley() func() {
	if g.bound == nil {
		return func() {}
	}
	s := g.ownKeys()
	key, next := s.prefix+"a", s.now()
	var versions [6]string
	var moments [len(versions)][]field
	for i := range versions {
		g.values++
		versions[i] = fmt.Sprintf("%d/%s v%d", g.unit.number, g.name, g.values)
		next = merged(next, field{key: key, want: versions[i], json: strconv.Quote(versions[i])})
		moments[i] = next
	}
	return func() {
		g.did("Share", "a volley", len(versions))
		for i := range versions {
			s.change(moments[i], func() { scope.Share(key, versions[i]) })
		}
	}
}

// ---- totals ----

// Totals that goroutines add to.
const (
	countTotal = iota
	timeTotal
	listTotal
	timingTotal // the key of its count
	kindsOfTotals
)

var totalKeys = [kindsOfTotals]string{"count", "time", "list", "timed_count"}

// totals are what was added: begun before the call, and done after it.
type totals [kindsOfTotals]struct{ begun, done atomic.Int64 }

// addUp adds to a total of the task. In a job it adds 1, so that what was added late and how
// many calls were late are the same.
func (g *goroutine) addUp() {
	t := g.bound.taskOf()
	kind, n := g.rng.IntN(kindsOfTotals), 1+g.rng.IntN(100)
	g.did("add to a total", totalKeys[kind], n)
	if kind == listTotal || kind == timingTotal || t != nil && t.job {
		n = 1
	}
	if t != nil {
		if !t.job {
			g.unit.totals.LoadOrStore(t, scope.Current())
		}
		t.totals[kind].begun.Add(int64(n))
		defer t.totals[kind].done.Add(int64(n))
	}
	switch kind {
	case countTotal:
		scope.Add("count", n)
	case timeTotal:
		scope.Add("time", time.Duration(n))
	case listTotal:
		scope.Append("list", "x")
	case timingTotal:
		stop := scope.Timing("timed")
		stop()
		stop()
	}
}

// checkTotals is called when all goroutines of the unit are done.
func (g *goroutine) checkTotals() {
	if g.stop.Load() {
		return
	}
	g.unit.totals.Range(func(t, s any) bool {
		got := totalsOf(s.(scope.Scope).Totals())
		for kind := range got {
			g.check("Totals: "+totalKeys[kind], got[kind], t.(*task).totals[kind].begun.Load())
		}
		return true
	})
}

// totalsOf returns the totals among attributes, as the numbers that they have come to.
func totalsOf(attrs []slog.Attr) (got [kindsOfTotals]int64) {
	for _, a := range attrs {
		switch a.Key {
		case "count":
			got[countTotal] = a.Value.Int64()
		case "time":
			got[timeTotal] = int64(a.Value.Duration())
		case "list":
			got[listTotal] += int64(strings.Count(a.Value.String(), "x"))
		case "list_dropped":
			got[listTotal] += a.Value.Int64()
		case "timed_count":
			got[timingTotal] = a.Value.Int64()
		}
	}
	return got
}

// ---- goroutines ----

// race runs goroutines of the bound task beside each other and this one, and waits for them.
func (g *goroutine) race() {
	g.did("race", "", 0)
	g.freeze()
	t := g.bound.taskOf()
	var wg sync.WaitGroup
	start := func(c *goroutine, fn func()) {
		switch how := c.rng.IntN(3); {
		case how > 0 && t != nil && g.mayEnter(t) && !g.over(t):
			c.bound = g.bound
			t.spawned.Store(true)
			wg.Add(1)
			leave := c.enter(t)
			scope.Go(func() {
				defer wg.Done()
				defer leave()
				fn()
			})
		default:
			c.bound = g.inherited()
			wg.Go(fn)
		}
	}
	begin := g.racers(2+g.rng.IntN(2), true, start)
	begin()
	g.raceOn(6, true)
	wg.Wait()
	g.unwound("race ends")
}

// racers starts goroutines, which wait until begin is called.
func (g *goroutine) racers(n int, sharing bool, start func(c *goroutine, fn func())) (begin func()) {
	gun := make(chan struct{})
	var ready atomic.Int64
	for range n {
		c := g.child(nil)
		start(c, func() {
			defer c.finish()
			share := func() {}
			if sharing {
				share = c.volley()
			}
			<-gun
			ready.Add(1)
			for i := 0; ready.Load() < int64(n); i++ { // so that they run at the same instant, if there are processors
				if i%100 == 99 {
					runtime.Gosched()
				}
			}
			share()
			if c.raceOn(8, sharing); sharing && c.bound != nil && c.rng.IntN(3) > 0 {
				own := c.ownKeys()
				own.change(nil, func() { scope.Unshare(own.prefix+"a", own.prefix+"b", own.prefix+"c") })
			}
		})
	}
	return func() { close(gun) }
}

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

// job runs goroutines in a task that has a last line: with the totals, to which they add. Either
// they are waited for, by the job or by the line, or they go on while that is written: then what
// isn't on it is late.
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
		g.inJob(j, t)
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
	t := j.last.bound.task
	for kind, got := range j.got {
		g.check("total of a job that "+how+": "+totalKeys[kind], got, min(max(got, j.done[kind]), j.begun[kind]))
		g.missed.Add(t.totals[kind].begun.Load() - got)
	}
	j.last.finish()
	g.unwound("job ends")
}

type job struct {
	how          string
	saved        *state
	last         *goroutine // writes the last line
	written      chan struct{}
	racing, late sync.WaitGroup

	// What was added, and what of it the last line has: at least what was done before it, and at
	// most what had begun when it was written.
	done, begun, got [kindsOfTotals]int64
}

func (g *goroutine) inJob(j *job, t *task) {
	start := func(wg *sync.WaitGroup, c *goroutine, fn func()) {
		c.bound = g.bound
		leave := c.enter(t)
		wg.Add(1)
		scope.Go(func() {
			defer wg.Done()
			defer leave()
			fn()
		})
	}
	sharing := j.how != "leaves" // how many late Shares there are would depend on timing
	begin := g.racers(g.rng.IntN(4), sharing, func(c *goroutine, fn func()) { start(&j.racing, c, fn) })
	if j.how != "awaits" {
		c := g.child(nil)
		start(&j.late, c, func() {
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
	j.done = t.totals.done()
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

func (t *totals) begun() (n [kindsOfTotals]int64) {
	for kind := range t {
		n[kind] = t[kind].begun.Load()
	}
	return n
}

func (t *totals) done() (n [kindsOfTotals]int64) {
	for kind := range t {
		n[kind] = t[kind].done.Load()
	}
	return n
}
