package jobscope_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// inherits says whether a plain go statement hands the scope on in this build.
var inherits = scopekit.Inherits()

func slogTo(out io.Writer) *slog.Logger {
	return slog.New(slogh.New(slog.NewJSONHandler(out, nil), nil))
}

func zapTo(out io.Writer) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(out), zap.DebugLevel), zaph.WrapCore(nil))
}

func zeroTo(out io.Writer) *zerolog.Logger {
	l := zerolog.New(out).Hook(zeroh.New(nil))
	return &l
}

// loggers has, for each of the three, the function for Options.Log that writes to out.
var loggers = []struct {
	name            string
	log             func(out *testkit.Lines) jobscope.LogFunc
	msg             string // the key of the message
	info, warn, err string // how it writes the levels
}{
	{"slog", func(out *testkit.Lines) jobscope.LogFunc { return slogTo(out).LogAttrs }, "msg", "INFO", "WARN", "ERROR"},
	{"zap", func(out *testkit.Lines) jobscope.LogFunc { return zaph.LogAttrs(zapTo(out)) }, "msg", "info", "warn", "error"},
	{"zerolog", func(out *testkit.Lines) jobscope.LogFunc { return zeroh.LogAttrs(zeroTo(out)) }, "message", "info", "warn", "error"},
}

// deep sets a field n calls further down.
func deep(n int, key string, value any) {
	if n > 0 {
		deep(n-1, key, value)
		return
	}
	scope.Set(key, value)
}

// run runs a job that must succeed.
func run(t *testing.T, name string, fn func(ctx context.Context), opts *jobscope.Options) {
	t.Helper()
	if err := jobscope.Run(t.Context(), name, func(ctx context.Context) error { fn(ctx); return nil }, opts); err != nil {
		t.Errorf("Run has returned %v", err)
	}
}

// fieldsOf returns the fields of a job's scope.
func fieldsOf(t *testing.T, opts *jobscope.Options) (fields map[string]string) {
	t.Helper()
	run(t, "tidy", func(context.Context) { fields = scopekit.Fields(scope.Current()) }, opts)
	return fields
}

func wantFields(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// recovered returns what fn panics with, and nil if it doesn't.
func recovered(fn func()) (p any) {
	defer func() { p = recover() }()
	fn()
	return nil
}

// id returns a function for Options.ID.
func id(text string) func() string { return func() string { return text } }

// A Map is a carrier that keeps keys as the sender wrote them.
type Map map[string]string

func (m Map) Get(key string) string { return m[key] }
func (m Map) Set(key, value string) { m[key] = value }
func (m Map) Keys() []string        { return slices.Collect(maps.Keys(m)) }
