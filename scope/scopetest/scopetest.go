// Package scopetest helps to test code that sets fields and logs.
//
// A test goroutine starts with no scope: what one test binds, another doesn't see.
// Subtests inherit, as every goroutine does.
package scopetest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

// NoLeak makes the test fail if, at its end, its goroutine has another scope bound than
// now: because the code under test calls scope.Set where it should call Run. It must be
// called by the goroutine of the test.
func NoLeak(t testing.TB) {
	t.Helper()
	before := scope.Current()
	t.Cleanup(func() {
		if after := scope.Current(); after != before {
			t.Errorf("the scope that was bound before, %s, has become %s", show(before), show(after))
		}
	})
}

func show(s scope.Scope) string {
	var b strings.Builder
	b.WriteByte('{')
	for key, value := range s.All() {
		if b.Len() > 1 {
			b.WriteByte(' ')
		}
		b.WriteString(key + "=" + value.String())
	}
	return b.String() + "}"
}

// A Recorder is a slog.Handler that keeps the lines that it is given. Wrap it with slogh
// to see what is stamped. The zero Recorder is ready to use, by several goroutines at once;
// it must not be copied.
type Recorder struct {
	mu    sync.Mutex
	lines []Line
}

// A Line is one line of log.
type Line struct {
	Level   slog.Level
	Message string
	// Fields has each attribute under its key, with those of groups under the names of
	// the groups and the key, joined by dots. Values are resolved, and as
	// slog.Value.Any returns them.
	Fields map[string]any
}

// Lines returns the lines so far.
func (r *Recorder) Lines() []Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Reset forgets the lines so far.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = nil
}

// Enabled reports true: every level is recorded.
func (r *Recorder) Enabled(context.Context, slog.Level) bool { return true }

// Handle records a line.
func (r *Recorder) Handle(ctx context.Context, rec slog.Record) error {
	return (&child{r, nil, ""}).Handle(ctx, rec)
}

// WithAttrs returns a handler that records, with r's lines, lines that have attrs.
func (r *Recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return (&child{r, nil, ""}).WithAttrs(attrs)
}

// WithGroup returns a handler that records, with r's lines, lines within a group.
func (r *Recorder) WithGroup(name string) slog.Handler {
	return (&child{r, nil, ""}).WithGroup(name)
}

// A child records for the Recorder that it comes from.
type child struct {
	*Recorder
	with   map[string]any
	prefix string // the open groups, each with a dot behind it
}

func (c *child) Handle(_ context.Context, rec slog.Record) error {
	fields := maps.Clone(c.with)
	if fields == nil {
		fields = map[string]any{}
	}
	rec.Attrs(func(a slog.Attr) bool {
		put(fields, c.prefix, a)
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, Line{rec.Level, rec.Message, fields})
	return nil
}

func (c *child) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := maps.Clone(c.with)
	if fields == nil {
		fields = map[string]any{}
	}
	for _, a := range attrs {
		put(fields, c.prefix, a)
	}
	return &child{c.Recorder, fields, c.prefix}
}

func (c *child) WithGroup(name string) slog.Handler {
	if name == "" {
		return c
	}
	return &child{c.Recorder, c.with, c.prefix + name + "."}
}

func put(fields map[string]any, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Key != "" || v.Any() != nil {
			fields[prefix+a.Key] = v.Any()
		}
		return
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, member := range v.Group() {
		put(fields, prefix, member)
	}
}
