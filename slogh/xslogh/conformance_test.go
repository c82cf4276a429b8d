package xslogh_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	xslog "golang.org/x/exp/slog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
	"github.com/taskscope/taskscope/slogh/xslogh"
)

// conformant is golang.org/x/exp/slog as adaptertest sees it.
type conformant struct{ xslog.Handler }

func (l conformant) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, xslog.LevelInfo, msg, fields)
}

func (l conformant) Disabled(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, xslog.LevelDebug, msg, fields)
}

// log does what xslog.Logger does, at the same time for all lines.
func (l conformant) log(ctx context.Context, level xslog.Level, msg string, fields []adaptertest.Field) {
	if l.Enabled(ctx, level) {
		r := xslog.NewRecord(time.Unix(1700000000, 0).UTC(), level, msg, 0)
		r.AddAttrs(conformantAttrs(fields)...)
		_ = l.Handle(ctx, r)
	}
}

// With does what xslog.Logger does: a handler isn't asked to attach nothing.
func (l conformant) With(fields ...adaptertest.Field) adaptertest.Logger {
	if attrs := conformantAttrs(fields); len(attrs) > 0 {
		l.Handler = l.WithAttrs(attrs)
	}
	return l
}

func (l conformant) Group(name string) adaptertest.Logger { return conformant{l.WithGroup(name)} }

func conformantAttrs(fields []adaptertest.Field) (attrs []xslog.Attr) {
	for _, f := range fields {
		if group, ok := f.Value.(adaptertest.Group); ok {
			// Groups go through log/slog, which makes none with an empty group in it.
			if members := conformantAttrs(group); len(members) > 0 {
				attrs = append(attrs, xslog.Attr{Key: f.Key, Value: xslog.GroupValue(members...)})
			}
		} else {
			attrs = append(attrs, xslog.Any(f.Key, f.Value))
		}
	}
	return attrs
}

func conformanceOf(encoder func(io.Writer) xslog.Handler) adaptertest.Adapter {
	return adaptertest.Adapter{
		New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
			return conformant{xslogh.New(encoder(w), opts)}
		},
		Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
			return adaptertest.AttachLast(conformant{encoder(w)}, fields)
		},
		Own: []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey},
	}
}

var (
	conformantJSON = conformanceOf(func(w io.Writer) xslog.Handler { return xslog.NewJSONHandler(w, nil) })
	conformantText = conformanceOf(func(w io.Writer) xslog.Handler { return xslog.NewTextHandler(w, nil) })
)

func TestConformance(t *testing.T) { adaptertest.Run(t, conformantJSON) }

func TestSameBytesJSON(t *testing.T) { adaptertest.RunGenerated(t, conformantJSON, 5000) }

func TestSameBytesText(t *testing.T) { adaptertest.RunGenerated(t, conformantText, 5000) }
