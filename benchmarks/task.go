package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

func init() {
	add(6, "What belongs to the whole task", slices.Concat(each(sharedLine, "slog", "zap", "zerolog"), []func() table{sharing, failing, job, wideEvent})...)
}

// sharedLine compares lines of a scope that has all fields of its own with those of one that has
// the second half of them shared.
func sharedLine(logger string) table {
	var line func()
	switch logger {
	case "slog":
		l := slog.New(slogh.New(slogBase(), nil))
		line = func() { slogHello(l) }
	case "zap":
		l := zap.New(zaph.New(zapBase(), nil))
		line = func() { zapHello(l) }
	case "zerolog":
		l := zerolog.New(io.Discard).Hook(zeroh.New(nil))
		line = func() { zeroHello(&l) }
	}
	all := args(4)
	return table{name: logger + " line, shared fields", about: "A line with two fields of its own, and four of its scope.", cores: true, rows: []row{
		{"taskscope, all four from Set", 0, under(scope.New(all...), line)},
		{"taskscope, two of them from Share", 1.03, func(n int) {
			scope.New(all[:4]...).Run(func() {
				scope.Share(all[4].(string), all[5])
				scope.Share(all[6].(string), all[7])
				repeat(n, line)
			})
		}},
	}}
}

// sharing compares a request whose goroutines see a field that is set late.
func sharing() table {
	base, stamped := slog.New(slogBase()), slog.New(slogh.New(slogBase(), nil))
	return table{name: "A request that shares a field", about: "Four fields, a line, one field more that all goroutines of the request have at once, and four lines. By hand the request's logger is in an atomic pointer, which is passed along.", rows: []row{
		{"by hand, With children", 0, times(func() {
			l := new(atomic.Pointer[slog.Logger])
			l.Store(slogChild(base))
			keepShared(l)
			slogHello(l.Load())
			l.Store(l.Load().With("plan", "gold"))
			repeat(4, func() { slogHello(l.Load()) })
		})},
		{"taskscope slogh, Share", 0, times(func() {
			setOnce(func() {
				slogHello(stamped)
				scope.Share("plan", "gold")
				repeat(4, func() { slogHello(stamped) })
			})
		})},
		{"taskscope slogh, Set, which this goroutine has", 0, times(func() {
			setOnce(func() {
				slogHello(stamped)
				scope.Set("plan", "gold")
				repeat(4, func() { slogHello(stamped) })
			})
		})},
	}}
}

var errNoStock = errors.New("no stock")

// A fieldError is what one writes to have the fields of the place where it went wrong.
type fieldError struct {
	error
	fields []any
}

func (e *fieldError) Unwrap() error { return e.error }

// failing compares errors that bring fields along.
func failing() table {
	base, stamped := slog.New(slogBase()), slog.New(slogh.New(slogBase(), nil))
	child := slogChild(base)
	// passed returns what a function between has made of an error.
	passed := func(err error) error { return fmt.Errorf("placing the order: %w", err) }
	// in runs fn n times in a request, from where Error has been called once: lines are looked through.
	in := func(fn func()) func(n int) {
		return func(n int) {
			setOnce(func() {
				_ = scope.Error(errNoStock)
				repeat(n, fn)
			})
		}
	}
	return table{name: "A line with an error", about: "An error is wrapped once, in a function that has two fields more than its caller, which logs it. By hand it is a type with fields, which errors.As finds.", note: "With makes a scope of two fields more for each error here. A line that is given such an error is looked through, and gets the fields anew: nothing of it is remembered.", rows: []row{
		{"by hand, an error with fields", 0, times(func() {
			err := passed(&fieldError{errNoStock, []any{"order", "o-7", "sku", id}})
			attrs := []any{"err", err}
			if f := (*fieldError)(nil); errors.As(err, &f) {
				attrs = append(attrs, f.fields...)
			}
			child.Error("failed", attrs...)
		})},
		{"With child, an error without fields", 0, times(func() { child.Error("failed", "err", passed(errNoStock)) })},
		{"taskscope slogh, scope.Error", 0, in(func() {
			var err error
			scope.With("order", "o-7", "sku", id).Run(func() { err = scope.Error(errNoStock) })
			stamped.Error("failed", "err", passed(err))
		})},
		{"taskscope slogh, an error without fields", 0, in(func() { stamped.Error("failed", "err", passed(errNoStock)) })},
		{"taskscope slogh, scope.Error of the scope that is bound", 0, in(func() { stamped.Error("failed", "err", passed(scope.Error(errNoStock))) })},
	}}
}

// job compares a job that logs twice, and says at the end how it went.
func job() table {
	base, stamped := slog.New(slogBase()), slog.New(slogh.New(slogBase(), nil))
	opts := &jobscope.Options{Log: stamped.LogAttrs}
	return table{name: "A job", about: "A job with an id of its own, two lines, and one that says how it ended. By hand it is a child logger in a variable, and LogAttrs.", rows: []row{
		{"by hand", 0, times(func() {
			start := time.Now()
			l := base.With("request_id", httpscope.NewID(), "job.name", "bench")
			repeat(2, func() { slogHello(l) })
			l.LogAttrs(context.Background(), slog.LevelInfo, "job", slog.String("job.outcome", "ok"), slog.Float64("job.duration", time.Since(start).Seconds()))
		})},
		{"taskscope jobscope", 0, times(func() {
			_ = jobscope.Run(context.Background(), "bench", func(context.Context) error {
				repeat(2, func() { slogHello(stamped) })
				return nil
			}, opts)
		})},
	}}
}

// wideEvent is a job that adds up, and writes one line.
func wideEvent() table {
	bare, stamped := slog.New(slogBase()), slog.New(slogh.New(slogBase(), nil))
	job := func(work func()) func(context.Context) error {
		return func(context.Context) error { work(); return nil }
	}
	opts := &jobscope.Options{Log: stamped.LogAttrs, ID: func() string { return "job-1" }}
	return table{name: "A job that adds up", about: "Five numbers are added up, and one line has them. By hand it is a struct of atomics that is passed along, and LogAttrs.", note: "Of taskscope's time the job's scope, its context and its id are the largest part, as the row without Adds shows.", rows: []row{
		{"by hand", 0, times(func() {
			start := time.Now()
			var totals struct{ rows, hits, misses, bytes, db atomic.Int64 }
			keepTotals(&totals.rows)
			totals.rows.Add(3)
			totals.hits.Add(1)
			totals.misses.Add(1)
			totals.bytes.Add(512)
			totals.db.Add(1000)
			bare.LogAttrs(context.Background(), slog.LevelInfo, "job", slog.String("request_id", "job-1"), slog.String("job.name", "bench"), slog.String("job.outcome", "ok"),
				slog.Float64("job.duration", time.Since(start).Seconds()),
				slog.Int64("rows", totals.rows.Load()), slog.Int64("hits", totals.hits.Load()), slog.Int64("misses", totals.misses.Load()),
				slog.Int64("bytes", totals.bytes.Load()), slog.Duration("db", time.Duration(totals.db.Load())))
		})},
		{"taskscope jobscope, no Add", 0, times(func() {
			_ = jobscope.Run(context.Background(), "bench", job(func() {}), opts)
		})},
		{"taskscope jobscope, five Adds", 0, times(func() {
			_ = jobscope.Run(context.Background(), "bench", job(func() {
				scope.Add("rows", 3)
				scope.Add("hits", 1)
				scope.Add("misses", 1)
				scope.Add("bytes", 512)
				scope.Add("db", time.Duration(1000))
			}), opts)
		})},
	}}
}

// These are passed along, and so allocated.

//go:noinline
func keepTotals(*atomic.Int64) {}

//go:noinline
func keepShared(*atomic.Pointer[slog.Logger]) {}
