package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// ---- what belongs to the whole task ----

// sharedLine compares lines of a scope that has all fields of its own with those of one that has
// the second half of them shared.
func sharedLine() (tables []table) {
	all := args(4)
	slogs, zaps, zeros := slog.New(slogh.New(slogBase(), nil)), zap.New(zaph.New(zapBase(), nil)), zerolog.New(io.Discard).Hook(zeroh.New(nil))
	for _, l := range []struct {
		name string
		line func()
	}{
		{"slog", func() { slogs.Info("hello", "path", "/x", "status", 200) }},
		{"zap", func() { zaps.Info("hello", zap.String("path", "/x"), zap.Int("status", 200)) }},
		{"zerolog", func() { zeros.Info().Str("path", "/x").Int("status", 200).Msg("hello") }},
	} {
		tables = append(tables, table{name: l.name + " line, shared fields", about: "A line with two fields of its own, and four of its scope.", rows: []row{
			{"all four from Set", 0, under(scope.New(all...), l.line)},
			{"two of them from Share", 1.03, func(n int) {
				scope.New(all[:4]...).Run(func() {
					scope.Share(all[4].(string), all[5])
					scope.Share(all[6].(string), all[7])
					repeat(n, l.line)
				})
			}},
		}})
	}
	return tables
}

// wideEvent is a job that adds up, and writes one line.
func wideEvent() table {
	bare, stamped := slog.New(slogBase()), slog.New(slogh.New(slogBase(), nil))
	job := func(work func()) func(context.Context) error {
		return func(context.Context) error { work(); return nil }
	}
	opts := &jobscope.Options{Log: stamped.LogAttrs, ID: func() string { return "job-1" }}
	return table{name: "A job that adds up", about: "Five numbers are added up, and one line has them. By hand it is a struct of atomics that is passed along, and LogAttrs.", note: "Of taskscope's time the job's scope, its context and its id are the largest part, as the row without Adds shows.", rows: []row{
		{"by hand", 0, func(n int) {
			for range n {
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
			}
		}},
		{"taskscope jobscope, no Add", 0, func(n int) {
			for range n {
				_ = jobscope.Run(context.Background(), "bench", job(func() {}), opts)
			}
		}},
		{"taskscope jobscope, five Adds", 0, func(n int) {
			for range n {
				_ = jobscope.Run(context.Background(), "bench", job(func() {
					scope.Add("rows", 3)
					scope.Add("hits", 1)
					scope.Add("misses", 1)
					scope.Add("bytes", 512)
					scope.Add("db", time.Duration(1000))
				}), opts)
			}
		}},
	}}
}

//go:noinline
func keepTotals(*atomic.Int64) {} // they are passed along, and so allocated

// addNanoseconds returns how long an Add to a known total takes.
func addNanoseconds() (ns float64) {
	const n = 2_000_000
	scope.New().Run(func() {
		for range 5 {
			start := time.Now()
			for range n {
				scope.Add("rows", 1)
			}
			if took := float64(time.Since(start)) / n; ns == 0 || took < ns {
				ns = took
			}
		}
	})
	return ns
}

// adding adds to a total of one task: of two goroutines that begin together each has its own.
func adding() func(n int) {
	s, keys := scope.New(), [2]string{"rows", "hits"}
	var calls atomic.Int64
	return func(n int) {
		key := keys[calls.Add(1)%2]
		s.Run(func() {
			for range n {
				scope.Add(key, 1)
			}
		})
	}
}
