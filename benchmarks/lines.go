package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/rs/zerolog"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

func init() { add(3, "A line", bare, contextLine, disabled) }

// Of how many fields the lines are that are measured for each logger.
var lineFields = []int{4, 16, 64}

const lineFloor = "One call more, with its copy of the record (288 B) or entry (168 B), which an adapter that does nothing pays too, and a look at the ctx and the slot, at what is remembered, " +
	"and at each key of the line, which may repeat one of the scope's: some 40 ns together, whatever the number of fields. zap shows the keys in Write alone, so it can't be done in Check, where no copy would be needed."

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
