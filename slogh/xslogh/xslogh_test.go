package xslogh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	xslog "golang.org/x/exp/slog"
	"golang.org/x/exp/slog/slogtest"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh/xslogh"
)

// noTime makes a line comparable.
func noTime(groups []string, a xslog.Attr) xslog.Attr {
	if len(groups) == 0 && a.Key == xslog.TimeKey {
		return xslog.Attr{}
	}
	return a
}

func jsonHandler(w io.Writer) xslog.Handler {
	return xslog.NewJSONHandler(w, &xslog.HandlerOptions{ReplaceAttr: noTime})
}

func jsonLogger(w io.Writer, opts *logadapters.Options) *xslog.Logger {
	return xslog.New(xslogh.New(jsonHandler(w), opts))
}

// wantLine compares what was written, and empties the buffer.
var wantLine = testkit.WantLines

func TestSlogtest(t *testing.T) {
	// k is logged by many of slogtest's cases, request_id by none.
	bound := scope.New("request_id", "r-1", "k", "of the scope")
	for name, format := range map[string]struct {
		handler func(io.Writer) xslog.Handler
		parse   func(testing.TB, []byte) map[string]any
	}{
		"JSON": {func(w io.Writer) xslog.Handler { return xslog.NewJSONHandler(w, nil) }, testkit.ParseJSON},
		"Text": {func(w io.Writer) xslog.Handler { return xslog.NewTextHandler(w, nil) }, testkit.ParseText},
	} {
		check := func(t *testing.T, s scope.Scope, take func(t *testing.T, line map[string]any)) {
			var out bytes.Buffer
			s.Run(func() {
				err := slogtest.TestHandler(xslogh.New(format.handler(&out), nil), func() (lines []map[string]any) {
					for text := range strings.Lines(out.String()) {
						line := format.parse(t, []byte(text))
						take(t, line)
						lines = append(lines, line)
					}
					return lines
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		t.Run(name+"/no scope", func(t *testing.T) {
			check(t, scope.Scope{}, func(*testing.T, map[string]any) {})
		})
		t.Run(name+"/scope", func(t *testing.T) {
			// What is left without the scope's fields is what slogtest is to judge.
			check(t, bound, func(t *testing.T, line map[string]any) {
				if line["request_id"] != "r-1" || line["k"] == nil {
					t.Errorf("a scope field is missing on %v", line)
				}
				delete(line, "request_id")
				if line["k"] == "of the scope" {
					delete(line, "k")
				}
			})
		})
	}
}

type replaced struct{ v any }

func (r replaced) LogValue() xslog.Value { return xslog.AnyValue(r.v) }

// Attributes go through log/slog's types and back. Nothing may be lost on the way.
func TestTheLinesOwnAttributesArriveAsTheyWere(t *testing.T) {
	attrs := []any{
		"string", "s", "int", -1, "uint", uint64(1 << 63), "float", 0.1, "bool", true,
		"duration", 1500 * time.Millisecond, "when", time.Date(2024, 2, 29, 12, 0, 0, 7, time.UTC),
		"error", errors.New("boom"), "nil", nil, "bytes", []byte("b"), "float32", float32(0.1),
		xslog.Group("g", "a", 1, xslog.Group("h", "b", replaced{2})), "valuer", replaced{"v"},
		"group valuer", replaced{xslog.GroupValue(xslog.Int("c", 3))}, xslog.Group("", "inlined", 4),
		"json", json.RawMessage(`{"x":[1,2]}`),
	}
	use := func(l *xslog.Logger) {
		l.Info("m", attrs...)
		l.With(attrs...).WithGroup("w").With("x", 1).Warn("m", "y", replaced{2})
		l.Log(context.Background(), xslog.Level(2), "odd level", "lonely")
	}
	for name, handler := range map[string]func(io.Writer) xslog.Handler{
		"JSON": jsonHandler,
		"Text": func(w io.Writer) xslog.Handler {
			return xslog.NewTextHandler(w, &xslog.HandlerOptions{ReplaceAttr: noTime})
		},
	} {
		var got, want bytes.Buffer
		use(xslog.New(xslogh.New(handler(&got), nil)))
		use(xslog.New(handler(&want)))
		if got.String() != want.String() {
			t.Errorf("%s, no scope:\ngot\n%swant\n%s", name, &got, &want)
		}
		got.Reset()
		want.Reset()
		scope.New("k", 1, "single", float32(0.1), "error", errors.New("of the scope")).Run(func() {
			use(xslog.New(xslogh.New(handler(&got), nil)).With())
		})
		base := xslog.New(handler(&want)).With("k", 1, "single", float32(0.1))
		base.Info("m", attrs...)
		xslog.New(handler(&want)).With(attrs...).With("k", 1, "single", float32(0.1)).WithGroup("w").With("x", 1).Warn("m", "y", replaced{2})
		base.With("error", errors.New("of the scope")).Log(context.Background(), xslog.Level(2), "odd level", "lonely")
		if got.String() != want.String() {
			t.Errorf("%s, scope:\ngot\n%swant\n%s", name, &got, &want)
		}
	}
}

// To x/exp's handlers, log/slog's types are types like any other.
func TestTheLinesOwnValuesOfTheOtherSlogStayAsTheyWere(t *testing.T) {
	for name, v := range map[string]any{
		"a Value":     slog.StringValue("s"),
		"a LogValuer": stdValuer{},
		"Attrs":       []slog.Attr{slog.Int("a", 1)},
	} {
		var got, want bytes.Buffer
		jsonLogger(&got, nil).With("with", v).Info("m", "own", v)
		xslog.New(jsonHandler(&want)).With("with", v).Info("m", "own", v)
		if got.String() != want.String() {
			t.Errorf("%s:\ngot  %swant %s", name, &got, &want)
		}
	}
}

func TestAScopeFieldOfEitherSlogIsResolved(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	scope.New("std", stdValuer{}, slog.Group("g", slog.Int("a", 1), slog.Any("v", stdValuer{}))).Run(func() { l.Info("m") })
	wantLine(t, &out, `{"level":"INFO","msg":"m","std":"resolved","g":{"a":1,"v":"resolved"}}`)
	// x/exp's own handler resolves a value that is a LogValuer of its kind.
	scope.New("x", replaced{"resolved"}).Run(func() { l.Info("m") })
	wantLine(t, &out, `{"level":"INFO","msg":"m","x":"resolved"}`)
}

type stdValuer struct{}

func (stdValuer) LogValue() slog.Value { return slog.StringValue("resolved") }

func TestAddSourceShowsTheLineOfTheCall(t *testing.T) {
	var out bytes.Buffer
	l := xslog.New(xslogh.New(xslog.NewJSONHandler(&out, &xslog.HandlerOptions{AddSource: true}), nil))
	scope.New("k", 1, "source", "mine").Run(func() {
		for _, attrs := range [][]any{nil, {"k", 2}} {
			_, _, before, _ := runtime.Caller(0)
			l.Info("m", attrs...)
			var line struct{ Source xslog.Source }
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if filepath.Base(line.Source.File) != "xslogh_test.go" || line.Source.Line != before+1 {
				t.Errorf("source is %+v, want this file:%d", line.Source, before+1)
			}
			out.Reset()
		}
	})
}

func TestALevelVarDecidesPerLine(t *testing.T) {
	var out bytes.Buffer
	var level xslog.LevelVar
	l := xslog.New(xslogh.New(xslog.NewJSONHandler(&out, &xslog.HandlerOptions{ReplaceAttr: noTime, Level: &level}), nil))
	scope.New("k", 1).Run(func() {
		l.Debug("hidden")
		level.Set(xslog.LevelDebug)
		l.With("a", 1).Debug("shown")
		wantLine(t, &out, `{"level":"DEBUG","msg":"shown","a":1,"k":1}`)
		level.Set(xslog.LevelError)
		l.With("a", 1).Warn("hidden")
		if out.Len() > 0 {
			t.Errorf("written below the level: %s", &out)
		}
	})
}

func TestALogLoggerStamps(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	old := xslog.NewLogLogger(l.Handler(), xslog.LevelWarn)
	scope.New("k", 1).Run(func() { old.Printf("hello %d", 1) })
	wantLine(t, &out, `{"level":"WARN","msg":"hello 1","k":1}`)
}

func TestNewPanicsForANilHandlerAndNamesIt(t *testing.T) {
	defer func() {
		if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "xslogh.New: h,") {
			t.Errorf("panic: %s", p)
		}
	}()
	xslogh.New(nil, nil)
}

func TestTheContextOfAnotherTaskIsUsed(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	ctx := scope.NewContext(context.Background(), scope.New("task", "other"))
	scope.New("task", "mine").Run(func() {
		l.InfoContext(ctx, "m")
		wantLine(t, &out, `{"level":"INFO","msg":"m","task":"other"}`)
		l.InfoContext(context.Background(), "m")
		wantLine(t, &out, `{"level":"INFO","msg":"m","task":"mine"}`)
	})
}

func TestOptionsWorkAsInSlogh(t *testing.T) {
	for _, c := range []struct {
		opts logadapters.Options
		want string
	}{
		{logadapters.Options{Group: "g"}, `"g":{"a":1,"b":2},"a":9`},
		{logadapters.Options{MaxFields: 1}, `"b":2,"scope_dropped":1,"a":9`},
		{logadapters.Options{Duplicates: logadapters.ScopeWins}, `"a":1,"b":2`},
		{logadapters.Options{Duplicates: logadapters.KeepBoth}, `"a":1,"b":2,"a":9`},
		{logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, a.Key == "a" }}, `"a":9`},
	} {
		var out bytes.Buffer
		l := jsonLogger(&out, &c.opts)
		scope.New("a", 1, "b", 2).Run(func() { l.Info("m", "a", 9) })
		wantLine(t, &out, `{"level":"INFO","msg":"m",`+c.want+`}`)
	}
}

func TestFirstLinesOfAScopeFromManyGoroutines(t *testing.T) {
	var out bytes.Buffer // JSONHandler locks
	l := jsonLogger(&out, nil)
	const tasks, lines = 10, 8
	for i := range tasks {
		s := scope.New("task", i, "k", 1)
		var done sync.WaitGroup
		for j := range lines {
			done.Go(s.Wrap(func() { l.Info("m", "want", i, fmt.Sprint("k", j%2), j) }))
		}
		done.Wait()
	}
	n := 0
	for line := range strings.Lines(out.String()) {
		n++
		var m struct{ Task, Want *int }
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Task == nil || m.Want == nil || *m.Task != *m.Want {
			t.Errorf("%v: %s", err, line)
		}
	}
	if n != tasks*lines {
		t.Errorf("%d lines, want %d", n, tasks*lines)
	}
}

func TestBadValuesSpoilNoLine(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	var none *stdValuer
	scope.New("a", 1, "nil", none, "z", 26).Run(func() {
		l.Info("")
		m := testkit.ParseJSON(t, out.Bytes())
		if m["msg"] != "" || m["a"] != 1.0 || m["z"] != 26.0 || !strings.HasPrefix(fmt.Sprint(m["nil"]), "!PANIC") {
			t.Errorf("got %s", &out)
		}
	})
}

func TestTheErrorOfTheHandlerComesBack(t *testing.T) {
	full := errors.New("disk full")
	h := xslogh.New(xslog.NewJSONHandler(testkit.FailingWriter{Err: full}, nil), nil)
	scope.New("k", 1).Run(func() {
		if err := h.Handle(context.Background(), xslog.Record{}); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAStampedLineAllocatesNothing(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	ctx := context.Background()
	h := xslog.NewJSONHandler(io.Discard, nil)
	bare, l := xslog.New(h), xslog.New(xslogh.New(h, nil))
	for _, fields := range []int{1, 3} { // a record has room for 5 attributes
		scopekit.Of(fields).Run(func() {
			for name, line := range map[string]func(*xslog.Logger){
				"a line": func(l *xslog.Logger) {
					l.LogAttrs(ctx, xslog.LevelInfo, "m", xslog.Int("own", 1), xslog.String("more", "x"))
				},
				"a line without fields": func(l *xslog.Logger) { l.LogAttrs(ctx, xslog.LevelInfo, "m") },
				"a disabled level":      func(l *xslog.Logger) { l.LogAttrs(ctx, xslog.LevelDebug, "m", xslog.Int("own", 1)) },
			} {
				got := testing.AllocsPerRun(100, func() { line(l) })
				want := testing.AllocsPerRun(100, func() { line(bare) })
				if got > want {
					t.Errorf("%s, %d fields: %v allocations, without the adapter %v", name, fields, got, want)
				}
			}
		})
	}
}

// A translated record that has more attributes than fit into it has a list, which is made once.
func TestALongLineAllocatesOnlyTheRecordsLists(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	l := xslog.New(xslogh.New(xslog.NewTextHandler(io.Discard, nil), nil))
	var attrs []xslog.Attr
	for i := range 8 {
		attrs = append(attrs, xslog.Int(fmt.Sprint("own", i), i))
	}
	line := func() { l.LogAttrs(context.Background(), xslog.LevelInfo, "m", attrs...) }
	if n := testing.AllocsPerRun(100, line); n > 3 { // the logger's, and one for each translation
		t.Errorf("%v allocations", n)
	}
	scope.New("k", 1, "l", 2).Run(func() {
		if n := testing.AllocsPerRun(100, line); n > 4 {
			t.Errorf("%v allocations under a scope", n)
		}
	})
}
