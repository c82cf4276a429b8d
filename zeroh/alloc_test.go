package zeroh_test

import (
	"context"
	"io"
	"testing"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

type key struct{}

// skipUnlessLean skips a test of allocations where others than the adapter allocate.
func skipUnlessLean(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	if binary {
		t.Skip("a line of CBOR has its fields encoded anew")
	}
}

func TestAStampedLineAllocatesNothing(t *testing.T) {
	skipUnlessLean(t)
	ctx := scope.NewContext(context.Background(), scopekit.Of(4))
	for name, opts := range map[string]*logadapters.Options{
		"defaults":    nil,
		"in a group":  {Group: "g"},
		"both":        {Duplicates: logadapters.KeepBoth},
		"MaxFields 2": {MaxFields: 2},
	} {
		l := zerolog.New(io.Discard).Level(zerolog.InfoLevel).Hook(zeroh.New(opts))
		child := l.With().Int("a", 1).Logger()
		mine := l.With().Timestamp().Ctx(context.WithValue(context.Background(), key{}, 1)).Logger()
		for _, fields := range []int{0, 1, 4, 64} {
			scopekit.Of(fields).Run(func() {
				for way, line := range map[string]func(){
					"a line":                 func() { l.Info().Int("own", 1).Str("more", "x").Msg("m") },
					"a child's line":         func() { child.Info().Int("own", 1).Msg("m") },
					"a line without fields":  func() { l.Info().Msg("") },
					"a line of another task": func() { l.Info().Ctx(ctx).Msg("m") },
					"a context of its own":   func() { mine.Info().Msg("m") },
					"a disabled level":       func() { l.Debug().Int("own", 1).Msg("m") },
				} {
					if n := testing.AllocsPerRun(100, line); n > 0 {
						t.Errorf("%s, %d fields, %s: %v allocations", way, fields, name, n)
					}
				}
			})
		}
	}
}

func TestALineOfForAllocatesNothing(t *testing.T) {
	skipUnlessLean(t)
	f := zeroh.For(zerolog.New(io.Discard).Level(zerolog.InfoLevel), nil)
	hooked := zeroh.For(zerolog.New(io.Discard).Hook(zeroh.New(nil)), nil)
	for _, fields := range []int{0, 1, 4, 64} {
		scopekit.Of(fields).Run(func() {
			for way, line := range map[string]func(){
				"a line":               func() { f.Info().Int("own", 1).Msg("m") },
				"an error":             func() { f.Err(io.EOF).Msg("m") },
				"a disabled level":     func() { f.Debug().Int("own", 1).Msg("m") },
				"L and a line":         func() { f.L().Info().Int("own", 1).Msg("m") },
				"L and two lines":      func() { l := f.L(); l.Info().Msg("m"); l.Warn().Msg("m") },
				"a base with the hook": func() { hooked.Info().Int("own", 1).Msg("m") },
			} {
				if n := testing.AllocsPerRun(100, line); n > 0 {
					t.Errorf("%s, %d fields: %v allocations", way, fields, n)
				}
			}
		})
	}
}

// A scope for each item of a list, with a line each: the scope, its fields as attributes, what
// is remembered, and its bytes.
func TestALineOfAScopeForEachItem(t *testing.T) {
	skipUnlessLean(t)
	l := zerolog.New(io.Discard).Hook(zeroh.New(nil))
	scopekit.Of(4).Run(func() {
		line := func() { l.Info().Int("own", 1).Msg("m") }
		n := testing.AllocsPerRun(100, func() { scope.With("item", "x").Run(line) })
		if n > 4 {
			t.Errorf("%v allocations", n)
		}
	})
}
