package zeroh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// These tests run in both builds, with the tag binary_log and without it.

// A recorder keeps lines, one for each Write.
type recorder struct {
	mu    sync.Mutex
	lines [][]byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, bytes.Clone(p))
	return len(p), nil
}

func (r *recorder) take() (lines [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines, r.lines = r.lines, nil
	return lines
}

// wantSame compares with the lines of a logger without the adapter, and empties both.
func wantSame(t *testing.T, what string, got, want *recorder) {
	t.Helper()
	if g, w := got.take(), want.take(); !reflect.DeepEqual(g, w) {
		t.Errorf("%s:\ngot  %q\nwant %q", what, g, w)
	}
}

// waysIn are loggers that write to w and are stamped.
func waysIn(w *recorder, opts *logadapters.Options) map[string]func() *zerolog.Event {
	l, f := zerolog.New(w).Hook(zeroh.New(opts)), zeroh.For(zerolog.New(w), opts)
	return map[string]func() *zerolog.Event{"the hook": l.Info, "For": f.Info, "L": func() *zerolog.Event { return f.L().Info() }}
}

// A callback's methods call fn, once.
type callback struct {
	fn    func()
	depth int
}

func (v *callback) call() string {
	if v.depth++; v.depth > 50 {
		panic("there is no end")
	}
	v.fn()
	return "said"
}

type (
	callbackObject struct{ *callback }
	callbackValuer struct{ *callback }
	callbackJSON   struct{ *callback }
	callbackError  struct{ *callback }
	callbackText   struct{ *callback }
)

func (v callbackObject) MarshalZerologObject(e *zerolog.Event) { e.Str("v", v.call()) }
func (v callbackValuer) LogValue() slog.Value                  { return slog.StringValue(v.call()) }
func (v callbackJSON) MarshalJSON() ([]byte, error)            { return []byte(`"` + v.call() + `"`), nil }
func (v callbackError) Error() string                          { return v.call() }
func (v callbackText) MarshalText() ([]byte, error)            { return []byte(v.call()), nil }

var callbacks = map[string]func(*callback) any{
	"MarshalZerologObject": func(v *callback) any { return callbackObject{v} },
	"LogValue":             func(v *callback) any { return callbackValuer{v} },
	"MarshalJSON":          func(v *callback) any { return callbackJSON{v} },
	"Error":                func(v *callback) any { return callbackError{v} },
	"MarshalText":          func(v *callback) any { return callbackText{v} },
	"a member":             func(v *callback) any { return slog.GroupValue(slog.Any("m", callbackValuer{v})) },
	"a list of errors":     func(v *callback) any { return []error{callbackError{v}} },
}

func TestAValueWhoseMethodLogsHasBothLinesWritten(t *testing.T) {
	for method, value := range callbacks {
		for inner := range waysIn(nil, nil) {
			for outer := range waysIn(nil, nil) {
				wantBothLines(t, value, inner, outer, func() {}, method+", "+inner+" inside "+outer)
			}
			// Encoded with the line: while logging is disabled, nothing can be encoded in advance.
			wantBothLines(t, value, inner, "the hook", func() { zerolog.SetGlobalLevel(zerolog.Disabled) }, method+", "+inner+" in a line that was disabled")
		}
	}
}

// wantBothLines has a line written whose scope has a value that logs. Another one comes before,
// and amid is called between its beginning and its end.
func wantBothLines(t *testing.T, value func(*callback) any, inner, outer string, amid func(), what string) {
	t.Helper()
	defer zerolog.SetGlobalLevel(zerolog.GlobalLevel())
	for _, before := range []bool{false, true} {
		var out recorder
		ways := waysIn(&out, nil)
		v := new(callback)
		v.fn = func() { ways[inner]().Msg("inner") }
		scope.New("plain", "1", "v", value(v), "z", slog.GroupValue(slog.Bool("b", true))).Run(func() {
			e := ways[outer]()
			if amid(); before {
				e.Msg("before")
				zerolog.SetGlobalLevel(zerolog.TraceLevel)
				out.take()
				e = ways[outer]()
			}
			e.Msg("outer")
		})
		disabled := zerolog.GlobalLevel() == zerolog.Disabled
		zerolog.SetGlobalLevel(zerolog.TraceLevel)
		var messages []string
		for _, line := range out.take() {
			got := decode(t, line)
			want := map[string]any{"level": "info", "plain": "1", "z": map[string]any{"b": true}, "message": "inner"}
			if got["message"] == "outer" {
				want["message"], want["v"] = "outer", got["v"]
				if !strings.Contains(fmt.Sprint(got["v"]), "said") {
					t.Errorf("%s: %v", what, got)
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %v, want %v", what, got, want)
			}
			messages = append(messages, got["message"].(string))
		}
		// What is remembered isn't encoded again, and nothing is logged while that is disabled.
		text := fmt.Sprint(messages)
		if text != "[inner outer]" && (text != "[outer]" || !before && !disabled) {
			t.Errorf("%s, with a line before %v: %v", what, before, messages)
		}
	}
}

// What a value's method sets or runs ends with it, and it may wait for another line.
func TestAValueWhoseMethodSetsRunsAndWaits(t *testing.T) {
	for method, value := range callbacks {
		for way := range waysIn(new(recorder), nil) {
			var out recorder
			ways := waysIn(&out, nil)
			v := new(callback)
			s := scope.New("plain", 1, "v", value(v))
			v.fn = func() {
				scope.Set("leaked", true)
				scope.New("other", 2).Run(func() { ways[way]().Msg("another task") })
				done := make(chan bool)
				go s.Without("v").Wrap(func() { defer close(done); ways[way]().Msg("another goroutine") })()
				<-done
			}
			s.Run(func() {
				ways[way]().Msg("outer")
				if _, ok := scope.Get("leaked"); ok {
					t.Errorf("%s, %s: what it set is still bound", method, way)
				}
			})
			for _, line := range out.take() {
				got := decode(t, line)
				if got["leaked"] != nil || (got["other"] != nil) != (got["message"] == "another task") || (got["v"] != nil) != (got["message"] == "outer") {
					t.Errorf("%s, %s: %v", method, way, got)
				}
			}
		}
	}
}

func TestDisabledInTheMiddleOfALineSpoilsNoLaterOne(t *testing.T) {
	defer zerolog.SetGlobalLevel(zerolog.GlobalLevel())
	args := []any{"a", 1, "took", time.Second, "err", errors.New("boom"), "obj", map[string]int{"n": 1}}
	for name, opts := range map[string]*logadapters.Options{"root": nil, "group": {Group: "g"}} {
		var got, want recorder
		ref := zerolog.New(&want)
		l := zerolog.New(&got).Hook(zeroh.New(opts))
		write := func(args []any) {
			if e := ref.Info().Int("own", 1); opts == nil {
				e.Fields(args).Msg("m")
			} else {
				e.Dict("g", e.CreateDict().Fields(args)).Msg("m")
			}
		}
		scope.New(args...).Run(func() {
			e := l.Info().Int("own", 1)
			zerolog.SetGlobalLevel(zerolog.Disabled)
			e.Msg("m")
			zerolog.SetGlobalLevel(zerolog.TraceLevel)
			l.Info().Int("own", 1).Msg("m")
			scope.Set("later", "x")
			l.Info().Int("own", 1).Msg("m")
			scope.Set("last", 2)
			l.Info().Int("own", 1).Msg("m")
		})
		write(args)
		write(args)
		write(append(args, "later", "x"))
		write(append(args, "later", "x", "last", 2))
		wantSame(t, name, &got, &want)
	}

	var got, want recorder
	f := zeroh.For(zerolog.New(&got), nil)
	scope.New(args...).Run(func() {
		zerolog.SetGlobalLevel(zerolog.Disabled)
		f.Info().Msg("never")
		kept := f.L()
		zerolog.SetGlobalLevel(zerolog.TraceLevel)
		kept.Info().Msg("m")
		f.Info().Msg("m")
	})
	child := zerolog.New(&want).With().Fields(args).Logger()
	child.Info().Msg("m")
	child.Info().Msg("m")
	wantSame(t, "For", &got, &want)
}

func TestAValueThatPanicsInALineThatWasDisabledCostsOnlyItsField(t *testing.T) {
	defer zerolog.SetGlobalLevel(zerolog.GlobalLevel())
	var out recorder
	l := zerolog.New(&out).Hook(zeroh.New(nil))
	scope.New("a", "1", "bad", unreadable{}, "g", slog.GroupValue(slog.Any("bad", unreadable{})), "z", "26").Run(func() {
		e := l.Info()
		zerolog.SetGlobalLevel(zerolog.Disabled)
		e.Msg("m")
		zerolog.SetGlobalLevel(zerolog.TraceLevel)
		l.Info().Msg("m")
	})
	lines := out.take()
	for _, line := range lines {
		want := map[string]any{"level": "info", "a": "1", "bad": "!PANIC: no object", "g": "!PANIC: no object", "z": "26", "message": "m"}
		if got := decode(t, line); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if len(lines) != 2 {
		t.Errorf("%d lines", len(lines))
	}
}

// zerolog copies raw JSON to the line unseen. What isn't JSON might split the line, and forge its ids.
func TestRawJSONIsCheckedBeforeItIsWritten(t *testing.T) {
	defer func(f func(error) any) { zerolog.ErrorMarshalFunc = f }(zerolog.ErrorMarshalFunc)
	zerolog.ErrorMarshalFunc = zeroh.MarshalError
	one := map[string]any{"a": json.Number("1")}
	for body, want := range map[string]any{
		"1,\"request_id\":\"evil\"}\n{\"y\":2": "!ERROR:", `{"a":`: "!ERROR:", ``: "!ERROR:", "{}\n{}": "!ERROR:", "\"a\nb\"": "!ERROR:",
		`{"a":1}`: one, "{\r\n\"a\":1\n}\n": one, `null`: nil, `"a\nb"`: "a\nb",
	} {
		raw := json.RawMessage(body)
		check := func(what string, line map[string]any) {
			t.Helper()
			for _, key := range []string{"payload", "late"} {
				got, ok := line[key]
				if text, _ := got.(string); want == "!ERROR:" && strings.HasPrefix(text, "!ERROR:") {
					continue
				}
				if !ok || !reflect.DeepEqual(got, want) {
					t.Errorf("%q, %s: %s is %v, want %v", body, what, key, got, want)
				}
			}
			if line["request_id"] != "r-1" {
				t.Errorf("%q, %s: %v", body, what, line)
			}
		}
		var out recorder
		only := func(what string) map[string]any {
			t.Helper()
			lines := out.take()
			if len(lines) != 1 || !binary && bytes.Count(lines[0], []byte("\n")) != 1 {
				t.Fatalf("%q, %s: %q", body, what, lines)
			}
			return decode(t, lines[0])
		}
		args := []any{"payload", raw, "late", latest{raw}, "request_id", "r-1"}
		scope.New(args...).Run(func() {
			for way, info := range waysIn(&out, nil) {
				info().Msg("m")
				check(way, only(way))
			}
			for way, info := range waysIn(&out, &logadapters.Options{Group: "g"}) {
				info().Msg("m")
				group, _ := only(way)["g"].(map[string]any)
				check(way+", in a group", group)
			}
			l := zerolog.New(&out)
			l.Err(scope.Error(io.EOF)).Msg("m")
			object, _ := only("MarshalError")["error"].(map[string]any)
			check("MarshalError", object)
		})
		scope.New(slog.Group("g", args...)).Run(func() {
			for way, info := range waysIn(&out, nil) {
				info().Msg("m")
				group, _ := only(way)["g"].(map[string]any)
				check(way+", a group", group)
			}
		})
		l := zerolog.New(&out)
		zeroh.LogAttrs(&l)(t.Context(), slog.LevelInfo, "m", slog.Any("payload", raw), slog.Any("late", latest{raw}), slog.String("request_id", "r-1"))
		check("LogAttrs", only("LogAttrs"))
	}
	for way := range waysIn(nil, nil) {
		var out recorder
		scope.New("nothing", json.RawMessage(nil), "list", []json.RawMessage{[]byte(`1,"x":2`)}, "map", map[string]any{"a": json.RawMessage("}\n")}, "k", "v").Run(func() {
			waysIn(&out, nil)[way]().Msg("m")
		})
		line := decode(t, out.take()[0])
		list, _ := line["list"].(string)
		inMap, _ := line["map"].(string)
		if v, ok := line["nothing"]; v != nil || !ok || line["k"] != "v" || !strings.Contains(list, "error") || !strings.Contains(inMap, "error") {
			t.Errorf("%s: %v", way, line)
		}
	}
}

type nilPointerError struct{}

func (*nilPointerError) Error() string { return "never called" }

// For an error that is a nil pointer, alone or inside scope.Error, zerolog writes a key without a value.
// Here it is null, and the program's own list of errors isn't changed.
func TestAListOfErrorsStaysAsItIs(t *testing.T) {
	defer func(f func(error) any) { zerolog.ErrorMarshalFunc = f }(zerolog.ErrorMarshalFunc)
	zerolog.ErrorMarshalFunc = zeroh.MarshalError
	scope.New("a", 1).Run(func() {
		none := error((*nilPointerError)(nil))
		scoped := scope.Error(none)
		errs := []error{none, scoped, none}
		var out recorder
		check := func(way string) {
			t.Helper()
			line := decode(t, out.take()[0])
			if want := []any{nil, nil, nil}; !reflect.DeepEqual(line["errs"], want) || !reflect.DeepEqual(line["g"], map[string]any{"e": nil}) {
				t.Errorf("%s: %v", way, line)
			}
		}
		attrs := []slog.Attr{slog.Any("errs", errs), slog.Any("g", slog.GroupValue(slog.Any("e", scoped)))}
		scope.New(attrs[0], attrs[1]).Run(func() {
			for way, info := range waysIn(&out, nil) {
				info().Msg("m")
				check(way)
			}
		})
		l := zerolog.New(&out)
		zeroh.LogAttrs(&l)(t.Context(), slog.LevelInfo, "m", attrs...)
		check("LogAttrs")
		if errs[0] != none || errs[1] != scoped || errs[2] != none {
			t.Errorf("the list is %#v now", errs)
		}
	})
}

// A latest is asked for its value when the line is written.
type latest struct{ v any }

func (v latest) LogValue() slog.Value { return slog.AnyValue(v.v) }

// A causer writes an error of its own, which has a stack, too.
type causer struct{}

func (causer) MarshalZerologObject(e *zerolog.Event) { e.Err(errors.New("cause")) }

func TestErrorsHaveTheirStackAsWithEventFields(t *testing.T) {
	defer func() { zerolog.ErrorStackMarshaler = nil }()
	marshalers := map[string]func(error) any{
		"none": nil, "text": func(err error) any { return "stack of " + err.Error() }, "another": func(error) any { return 17 },
		"nothing": func(error) any { return nil },
	}
	err := errors.New("boom")
	fields := [][]any{{"a", 1}, {"err", err}, {"obj", causer{}}, {"objs", []zerolog.LogObjectMarshaler{causer{}}}, {"z", "26"}}
	var got, want recorder
	hook := zeroh.New(nil)
	grouped := zeroh.New(&logadapters.Options{Group: "g"})
	stacked := func(w *recorder) zerolog.Logger { return zerolog.New(w).With().Stack().Logger() }
	hooked, plain, inGroup := stacked(&got).Hook(hook), zerolog.New(&got).Hook(hook), stacked(&got).Hook(grouped)
	f, plainFor := zeroh.For(stacked(&got), nil), zeroh.For(zerolog.New(&got), nil)
	ref, plainRef := stacked(&want), zerolog.New(&want)
	add := func(e *zerolog.Event, n int) *zerolog.Event {
		for _, field := range fields[:n] {
			e.Fields(field)
		}
		return e
	}
	attach := func(l zerolog.Logger, n int) zerolog.Logger {
		for _, field := range fields[:n] {
			l = l.With().Fields(field).Logger()
		}
		return l
	}
	s := scope.New()
	for n := range len(fields) + 1 {
		if n > 0 {
			s = s.With(fields[n-1]...)
		}
		for range 2 { // what is remembered is so for each marshaler
			for name, m := range marshalers {
				zerolog.ErrorStackMarshaler = m
				s.Run(func() {
					hooked.Info().Msg("m")
					plain.Info().Msg("m")
					plain.Info().Stack().Msg("m")
					inGroup.Info().Msg("m")
				})
				add(ref.Info(), n).Msg("m")
				add(plainRef.Info(), n).Msg("m")
				add(plainRef.Info().Stack(), n).Msg("m")
				if e := ref.Info(); n > 0 {
					e.Dict("g", add(e.CreateDict(), n)).Msg("m")
				} else {
					e.Msg("m")
				}
				// For is as a child made by hand: it keeps what one marshaler has written.
				if name == "none" || name == "text" {
					s.Run(func() {
						f.Info().Msg("m")
						plainFor.Info().Msg("m")
					})
					l, plain := attach(ref, n), attach(plainRef, n)
					l.Info().Msg("m")
					plain.Info().Msg("m")
				}
				wantSame(t, fmt.Sprintf("%d fields, marshaler %s", n, name), &got, &want)
			}
		}
	}
}

func TestAHookThatIsThereTwiceStampsOnce(t *testing.T) {
	var got, want recorder
	h := zeroh.New(nil)
	second := zeroh.New(&logadapters.Options{Group: "second"})
	noEmail := zeroh.New(&logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, a.Key == "k" }})
	nothing := zeroh.New(&logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, false }})
	own := context.WithValue(context.Background(), key{}, 1)
	between := zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) { e.Bool("between", true) })
	log := func(l zerolog.Logger) {
		mine := l.With().Ctx(own).Logger()
		for range 2 {
			l.Info().Msg("m")
			l.Info().Ctx(own).Msg("m")
			mine.Info().Msg("m")
			mine.Info().Ctx(context.Background()).Msg("m")
		}
	}
	for name, c := range map[string]struct {
		hooks []zerolog.Hook
		args  []any
	}{
		"once":                       {[]zerolog.Hook{h, between}, []any{"k", 1, "email", "x"}},
		"the same":                   {[]zerolog.Hook{h, between, h}, []any{"k", 1, "email", "x"}},
		"the same three times":       {[]zerolog.Hook{h, h, between, h}, []any{"k", 1, "email", "x"}},
		"another":                    {[]zerolog.Hook{h, between, second}, []any{"k", 1, "email", "x"}},
		"one between":                {[]zerolog.Hook{h, between, second, h}, []any{"k", 1, "email", "x"}},
		"the first has a filter":     {[]zerolog.Hook{noEmail, between, h}, []any{"k", 1}},
		"the first has nothing left": {[]zerolog.Hook{nothing, between, h}, nil},
	} {
		scope.New("k", 1, "email", "x").Run(func() { log(zerolog.New(&got).Hook(c.hooks...)) })
		first := zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) { e.Fields(c.args) })
		log(zerolog.New(&want).Hook(first, between))
		wantSame(t, name, &got, &want)
	}
}

// A hook that passes the context of its event on to another logger gets that stamped, too.
func TestTheContextOfAStampedEventStampsOtherLines(t *testing.T) {
	var got, want recorder
	h := zeroh.New(nil)
	own := context.WithValue(context.Background(), key{}, 1)
	for name, hooks := range map[string][]zerolog.Hook{"once": {h}, "twice": {h, zeroh.New(nil)}, "the same twice": {h, h}} {
		audit := zerolog.New(&got).Hook(hooks...)
		l := audit.Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, msg string) {
			if v := e.GetCtx().Value(key{}); v != nil && v != 1 {
				t.Errorf("the context has %v", v)
			}
			audit.Info().Ctx(e.GetCtx()).Msg("audit")
		}))
		ref := zerolog.New(&want)
		scope.New("k", 1).Run(func() {
			if name != "the same twice" { // which an event without a context can't be told from
				l.Info().Msg("m")
				ref.Info().Int("k", 1).Msg("audit")
				ref.Info().Int("k", 1).Msg("m")
			}
			l.Info().Ctx(own).Msg("m")
			ref.Info().Int("k", 1).Msg("audit")
			ref.Info().Int("k", 1).Msg("m")
		})
		wantSame(t, name, &got, &want)
	}
}

func TestAHookInsideAnotherHookStamps(t *testing.T) {
	var got, want recorder
	h := zeroh.New(nil)
	l, ref := zerolog.New(&got).Hook(zerolog.LevelHook{InfoHook: h}), zerolog.New(&want)
	scope.New("k", 1).Run(func() {
		l.Info().Msg("m")
		l.Info().Ctx(context.WithValue(context.Background(), key{}, 1)).Msg("m")
		l.Warn().Msg("m")
	})
	ref.Info().Int("k", 1).Msg("m")
	ref.Info().Int("k", 1).Msg("m")
	ref.Warn().Msg("m")
	wantSame(t, "a LevelHook", &got, &want)
}

func TestADiscardedEventIsNotStamped(t *testing.T) {
	var out recorder
	drop := zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, msg string) {
		if msg == "drop" {
			e.Discard()
		}
	})
	l := zerolog.New(&out).Hook(drop, zeroh.New(nil))
	v := &callback{fn: func() {}}
	scope.New("v", callbackValuer{v}).Run(func() {
		l.Info().Msg("drop")
		l.Info().Ctx(context.WithValue(context.Background(), key{}, 1)).Msg("drop")
		if v.depth != 0 {
			t.Errorf("asked %d times for lines that aren't written", v.depth)
		}
		l.Info().Msg("m")
	})
	if lines := out.take(); len(lines) != 1 || v.depth != 1 {
		t.Errorf("%d lines, asked %d times", len(lines), v.depth)
	}
}

func TestTheNamesOfZerologsOwnFieldsMayChange(t *testing.T) {
	defer func(level, message, time string) {
		zerolog.LevelFieldName, zerolog.MessageFieldName, zerolog.TimestampFieldName = level, message, time
	}(zerolog.LevelFieldName, zerolog.MessageFieldName, zerolog.TimestampFieldName)
	var got, want recorder
	ways, ref := waysIn(&got, nil), zerolog.New(&want)
	args := []any{"level", 1, "message", 2, "time", 3, "severity", 4, "msg", 5, "ts", 6, "z", 7}
	remembered := scope.New(args...)
	log := func(own ...any) {
		t.Helper()
		for way, line := range ways {
			for _, s := range []scope.Scope{remembered, scope.New(args...)} {
				s.Run(func() { line().Msg("m") })
				if way == "the hook" {
					ref.Info().Fields(own).Msg("m")
				} else {
					child := ref.With().Fields(own).Logger()
					child.Info().Msg("m")
				}
				wantSame(t, way, &got, &want)
			}
		}
	}
	usual := [3]string{"level", "message", "time"}
	for _, names := range [][3]string{
		usual, {"severity", "msg", "ts"}, usual, {"severity", "msg", "ts"},
		usual, {"severity", "message", "time"}, usual, {"level", "msg", "time"}, usual, {"level", "message", "ts"}, usual,
	} {
		zerolog.LevelFieldName, zerolog.MessageFieldName, zerolog.TimestampFieldName = names[0], names[1], names[2]
		var own []any
		for i := 0; i < len(args); i += 2 {
			if !slices.Contains(names[:], args[i].(string)) {
				own = append(own, args[i], args[i+1])
			}
		}
		log(own...)
	}
}

func TestAMethodThatChangesTheNamesEachTimeEndsNothing(t *testing.T) {
	defer func(message string) { zerolog.MessageFieldName = message }(zerolog.MessageFieldName)
	var got recorder
	calls := 0
	v := objectFunc(func(*zerolog.Event) {
		calls++
		zerolog.MessageFieldName = fmt.Sprint("message", calls%2)
	})
	for way, line := range waysIn(&got, nil) {
		for i := range 3 {
			scope.New("k", i, "v", v).Run(func() { line().Msg("m") })
		}
		if lines := got.take(); len(lines) != 3 {
			t.Errorf("%s: %d lines, want 3", way, len(lines))
		}
	}
}

type objectFunc func(*zerolog.Event)

func (f objectFunc) MarshalZerologObject(e *zerolog.Event) { f(e) }

func TestALineOfAnEndedTaskIsMarked(t *testing.T) {
	for name, c := range map[string]struct {
		opts *logadapters.Options
		late []any
	}{
		"defaults":       {nil, []any{"k", 1, "scope_ended", true}},
		"DropEnded":      {&logadapters.Options{Ended: logadapters.DropEnded}, []any{"scope_ended", true}},
		"in a group":     {&logadapters.Options{Group: "g"}, []any{"g", map[string]any{"k": 1, "scope_ended": true}}},
		"dropped, group": {&logadapters.Options{Group: "g", Ended: logadapters.DropEnded}, []any{"g", map[string]any{"scope_ended": true}}},
	} {
		var out, want recorder
		ref := zerolog.New(&want)
		for way, line := range waysIn(&out, c.opts) {
			s := scope.New("k", 1)
			s.Run(func() {
				line().Msg("m")
				out.take()
			})
			ctx := scope.NewContext(context.Background(), s)
			s.Run(func() {}) // live again, and over
			if way == "the hook" {
				line().Ctx(ctx).Msg("late")
				ref.Info().Fields(c.late).Msg("late")
			} else if scope.Carrier() != "portable" {
				ended, done := make(chan bool), make(chan bool)
				s.Run(func() {
					go func() {
						defer close(done)
						<-ended
						line().Msg("late")
					}()
				})
				close(ended)
				<-done
				child := ref.With().Fields(c.late).Logger()
				child.Info().Msg("late")
			}
			got, want := out.take(), want.take()
			if len(got) != len(want) {
				t.Fatalf("%s, %s: %d lines", name, way, len(got))
			}
			for i := range got {
				if got, want := decode(t, got[i]), decode(t, want[i]); !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %s: got %v, want %v", name, way, got, want)
				}
			}
		}
	}
}

func TestEmptyGroupsAreNotWritten(t *testing.T) {
	var got, want recorder
	ref := zerolog.New(&want)
	s := scope.New("e", []slog.Attr{}, "a", 1, "g", []slog.Attr{slog.Group("inner"), slog.Group("", slog.Int("b", 2)), {}}, "h", []slog.Attr{slog.Group("inner", slog.Group("more"))})
	for way, line := range waysIn(&got, nil) {
		s.Run(func() { line().Msg("m") })
		ref.Info().Int("a", 1).Dict("g", zerolog.Dict().Int("b", 2)).Msg("m")
		wantSame(t, way, &got, &want)
	}
}
