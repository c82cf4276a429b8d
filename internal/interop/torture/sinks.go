package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog/diode"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

var sinkCases = []scenario{
	{"lumberjack", []form{{name: "as the writer of each logger, made by the first line", recommended: true, run: func(t *trial) {
		folder := got(os.MkdirTemp("", "interop"))
		defer os.RemoveAll(folder)
		file := &lumberjack.Logger{Filename: filepath.Join(folder, "log"), MaxSize: 1, LocalTime: true}
		t.loggers = newLoggers(file, nil)
		t.inTasks(func(id string) { t.work(id, "") })
		t.settle()
		must(file.Close())
		for _, entry := range got(os.ReadDir(folder)) {
			_ = got(t.sink.Write(got(os.ReadFile(filepath.Join(folder, entry.Name())))))
		}
	}}}},
	{"zap's BufferedWriteSyncer", []form{{name: "as the writer of each logger, started by the first line", recommended: true, run: func(t *trial) {
		buffered := &zapcore.BufferedWriteSyncer{WS: &t.sink, FlushInterval: time.Millisecond}
		t.loggers = newLoggers(buffered, nil)
		t.inTasks(func(id string) { t.work(id, "") })
		t.settle()
		must(buffered.Stop())
	}}}},
	{"zerolog's diode", []form{{name: "as the writer of each logger, made in the first task", recommended: true, run: func(t *trial) {
		var queue diode.Writer
		use := startInFirst(func() {
			queue = diode.NewWriter(&t.sink, 1<<20, 0, func(missed int) { t.logged.Add(-int64(missed)) })
			t.loggers = newLoggers(queue, nil)
		})
		t.inTasks(func(id string) {
			use()
			t.work(id, "")
		})
		t.settle()
		must(queue.Close())
	}}}},
	{"an asynchronous slog handler", []form{
		{
			name: "`async(slogh.New(h, nil))`, whose goroutine is started in main", shows: of(unstamped), may: of(late), onlySlog: true,
			why: "a line is stamped on the goroutine that writes it, which has nothing bound. If the line has a context, its task may be over by then. Put `slogh.New` outside: `slogh.New(async(h), nil)`",
			run: func(t *trial) { asynchronous(t, startInMain, stampedInside) },
		},
		{
			name: "`async(slogh.New(h, nil))`, whose goroutine is started by the first line", shows: of(another, wrong), may: of(late), onlySlog: true,
			why: "a line is stamped on the goroutine that writes it, which keeps the first task's scope. Put `slogh.New` outside: `slogh.New(async(h), nil)`",
			run: func(t *trial) { asynchronous(t, startInFirst, stampedInside) },
		},
		{
			name: "`slogh.New(async(h), nil)`", recommended: true, onlySlog: true,
			run: func(t *trial) { asynchronous(t, startInFirst, stampedOutside) },
		},
		{
			name: "`async(slogh.New(h, nil))`, whose queue carries what `scope.Wrap` returns", recommended: true, onlySlog: true,
			run: func(t *trial) { asynchronous(t, startInFirst, wrapped) },
		},
	}},
}

// settle waits for what tasks have left behind.
func (t *trial) settle() {
	t.behind.Wait()
	must(scope.Wait(context.Background()))
}

// A stamping is where an asynchronous handler's lines are stamped.
type stamping int

const (
	stampedInside stamping = iota
	stampedOutside
	wrapped
)

func asynchronous(t *trial, start start, where stamping) {
	var bare slog.Handler = slog.NewJSONHandler(&t.sink, nil)
	q := &queueOfRecords{entries: make(chan func(), 100), written: make(chan struct{}), wraps: where == wrapped}
	q.use = start(func() { go q.write() })
	if where == stampedOutside {
		t.slog = slog.New(slogh.New(async{q, bare}, nil))
	} else {
		t.slog = slog.New(async{q, slogh.New(bare, nil)})
	}
	t.inTasks(func(id string) { t.work(id, "") })
	t.settle()
	close(q.entries)
	<-q.written
}

// async is a handler that hands its lines to a goroutine, as those of several packages do.
type async struct {
	queue *queueOfRecords
	next  slog.Handler
}

type queueOfRecords struct {
	use     func()
	entries chan func() // write a line
	written chan struct{}
	wraps   bool
}

func (h async) Enabled(ctx context.Context, level slog.Level) bool { return h.next.Enabled(ctx, level) }

func (h async) Handle(ctx context.Context, r slog.Record) error {
	h.queue.use()
	r = r.Clone()
	write := func() { must(h.next.Handle(ctx, r)) }
	if h.queue.wraps {
		write = scope.Wrap(write)
	}
	h.queue.entries <- write
	return nil
}

func (h async) WithAttrs(attrs []slog.Attr) slog.Handler {
	return async{h.queue, h.next.WithAttrs(attrs)}
}
func (h async) WithGroup(name string) slog.Handler { return async{h.queue, h.next.WithGroup(name)} }

func (q *queueOfRecords) write() {
	defer close(q.written)
	for write := range q.entries {
		write()
	}
}
