package main

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// The operation that adds to totals, and their model: sums.

const (
	countTotal = iota
	timeTotal
	listTotal
	timingTotal // the key of its count
	kindsOfTotals
)

var totalKeys = [kindsOfTotals]string{"count", "time", "list", "timed_count"}

// totals are what a task's goroutines have added. What is on a line that is written meanwhile is
// at least what was done before, and at most what was begun by its end.
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

// checkTotals is called when all goroutines of the unit are done. Those of jobs are checked with
// their last lines.
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
