package main

import (
	"context"
	"log/slog"
	"runtime/pprof"
	"sync"

	"github.com/jtolds/gls"
	"github.com/petermattis/goid"
	"github.com/timandy/routine"

	"github.com/taskscope/taskscope/scope"
)

func init() { add(1, "The store", get, set, spawn, runs, profiled) }

func get() table {
	ctx := context.WithValue(context.Background(), ctxKey("request_id"), "r1")
	ctx = context.WithValue(ctx, ctxKey("tenant"), "acme")
	ctx = context.WithValue(ctx, ctxKey("user"), "u1")
	s := scope.New("request_id", "r1", "tenant", "acme", "user", "u1")
	local := routine.NewInheritableThreadLocal[string]()
	local.Set("r1")
	manager := gls.NewContextManager()
	return table{name: "Get, 1 of 3", about: "Reading the field that was set first, of three.", note: "Reading the slot takes a third of the time, finding and comparing the key the rest. From build to build it differs with the same code: it depends on where the linker puts it, see Get in 10 builds.", rows: []row{
		{"context.Value", 0, func(n int) {
			for range n {
				SinkAny = ctx.Value(ctxKey("request_id"))
			}
		}},
		{"taskscope Get", 0.40, func(n int) {
			s.Run(func() {
				for range n {
					SinkAny, _ = scope.Get("request_id")
				}
			})
		}},
		{"timandy/routine", 0, func(n int) {
			for range n {
				SinkAny = local.Get()
			}
		}},
		{"petermattis/goid and a sharded map", 0, func(n int) {
			shards.set(goid.Get(), "r1")
			defer shards.drop(goid.Get())
			for range n {
				SinkAny = shards.get(goid.Get())
			}
		}},
		{"jtolds/gls", 0, func(n int) {
			manager.SetValues(gls.Values{"request_id": "r1", "tenant": "acme", "user": "u1"}, func() {
				for range n {
					SinkAny, _ = manager.GetValue("request_id")
				}
			})
		}},
	}}
}

// shardMap is what one writes with a goroutine id.
type shardMap [64]struct {
	sync.RWMutex
	m map[int64]any
}

var shards shardMap

func (s *shardMap) get(id int64) any {
	h := &s[id%64]
	h.RLock()
	defer h.RUnlock()
	return h.m[id]
}

func (s *shardMap) set(id int64, v any) {
	h := &s[id%64]
	h.Lock()
	defer h.Unlock()
	if h.m == nil {
		h.m = map[int64]any{}
	}
	h.m[id] = v
}

func (s *shardMap) drop(id int64) {
	h := &s[id%64]
	h.Lock()
	defer h.Unlock()
	delete(h.m, id)
}

func set() table {
	return table{
		name:  "Set, 3 fields",
		about: "Three fields, one by one, on a goroutine that has none, and dropping them. The empty row is what dropping them costs: it is in all rows of taskscope.",
		note: "A Set makes a scope: a node of 96 B on top of the one before, against a context's 48 B. Its label set (32 B) is what goroutines inherit for nothing; " +
			"its task, its parent and what loggers remember with it are the rest. The last two rows allocate as much and do nothing else: with the empty row, they are the least that " +
			"this design can take. With flat copies instead of nodes Set was 4.4.",
		rows: []row{
			{"3 context.WithValue", 0, func(n int) {
				for range n {
					ctx := context.WithValue(context.Background(), ctxKey("request_id"), "r1")
					ctx = context.WithValue(ctx, ctxKey("tenant"), "acme")
					SinkCtx = context.WithValue(ctx, ctxKey("user"), "u1")
				}
			}},
			{"taskscope Set × 3", 1.6, func(n int) {
				fresh(n, func() {
					scope.Set("request_id", "r1")
					scope.Set("tenant", "acme")
					scope.Set("user", "u1")
				})
			}},
			{"taskscope SetAttrs of 3", 1.0, func(n int) {
				fresh(n, func() {
					scope.SetAttrs(slog.String("request_id", "r1"), slog.String("tenant", "acme"), slog.String("user", "u1"))
				})
			}},
			{"taskscope New of 3, and Run", 0, func(n int) {
				fresh(n, func() { scope.New("request_id", "r1", "tenant", "acme", "user", "u1").Run(func() {}) })
			}},
			{"3 allocations of 96 B", 0, func(n int) {
				for range n {
					for range 3 {
						SinkAny = new([12]*int)
					}
				}
			}},
			{"1 allocation of 240 B", 0, func(n int) {
				for range n {
					SinkAny = new([30]*int)
				}
			}},
			{"taskscope, empty", 0, func(n int) { fresh(n, func() {}) }},
		},
	}
}

func spawn() table {
	s := scope.New("request_id", "r1", "tenant", "acme", "user", "u1", "attempt", 3)
	plain := func(fn func()) { go func() { fn() }() }
	manager := gls.NewContextManager()
	return table{name: "A goroutine", about: "Starting a goroutine and waiting for it, with four fields to inherit.", rows: []row{
		{"go, nothing bound", 0, func(n int) { join(n, plain) }},
		{"go under a taskscope", 1.03, func(n int) { s.Run(func() { join(n, plain) }) }},
		{"taskscope Go", 1.3, func(n int) { s.Run(func() { join(n, scope.Go) }) }},
		{"timandy/routine Go", 0, func(n int) { join(n, func(fn func()) { routine.Go(fn) }) }},
		{"jtolds/gls Go", 0, func(n int) {
			manager.SetValues(gls.Values{"request_id": "r1", "tenant": "acme", "user": "u1", "attempt": 3}, func() { join(n, gls.Go) })
		}},
	}}
}

func runs() table {
	return table{name: "Run with one field more", about: "An empty function under a scope that has one more field than the bound one.",
		note: "A node has 96 B, a context 48 B; binding it, and then what was bound before, is the rest.", rows: []row{
			{"context.WithValue", 0, func(n int) {
				for range n {
					SinkCtx = context.WithValue(context.Background(), ctxKey("step"), "x")
				}
			}},
			{"taskscope With and Run", 2.5, func(n int) {
				scope.New().Run(func() {
					for range n {
						scope.With("step", "x").Run(func() {})
					}
				})
			}},
		}}
}

func profiled() table {
	labels := pprof.Labels("op", "x")
	return table{name: "pprof.Do", about: "pprof.Do of an empty function.", note: "Of the five allocations more, one is the context, two are the label sets that it answers with when Do begins and when it ends, and two are runtime/pprof's, which copies the list when the context has labels of its own, as the last row shows. A context made once per request saves the first.", rows: []row{
		{"pprof.Do", 0, func(n int) {
			for range n {
				pprof.Do(context.Background(), labels, func(context.Context) {})
			}
		}},
		{"taskscope NewContext and pprof.Do", 2.5, func(n int) {
			scope.New("request_id", "r1").Run(func() {
				for range n {
					pprof.Do(scope.NewContext(context.Background(), scope.Current()), labels, func(context.Context) {})
				}
			})
		}},
		{"taskscope pprof.Do in a context made before", 0, func(n int) {
			scope.New("request_id", "r1").Run(func() {
				ctx := scope.NewContext(context.Background(), scope.Current())
				for range n {
					pprof.Do(ctx, labels, func(context.Context) {})
				}
			})
		}},
		{"pprof.Do in a context with a label, made before", 0, func(n int) {
			ctx := pprof.WithLabels(context.Background(), pprof.Labels("request_id", "r1"))
			defer pprof.SetGoroutineLabels(context.Background()) // Do leaves those of ctx
			for range n {
				pprof.Do(ctx, labels, func(context.Context) {})
			}
		}},
	}}
}
