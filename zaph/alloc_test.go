package zaph_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// nowhere is a sink that keeps nothing.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Sync() error                 { return nil }

func TestAStampedLineAllocatesWhatTheBareOneDoes(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	core := jsonCore(nowhere{}, zap.InfoLevel)
	other := scope.NewContext(context.Background(), scopekit.Of(4))
	for name, c := range map[string]zapcore.Core{
		"a core":                core,
		"a tee":                 zapcore.NewTee(core, jsonCore(nowhere{}, zap.ErrorLevel)),
		"a sampler":             zapcore.NewSamplerWithOptions(core, time.Second, 1, 1),
		"hooks":                 zapcore.RegisterHooks(core, func(zapcore.Entry) error { return nil }),
		"a filter":              filtered(core),
		"a sampler around both": zapcore.NewSamplerWithOptions(zapcore.NewTee(core, core), time.Second, 1, 1),
	} {
		bare, stamping := zap.New(c), zap.New(zaph.New(c, nil))
		bareChild, stampingChild := bare.With(zap.Int("a", 1)), stamping.With(zap.Int("a", 1))
		for _, fields := range []int{0, 4, 64} {
			scopekit.Of(fields).Run(func() {
				for way, line := range map[string]func(l, child *zap.Logger){
					"a line":                func(l, _ *zap.Logger) { l.Info("m", zap.Int("own", 1), zap.String("more", "x")) },
					"a child's line":        func(_, child *zap.Logger) { child.Info("m", zap.Int("own", 1)) },
					"a line without fields": func(l, _ *zap.Logger) { l.Info("m") },
					"a disabled level":      func(l, _ *zap.Logger) { l.Debug("m", zap.Int("key0", 1)) },
					"a checked line":        func(l, _ *zap.Logger) { l.Check(zap.InfoLevel, "m").Write() },
				} {
					got := testing.AllocsPerRun(100, func() { line(stamping, stampingChild) })
					want := testing.AllocsPerRun(100, func() { line(bare, bareChild) })
					if got > want {
						t.Errorf("%s on %s, %d fields: %v allocations, without the adapter %v", way, name, fields, got, want)
					}
				}
				if name == "a filter" {
					// Only Write sees the field. The core behind the filter has checked the
					// line by then and is asked again, which costs a second entry.
					return
				}
				ctx := zaph.Context(other)
				got := testing.AllocsPerRun(100, func() { stamping.Info("m", ctx) })
				want := testing.AllocsPerRun(100, func() { bare.Info("m", ctx) })
				if got > want {
					t.Errorf("a line of another task on %s: %v allocations, without the adapter %v", name, got, want)
				}
			})
		}
	}
}
