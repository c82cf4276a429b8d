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
