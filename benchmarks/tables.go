package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"runtime/pprof"
	"strconv"
	"sync"

	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"github.com/jtolds/gls"
	"github.com/petermattis/goid"
	"github.com/rs/zerolog"
	slogmulti "github.com/samber/slog-multi"
	"github.com/timandy/routine"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/bridges/otelzap"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

func tables() []table {
	all := append([]table{}, get(), set(), spawn(), runs(), profiled())
	for _, n := range []int{4, 16, 64} {
		all = append(all, slogLine(n), zapLine(n), zerologLine(n))
	}
	all = append(all, bare(), contextLine(), disabled())
	for _, n := range []int{1, 2, 5, 10} {
		all = append(all, slogRequest(n), zapRequest(n), zerologRequest(n))
	}
	all = append(all, growing())
	all = append(all, items()...)
	all = append(append(all, sharedLine()...), wideEvent())
	return append(all, withOnTop(), httpRequest(), grpcCall(), connectCall(), otelRecord(), otelRequest())
}

// Results go here, so that the compiler can't leave the work out.
var (
	SinkAny any
	SinkCtx context.Context
)

type ctxKey string

// fresh runs fn n times on a goroutine of its own that has nothing bound.
func fresh(n int, fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			scope.Scope{}.Run(fn)
		}
	}()
	<-done
}

// ---- the store ----

func get() table {
	ctx := context.WithValue(context.Background(), ctxKey("request_id"), "r1")
	ctx = context.WithValue(ctx, ctxKey("tenant"), "acme")
	ctx = context.WithValue(ctx, ctxKey("user"), "u1")
	s := scope.New("request_id", "r1", "tenant", "acme", "user", "u1")
	local := routine.NewInheritableThreadLocal[string]()
	local.Set("r1")
	manager := gls.NewContextManager()
	return table{name: "Get, 1 of 3", about: "Reading the field that was set first, of three.", note: "Reading the slot takes a third of the time, finding and comparing the key the rest. From build to build it is 0.36 to 0.41, with the same code: it depends on where the linker puts it.", rows: []row{
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
			{"taskscope Set × 3", 1.2, func(n int) {
				fresh(n, func() {
					scope.Set("request_id", "r1")
					scope.Set("tenant", "acme")
					scope.Set("user", "u1")
				})
			}},
			{"taskscope SetAttrs of 3", 0.7, func(n int) {
				fresh(n, func() {
					scope.SetAttrs(slog.String("request_id", "r1"), slog.String("tenant", "acme"), slog.String("user", "u1"))
				})
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
	join := func(n int, start func(fn func())) {
		var wg sync.WaitGroup
		for range n {
			wg.Add(1)
			start(wg.Done)
		}
		wg.Wait()
	}
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
	return table{name: "Run with one field more", about: "An empty function under a scope that has one more field than the bound one.", rows: []row{
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

// ---- a line ----

const lineFloor = "One call more, with its copy of the record (288 B) or entry (168 B), which an adapter that does nothing pays too, and a look at the ctx and the slot, at what is remembered, " +
	"and at each key of the line, which may repeat one of the scope's: some 40 ns together, whatever the number of fields. zap shows the keys in Write alone, so it can't be done in Check, where no copy would be needed."

const zerologFloor = "A child has its fields in the line before the event begins; a hook is called for each line and adds them with RawJSON, all at once: " +
	"the call through the interface, the key that zerolog writes anew, and the copy are what a hook that knows the bytes takes, which is a row here (with Str and Int for each field it was 1.46, in a prototype). L of zeroh.For looks at the slot and at what is remembered, and copies a zerolog.Logger (120 B)."

// args are n fields: three strings for each int.
func args(n int) (args []any) {
	for i := range n {
		key := "field_" + strconv.Itoa(i)
		if i%4 == 3 {
			args = append(args, key, i)
		} else {
			args = append(args, key, "value-"+strconv.Itoa(i))
		}
	}
	return args
}

func zapFields(args []any) (fields []zap.Field) {
	for i := 0; i < len(args); i += 2 {
		fields = append(fields, zap.Any(args[i].(string), args[i+1]))
	}
	return fields
}

func repeat(n int, fn func()) {
	for range n {
		fn()
	}
}

func under(s scope.Scope, fn func()) func(n int) {
	return func(n int) { s.Run(func() { repeat(n, fn) }) }
}

// discard is an exporter of OpenTelemetry's log records.
type discard struct{}

func (discard) Export(context.Context, []sdklog.Record) error { return nil }
func (discard) Shutdown(context.Context) error                { return nil }
func (discard) ForceFlush(context.Context) error              { return nil }

func otelProvider() *sdklog.LoggerProvider {
	return sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(discard{})))
}

// Adapters that pass on what they get: what it costs to be one.
type (
	passHandler struct{ next slog.Handler }
	passCore    struct{ zapcore.Core }
	rawHook     struct{ rest []byte }
)

func (h passHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}
func (h passHandler) Handle(ctx context.Context, r slog.Record) error { return h.next.Handle(ctx, r) }
func (h passHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return passHandler{h.next.WithAttrs(attrs)}
}
func (h passHandler) WithGroup(name string) slog.Handler { return passHandler{h.next.WithGroup(name)} }

func (c *passCore) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(ent.Level) {
		return ce.AddCore(ent, c)
	}
	return ce
}
func (c *passCore) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	return c.Core.Write(ent, fields)
}

// Run adds the fields, whose first is field_0.
func (h *rawHook) Run(e *zerolog.Event, _ zerolog.Level, _ string) { e.RawJSON("field_0", h.rest) }

func newRawHook(args []any) *rawHook {
	var line bytes.Buffer
	l := zerolog.New(&line)
	l.Log().Fields(args).Send()
	return &rawHook{bytes.TrimSuffix(bytes.TrimPrefix(line.Bytes(), []byte(`{"field_0":`)), []byte("}\n"))}
}

func slogBase() slog.Handler { return slog.NewJSONHandler(io.Discard, nil) }

func slogLine(fields int) table {
	args := args(fields)
	child := slog.New(slogBase()).With(args...)
	stamped := slog.New(slogh.New(slogBase(), nil))
	passing := slog.New(passHandler{slogBase()}).With(args...)
	inline := slog.New(slogmulti.Pipe(slogmulti.NewHandleInlineMiddleware(
		func(ctx context.Context, r slog.Record, next func(context.Context, slog.Record) error) error {
			if args, ok := ctx.Value(ctxKey("args")).([]any); ok {
				r = r.Clone()
				r.Add(args...)
			}
			return next(ctx, r)
		})).Handler(slogBase()))
	ctx := context.WithValue(context.Background(), ctxKey("args"), args)
	bridge := slog.New(otelslog.NewHandler("bench", otelslog.WithLoggerProvider(otelProvider()))).With(args...)
	line := func(l *slog.Logger) func() { return func() { l.Info("hello", "path", "/x", "status", 200) } }
	note := lineFloor
	if fields == 4 {
		note += " Not in this run, but measured in the same way: veqryn/slog-context (Prepend) 1.99 ×, 448 B, 3 allocations; PumpkinSeed/slog-context 1.71 ×, 64 B, 2 allocations."
	}
	return table{name: "slog line, " + strconv.Itoa(fields) + " fields", about: "A line with two fields of its own, JSON to a writer that discards it.", note: note, rows: []row{
		{"With child", 0, func(n int) { repeat(n, line(child)) }},
		{"taskscope slogh", 1.05, under(scope.New(args...), line(stamped))},
		{"With child of a handler that does nothing", 0, func(n int) { repeat(n, line(passing)) }},
		{"samber/slog-multi inline middleware, ctx", 0, func(n int) {
			repeat(n, func() { inline.InfoContext(ctx, "hello", "path", "/x", "status", 200) })
		}},
		{"otelslog bridge, With child, no JSON", 0, func(n int) { repeat(n, line(bridge)) }},
		{"fields by hand", 0, func(n int) {
			l := slog.New(slogBase())
			own := append(args[:len(args):len(args)], "path", "/x", "status", 200)
			repeat(n, func() { l.Info("hello", own...) })
		}},
	}}
}

func zapBase() zapcore.Core {
	return zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel)
}

func zapLine(fields int) table {
	args := args(fields)
	child := zap.New(zapBase()).With(zapFields(args)...)
	stamped := zap.New(zaph.New(zapBase(), nil))
	passing := zap.New(&passCore{zapBase().With(zapFields(args))})
	ctx := ctxzap.ToContext(context.Background(), zap.New(zapBase()))
	ctxzap.AddFields(ctx, zapFields(args)...)
	bridge := zap.New(otelzap.NewCore("bench", otelzap.WithLoggerProvider(otelProvider()))).With(zapFields(args)...)
	line := func(l *zap.Logger) func() {
		return func() { l.Info("hello", zap.String("path", "/x"), zap.Int("status", 200)) }
	}
	return table{name: "zap line, " + strconv.Itoa(fields) + " fields", about: "A line with two fields of its own, JSON to a writer that discards it.", note: lineFloor, rows: []row{
		{"With child", 0, func(n int) { repeat(n, line(child)) }},
		{"taskscope zaph", 1.05, under(scope.New(args...), line(stamped))},
		{"With child of a core that does nothing", 0, func(n int) { repeat(n, line(passing)) }},
		{"ctxzap.Extract", 0, func(n int) {
			repeat(n, func() { ctxzap.Extract(ctx).Info("hello", zap.String("path", "/x"), zap.Int("status", 200)) })
		}},
		{"otelzap bridge, With child, no JSON", 0, func(n int) { repeat(n, line(bridge)) }},
		{"fields by hand", 0, func(n int) {
			l := zap.New(zapBase())
			own := append(zapFields(args), zap.String("path", "/x"), zap.Int("status", 200))
			repeat(n, func() { l.Info("hello", own...) })
		}},
	}}
}

func zerologLine(fields int) table {
	args := args(fields)
	base := zerolog.New(io.Discard)
	child := base.With().Fields(args).Logger()
	hooked := base.Hook(zeroh.New(nil))
	raw := base.Hook(newRawHook(args))
	ctx := child.WithContext(context.Background())
	each := zeroh.For(base, nil)
	line := func(l *zerolog.Logger) { l.Info().Str("path", "/x").Int("status", 200).Msg("hello") }
	return table{name: "zerolog line, " + strconv.Itoa(fields) + " fields", about: "A line with two fields of its own, JSON to a writer that discards it.", note: zerologFloor, rows: []row{
		{"With child", 0, func(n int) { repeat(n, func() { line(&child) }) }},
		{"taskscope zeroh hook", 1.08, under(scope.New(args...), func() { line(&hooked) })},
		{"a hook that adds the same with RawJSON", 0, func(n int) { repeat(n, func() { line(&raw) }) }},
		{"taskscope zeroh.For, L for each line", 1.03, under(scope.New(args...), func() { line(each.L()) })},
		{"zerolog.Ctx", 0, func(n int) { repeat(n, func() { line(zerolog.Ctx(ctx)) }) }},
		{"fields by hand", 0, func(n int) {
			repeat(n, func() { base.Info().Str("path", "/x").Int("status", 200).Fields(args).Msg("hello") })
		}},
	}}
}

func bare() table {
	sl, zl, ze := slog.New(slogBase()), zap.New(zapBase()), zerolog.New(io.Discard)
	slT, zlT, zeT := slog.New(slogh.New(slogBase(), nil)), zap.New(zaph.New(zapBase(), nil)), ze.Hook(zeroh.New(nil))
	slP, zlP := slog.New(passHandler{slogBase()}), zap.New(&passCore{zapBase()})
	return table{name: "A line with no scope bound", about: "Three lines: one of slog, one of zap, one of zerolog.", note: lineFloor, rows: []row{
		{"the bare loggers", 0, func(n int) {
			repeat(n, func() {
				sl.Info("hello", "status", 200)
				zl.Info("hello", zap.Int("status", 200))
				ze.Info().Int("status", 200).Msg("hello")
			})
		}},
		{"taskscope", 1.02, func(n int) {
			repeat(n, func() {
				slT.Info("hello", "status", 200)
				zlT.Info("hello", zap.Int("status", 200))
				zeT.Info().Int("status", 200).Msg("hello")
			})
		}},
		{"adapters that do nothing, zerolog without", 0, func(n int) {
			repeat(n, func() {
				slP.Info("hello", "status", 200)
				zlP.Info("hello", zap.Int("status", 200))
				ze.Info().Int("status", 200).Msg("hello")
			})
		}},
	}}
}

func contextLine() table {
	sl, zl, ze := slog.New(slogh.New(slogBase(), nil)), zap.New(zaph.New(zapBase(), nil)), zerolog.New(io.Discard).Hook(zeroh.New(nil))
	lines := func(ctx context.Context) func() {
		return func() {
			sl.InfoContext(ctx, "hello", "status", 200)
			zl.Info("hello", zap.Int("status", 200), zaph.Context(ctx))
			ze.Info().Ctx(ctx).Int("status", 200).Msg("hello")
		}
	}
	// given calls fn in a task that has gone on since its entry, with the contexts that the entry
	// and a middleware have made.
	given := func(fn func(entry, added context.Context)) {
		scope.New(args(4)...).Run(func() {
			entry := scope.NewContext(context.Background(), scope.Current())
			added := scope.NewContext(entry, scope.With("user", "u1"))
			scope.Set("step", 2)
			fn(entry, added)
		})
	}
	return table{name: "A line given a context", about: "Three lines: one of slog, one of zap, one of zerolog, in a task that has Set a field since the context was made.",
		note: "zap takes a context as one field more, in all rows.", rows: []row{
			{"taskscope, context.Background()", 0, func(n int) {
				given(func(_, _ context.Context) { repeat(n, lines(context.Background())) })
			}},
			{"taskscope, the context of the entry", 1.05, func(n int) {
				given(func(entry, _ context.Context) { repeat(n, lines(entry)) })
			}},
			{"taskscope, a context that adds a field", 0, func(n int) {
				given(func(_, added context.Context) { repeat(n, lines(added)) })
			}},
		}}
}

func disabled() table {
	ze := zerolog.New(io.Discard).Level(zerolog.InfoLevel)
	sl, zl := slog.New(slogBase()), zap.New(zapBase())
	slT, zlT, zeT := slog.New(slogh.New(slogBase(), nil)), zap.New(zaph.New(zapBase(), nil)), ze.Hook(zeroh.New(nil))
	return table{name: "A line below the level", about: "Three lines: one of slog, one of zap, one of zerolog.", note: "One call through an interface more in slog, some 2 ns. zap's level is asked in place of its core, and zerolog doesn't call a hook.", rows: []row{
		{"the bare loggers", 0, func(n int) {
			repeat(n, func() {
				sl.Debug("hello", "status", 200)
				zl.Debug("hello", zap.Int("status", 200))
				ze.Debug().Int("status", 200).Msg("hello")
			})
		}},
		{"taskscope", 1.10, under(scope.New(args(4)...), func() {
			slT.Debug("hello", "status", 200)
			zlT.Debug("hello", zap.Int("status", 200))
			zeT.Debug().Int("status", 200).Msg("hello")
		})},
	}}
}

// ---- a whole request ----

// id is not a constant, so that it is boxed as a real one would be.
var id = "0191c3e0-7d1f-7c3a-9f5e-6a2b4c8d0e1f"

func open(fn func()) {
	scope.Scope{}.Run(func() {
		scope.SetAttrs(slog.String("request_id", id), slog.String("tenant", "acme"), slog.String("user", "u1"), slog.Int("attempt", 3))
		fn()
	})
}

func target(lines int) float64 {
	if lines <= 2 {
		return 1.00
	}
	return 1.03
}

const request = "Open a scope or a child logger, give it four fields, write the lines, drop it."

const requestFloor = "What the logger's own With does is in both rows, " +
	"and on top of it come the scope (288 B), which other loggers, goroutines and Get use too, what is remembered with it (192 B or more), and some 40 ns for each line. Saved are boxed arguments, " +
	"the list of fields, and the child logger. To write the fields with each of the first lines, and to remember nothing until then, was built and measured: for zap, 0.74 for one line and 1.02 for two, " +
	"but 1.39 for five and 1.62 for ten (the first twelve lines so); with the first line only, 0.9 and 1.5, 1.31, 1.22. Such an adapter would have to know beforehand how many lines there will be."

func slogRequest(lines int) table {
	base := slog.New(slogBase())
	stamped := slog.New(slogh.New(slogBase(), nil))
	write := func(l *slog.Logger) {
		for range lines {
			l.Info("hello", "path", "/x", "status", 200)
		}
	}
	return table{name: "slog request, lines: " + strconv.Itoa(lines), about: request, note: requestFloor, rows: []row{
		{"With per request", 0, func(n int) {
			repeat(n, func() { write(base.With("request_id", id, "tenant", "acme", "user", "u1", "attempt", 3)) })
		}},
		{"taskscope slogh", target(lines), func(n int) { repeat(n, func() { open(func() { write(stamped) }) }) }},
	}}
}

func zapRequest(lines int) table {
	base := zap.New(zapBase())
	stamped := zap.New(zaph.New(zapBase(), nil))
	write := func(l *zap.Logger) {
		for range lines {
			l.Info("hello", zap.String("path", "/x"), zap.Int("status", 200))
		}
	}
	return table{name: "zap request, lines: " + strconv.Itoa(lines), about: request, note: requestFloor, rows: []row{
		{"With per request", 0, func(n int) {
			repeat(n, func() {
				write(base.With(zap.String("request_id", id), zap.String("tenant", "acme"), zap.String("user", "u1"), zap.Int("attempt", 3)))
			})
		}},
		{"taskscope zaph", target(lines), func(n int) { repeat(n, func() { open(func() { write(stamped) }) }) }},
	}}
}

func zerologRequest(lines int) table {
	base := zerolog.New(io.Discard)
	hooked := base.Hook(zeroh.New(nil))
	write := func(l *zerolog.Logger) {
		for range lines {
			l.Info().Str("path", "/x").Int("status", 200).Msg("hello")
		}
	}
	return table{name: "zerolog request, lines: " + strconv.Itoa(lines), about: request, note: requestFloor, rows: []row{
		{"With per request, in a ctx", 0, func(n int) {
			repeat(n, func() {
				l := base.With().Str("request_id", id).Str("tenant", "acme").Str("user", "u1").Int("attempt", 3).Logger()
				ctx := l.WithContext(context.Background())
				write(zerolog.Ctx(ctx))
			})
		}},
		{"taskscope zeroh hook", target(lines), func(n int) { repeat(n, func() { open(func() { write(&hooked) }) }) }},
	}}
}

func growing() table {
	base := slog.New(slogBase())
	stamped := slog.New(slogh.New(slogBase(), nil))
	keys := []string{"a", "b", "c", "d", "e", "f"}
	return table{name: "slog request that gains fields", about: "Four fields, then six times: one field more, one line.", note: "Each line's handler is derived from that of the scope before, as in the chain. The scopes (96 B each), and what is remembered with each (192 B), come on top of it.", rows: []row{
		{"With chain", 0, func(n int) {
			repeat(n, func() {
				l := base.With("request_id", id, "tenant", "acme", "user", "u1", "attempt", 3)
				for _, key := range keys {
					l = l.With(key, "x")
					l.Info("hello", "path", "/x", "status", 200)
				}
			})
		}},
		{"taskscope slogh", 1.0, func(n int) {
			repeat(n, func() {
				open(func() {
					for _, key := range keys {
						scope.Set(key, "x")
						stamped.Info("hello", "path", "/x", "status", 200)
					}
				})
			})
		}},
	}}
}

const itemAbout = "Under a request of four fields, each item of a list is done with one field more, and logs a line."

const itemFloor = "The request logs nothing itself, so nothing is remembered for it: all five fields are attached for each item, where the child logger attaches one. On top of it come the scope, and what is remembered with it, which one line doesn't earn back."

// items compares a scope for each item with a child logger for each.
func items() []table {
	slogs, zaps, zeros := slog.New(slogBase()), zap.New(zapBase()), zerolog.New(io.Discard)
	slogsT, zapsT, zerosT := slog.New(slogh.New(slogBase(), nil)), zap.New(zaph.New(zapBase(), nil)), zeros.Hook(zeroh.New(nil))
	slogs = slogs.With("request_id", id, "tenant", "acme", "user", "u1", "attempt", 3)
	zaps = zaps.With(zap.String("request_id", id), zap.String("tenant", "acme"), zap.String("user", "u1"), zap.Int("attempt", 3))
	zeros = zeros.With().Str("request_id", id).Str("tenant", "acme").Str("user", "u1").Int("attempt", 3).Logger()
	slogLine := func(l *slog.Logger) { l.Info("hello", "path", "/x", "status", 200) }
	zapLine := func(l *zap.Logger) { l.Info("hello", zap.String("path", "/x"), zap.Int("status", 200)) }
	zeroLine := func(l *zerolog.Logger) { l.Info().Str("path", "/x").Int("status", 200).Msg("hello") }
	compare := func(logger, adapter string, with, line func()) table {
		return table{name: logger + " line for each item", about: itemAbout, note: itemFloor, rows: []row{
			{"With per item", 0, func(n int) { repeat(n, with) }},
			{"taskscope " + adapter, 0, func(n int) {
				open(func() { repeat(n, func() { scope.With("item", id).Run(line) }) })
			}},
		}}
	}
	return []table{
		compare("slog", "slogh", func() { slogLine(slogs.With("item", id)) }, func() { slogLine(slogsT) }),
		compare("zap", "zaph", func() { zapLine(zaps.With(zap.String("item", id))) }, func() { zapLine(zapsT) }),
		compare("zerolog", "zeroh hook", func() {
			l := zeros.With().Str("item", id).Logger()
			zeroLine(zerolog.Ctx(l.WithContext(context.Background())))
		}, func() { zeroLine(&zerosT) }),
	}
}

func withOnTop() table {
	base := slog.New(slogBase())
	stamped := slog.New(slogh.New(slogBase(), &logadapters.Options{}))
	return table{name: "slog With per request", about: "A child logger for each request, and two lines with it; on a scope seen before, or without taskscope.", note: "What the child attaches is passed on at once, and the scope's fields are attached behind it: two times the logger's With, and a handler and a memory of its own, which two lines don't earn back.", rows: []row{
		{"With", 0, func(n int) {
			l := base.With("request_id", id, "tenant", "acme", "user", "u1", "attempt", 3)
			repeat(n, func() {
				c := l.With("component", "db")
				c.Info("hello")
				c.Info("bye")
			})
		}},
		{"taskscope slogh, With", 1.1, func(n int) {
			open(func() {
				repeat(n, func() {
					c := stamped.With("component", "db")
					c.Info("hello")
					c.Info("bye")
				})
			})
		}},
	}}
}
