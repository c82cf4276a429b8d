//go:build !binary_log

package zeroh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// wantLines compares what was written, and empties the buffer.
var wantLines = testkit.WantLines

func stamping(w io.Writer, opts *logadapters.Options) zerolog.Logger {
	return zerolog.New(w).Hook(zeroh.New(opts))
}

func TestFieldsComeBehindTheEventsOwnAndBeforeTheMessage(t *testing.T) {
	var out bytes.Buffer
	l := stamping(&out, nil)
	scope.New("a", 1, "b", "two").Run(func() {
		l.Info().Int("own", 3).Msg("m")
		l.Info().Msg("m")
		l.Info().Send()
		l.Log().Msg("")
		l.WithLevel(zerolog.FatalLevel).Msgf("m %d", 1)
		l.Err(errors.New("boom")).MsgFunc(func() string { return "f" })
		l.Print("printed")
	})
	l.Info().Msg("no scope")
	wantLines(t, &out,
		`{"level":"info","own":3,"a":1,"b":"two","message":"m"}`,
		`{"level":"info","a":1,"b":"two","message":"m"}`,
		`{"level":"info","a":1,"b":"two"}`,
		`{"a":1,"b":"two"}`,
		`{"level":"fatal","a":1,"b":"two","message":"m 1"}`,
		`{"level":"error","error":"boom","a":1,"b":"two","message":"f"}`,
		`{"level":"debug","a":1,"b":"two","message":"printed"}`,
		`{"level":"info","message":"no scope"}`)
}

func TestSamplersDecideAsBefore(t *testing.T) {
	lines := func(hooks ...zerolog.Hook) []string {
		var out bytes.Buffer
		l := zerolog.New(&out).Sample(&zerolog.LevelSampler{
			InfoSampler: &zerolog.BasicSampler{N: 3},
			WarnSampler: zerolog.RandomSampler(0), // drops all
		}).Hook(hooks...)
		for i := range 10 {
			l.Info().Int("i", i).Msg("m")
			l.Warn().Msg("never")
			l.Error().Int("i", i).Msg("m")
		}
		return strings.Split(out.String(), "\n")
	}
	want := lines()
	scope.New("k", 1).Run(func() {
		got := lines(zeroh.New(nil))
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
		for i := range got {
			if strings.Replace(got[i], `"k":1,`, "", 1) != want[i] {
				t.Errorf("line %d: %s, want %s", i, got[i], want[i])
			}
		}
		if n := strings.Count(strings.Join(got, ""), `"k":1,`); n != len(want)-1 {
			t.Errorf("%d of %d lines are stamped", n, len(want)-1)
		}
	})
}

func TestALineThatIsNotWrittenResolvesNothing(t *testing.T) {
	var out bytes.Buffer
	v := new(testkit.Counter)
	l := stamping(&out, nil).Level(zerolog.InfoLevel)
	silent := stamping(&out, nil).Sample(zerolog.RandomSampler(0))
	scope.New("v", v).Run(func() {
		l.Debug().Msg("below the level")
		silent.Info().Msg("dropped by the sampler")
		nop := zerolog.Nop().Hook(zeroh.New(nil))
		nop.Info().Msg("disabled")
		l.Info().Discard().Msg("discarded at once")
		if n := v.Count(); n != 0 {
			t.Errorf("resolved %d times for lines that aren't written", n)
		}
		l.Info().Msg("m")
		l.Info().Msg("m")
	})
	wantLines(t, &out, `{"level":"info","v":1,"message":"m"}`, `{"level":"info","v":2,"message":"m"}`)
}

func TestDictsAndChildrenStaySeparate(t *testing.T) {
	var out bytes.Buffer
	l := stamping(&out, nil).With().Str("service", "s").Logger()
	child := l.With().Int("a", 1).Dict("d", zerolog.Dict().Int("x", 1)).Logger()
	scope.New("k", 1, slog.Group("g", slog.Int("a", 1), slog.Group("h", slog.Int("b", 2)), slog.Group("", slog.Int("c", 3)))).Run(func() {
		l.Info().Dict("d", zerolog.Dict().Int("k", 2)).Msg("m")
		child.Info().Array("arr", zerolog.Arr().Int(1)).Msg("m")
	})
	wantLines(t, &out,
		`{"level":"info","service":"s","d":{"k":2},"k":1,"g":{"a":1,"h":{"b":2},"c":3},"message":"m"}`,
		`{"level":"info","service":"s","a":1,"d":{"x":1},"arr":[1],"k":1,"g":{"a":1,"h":{"b":2},"c":3},"message":"m"}`)
}

func TestConsoleWriterShowsTheFields(t *testing.T) {
	var out bytes.Buffer
	l := stamping(zerolog.ConsoleWriter{Out: &out, NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName}}, nil)
	scope.New("request_id", "r-1", "n", 2).Run(func() { l.Warn().Str("own", "x").Msg("hello") })
	wantLines(t, &out, `WRN hello n=2 own=x request_id=r-1`)
}

func TestTheGlobalLoggerStamps(t *testing.T) {
	var out bytes.Buffer
	old := log.Logger
	defer func() { log.Logger = old }()
	log.Logger = log.Output(&out).Hook(zeroh.New(nil)).With().Logger()
	scope.New("k", 1).Run(func() {
		log.Info().Msg("m")
		log.Ctx(log.With().Int("a", 1).Logger().WithContext(context.Background())).Warn().Msg("m")
	})
	for line := range strings.Lines(out.String()) {
		if !strings.Contains(line, `"k":1,`) || !json.Valid([]byte(line)) {
			t.Errorf("got %s", line)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines", n)
	}
}

func TestTheContextOfAnotherTaskIsUsed(t *testing.T) {
	var out bytes.Buffer
	l := stamping(&out, nil)
	mine := scope.New("task", "mine")
	older := scope.NewContext(context.Background(), mine)
	other := scope.NewContext(context.Background(), scope.New("task", "other"))
	attached := l.With().Ctx(other).Logger()
	mine.Run(func() {
		scope.Set("step", 2)
		l.Info().Ctx(other).Msg("m")
		attached.Info().Msg("m")
		l.Info().Ctx(older).Msg("m")
		l.Info().Ctx(context.Background()).Msg("m")
	})
	l.Info().Ctx(other).Msg("m")
	wantLines(t, &out,
		`{"level":"info","task":"other","message":"m"}`, `{"level":"info","task":"other","message":"m"}`,
		`{"level":"info","task":"mine","step":2,"message":"m"}`, `{"level":"info","task":"mine","step":2,"message":"m"}`,
		`{"level":"info","task":"other","message":"m"}`)
}

func TestHooksRunInTheirOrder(t *testing.T) {
	var out bytes.Buffer
	add := func(key string) zerolog.Hook {
		return zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) { e.Bool(key, true) })
	}
	drop := zerolog.HookFunc(func(e *zerolog.Event, level zerolog.Level, _ string) {
		if level == zerolog.WarnLevel {
			e.Discard()
		}
	})
	l := zerolog.New(&out).Hook(add("first"), zeroh.New(nil)).Hook(add("last"), drop)
	dropFirst := zerolog.New(&out).Hook(drop, zeroh.New(nil))
	scope.New("k", 1).Run(func() {
		l.Info().Msg("m")
		l.Warn().Msg("discarded behind")
		dropFirst.Warn().Msg("discarded before")
		dropFirst.Info().Msg("m")
	})
	wantLines(t, &out, `{"level":"info","first":true,"k":1,"last":true,"message":"m"}`, `{"level":"info","k":1,"message":"m"}`)
}

func TestPanicLinesAreStampedAndTakeEffect(t *testing.T) {
	var out bytes.Buffer
	l := stamping(&out, nil)
	defer func() {
		if p := recover(); p != "gone" {
			t.Errorf("panicked with %v", p)
		}
		wantLines(t, &out, `{"level":"panic","k":1,"message":"gone"}`)
	}()
	scope.New("k", 1).Run(func() { l.Panic().Msg("gone") })
}

// The first key goes through RawJSON, all others don't.
func TestAnyKeyMayBeTheFirst(t *testing.T) {
	for _, key := range []string{`"`, `\`, `\"`, `a"b`, `a\`, "new\nline", "\x00\x1f\x7f", "\xff\xfe", "<&>", "\u2028", "ключ", `":`, `":{"x`, " ", "{", strings.Repeat(`"\`, 500)} {
		var got, want bytes.Buffer
		l := stamping(&got, nil)
		scope.New(key, "v\"1", "z", `":{`).Run(func() { l.Info().Msg("m") })
		ref := zerolog.New(&want)
		ref.Info().Fields([]any{key, "v\"1", "z", `":{`}).Msg("m")
		if got.String() != want.String() {
			t.Errorf("key %q:\ngot  %swant %s", key, &got, &want)
		}
		if !json.Valid(got.Bytes()) {
			t.Errorf("key %q: not JSON: %s", key, &got)
		}
		got.Reset()
		want.Reset()
		grouped := stamping(&got, &logadapters.Options{Group: key})
		scope.New(key, 1, "z", 2).Run(func() { grouped.Info().Msg("m") })
		ref.Info().Dict(key, zerolog.Dict().Fields([]any{key, 1, "z", 2})).Msg("m")
		if got.String() != want.String() {
			t.Errorf("group %q:\ngot  %swant %s", key, &got, &want)
		}
	}
}

func TestANilPointerErrorIsNull(t *testing.T) {
	var none *nilPointerError
	var path *os.PathError
	var out bytes.Buffer
	l := stamping(&out, nil)
	for _, s := range []scope.Scope{
		scope.New("err", none, "z", 1),
		scope.New("err", path, "z", 1),
		scope.New("err", error(nil), "z", 1),
	} {
		s.Run(func() { l.Info().Msg("m") })
		wantLines(t, &out, `{"level":"info","err":null,"z":1,"message":"m"}`)
		s.Run(func() { zeroh.For(zerolog.New(&out), nil).Info().Msg("m") })
		wantLines(t, &out, `{"level":"info","err":null,"z":1,"message":"m"}`)
	}
	scope.New("z", 1, "err", none).Run(func() { l.Info().Msg("m") })
	wantLines(t, &out, `{"level":"info","z":1,"err":null,"message":"m"}`)
	scope.New(slog.Group("g", slog.Any("err", none), slog.Int("z", 1))).Run(func() { l.Info().Msg("m") })
	wantLines(t, &out, `{"level":"info","g":{"err":null,"z":1},"message":"m"}`)
	scope.New("errs", []error{none, errors.New("b"), nil}).Run(func() { l.Info().Msg("m") })
	if !json.Valid(out.Bytes()) {
		t.Errorf("not JSON: %s", &out)
	}
}

func TestFirstLinesOfAScopeFromManyGoroutines(t *testing.T) {
	var out bytes.Buffer
	w := zerolog.SyncWriter(&out)
	l, base := stamping(w, nil), zeroh.For(zerolog.New(w), nil)
	const tasks, lines = 20, 8
	for i := range tasks {
		s := scope.New("task", i, "k", 1)
		var start, done sync.WaitGroup
		start.Add(1)
		for j := range lines {
			done.Go(s.Wrap(func() {
				start.Wait()
				if j%2 == 0 {
					l.Info().Int("want", i).Msg("m")
				} else {
					base.Info().Int("want", i).Msg("m")
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

func TestOptionsApply(t *testing.T) {
	s := scope.New("a", 1, "b", 2, "level", "mine", "message", "mine", "time", "mine")
	for _, c := range []struct {
		opts logadapters.Options
		want string
	}{
		{logadapters.Options{}, `"a":1,"b":2`},
		{logadapters.Options{Duplicates: logadapters.ScopeWins}, `"a":1,"b":2`},
		{logadapters.Options{Duplicates: logadapters.KeepBoth}, `"a":1,"b":2,"level":"mine","message":"mine","time":"mine"`},
		{logadapters.Options{Group: "g"}, `"g":{"a":1,"b":2,"level":"mine","message":"mine","time":"mine"}`},
		{logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { a.Key = "x_" + a.Key; return a, a.Value.Kind() == slog.KindInt64 }}, `"x_a":1,"x_b":2`},
		{logadapters.Options{Filter: func(slog.Attr) (slog.Attr, bool) { panic("no") }}, `"a":"!PANIC: no","b":"!PANIC: no"`},
		{logadapters.Options{MaxFields: 1}, `"b":2,"scope_dropped":1`},
	} {
		var out bytes.Buffer
		l, f := stamping(&out, &c.opts), zeroh.For(zerolog.New(&out), &c.opts)
		s.Run(func() {
			l.Info().Msg("m")
			f.Info().Msg("m")
		})
		want := `{"level":"info",` + c.want + `,"message":"m"}`
		wantLines(t, &out, want, want)
	}
}

type panickingObject struct{}

func (panickingObject) MarshalZerologObject(*zerolog.Event) { panic("no object") }

func TestBadValuesSpoilNoLine(t *testing.T) {
	var out bytes.Buffer
	l := stamping(&out, nil)
	for name, v := range map[string]any{
		"MarshalJSON": testkit.PanickingJSON{}, "an object": panickingObject{}, "Error": testkit.PanickingError{}, "String": testkit.PanickingString{},
		"a channel": make(chan int), "a function": func() {},
		"broken strings": []string{"\xff", "\""}, "a hostile map": map[string]any{"\"": testkit.PanickingString{}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range []scope.Scope{scope.New("v", v, "z", 26), scope.New("a", 1, "v", v, "z", 26)} {
				s.Run(func() {
					l.Info().Int("own", 2).Msg("m")
					zeroh.For(zerolog.New(&out), nil).Info().Int("own", 2).Msg("m")
				})
				n := 0
				for line := range strings.Lines(out.String()) {
					n++
					var m map[string]any
					if err := json.Unmarshal([]byte(line), &m); err != nil || m["own"] != 2.0 || m["z"] != 26.0 || m["message"] != "m" {
						t.Errorf("%v: %s", err, line)
					}
				}
				if n != 2 {
					t.Errorf("%d lines: %s", n, &out)
				}
				out.Reset()
			}
		})
	}
}

func TestManyAndLongFieldsAreWrittenWhole(t *testing.T) {
	args := []any{"big", strings.Repeat("x", 1<<20)}
	for i := range 10_000 {
		args = append(args, fmt.Sprint("k", i), i)
	}
	var out bytes.Buffer
	l := stamping(&out, nil)
	scope.New(args...).Run(func() {
		l.Info().Msg("m")
		zeroh.For(zerolog.New(&out), nil).Info().Msg("m")
	})
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if len(m) != 10_003 || m["k9999"] != 9999.0 || len(m["big"].(string)) != 1<<20 {
			t.Errorf("%d keys", len(m))
		}
	}
}
