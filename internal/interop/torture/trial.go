package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// loggers are the three, stamped.
type loggers struct {
	slog *slog.Logger
	zap  *zap.Logger
	zero zerolog.Logger
	each *zeroh.Logger
}

func newLoggers(w io.Writer, opts *logadapters.Options) loggers {
	bare := zerolog.New(w)
	return loggers{
		slog: slog.New(slogh.New(slog.NewJSONHandler(w, nil), opts)),
		zap: zap.New(zaph.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{
			MessageKey: "msg", LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder,
		}), zapcore.AddSync(w), zap.InfoLevel), opts)),
		zero: bare.Hook(zeroh.New(opts)),
		each: zeroh.For(bare, opts),
	}
}

// A trial is a form of a case while it runs.
type trial struct {
	loggers
	sink
	seed  uint64
	lines int64 // how many to write

	onlySlog bool // see form
	logged   atomic.Int64
	tasks    atomic.Int64
	behind   sync.WaitGroup // what tasks have left behind
}

// line logs a line that belongs to the task with this id, with one of the loggers in turn. An
// id with left behind it says that the task has left behind what logs.
func (t *trial) line(id string) {
	turn := t.logged.Add(1) % 4
	switch msg := mark + id; {
	case turn == 0 || t.onlySlog:
		t.slog.Info(msg)
	case turn == 1:
		t.zap.Info(msg)
	case turn == 2:
		t.zero.Info().Msg(msg)
	default:
		t.each.Info().Msg(msg)
	}
}

// lineContext is line for a line that is given a context.
func (t *trial) lineContext(ctx context.Context, id string) {
	turn := t.logged.Add(1) % 3
	switch msg := mark + id; {
	case turn == 0 || t.onlySlog:
		t.slog.InfoContext(ctx, msg)
	case turn == 1:
		t.zap.Info(msg, zaph.Context(ctx))
	default:
		t.zero.Info().Ctx(ctx).Msg(msg)
	}
}

// done reports whether the lines are written.
func (t *trial) done() bool { return t.logged.Load() >= t.lines }

// newID returns the id of a new task.
func (t *trial) newID() string { return fmt.Sprint("t-", t.tasks.Add(1)) }

const drivers = 16

// drive calls task in many goroutines, with no scope bound, until the lines are written.
func (t *trial) drive(task func(id string)) {
	var wg sync.WaitGroup
	for range drivers {
		wg.Go(func() {
			for !t.done() {
				task(t.newID())
			}
		})
	}
	wg.Wait()
}

// inTasks is drive, each call within a task.
func (t *trial) inTasks(task func(id string)) {
	t.drive(func(id string) { scope.New(idKey, id).Run(func() { task(id) }) })
}

// random returns what decides on the part of a task that salt names.
func (t *trial) random(id, salt string) *rand.Rand {
	h := fnv.New64a()
	_, _ = io.WriteString(h, id+" "+salt)
	return rand.New(rand.NewPCG(t.seed, h.Sum64()))
}

// work is what the code of a task does, wherever it is called from: it logs, sets fields,
// forks in each way, passes contexts on, and may leave a goroutine behind. salt is another for
// each call that is of the same task.
func (t *trial) work(id, salt string) {
	r := t.random(id, salt)
	t.line(id)
	for range 1 + r.IntN(5) {
		switch r.IntN(9) {
		case 0:
			t.line(id)
		case 1:
			scope.Set("step", r.IntN(9))
			t.line(id)
		case 2:
			joined := make(chan struct{})
			go func() {
				t.line(id)
				scope.Set("step", "a child's")
				t.line(id)
				close(joined)
			}()
			<-joined
		case 3:
			scope.Go(func() {
				runtime.Gosched()
				t.line(id)
			})
		case 4:
			scope.Run(func() {
				scope.Set("step", "inner")
				t.line(id)
			})
		case 5:
			scope.With("step", "inner").Run(func() { t.line(id) })
		case 6:
			pprof.Do(scope.NewContext(context.Background(), scope.Current()), pprof.Labels("label", "of others"), func(ctx context.Context) {
				t.line(id)
				t.lineContext(ctx, id)
			})
		case 7:
			t.lineContext(scope.NewContext(context.Background(), scope.With("user", r.IntN(9))), id)
		case 8:
			pause := time.Duration(r.IntN(200)) * time.Microsecond
			t.behind.Add(1)
			go func() {
				defer t.behind.Done()
				time.Sleep(pause)
				t.line(id + left)
			}()
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func got[T any](v T, err error) T {
	must(err)
	return v
}
