package testkit

import (
	"log/slog"
	"sync/atomic"
	"testing"
)

// A Counter is a slog.LogValuer that shows how often it has been resolved.
type Counter struct{ n atomic.Int64 }

func (c *Counter) LogValue() slog.Value { return slog.Int64Value(c.n.Add(1)) }

// Count returns how often c has been resolved.
func (c *Counter) Count() int64 { return c.n.Load() }

// A Resolved is a slog.LogValuer that shows "resolved" and its text.
type Resolved string

func (r Resolved) LogValue() slog.Value { return slog.StringValue("resolved " + string(r)) }

// NeverResolved is a slog.LogValuer of a line that isn't written.
type NeverResolved struct{ T testing.TB }

func (n NeverResolved) LogValue() slog.Value {
	n.T.Error("resolved for a line that isn't written")
	return slog.Value{}
}

// Endless is a slog.LogValuer that always answers with itself.
type Endless struct{}

func (e Endless) LogValue() slog.Value { return slog.AnyValue(e) }

// Values that panic when they are asked for what they show.
type (
	PanickingLogValue struct{}
	PanickingJSON     struct{ A int }
	PanickingError    struct{}
	PanickingString   struct{}
	PanickingText     struct{} // with itself: package fmt doesn't survive that
)

func (PanickingLogValue) LogValue() slog.Value     { panic("no value") }
func (PanickingJSON) MarshalJSON() ([]byte, error) { panic("no JSON") }
func (PanickingError) Error() string               { panic("no text") }
func (PanickingString) String() string             { panic("no text") }
func (v PanickingText) String() string             { panic(v) }

// A FailingWriter writes nothing and returns its error.
type FailingWriter struct{ Err error }

func (w FailingWriter) Write([]byte) (int, error) { return 0, w.Err }

// A PanickingWriter is a Buffer. If Armed, the next Write panics with "broken" when it has
// written, and disarms it.
type PanickingWriter struct {
	Buffer
	Armed bool
}

func (w *PanickingWriter) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if w.Armed {
		w.Armed = false
		panic("broken")
	}
	return n, err
}
