package main

import (
	"context"
	"log/slog"
	"strconv"

	slogmulti "github.com/samber/slog-multi"
	"go.opentelemetry.io/contrib/bridges/otelslog"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func init() {
	add(2, "A line", each(slogLine, lineFields...)...)
	add(4, "A request", each(slogRequest, requestLines...)...)
}

// passHandler passes on what it gets: what it costs to be an adapter.
type passHandler struct{ next slog.Handler }

func (h passHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}
func (h passHandler) Handle(ctx context.Context, r slog.Record) error { return h.next.Handle(ctx, r) }
func (h passHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return passHandler{h.next.WithAttrs(attrs)}
}
func (h passHandler) WithGroup(name string) slog.Handler { return passHandler{h.next.WithGroup(name)} }

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

func slogRequest(lines int) table {
	base, stamped := slog.New(slogBase()), slog.New(slogh.New(slogBase(), nil))
	must := map[int]float64{1: 1.10, 2: 1.10, 5: 1.06, 10: 1.05}[lines]
	write := func() { repeat(lines, func() { slogHello(stamped) }) }
	byHand := func() {
		l := slogChild(base)
		repeat(lines, func() { slogHello(l) })
	}
	return request("slog", lines, []row{
		{variable, 0, times(byHand)},
		{inCtx, 0, times(func() {
			ctx := context.WithValue(context.Background(), ctxKey("logger"), slogChild(base))
			repeat(lines, func() { slogHello(ctx.Value(ctxKey("logger")).(*slog.Logger)) })
		})},
		{least, 0, times(func() { setEach(byHand) })},
		{"taskscope slogh" + each4, must, times(func() { setEach(write) })},
		{"taskscope slogh" + once, must, times(func() { setOnce(write) })},
	})
}
