package slogh_test

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

// conformant is slog as adaptertest sees it.
type conformant struct{ slog.Handler }

func (l conformant) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, slog.LevelInfo, msg, fields)
}

func (l conformant) Disabled(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, slog.LevelDebug, msg, fields)
}

// log does what slog.Logger does, at the same time for all lines.
func (l conformant) log(ctx context.Context, level slog.Level, msg string, fields []adaptertest.Field) {
	if l.Enabled(ctx, level) {
		r := slog.NewRecord(time.Unix(1700000000, 0).UTC(), level, msg, 0)
		r.AddAttrs(conformantAttrs(fields)...)
		_ = l.Handle(ctx, r)
	}
}

func (l conformant) With(fields ...adaptertest.Field) adaptertest.Logger {
	return conformant{l.WithAttrs(conformantAttrs(fields))}
}

func (l conformant) Group(name string) adaptertest.Logger { return conformant{l.WithGroup(name)} }

func conformantAttrs(fields []adaptertest.Field) (attrs []slog.Attr) {
	for _, f := range fields {
		attrs = append(attrs, f.Attr())
	}
	return attrs
}

func conformanceOf(encoder func(io.Writer) slog.Handler) adaptertest.Adapter {
	return adaptertest.Adapter{
		New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
			return conformant{slogh.New(encoder(w), opts)}
		},
		Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
			return adaptertest.AttachLast(conformant{encoder(w)}, fields)
		},
		Own:  []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey},
		Slog: true,
	}
}

var (
	conformantJSON = conformanceOf(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
	conformantText = conformanceOf(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) })
)

func TestConformance(t *testing.T) { adaptertest.Run(t, conformantJSON) }

func TestSameBytesJSON(t *testing.T) { adaptertest.RunGenerated(t, conformantJSON, 5000) }

func TestSameBytesText(t *testing.T) { adaptertest.RunGenerated(t, conformantText, 5000) }
