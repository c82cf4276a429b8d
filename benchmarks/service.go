package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// A service is a handler that writes 20 lines for a request: ownLines itself, taskLines in a task that
// it starts, and one at the end. It gives them fields by hand, or by taskscope.
type service struct {
	logger, how string
	handler     func(out io.Writer) http.Handler
}

const (
	ownLines  = 14
	taskLines = 5
	byHand    = "With children by hand"
	byScope   = "taskscope"
	route     = "/orders/{id}"
)

var services = []service{
	{"slog", byHand, func(out io.Writer) http.Handler {
		return handmade(slog.New(slog.NewJSONHandler(out, nil)), logging[*slog.Logger]{
			request: func(l *slog.Logger, id, method string) *slog.Logger {
				return l.With("request_id", id, "http.request.method", method, "http.route", route, "tenant", "acme", "user", "u1")
			},
			task: func(l *slog.Logger) *slog.Logger { return l.With("task", "receipt") },
			line: slogHello,
			last: func(l *slog.Logger, status int, size int64, seconds float64) {
				l.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.Int("http.response.status_code", status), slog.Int64("http.response.body.size", size), slog.Float64("http.server.request.duration", seconds))
			},
		})
	}},
	{"slog", byScope, func(out io.Writer) http.Handler {
		l := slog.New(slogh.New(slog.NewJSONHandler(out, nil), nil))
		return scoped(func() { slogHello(l) }, l.LogAttrs)
	}},
	{"zap", byHand, func(out io.Writer) http.Handler {
		return handmade(zap.New(zapTo(out)), logging[*zap.Logger]{
			request: func(l *zap.Logger, id, method string) *zap.Logger {
				return l.With(zap.String("request_id", id), zap.String("http.request.method", method), zap.String("http.route", route), zap.String("tenant", "acme"), zap.String("user", "u1"))
			},
			task: func(l *zap.Logger) *zap.Logger { return l.With(zap.String("task", "receipt")) },
			line: zapHello,
			last: func(l *zap.Logger, status int, size int64, seconds float64) {
				l.Info("request", zap.Int("http.response.status_code", status), zap.Int64("http.response.body.size", size), zap.Float64("http.server.request.duration", seconds))
			},
		})
	}},
	{"zap", byScope, func(out io.Writer) http.Handler {
		l := zap.New(zaph.New(zapTo(out), nil))
		return scoped(func() { zapHello(l) }, zaph.LogAttrs(l))
	}},
	{"zerolog", byHand, func(out io.Writer) http.Handler {
		base := zerolog.New(out).With().Timestamp().Logger()
		return handmade(&base, logging[*zerolog.Logger]{
			request: func(l *zerolog.Logger, id, method string) *zerolog.Logger {
				child := l.With().Str("request_id", id).Str("http.request.method", method).Str("http.route", route).Str("tenant", "acme").Str("user", "u1").Logger()
				return &child
			},
			task: func(l *zerolog.Logger) *zerolog.Logger {
				child := l.With().Str("task", "receipt").Logger()
				return &child
			},
			line: zeroHello,
			last: func(l *zerolog.Logger, status int, size int64, seconds float64) {
				l.Info().Int("http.response.status_code", status).Int64("http.response.body.size", size).Float64("http.server.request.duration", seconds).Msg("request")
			},
		})
	}},
	{"zerolog", byScope, func(out io.Writer) http.Handler {
		l := zerolog.New(out).With().Timestamp().Logger().Hook(zeroh.New(nil))
		return scoped(func() { zeroHello(&l) }, zeroh.LogAttrs(&l))
	}},
}

func zapTo(out io.Writer) zapcore.Core {
	return zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(out)), zap.InfoLevel)
}

// A logging is what the service by hand does with a logger.
type logging[L any] struct {
	request func(l L, id, method string) L // a child
	task    func(l L) L                    // another one
	line    func(l L)
	last    func(l L, status int, size int64, seconds float64)
}

func handmade[L any](base L, log logging[L]) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+route, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := r.Header.Get("X-Request-Id")
		if !httpscope.PlainID(id) {
			id = httpscope.NewID()
		}
		w.Header()["X-Request-Id"] = []string{id}
		answer := &recording{ResponseWriter: w, status: http.StatusOK}
		l := log.request(base, id, r.Method)
		repeat(ownLines, func() { log.line(l) })
		go func() {
			l := log.task(l)
			repeat(taskLines, func() { log.line(l) })
		}()
		_, _ = io.WriteString(answer, "ok")
		log.last(l, answer.status, answer.size, time.Since(start).Seconds())
	})
	return mux
}

func scoped(line func(), log func(context.Context, slog.Level, string, ...slog.Attr)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+route, func(w http.ResponseWriter, r *http.Request) {
		scope.Set("tenant", "acme")
		scope.Set("user", "u1")
		repeat(ownLines, line)
		scope.Go(func() {
			scope.Set("task", "receipt")
			repeat(taskLines, line)
		})
		_, _ = io.WriteString(w, "ok")
	})
	return httpscope.Handler(mux, &httpscope.Options{Log: log})
}
