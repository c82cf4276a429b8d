package main

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"

	"github.com/rs/zerolog"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/scope"
)

// ---- what the rows of several files need ----

// Results go here, so that the compiler can't leave the work out.
var (
	SinkAny any
	SinkCtx context.Context
)

type ctxKey string

//go:noinline
func keep(context.Context) {}

// id is not a constant, so that it is boxed as a real one would be.
var id = "0191c3e0-7d1f-7c3a-9f5e-6a2b4c8d0e1f"

func repeat(n int, fn func()) {
	for range n {
		fn()
	}
}

// times returns what a row runs.
func times(fn func()) func(n int) { return func(n int) { repeat(n, fn) } }

// under returns what a row runs if all of it is done under one scope.
func under(s scope.Scope, fn func()) func(n int) {
	return func(n int) { s.Run(func() { repeat(n, fn) }) }
}

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

// join calls start n times, and waits until all that it has started has ended.
func join(n int, start func(fn func())) {
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		start(wg.Done)
	}
	wg.Wait()
}

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

func slogBase() slog.Handler { return slog.NewJSONHandler(io.Discard, nil) }

func zapBase() zapcore.Core {
	return zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel)
}

// A line of each logger, with two fields of its own.

func slogHello(l *slog.Logger) { l.Info("hello", "path", "/x", "status", 200) }

func zapHello(l *zap.Logger) { l.Info("hello", zap.String("path", "/x"), zap.Int("status", 200)) }

func zeroHello(l *zerolog.Logger) { l.Info().Str("path", "/x").Int("status", 200).Msg("hello") }

// A child of each logger that has the fields of a request.

func slogChild(l *slog.Logger) *slog.Logger {
	return l.With("request_id", id, "tenant", "acme", "user", "u1", "attempt", 3)
}

func zapChild(l *zap.Logger) *zap.Logger {
	return l.With(zap.String("request_id", id), zap.String("tenant", "acme"), zap.String("user", "u1"), zap.Int("attempt", 3))
}

func zeroChild(l *zerolog.Logger) zerolog.Logger {
	return l.With().Str("request_id", id).Str("tenant", "acme").Str("user", "u1").Int("attempt", 3).Logger()
}

// setEach opens a request, and sets its fields one by one.
func setEach(fn func()) {
	scope.Scope{}.Run(func() {
		scope.Set("request_id", id)
		scope.Set("tenant", "acme")
		scope.Set("user", "u1")
		scope.Set("attempt", 3)
		fn()
	})
}

// setOnce opens a request, and sets its fields all at once.
func setOnce(fn func()) {
	scope.Scope{}.Run(func() {
		scope.SetAttrs(slog.String("request_id", id), slog.String("tenant", "acme"), slog.String("user", "u1"), slog.Int("attempt", 3))
		fn()
	})
}

// discard is an exporter of OpenTelemetry's log records.
type discard struct{}

func (discard) Export(context.Context, []sdklog.Record) error { return nil }
func (discard) Shutdown(context.Context) error                { return nil }
func (discard) ForceFlush(context.Context) error              { return nil }

func otelProvider() *sdklog.LoggerProvider {
	return sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(discard{})))
}
