package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zeroh"
)

func init() { addCommand(4, "figures", measureFigures) }

// A figure is one number that is no ratio of two rows.
type figure struct {
	name, unit string
	atMost     bool // must is an upper bound, not a lower one
	must       float64
	value      float64
}

func (f figure) verdict() string {
	sign, reached := "≥", f.value >= f.must
	if f.atMost {
		sign, reached = "≤", f.value <= f.must
	}
	switch {
	case f.must == 0:
		return ""
	case reached:
		return fmt.Sprintf("%s %g %s: yes", sign, f.must, f.unit)
	}
	return fmt.Sprintf("%s %g %s: no", sign, f.must, f.unit)
}

func measureFigures(m measuring) (string, error) {
	var b strings.Builder
	b.WriteString("\n## Other figures\n\nGo can't scale further than a plain go, which is a row, too. A task that begins and ends with each Run can't either: its end is one moment for all. " +
		"Of the heap for a goroutine, 288 B are a node with room for four fields, and 16 B its task. slog's lines scale by anything between 1.1 and 2 from run to run: see the head of this page.\n\n| | | to reach |\n|---|---|---|\n")
	for _, f := range figures(m.rounds) {
		fmt.Fprintf(&b, "| %s | %.2f %s | %s |\n", f.name, f.value, f.unit, f.verdict())
	}
	return b.String(), nil
}

func figures(rounds int) []figure {
	request := func() scope.Scope { return scope.New("request_id", "r1", "tenant", "acme", "user", "u1") }
	shared := request()
	nothing := func() {}
	wrapped := shared.Wrap(nothing)
	cores := func(what string, must float64, run func(n int)) figure {
		return figure{"two cores over one: " + what, "×", false, must, scaling(max(1, rounds/4), 10*time.Millisecond, run)}
	}
	going := func(what string, must float64, run func(n int)) (f figure) {
		shared.Run(func() { f = cores(what, must, run) })
		return f
	}
	return []figure{
		{"heap for a goroutine with a scope of 4 fields, over one without", "B", true, 288, goroutineBytes()},
		{"an Add to a known total", "ns", true, 40, addNanoseconds()},
		cores("Add, to a total each of one task", 1.6, adding()),
		cores("Get, of one scope", 1.8, func(n int) {
			shared.Run(func() {
				for range n {
					scope.Get("request_id")
				}
			})
		}),
		cores("three times Set", 0, func(n int) {
			for range n {
				scope.Scope{}.Run(func() {
					scope.Set("request_id", "r1")
					scope.Set("tenant", "acme")
					scope.Set("user", "u1")
				})
			}
		}),
		cores("three times context.WithValue", 0, func(n int) {
			for range n {
				ctx := context.WithValue(context.Background(), ctxKey("request_id"), "r1")
				ctx = context.WithValue(ctx, ctxKey("tenant"), "acme")
				keep(context.WithValue(ctx, ctxKey("user"), "u1"))
			}
		}),
		cores("Run, of a task each", 1.8, func(n int) {
			s := request()
			repeat(n, func() { s.Run(nothing) })
		}),
		going("Run, of one task that is going on", 1.5, times(func() { shared.Run(nothing) })),
		going("a call of what Wrap has returned, of one task that is going on", 1.5, times(wrapped)),
		going("Go, of one task that is going on", 1.5, func(n int) { join(n, shared.Go) }),
		cores("Run, of one task that begins and ends with it", 0, times(func() { shared.Run(nothing) })),
		cores("go, nothing bound", 0, func(n int) { join(n, func(fn func()) { go fn() }) }),
		cores("a stamped slog line to a writer each, of a task each", 1.8, func(n int) {
			l := slog.New(slogh.New(slogBase(), nil))
			request().Run(func() { repeat(n, func() { slogHello(l) }) })
		}),
		cores("the same of one task", 1.8, func(n int) {
			l := slog.New(slogh.New(slogBase(), nil))
			shared.Run(func() { repeat(n, func() { slogHello(l) }) })
		}),
		cores("the same, With children", 0, func(n int) {
			l := slogChild(slog.New(slogBase()))
			repeat(n, func() { slogHello(l) })
		}),
		cores("a stamped zerolog line to a writer each, of a task each", 1.8, func(n int) {
			l := zerolog.New(io.Discard).Hook(zeroh.New(nil))
			request().Run(func() { repeat(n, func() { zeroHello(&l) }) })
		}),
		cores("the same, With children", 0, func(n int) {
			base := zerolog.New(io.Discard)
			l := zeroChild(&base)
			repeat(n, func() { zeroHello(&l) })
		}),
	}
}

// goroutineBytes returns what 100,000 goroutines with a scope of their own keep on the heap
// more than as many without, for each.
func goroutineBytes() float64 {
	const n = 100_000
	measure := func(enter func()) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		end := make(chan struct{})
		var ready, done sync.WaitGroup
		ready.Add(n)
		done.Add(n)
		for range n {
			go func() {
				defer done.Done()
				enter()
				ready.Done()
				<-end
			}()
		}
		ready.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		close(end)
		done.Wait()
		return float64(after.HeapAlloc) - float64(before.HeapAlloc)
	}
	measure(func() {}) // so that the goroutines of both are reused ones
	plain := measure(func() {})
	scoped := measure(func() {
		scope.SetAttrs(slog.String("request_id", id), slog.String("tenant", "acme"), slog.String("user", "u1"), slog.Int("attempt", 3))
	})
	return (scoped - plain) / n
}

// addNanoseconds returns how long an Add to a known total takes.
func addNanoseconds() (ns float64) {
	const n = 2_000_000
	scope.New().Run(func() {
		for range 5 {
			start := time.Now()
			for range n {
				scope.Add("rows", 1)
			}
			if took := float64(time.Since(start)) / n; ns == 0 || took < ns {
				ns = took
			}
		}
	})
	return ns
}

// adding adds to a total of one task: of two goroutines that begin together each has its own.
func adding() func(n int) {
	s, keys := scope.New(), [2]string{"rows", "hits"}
	var calls atomic.Int64
	return func(n int) {
		key := keys[calls.Add(1)%2]
		s.Run(func() {
			for range n {
				scope.Add(key, 1)
			}
		})
	}
}
