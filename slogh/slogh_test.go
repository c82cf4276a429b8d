package slogh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// noTime makes a line comparable.
func noTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// jsonLogger returns a stamping logger whose lines have no time.
func jsonLogger(w io.Writer, opts *logadapters.Options) *slog.Logger {
	return slog.New(slogh.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: noTime}), opts))
}

// wantLine compares what was written, and empties the buffer.
var wantLine = testkit.WantLines

// testScope has two fields for slogtest to run into: k, which many of its cases log
// themselves, and request_id, which none does.
var testScope = scope.New("request_id", "r-1", "k", "of the scope")

// takeScope removes the fields of testScope from a parsed line, and fails if they are
// not where they belong, so that slogtest sees what is left: the line itself.
func takeScope(t *testing.T, line, from map[string]any, eventMayWin bool) {
	if from["request_id"] != "r-1" {
		t.Errorf("request_id isn't on the line %v", line)
	}
	delete(from, "request_id")
	switch {
	case from["k"] == "of the scope":
		delete(from, "k")
	case !eventMayWin || from["k"] == nil:
		t.Errorf("k is missing on the line %v", line)
	}
}

func TestSlogtest(t *testing.T) {
	for name, format := range map[string]struct {
		handler func(io.Writer) slog.Handler
		parse   func(testing.TB, []byte) map[string]any
	}{
		"JSON": {func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }, testkit.ParseJSON},
		"Text": {func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }, testkit.ParseText},
	} {
		var out bytes.Buffer
		handler := func(opts *logadapters.Options) func(*testing.T) slog.Handler {
			return func(*testing.T) slog.Handler {
				out.Reset()
				return slogh.New(format.handler(&out), opts)
			}
		}
		parse := func(t *testing.T) map[string]any { return format.parse(t, out.Bytes()) }

		t.Run(name+"/no scope", func(t *testing.T) { slogtest.Run(t, handler(nil), parse) })

		// slogtest runs each case in a goroutine of its own. The handler is made there,
		// which is the place for a bare Set.
		bound := func(opts *logadapters.Options) func(*testing.T) slog.Handler {
			return func(t *testing.T) slog.Handler {
				scope.Clear()
				for k, v := range testScope.All() {
					scope.SetAttrs(slog.Attr{Key: k, Value: v})
				}
				return handler(opts)(t)
			}
		}
		t.Run(name+"/scope", func(t *testing.T) {
			slogtest.Run(t, bound(nil), func(t *testing.T) map[string]any {
				line := parse(t)
				takeScope(t, line, line, true)
				return line
			})
		})
		t.Run(name+"/scope in a group", func(t *testing.T) {
			slogtest.Run(t, bound(&logadapters.Options{Group: "scope"}), func(t *testing.T) map[string]any {
				line := parse(t)
				group, _ := line["scope"].(map[string]any)
				takeScope(t, line, group, false)
				if len(group) > 0 {
					t.Errorf("strange fields in the group: %v", group)
				}
				delete(line, "scope")
				return line
			})
		})
	}
}

func TestSetDefaultStampsLogPrintfToo(t *testing.T) {
	handler, writer, flags := slog.Default(), log.Writer(), log.Flags()
	defer func() {
		slog.SetDefault(handler)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}()
	var out bytes.Buffer
	slog.SetDefault(jsonLogger(&out, nil))

	log.Printf("nobody %s", "bound")
	wantLine(t, &out, `{"level":"INFO","msg":"nobody bound"}`)
	scope.New("request_id", "r-1").Run(func() {
		log.Printf("hello %d", 1)
		wantLine(t, &out, `{"level":"INFO","msg":"hello 1","request_id":"r-1"}`)
		slog.Warn("hello", "n", 2)
		wantLine(t, &out, `{"level":"WARN","msg":"hello","request_id":"r-1","n":2}`)
	})
}

func TestALevelVarDecidesPerLine(t *testing.T) {
	var out bytes.Buffer
	var level slog.LevelVar
	l := slog.New(slogh.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime, Level: &level}), nil))
	child := l.With("a", 1).WithGroup("g")
	scope.New("k", 1).Run(func() {
		l.Debug("hidden")
		child.Debug("hidden")
		level.Set(slog.LevelDebug)
		l.Debug("shown")
		wantLine(t, &out, `{"level":"DEBUG","msg":"shown","k":1}`)
		child.Debug("shown", "b", 2)
		wantLine(t, &out, `{"level":"DEBUG","msg":"shown","a":1,"k":1,"g":{"b":2}}`)
		level.Set(slog.LevelWarn)
		l.Info("hidden")
		child.Info("hidden")
		if l.Enabled(context.Background(), slog.LevelInfo) || !child.Enabled(context.Background(), slog.LevelWarn) {
			t.Error("Enabled doesn't follow the LevelVar")
		}
		if out.Len() > 0 {
			t.Errorf("written below the level: %s", &out)
		}
	})
}

func TestALineBelowTheLevelResolvesNothing(t *testing.T) {
	v := new(testkit.Counter)
	l := jsonLogger(io.Discard, nil)
	scope.New("v", v).Run(func() {
		l.Debug("hidden")
		if n := v.Count(); n != 0 {
			t.Errorf("resolved %d times for a line that isn't written", n)
		}
		l.Info("shown")
		if n := v.Count(); n != 1 {
			t.Errorf("resolved %d times for one line", n)
		}
	})
}

func TestAddSourceShowsTheLineOfTheCall(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(slogh.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{AddSource: true}), nil))
	check := func(way string, first int) {
		t.Helper()
		var line struct{ Source slog.Source }
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(line.Source.File) != "slogh_test.go" || line.Source.Line != first+1 {
			t.Errorf("%s: source is %s:%d, want this file:%d", way, line.Source.File, line.Source.Line, first+1)
		}
		out.Reset()
	}
	here := func() int { _, _, line, _ := runtime.Caller(1); return line }

	n := here()
	l.Info("no scope")
	check("no scope", n)
	scope.New("k", 1, slog.SourceKey, "mine").Run(func() {
		n := here()
		l.Info("stamped")
		check("stamped", n)
		n = here()
		l.Info("repeats a key", "k", 2)
		check("repeats a key", n)
		n = here()
		l.With("a", 1).WithGroup("g").InfoContext(context.Background(), "child", "k", 2)
		check("child", n)
		wins := slog.New(slogh.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{AddSource: true}), &logadapters.Options{Duplicates: logadapters.ScopeWins}))
		n = here()
		wins.Info("loses a key", "k", 2)
		check("loses a key", n)
	})
	scope.New("v", new(testkit.Counter)).Run(func() {
		n := here()
		l.Info("resolved for this line")
		check("resolved for this line", n)
	})
}

func TestReplaceAttrSeesScopeFieldsAsWithHasThem(t *testing.T) {
	calls := func(stamp bool) (line string, seen []string) {
		var out bytes.Buffer
		h := slog.Handler(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			seen = append(seen, fmt.Sprint(groups, a.Key))
			switch a.Key {
			case slog.TimeKey, "dropped":
				return slog.Attr{}
			case "secret":
				return slog.String("secret", "***")
			case "old":
				a.Key = "new"
			}
			return a
		}}))
		fields := []any{"secret", "s3cr3t", "dropped", 1, "old", 2, slog.Group("g", slog.Int("old", 3))}
		write := func(l *slog.Logger) {
			seen = nil
			l.Info("first", "b", 2)
			l.Info("second", "secret", 2)
		}
		if stamp {
			scope.New(fields...).Run(func() { write(slog.New(slogh.New(h, nil)).With("a", 1).WithGroup("w")) })
		} else {
			write(slog.New(h).With("a", 1).With(fields...).WithGroup("w"))
		}
		return out.String(), seen
	}
	gotLine, gotSeen := calls(true)
	wantLine, wantSeen := calls(false)
	if gotLine != wantLine {
		t.Errorf("got  %swant %s", gotLine, wantLine)
	}
	// With calls it when the child is made, so slogh does that with the first line. All
	// the calls of the lines themselves must be the same.
	if n := len(gotSeen) - len(wantSeen); n < 0 || !slices.Equal(gotSeen[n:], wantSeen) {
		t.Errorf("got  %q\nwant %q", gotSeen, wantSeen)
	} else if want := []string{"[]secret", "[]dropped", "[]old", "[g]old"}; !slices.Equal(gotSeen[:n], want) {
		t.Errorf("when the scope was first seen: %q, want %q", gotSeen[:n], want)
	}
}

func TestNewPanicsForANilHandlerAndNamesIt(t *testing.T) {
	defer func() {
		if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "slogh.New: h,") {
			t.Errorf("panic: %s", p)
		}
	}()
	slogh.New(nil, nil)
}

func TestALogValuerThatIsNotOfTheScopeIsWrittenAsWithoutTheAdapter(t *testing.T) {
	var got, want bytes.Buffer
	v := slog.Any("v", slog.AnyValue(groupValuer{}))
	inlined := slog.Attr{Value: slog.AnyValue(groupValuer{})}
	ref := slog.New(slog.NewJSONHandler(&want, &slog.HandlerOptions{ReplaceAttr: noTime}))
	scope.New("k", 1, "x", "of the scope").Run(func() {
		l := jsonLogger(&got, nil)
		l.With(v).Info("m", v)
		l.With(inlined).Info("m")
		l.Info("m", inlined)
	})
	ref.With(v).With("k", 1, "x", "of the scope").Info("m", v)
	ref.With(inlined).With("k", 1).Info("m") // it has an x of its own
	ref.With("k", 1).Info("m", inlined)
	if got.String() != want.String() {
		t.Errorf("got\n%swant\n%s", &got, &want)
	}
}

type groupValuer struct{}

func (groupValuer) LogValue() slog.Value { return slog.GroupValue(slog.Int("x", 1), slog.Int("y", 2)) }

func TestKeysOfTheLineThatAreNotPlainAttributes(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	scope.New("k", 1, "g", 2).Run(func() {
		l.Info("m", slog.Group("", slog.Int("k", 9)))
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":2,"k":9}`)
		l.Info("m", slog.Group("", slog.Group("", slog.Int("k", 9))), "z", 1)
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":2,"k":9,"z":1}`)
		l.Info("m", slog.Group("g")) // shows nothing
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":1,"g":2}`)
		l.Info("m", slog.Group("g", slog.Int("k", 9)))
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":1,"g":{"k":9}}`)
		l.WithGroup("g").Info("m", "k", 9)
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":1,"g":{"k":9}}`)
		l.WithGroup("g").Info("m") // the group is empty, so it isn't written
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":1,"g":2}`)
		l.WithGroup("g").With("k", 9).Info("m")
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":1,"g":{"k":9}}`)
		l.WithGroup("").Info("m", "k", 9)
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":2,"k":9}`)
		l.WithGroup("outer").WithGroup("g").Info("m", "k", 9)
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":1,"g":2,"outer":{"g":{"k":9}}}`)
	})
}

// An attribute or a group that shows nothing doesn't push a scope field off the line.
func TestWhatSlogDoesNotWriteRepeatsNothing(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	scope.New("g", 2).Run(func() {
		l.With(slog.Group("g")).Info("m")
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":2}`)
		l.With(slog.Attr{}).Info("m", slog.Attr{})
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":2}`)
		l.WithGroup("g").With(slog.Group("empty")).Info("m")
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":2}`)
		l.WithGroup("g").Info("m", slog.Group("empty"))
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":2}`)
		l.WithGroup("g").WithGroup("h").Info("m")
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":2}`)
	})
}

func TestScopeWinsAndKeepBoth(t *testing.T) {
	var out bytes.Buffer
	s := scope.New("k", 1, "msg", "mine")
	wins := jsonLogger(&out, &logadapters.Options{Duplicates: logadapters.ScopeWins})
	both := jsonLogger(&out, &logadapters.Options{Duplicates: logadapters.KeepBoth})
	s.Run(func() {
		wins.With("k", 2, "a", 1).Info("m", "k", 3, slog.Group("", slog.Int("k", 4), slog.Int("b", 5)))
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":2,"a":1,"k":3,"k":4,"b":5}`) // as without a scope
		wins.With("a", 1).Info("m", "k", 3, slog.Group("", slog.Int("k", 4), slog.Int("b", 5)))
		wantLine(t, &out, `{"level":"INFO","msg":"m","a":1,"k":1,"b":5}`)
		wins.Info("m", "k", 3, slog.Int("", 4), slog.Group("g", slog.Int("k", 5)))
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":1,"":4,"g":{"k":5}}`)
		wins.WithGroup("g").With("k", 2).Info("m", "k", 3)
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":1,"g":{"k":2,"k":3}}`)
		wins.WithGroup("k").Info("m", "a", 3)
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":{"a":3}}`)
		both.With("k", 2).Info("m", "k", 3)
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":2,"k":1,"msg":"mine","k":3}`)
	})
}

func TestFirstLinesOfAScopeFromManyGoroutines(t *testing.T) {
	var out bytes.Buffer // JSONHandler locks
	l := jsonLogger(&out, nil)
	child := l.With("c", 1)
	const tasks, lines = 20, 8
	for i := range tasks {
		s := scope.New("task", i, "k", "of the scope")
		var start, done sync.WaitGroup
		start.Add(1)
		for j := range lines {
			done.Go(s.Wrap(func() {
				start.Wait()
				switch j % 4 {
				case 0:
					l.Info("m", "want", i)
				case 1:
					child.Info("m", "want", i)
				case 2:
					l.Info("m", "want", i, "k", "of the line")
				case 3:
					scope.Set("more", j)
					l.Info("m", "want", i)
				}
			}))
		}
		start.Done()
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

func TestAHostileFilterSpoilsNoLine(t *testing.T) {
	for name, filter := range map[string]func(slog.Attr) (slog.Attr, bool){
		"panics":            func(slog.Attr) (slog.Attr, bool) { panic("no") },
		"takes all keys":    func(a slog.Attr) (slog.Attr, bool) { a.Key = ""; return a, true },
		"one key for all":   func(a slog.Attr) (slog.Attr, bool) { a.Key = "x"; return a, true },
		"the message's key": func(a slog.Attr) (slog.Attr, bool) { a.Key = slog.MessageKey; return a, true },
		"endless LogValuer": func(a slog.Attr) (slog.Attr, bool) { return slog.Any(a.Key, testkit.Endless{}), true },
		"panics later":      func(a slog.Attr) (slog.Attr, bool) { return slog.Any(a.Key, badJSON{}), true },
		"calls the logger":  func(a slog.Attr) (slog.Attr, bool) { scope.Set("x", 1); return a, true },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l := jsonLogger(&out, &logadapters.Options{Filter: filter})
			scope.New("a", 1, "b", 2).Run(func() { l.Info("hello", "own", 3) })
			m := testkit.ParseJSON(t, out.Bytes())
			if m["msg"] != "hello" || m["own"] != 3.0 {
				t.Errorf("the line lost its own: %s", &out)
			}
		})
	}
}

type badJSON struct{}

func (badJSON) MarshalJSON() ([]byte, error) { panic(errors.New("not today")) }

func TestAScopeOf10000FieldsIsWrittenWhole(t *testing.T) {
	args := make([]any, 0, 20_000)
	for i := range 10_000 {
		args = append(args, fmt.Sprint("k", i), i)
	}
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	scope.New(args...).Run(func() {
		for range 2 {
			l.Info("m", "k77", "own")
			m := testkit.ParseJSON(t, out.Bytes())
			if len(m) != 10_002 || m["k0"] != 0.0 || m["k9999"] != 9999.0 || m["k77"] != "own" {
				t.Errorf("%d keys", len(m))
			}
			out.Reset()
		}
	})
}

func TestAValueOfOneMegabyteIsWrittenWhole(t *testing.T) {
	var out bytes.Buffer
	big := strings.Repeat("x", 1<<20)
	scope.New("big", big).Run(func() { jsonLogger(&out, nil).Info("m") })
	wantLine(t, &out, `{"level":"INFO","msg":"m","big":"`+big+`"}`)
}

func TestAnEmptyMessageIsStamped(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	scope.New("k", 1).Run(func() { l.Info("") })
	wantLine(t, &out, `{"level":"INFO","msg":"","k":1}`)
}

// A handler is told of records that no Logger made.
func TestAZeroRecordAndANilContextAreStamped(t *testing.T) {
	var out bytes.Buffer
	h := slogh.New(slog.NewJSONHandler(&out, nil), nil)
	scope.New("k", 1).Run(func() {
		var none context.Context
		if err := h.Handle(none, slog.Record{}); err != nil {
			t.Error(err)
		}
	})
	wantLine(t, &out, `{"level":"INFO","msg":"","k":1}`)
}

func TestTheErrorOfTheHandlerComesBack(t *testing.T) {
	full := errors.New("disk full")
	h := slogh.New(slog.NewJSONHandler(testkit.FailingWriter{Err: full}, nil), nil)
	scope.New("k", 1).Run(func() {
		for _, attrs := range [][]slog.Attr{nil, {slog.Int("k", 2)}} {
			r := slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)
			r.AddAttrs(attrs...)
			if err := h.Handle(context.Background(), r); !errors.Is(err, full) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// slog asks a LogValuer once, when it is attached.
func TestALogValuerWithoutAKeyIsNotAskedForEachScope(t *testing.T) {
	calls := 0
	l := jsonLogger(io.Discard, nil).With(slog.Attr{Value: slog.AnyValue(counting{&calls})})
	for i := range 20 {
		scope.New("k", i).Run(func() { l.Info("m") })
	}
	if calls != 1 {
		t.Errorf("asked %d times", calls)
	}
}

type counting struct{ calls *int }

func (c counting) LogValue() slog.Value {
	*c.calls++
	return slog.GroupValue(slog.Int("x", 1))
}

// The keys of a line are those that it is written with, in what a LogValuer has answered too.
func TestAnAttachedLogValuerHasTheKeysOfItsAnswer(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil).With(slog.Attr{Value: slog.AnyValue(counting{new(int)})}, "empty", emptyGroup{})
	scope.New("x", "of the scope", "empty", true).Run(func() { l.Info("m") })
	wantLine(t, &out, `{"level":"INFO","msg":"m","x":1,"empty":true}`)
}

type emptyGroup struct{}

func (emptyGroup) LogValue() slog.Value { return slog.GroupValue() }

func TestAScopeFieldGivesWayToAnAttachedOneNamedLikeAnEmptyGroup(t *testing.T) {
	var got bytes.Buffer
	l := jsonLogger(&got, &logadapters.Options{Duplicates: logadapters.ScopeWins}).With("g", "attached").WithGroup("g")
	scope.New("g", "of the scope").Run(func() { l.Info("m") })
	wantLine(t, &got, `{"level":"INFO","msg":"m","g":"attached"}`)
}

func TestAKeyIsNeverThereTwice(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, nil)
	for _, tc := range []struct {
		args []any
		want string
	}{
		{nil, `"a":1,"b":2`},
		{[]any{"c", 3}, `"a":1,"b":2,"c":3`},
		{[]any{"b", 9}, `"a":1,"b":9`},
		{[]any{"a", 9}, `"b":2,"a":9`},
		{[]any{"b", 9, "a", 8}, `"b":9,"a":8`},
		{[]any{slog.Group("", slog.Int("b", 9))}, `"a":1,"b":9`},
		{[]any{slog.Group("b", slog.Int("a", 9))}, `"a":1,"b":{"a":9}`},
		{[]any{slog.Group("g")}, `"a":1,"b":2`},
		{[]any{"c", 3, "d", 4, "e", 5, "f", 6, "g", 7}, `"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7`},
	} {
		want := `{"level":"INFO","msg":"m",` + tc.want + "}\n"
		line := func() {
			t.Helper()
			out.Reset()
			if l.Info("m", tc.args...); out.String() != want {
				t.Errorf("%v: got %swant %s", tc.args, &out, want)
			}
		}
		s := scope.New("a", 1)
		s.Run(func() {
			for range 3 { // the second and the third on top of what is known of s
				scope.With("b", 2).Run(func() { line(); line() })
			}
		})
		scope.New("a", 1, "b", 2).Run(func() { line(); line() })
		for name, child := range map[string]*slog.Logger{"With": l.With("x", 1), "WithGroup": l.WithGroup("g")} {
			scope.New("a", 1, "b", 2).Run(func() {
				out.Reset()
				child.Info("m", tc.args...)
				child.Info("m", tc.args...)
				if lines := strings.SplitAfter(out.String(), "\n"); lines[0] != lines[1] {
					t.Errorf("%s, %v: two lines differ: %s", name, tc.args, &out)
				}
			})
		}
	}
}

// It may go by a value's type, also in an open group, where the value is attached anew for each scope.
func TestReplaceAttrSeesWhatWithWasGiven(t *testing.T) {
	type secret struct{ Key string }
	var out bytes.Buffer
	l := slog.New(slogh.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if _, ok := a.Value.Any().(secret); ok {
			return slog.String(a.Key, "*")
		}
		return noTime(groups, a)
	}}), nil)).WithGroup("g").With("v", secret{"s3cret"})
	scope.New("k", secret{"s3cret"}).Run(func() { l.Info("m") })
	wantLine(t, &out, `{"level":"INFO","msg":"m","k":"*","g":{"v":"*"}}`)
}

func TestAReplaceAttrThatPanicsCostsItsFieldOnEachLine(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(slogh.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == "user" {
			return slog.String("user", "u:"+a.Value.Any().(string)) // panics for an int
		}
		return noTime(groups, a)
	}}), nil))
	line := func() {
		out.Reset()
		l.Info("m")
		if got := out.String(); !strings.Contains(got, `"user":"`) || !strings.Contains(got, "!PANIC: ") {
			t.Errorf("got %s", got)
		}
	}
	scope.New("id", 1).Run(func() {
		l.Info("m")
		scope.With("user", 7).Run(func() { line(); line() }) // on top of what is known
	})
	scope.New("user", 1).Run(func() { line(); line() })
	scope.New("id", 1).Run(func() {
		defer func() {
			if recover() == nil {
				t.Error("a field of the line's own that makes ReplaceAttr panic doesn't any more")
			}
		}()
		l.Info("m", "user", 7)
	})
}
