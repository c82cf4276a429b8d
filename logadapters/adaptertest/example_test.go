package adaptertest_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
	"github.com/taskscope/taskscope/slogh"
)

// A slogLogger is log/slog as adaptertest sees it.
type slogLogger struct{ slog.Handler }

func (l slogLogger) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, slog.LevelInfo, msg, fields)
}

func (l slogLogger) Disabled(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, slog.LevelDebug, msg, fields)
}

// log does what slog.Logger does, without a time: lines must be comparable.
func (l slogLogger) log(ctx context.Context, level slog.Level, msg string, fields []adaptertest.Field) {
	if l.Enabled(ctx, level) {
		r := slog.NewRecord(time.Time{}, level, msg, 0)
		r.AddAttrs(attrs(fields)...)
		_ = l.Handle(ctx, r)
	}
}

func (l slogLogger) With(fields ...adaptertest.Field) adaptertest.Logger {
	return slogLogger{l.WithAttrs(attrs(fields))}
}

func (l slogLogger) Group(name string) adaptertest.Logger { return slogLogger{l.WithGroup(name)} }

func attrs(fields []adaptertest.Field) (attrs []slog.Attr) {
	for _, f := range fields {
		attrs = append(attrs, f.Attr())
	}
	return attrs
}

var slogAdapter = adaptertest.Adapter{
	New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
		return slogLogger{slogh.New(slog.NewJSONHandler(w, nil), opts)}
	},
	Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
		return adaptertest.AttachLast(slogLogger{slog.NewJSONHandler(w, nil)}, fields)
	},
	Own:  []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey},
	Slog: true,
}

// The conformance test of an adapter, here of slogh.
func ExampleRun() {
	var t *testing.T // the argument of TestConformance
	adaptertest.Run(t, slogAdapter)
	adaptertest.RunGenerated(t, slogAdapter, 5000)
}
