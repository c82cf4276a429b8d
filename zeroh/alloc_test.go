package zeroh_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// scopeOf returns a scope of n fields.
func scopeOf(n int) scope.Scope {
	var args []any
	for i := range n {
		args = append(args, fmt.Sprint("key", i), "value")
	}
	return scope.New(args...)
}

// skipUnlessLean skips a test of allocations where others than the adapter allocate.
func skipUnlessLean(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if c := scope.Carrier(); c != "direct" {
		t.Skipf("the carrier %q allocates", c)
	}
	if binary {
		t.Skip("a line of CBOR has its fields encoded anew")
	}
}

func TestAStampedLineAllocatesNothing(t *testing.T) {
	skipUnlessLean(t)
	ctx := scope.NewContext(context.Background(), scopeOf(4))
	for name, opts := range map[string]*logadapters.Options{
		"defaults":    nil,
		"in a group":  {Group: "g"},
		"both":        {Duplicates: logadapters.KeepBoth},
		"MaxFields 2": {MaxFields: 2},
	} {
		l := zerolog.New(io.Discard).Level(zerolog.InfoLevel).Hook(zeroh.New(opts))
		child := l.With().Int("a", 1).Logger()
		for _, fields := range []int{0, 1, 4, 64} {
			scopeOf(fields).Run(func() {
				for way, line := range map[string]func(){
					"a line":                 func() { l.Info().Int("own", 1).Str("more", "x").Msg("m") },
					"a child's line":         func() { child.Info().Int("own", 1).Msg("m") },
					"a line without fields":  func() { l.Info().Msg("") },
					"a line of another task": func() { l.Info().Ctx(ctx).Msg("m") },
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

func TestALineOfLoggerAllocatesNothing(t *testing.T) {
	skipUnlessLean(t)
	base := zerolog.New(io.Discard)
	for _, fields := range []int{4, 64} {
		scopeOf(fields).Run(func() {
			l := zeroh.Logger(base)
			if n := testing.AllocsPerRun(100, func() { l.Info().Int("own", 1).Msg("m") }); n > 0 {
				t.Errorf("a line, %d fields: %v allocations", fields, n)
			}
			if n := testing.AllocsPerRun(100, func() { zeroh.Logger(base).Info().Int("own", 1).Msg("m") }); n > 0 {
				t.Errorf("Logger and a line, %d fields: %v allocations", fields, n)
			}
		})
	}
}

// A scope for each item of a list, with a line each: the scope, and a list of what it adds.
func TestALineOfAScopeForEachItemAllocatesNoFragment(t *testing.T) {
	skipUnlessLean(t)
	l := zerolog.New(io.Discard).Hook(zeroh.New(nil))
	scopeOf(4).Run(func() {
		line := func() { l.Info().Int("own", 1).Msg("m") }
		n := testing.AllocsPerRun(100, func() { scope.With("item", "x").Run(line) })
		if n > 2 {
			t.Errorf("%v allocations", n)
		}
	})
}
