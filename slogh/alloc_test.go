package slogh_test

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func TestAStampedLineAllocatesNothing(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	ctx := context.Background()
	for _, fields := range []int{0, 1, 4, 64} {
		for name, opts := range map[string]*logadapters.Options{
			"defaults":    nil,
			"in a group":  {Group: "g"},
			"scope wins":  {Duplicates: logadapters.ScopeWins},
			"both":        {Duplicates: logadapters.KeepBoth},
			"MaxFields 2": {MaxFields: 2},
		} {
			l := slog.New(slogh.New(slog.NewJSONHandler(io.Discard, nil), opts))
			child := l.With("a", 1).WithGroup("w")
			scopekit.Of(fields).Run(func() {
				for way, line := range map[string]func(){
					"a line":                func() { l.LogAttrs(ctx, slog.LevelInfo, "m", slog.Int("own", 1), slog.String("more", "x")) },
					"a child's line":        func() { child.LogAttrs(ctx, slog.LevelInfo, "m", slog.Int("own", 1)) },
					"a line without fields": func() { l.LogAttrs(ctx, slog.LevelInfo, "m") },
					"a disabled level":      func() { l.LogAttrs(ctx, slog.LevelDebug, "m", slog.Int("key0", 1)) },
				} {
					if n := testing.AllocsPerRun(100, line); n > 0 {
						t.Errorf("%s, %d fields, %s: %v allocations", way, fields, name, n)
					}
				}
			})
		}
	}
}

// The scope is found through the context here, and the line's own field wins: neither
// is a reason to make garbage for each line.
func TestALineOfAnotherTaskAllocatesNothing(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	l := slog.New(slogh.New(slog.NewJSONHandler(io.Discard, nil), nil))
	ctx := scope.NewContext(context.Background(), scopekit.Of(4))
	scope.New("k", 1).Run(func() {
		if n := testing.AllocsPerRun(100, func() { l.LogAttrs(ctx, slog.LevelInfo, "m", slog.Int("own", 1)) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// discarding is another package's handler.
type discarding struct{ slog.Handler }

func (discarding) Enabled(context.Context, slog.Level) bool  { return true }
func (discarding) Handle(context.Context, slog.Record) error { return nil }

func TestALineOfAnotherPackagesHandlerAllocatesOnlyTheRecordsList(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	ctx := context.Background()
	l := slog.New(slogh.New(discarding{slog.DiscardHandler}, nil))
	few := []slog.Attr{slog.Int("a", 1)}
	many := []slog.Attr{slog.Int("a", 1), slog.Int("b", 1), slog.Int("c", 1), slog.Int("d", 1), slog.Int("e", 1), slog.Int("f", 1), slog.Int("g", 1), slog.Int("h", 1)}
	line := func(attrs []slog.Attr) float64 {
		return testing.AllocsPerRun(100, func() { l.LogAttrs(ctx, slog.LevelInfo, "m", attrs...) })
	}
	fewBare, manyBare := line(few), line(many)
	scopekit.Of(4).Run(func() {
		if n := line(few); n > fewBare {
			t.Errorf("a short line: %v allocations, %v when nothing is bound", n, fewBare)
		}
		if n := line(many); n > manyBare+1 {
			t.Errorf("a long line: %v allocations, %v when nothing is bound", n, manyBare)
		}
	})
}
