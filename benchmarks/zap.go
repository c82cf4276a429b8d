package main

import (
	"context"
	"strconv"

	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.opentelemetry.io/contrib/bridges/otelzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

func init() {
	add(2, "A line", each(zapLine, lineFields...)...)
	add(4, "A request", each(zapRequest, requestLines...)...)
}

// passCore passes on what it gets: what it costs to be an adapter.
type passCore struct{ zapcore.Core }

func (c *passCore) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(ent.Level) {
		return ce.AddCore(ent, c)
	}
	return ce
}
func (c *passCore) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	return c.Core.Write(ent, fields)
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

func zapRequest(lines int) table {
	base, stamped := zap.New(zapBase()), zap.New(zaph.New(zapBase(), nil))
	must := map[int]float64{1: 1.15, 2: 1.12, 5: 1.08, 10: 1.06}[lines]
	write := func() { repeat(lines, func() { zapHello(stamped) }) }
	byHand := func() {
		l := zapChild(base)
		repeat(lines, func() { zapHello(l) })
	}
	return request("zap", lines, []row{
		{variable, 0, times(byHand)},
		{inCtx, 0, times(func() {
			ctx := context.WithValue(context.Background(), ctxKey("logger"), zapChild(base))
			repeat(lines, func() { zapHello(ctx.Value(ctxKey("logger")).(*zap.Logger)) })
		})},
		{least, 0, times(func() { setEach(byHand) })},
		{"taskscope zaph" + each4, must, times(func() { setEach(write) })},
		{"taskscope zaph" + once, must, times(func() { setOnce(write) })},
	})
}
