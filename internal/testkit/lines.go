package testkit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen.
const Patience = 20 * time.Second

// A Line is a log line that was written as a JSON object. Text that is no JSON object is
// kept under the key "bad".
type Line map[string]any

// Lines takes log lines in JSON from any number of goroutines, one or more to a Write.
// NewLines makes it.
type Lines struct {
	mu      sync.Mutex
	all     []Line
	arrived chan Line
}

// NewLines returns Lines that hold up to 1000 lines which no Next has fetched. A writer of
// more waits.
func NewLines() *Lines { return &Lines{arrived: make(chan Line, 1000)} }

func (l *Lines) Write(p []byte) (int, error) {
	for text := range bytes.Lines(p) {
		line := Line{}
		if err := json.Unmarshal(text, &line); err != nil {
			line = Line{"bad": string(text)}
		}
		l.mu.Lock()
		l.all = append(l.all, line)
		l.mu.Unlock()
		l.arrived <- line
	}
	return len(p), nil
}

// Sync does nothing. Lines with it are a zapcore.WriteSyncer.
func (l *Lines) Sync() error { return nil }

// All returns the lines so far, those that Next has returned included.
func (l *Lines) All() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// Next waits for the next line. If none comes, the test ends.
func (l *Lines) Next(t testing.TB) Line {
	t.Helper()
	select {
	case line := <-l.arrived:
		return line
	case <-time.After(Patience):
		t.Fatal("no line")
		return nil
	}
}

// None fails the test for each line that no Next has fetched.
func (l *Lines) None(t testing.TB) {
	t.Helper()
	for {
		select {
		case line := <-l.arrived:
			t.Errorf("one line too many: %v", line)
		default:
			return
		}
	}
}

// Want compares the fields of l that want names; a nil says that l has no such field.
func (l Line) Want(t testing.TB, want Line) {
	t.Helper()
	for key, value := range want {
		if got, ok := l[key]; ok != (value != nil) || ok && !reflect.DeepEqual(got, value) {
			t.Errorf("%s is %v, want %v\nin %v", key, got, value, l)
		}
	}
}

// A Chan hands each Write on as a text, to the test that waits for it. Make it with room
// for what no test waits for.
type Chan chan string

func (c Chan) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// Receive waits for a value from c. If none comes, the test has failed and goes on, so that
// what else it has started can end.
func Receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(Patience):
		t.Errorf("no %s", what)
	}
	return v
}

// InTime calls fn in a goroutine of its own and waits for it. If it doesn't return, the
// test ends.
func InTime(t testing.TB, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); fn() }()
	select {
	case <-done:
	case <-time.After(Patience):
		t.Fatal("it never returns")
	}
}
