package main

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// quiet are loggers that remember what they derive and write to nowhere.
type quiet struct {
	slog, slogChild *slog.Logger
	zap, zapChild   *zap.Logger
	plain           *zap.Logger // not stamped, as bare
	zero            zerolog.Logger
	zeroFor         *zeroh.Logger
}

func newQuiet() *quiet {
	q := &quiet{}
	q.slog = slog.New(slogh.New(slog.NewJSONHandler(io.Discard, nil), nil))
	q.slogChild = q.slog.With("own", 1)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel)
	q.plain = zap.New(core)
	q.zap = zap.New(zaph.New(core, nil))
	q.zapChild = q.zap.With(zap.Int("own", 1))
	bare := zerolog.New(io.Discard)
	q.zero, q.zeroFor = bare.Hook(zeroh.New(nil)), zeroh.For(bare, nil)
	return q
}

// lines writes each line twice: the second is made of what was remembered.
func (q *quiet) lines(ctx context.Context) {
	for range 2 {
		q.slog.InfoContext(ctx, "m")
		q.slogChild.InfoContext(ctx, "m")
		q.zap.Info("m", zaph.Context(ctx))
		q.zapChild.Info("m", zap.String("user", "event's"))
		q.zero.Info().Ctx(ctx).Msg("m")
		q.zeroFor.Info().Msg("m")
	}
}

// task is a short task that uses all of package scope.
func (q *quiet) task(n int) {
	scope.New("request_id", n).Run(func() {
		scope.Set("user", "ann")
		ctx := scope.NewContext(context.Background(), scope.With("job", n))
		q.lines(ctx)
		done := make(chan struct{}, 3)
		scope.Go(func() {
			scope.Set("background", n)
			q.lines(context.Background())
			done <- struct{}{}
		})
		wrapped := scope.Wrap(func() {
			scope.Delete("user")
			q.slog.Info("m")
			done <- struct{}{}
		})
		go func() {
			scope.Set("forked", n)
			wrapped()
			q.lines(ctx)
			done <- struct{}{}
		}()
		for range cap(done) {
			<-done
		}
	})
}

// byHand is a task of the same goroutines and as many lines without taskscope: its fields are
// attached with each logger's own With.
func (q *quiet) byHand(n int) {
	s := slog.New(slog.NewJSONHandler(io.Discard, nil)).With("request_id", n, "user", "ann")
	z := q.plain.With(zap.Int("request_id", n), zap.String("user", "ann"))
	e := zerolog.New(io.Discard).With().Int("request_id", n).Str("user", "ann").Logger()
	lines := func(job string) {
		sChild, zChild := s.With("job", job), z.With(zap.String("job", job))
		eChild := e.With().Str("job", job).Logger()
		for range 2 {
			s.Info("m")
			sChild.Info("m")
			z.Info("m")
			zChild.Info("m", zap.String("own", "event's"))
			e.Info().Msg("m")
			eChild.Info().Msg("m")
		}
	}
	lines("job")
	done := make(chan struct{}, 3)
	go func() {
		lines("background")
		done <- struct{}{}
	}()
	go func() {
		s.Info("m")
		done <- struct{}{}
		lines("forked")
		done <- struct{}{}
	}()
	for range cap(done) {
		<-done
	}
}

// inEight runs n tasks, in eight goroutines.
func inEight(n int, task func(n int)) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				task(i)
			}
		})
	}
	wg.Wait()
}
