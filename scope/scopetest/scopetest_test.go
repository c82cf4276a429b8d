package scopetest_test

import (
	"fmt"
	"log/slog"
	"reflect"
	"testing"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/scopetest"
	"github.com/taskscope/taskscope/slogh"
)

// A Recorder wrapped with slogh shows what a line is stamped with.
func ExampleRecorder() {
	var rec scopetest.Recorder
	logger := slog.New(slogh.New(&rec, nil))

	scope.New("request_id", "r1").Run(func() { logger.Info("hello", "n", 1) })

	line := rec.Lines()[0]
	fmt.Println(line.Message, line.Fields["request_id"], line.Fields["n"])
	// Output: hello r1 1
}

func TestRecorder(t *testing.T) {
	var rec scopetest.Recorder
	logger := slog.New(slogh.New(&rec, nil)).With("a", 1).WithGroup("g").With("b", 2)
	scope.New("s", "x").Run(func() {
		logger.Warn("m", "c", 3, slog.Group("h", "d", 4), slog.Group("", "e", 5))
	})
	want := []scopetest.Line{{Level: slog.LevelWarn, Message: "m", Fields: map[string]any{
		"s": "x", "a": int64(1), "g.b": int64(2), "g.c": int64(3), "g.h.d": int64(4), "g.e": int64(5),
	}}}
	if got := rec.Lines(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	rec.Reset()
	if got := rec.Lines(); len(got) != 0 {
		t.Errorf("after Reset: %+v", got)
	}
}

// A fake is a testing.TB that keeps its failures and cleanups.
type fake struct {
	testing.TB
	failed  bool
	cleanup []func()
}

func (f *fake) Helper()               {}
func (f *fake) Cleanup(fn func())     { f.cleanup = append(f.cleanup, fn) }
func (f *fake) Errorf(string, ...any) { f.failed = true }

func TestNoLeak(t *testing.T) {
	for _, test := range []struct {
		name  string
		code  func()
		fails bool
	}{
		{"a bare Set", func() { scope.Set("leaked", 1) }, true},
		{"a Set within Run", func() { scope.Run(func() { scope.Set("kept inside", 1) }) }, false},
	} {
		f := &fake{TB: t}
		scope.Scope{}.Run(func() {
			scopetest.NoLeak(f)
			test.code()
			for _, fn := range f.cleanup {
				fn()
			}
		})
		if f.failed != test.fails {
			t.Errorf("%s: failed is %v, want %v", test.name, f.failed, test.fails)
		}
	}
}
