package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"

	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"github.com/rs/zerolog"
	slogmulti "github.com/samber/slog-multi"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/bridges/otelzap"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

func init() {
	fields := []int{4, 16, 64}
	add(2, "A line", slices.Concat(each(slogLine, fields...), each(zapLine, fields...), each(zerologLine, fields...))...)
	add(2, "A line", bare, contextLine, disabled)
}

const lineFloor = "One call more, with its copy of the record (288 B) or entry (168 B), which an adapter that does nothing pays too, and a look at the ctx and the slot, at what is remembered, " +
	"and at each key of the line, which may repeat one of the scope's: some 40 ns together, whatever the number of fields. zap shows the keys in Write alone, so it can't be done in Check, where no copy would be needed."

const zerologFloor = "A child has its fields in the line before the event begins; a hook is called for each line and adds them with RawJSON, all at once: " +
	"the call through the interface, the key that zerolog writes anew, and the copy are what a hook that knows the bytes takes, which is a row here (with Str and Int for each field it was 1.46, in a prototype). L of zeroh.For looks at the slot and at what is remembered, and copies a zerolog.Logger (120 B)."

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
	line := func(l *slog.Logger) func() { return func() { slogHello(l) } }
	note := lineFloor
	if fields == 4 {
		note += " Not in this run, but measured in the same way: veqryn/slog-context (Prepend) 1.99 ×, 448 B, 3 allocations; PumpkinSeed/slog-context 1.71 ×, 64 B, 2 allocations."
	}
	return table{name: "slog line", column: strconv.Itoa(fields) + " fields", cores: true, about: "A line with two fields of its own, JSON to a writer that discards it.", note: note, rows: []row{
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

func zapLine(fields int) table {
	args := args(fields)
	child := zap.New(zapBase()).With(zapFields(args)...)
	stamped := zap.New(zaph.New(zapBase(), nil))
	passing := zap.New(&passCore{zapBase().With(zapFields(args))})
	ctx := ctxzap.ToContext(context.Background(), zap.New(zapBase()))
	ctxzap.AddFields(ctx, zapFields(args)...)
	bridge := zap.New(otelzap.NewCore("bench", otelzap.WithLoggerProvider(otelProvider()))).With(zapFields(args)...)
	line := func(l *zap.Logger) func() {
		return func() { zapHello(l) }
	}
	return table{name: "zap line", column: strconv.Itoa(fields) + " fields", cores: true, about: "A line with two fields of its own, JSON to a writer that discards it.", note: lineFloor, rows: []row{
		{"With child", 0, func(n int) { repeat(n, line(child)) }},
		{"taskscope zaph", 1.06, under(scope.New(args...), line(stamped))},
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
	return table{name: "zerolog line", column: strconv.Itoa(fields) + " fields", cores: true, about: "A line with two fields of its own, JSON to a writer that discards it.", note: zerologFloor, rows: []row{
		{"With child", 0, func(n int) { repeat(n, func() { zeroHello(&child) }) }},
		{"taskscope zeroh hook", 1.14, under(scope.New(args...), func() { zeroHello(&hooked) })},
		{"a hook that adds the same with RawJSON", 0, func(n int) { repeat(n, func() { zeroHello(&raw) }) }},
		{"taskscope zeroh.For", 1.06, under(scope.New(args...), func() { each.Info().Str("path", "/x").Int("status", 200).Msg("hello") })},
		{"taskscope zeroh.For, L for each line", 0, under(scope.New(args...), func() { zeroHello(each.L()) })},
		{"zerolog.Ctx", 0, func(n int) { repeat(n, func() { zeroHello(zerolog.Ctx(ctx)) }) }},
		{"fields by hand", 0, func(n int) {
			repeat(n, func() { base.Info().Str("path", "/x").Int("status", 200).Fields(args).Msg("hello") })
		}},
	}}
}

func bare() table {
	sl, zl, ze := slog.New(slogBase()), zap.New(zapBase()), zerolog.New(io.Discard)
	slT, zlT, zeT := slog.New(slogh.New(slogBase(), nil)), zap.New(zaph.New(zapBase(), nil)), ze.Hook(zeroh.New(nil))
	slP, zlP := slog.New(passHandler{slogBase()}), zap.New(&passCore{zapBase()})
	return table{name: "A line with no scope bound", cores: true, about: "Three lines: one of slog, one of zap, one of zerolog.", note: lineFloor, rows: []row{
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
	return table{name: "A line given a context", cores: true, about: "Three lines: one of slog, one of zap, one of zerolog, in a task that has Set a field since the context was made.",
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
	return table{name: "A line below the level", cores: true, about: "Three lines: one of slog, one of zap, one of zerolog.", note: "One call through an interface more in slog, some 2 ns. zap's level is asked in place of its core, and zerolog doesn't call a hook.", rows: []row{
		{"the bare loggers", 0, func(n int) {
			repeat(n, func() {
				sl.Debug("hello", "status", 200)
				zl.Debug("hello", zap.Int("status", 200))
				ze.Debug().Int("status", 200).Msg("hello")
			})
		}},
		{"taskscope", 1.06, under(scope.New(args(4)...), func() {
			slT.Debug("hello", "status", 200)
			zlT.Debug("hello", zap.Int("status", 200))
			zeT.Debug().Int("status", 200).Msg("hello")
		})},
	}}
}
