package zaph_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// A foreign core is one of another package, which lets the core in it decide and encode.
type foreign struct{ zapcore.Core }

func (f foreign) With(fields []zapcore.Field) zapcore.Core { return foreign{f.Core.With(fields)} }

// A writing core is one of another package that writes lines itself.
type writing struct{ zapcore.Core }

func (w writing) With(fields []zapcore.Field) zapcore.Core { return writing{w.Core.With(fields)} }

func (w writing) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if w.Enabled(ent.Level) {
		return ce.AddCore(ent, w)
	}
	return ce
}

// allWays returns core in the ways of ways, and in cores of other packages. Nothing is known of
// the keys that the encoders in these write.
func allWays(core zapcore.Core) map[string]zapcore.Core {
	all := ways(core)
	all["foreign"] = foreign{core}
	all["writing"] = writing{core}
	return all
}

func TestSameBytesAroundCoresOfEveryKind(t *testing.T) {
	console := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	encoders := map[string]zapcore.Encoder{"json": conformantEncoder(), "console": console}
	for name := range allWays(zapcore.NewNopCore()) {
		for format, enc := range encoders {
			t.Run(name+" "+format, func(t *testing.T) {
				a := conformanceOf(enc, func(c zapcore.Core) zapcore.Core {
					if name == "sampler" {
						return zapcore.NewSamplerWithOptions(c, time.Second, 1e9, 1)
					}
					return allWays(c)[name]
				})
				if name == "foreign" || name == "writing" {
					a.Own = nil
				}
				adaptertest.RunGenerated(t, a, 500)
			})
		}
	}
}

func conformantEncoder() zapcore.Encoder {
	return zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
}

func TestASamplerInsideAnotherPackagesCoreCountsEachLineOnce(t *testing.T) {
	other := zaph.Context(scope.NewContext(context.Background(), scope.New("k", "other")))
	inline := zap.Inline(objectOf{"k": 2})
	for name, wrap := range map[string]func(zapcore.Core) zapcore.Core{
		"foreign":          func(c zapcore.Core) zapcore.Core { return foreign{c} },
		"foreign in a tee": func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(foreign{c}, zapcore.NewNopCore()) },
		"filtered":         filtered,
		"lazy":             func(c zapcore.Core) zapcore.Core { return zapcore.NewLazyWith(c, nil) },
	} {
		for _, namespace := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " namespace ", namespace), func(t *testing.T) {
				run := func(adapt func(zapcore.Core) zapcore.Core) (decisions []string, lines int) {
					var out sink
					hook := zapcore.SamplerHook(func(e zapcore.Entry, d zapcore.SamplingDecision) {
						decisions = append(decisions, fmt.Sprint(e.Message, d))
					})
					l := zap.New(adapt(wrap(zapcore.NewSamplerWithOptions(jsonCore(&out, zap.InfoLevel), time.Second, 4, 2, hook))), zap.WithClock(stopped{}))
					if namespace {
						l = l.With(zap.Namespace("ns"))
					}
					for range 10 {
						l.Info("plain")
						l.Info("repeats", zap.Int("k", 1))
						l.Info("inline", inline)
						l.Info("other", other)
						l.Debug("hidden")
					}
					return decisions, strings.Count(out.String(), "\n")
				}
				wantDecisions, wantLines := run(func(c zapcore.Core) zapcore.Core { return c })
				scope.New("k", 1).Run(func() {
					decisions, lines := run(func(c zapcore.Core) zapcore.Core { return zaph.New(c, nil) })
					if !slices.Equal(decisions, wantDecisions) || lines != wantLines {
						t.Errorf("%d lines, want %d; decisions\n%q\nwant\n%q", lines, wantLines, decisions, wantDecisions)
					}
				})
			})
		}
	}
}

// A mutatingCore changes the fields it is given, and keeps the list.
type mutatingCore struct {
	zapcore.Core
	kept *[][]zapcore.Field
}

func (c mutatingCore) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(ent, c)
}

func (c mutatingCore) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	err := c.Core.Write(ent, fields)
	for i := range fields {
		fields[i] = zap.String("changed", ent.Message)
	}
	*c.kept = append(*c.kept, fields)
	return err
}

func TestACoreThatChangesAndKeepsItsFieldsChangesNoOtherLine(t *testing.T) {
	var out sink
	var kept [][]zapcore.Field
	l := zap.New(zaph.New(mutatingCore{jsonCore(&out, zap.InfoLevel), &kept}, nil))
	inside := l.With(zap.Namespace("ns"), zap.Int("n", 1), zap.Object("o", objectOf{"b": 2}))
	scope.New("a", 1, "g", map[string]int{"x": 1}).Run(func() {
		for i := range 3 {
			l.Info(fmt.Sprint(i))
			inside.Info(fmt.Sprint(i), zap.Int("own", i))
			wantLines(t, &out, fmt.Sprintf(`{"level":"info","msg":"%d","a":1,"g":{"x":1}}`, i),
				fmt.Sprintf(`{"level":"info","msg":"%d","a":1,"g":{"x":1},"ns":{"n":1,"o":{"b":2},"own":%d}}`, i, i))
		}
	})
	for i, fields := range kept {
		for _, f := range fields {
			if want := fmt.Sprint(i / 2); f.String != want {
				t.Errorf("a list that was kept has a field of line %s, want %s", f.String, want)
			}
		}
	}
}

func TestAnObserverSeesNothingButTheStamp(t *testing.T) {
	err := errors.New("e")
	lines := func(l *zap.Logger) {
		l.Debug("hidden")
		l.Info("m", zap.Int("own", 1), zap.Error(err), zap.Inline(objectOf{"i": 1}), zap.Any("m", map[string]int{"a": 1}))
		l.With(zap.Error(err), zap.Inline(objectOf{"j": 1}), zap.Skip()).Warn("w", zap.Stringer("s", zap.InfoLevel))
		l.Named("n").With(zap.Namespace("ns"), zap.String("a", "in")).Error("e", zap.String("b", "in"))
		l.Info("last", zap.Namespace("ns"), zap.Int("x", 1))
	}
	observe := func(adapt bool) (all []observer.LoggedEntry) {
		core, logs := observer.New(zap.InfoLevel)
		if adapt {
			core = zaph.New(core, nil)
		}
		lines(zap.New(core))
		return logs.AllUntimed()
	}
	check := func(got, want []observer.LoggedEntry) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("got\n%+v\nwant\n%+v", got[i], want[i])
			}
		}
	}
	want := observe(false)
	check(observe(true), want) // with nothing bound

	scope.New("k", 1).Run(func() {
		got := observe(true)
		for i := range got {
			at := slices.IndexFunc(got[i].Context, func(f zap.Field) bool { return f.Key == "k" && f.Integer == 1 })
			if at < 0 {
				t.Fatalf("line %d isn't stamped: %+v", i, got[i])
			}
			got[i].Context = slices.Delete(slices.Clone(got[i].Context), at, at+1)
			if i == 0 || i == 1 {
				// What an inlined object puts is looked at, on a line that has one.
				continue
			}
			check(got[i:i+1], want[i:i+1])
		}
		for i := range got {
			if !slices.Equal(keysOfMap(got[i].ContextMap()), keysOfMap(want[i].ContextMap())) {
				t.Errorf("got %v, want %v", got[i].ContextMap(), want[i].ContextMap())
			}
		}
	})
}

func keysOfMap(m map[string]any) (keys []string) {
	for k, v := range m {
		keys = append(keys, fmt.Sprint(k, "=", v))
	}
	slices.Sort(keys)
	return keys
}

func TestTheKeysOfAnotherPackagesCoreAreNotGuessed(t *testing.T) {
	var out sink
	l := zap.New(zaph.New(foreign{zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "text"}), &out, zap.InfoLevel)}, nil))
	scope.New("msg", "mine", "level", "mine", "ts", "mine").Run(func() { l.Info("m") })
	wantLines(t, &out, `{"text":"m","msg":"mine","level":"mine","ts":"mine"}`)
}

func TestWhatIsAttachedBeforeWrappingIsSeen(t *testing.T) {
	var out sink
	for _, enc := range []zapcore.Encoder{
		zapcore.NewJSONEncoder(encoderConfig()),
		zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "text"}),
	} {
		core := zapcore.NewCore(enc, &out, zap.InfoLevel)
		attached := core.With([]zap.Field{
			zap.String("app", `a"b`), zap.Any("o", map[string]any{"in": []int{1}, "n": nil}), zap.Bool("t", true), zap.Int(`q"uote`, 1),
		})
		for name, c := range allWays(attached) {
			if name == "foreign" || name == "writing" {
				continue // not seen
			}
			scope.New("app", "mine", "o", "mine", "in", "mine", `q"uote`, "mine", "z", 1).Run(func() { zap.New(zaph.New(c, nil)).Info("m") })
			got := out.String()
			out.Reset()
			i := strings.Index(got, "{")
			m := keysOf(t, []byte(got[i:]))
			if m["app"] != `a"b` || m["in"] != "mine" || m["o"] == "mine" || m[`q"uote`] != 1.0 || m["z"] != 1.0 {
				t.Errorf("%s: got %s", name, got)
			}
		}

		// In a namespace that is open, it is what is in there that counts.
		inside := attached.With([]zap.Field{zap.Namespace("ns"), zap.Int("b", 1), zap.Namespace("deep"), zap.Int("c", 2)})
		scope.New("app", "mine", "b", "mine", "c", "mine", "msg", "mine").Run(func() { zap.New(zaph.New(inside, nil)).Info("m") })
		if !bytes.HasSuffix(bytes.ReplaceAll(out.Bytes(), []byte(" "), nil), []byte(`"ns":{"b":1,"deep":{"c":2,"app":"mine","b":"mine","msg":"mine"}}}`+"\n")) {
			t.Errorf("got %s", out.String())
		}
		out.Reset()
	}
	lazy := zap.New(jsonCore(&out, zap.InfoLevel)).WithLazy(zap.Int("a", 1), zap.Skip())
	scope.New("a", "mine", "z", 1).Run(func() { lazy.WithOptions(zaph.WrapCore(nil)).Info("m") })
	wantLines(t, &out, `{"level":"info","msg":"m","a":1,"z":1}`)
	scope.New("a", "mine", "msg", "mine").Run(func() {
		lazy.WithLazy(zap.Namespace("ns"), zap.Int("b", 1)).WithOptions(zaph.WrapCore(nil)).Info("m")
	})
	wantLines(t, &out, `{"level":"info","msg":"m","a":1,"ns":{"b":1,"a":"mine","msg":"mine"}}`)
}

func TestInitialFieldsAppearOnce(t *testing.T) {
	cfg := zap.NewProductionConfig()
	cfg.InitialFields = map[string]any{"service": "shop", "version": 3}
	path := t.TempDir() + "/log"
	cfg.OutputPaths = []string{path}
	l, err := cfg.Build(zaph.WrapCore(nil))
	if err != nil {
		t.Fatal(err)
	}
	scope.New("service", "mine", "request_id", "r-1").Run(func() { l.Info("m") })
	text := readFile(t, path)
	if m := keysOf(t, text); m["service"] != "shop" || m["version"] != 3.0 || m["request_id"] != "r-1" {
		t.Errorf("got %s", text)
	}
}

func TestAnAdapterOverAnAdapterStampsOnce(t *testing.T) {
	var out sink
	for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
		for _, opts := range []*logadapters.Options{nil, {Duplicates: logadapters.ScopeWins}, {Duplicates: logadapters.KeepBoth}} {
			once := zaph.New(core, opts)
			if twice := zaph.New(once, opts); name == "plain" && twice != once {
				t.Error("New returned another core")
			}
			l := zap.New(once, zaph.WrapCore(opts)).With(zap.Int("a", 2)).WithOptions(zaph.WrapCore(opts))
			scope.New("k", 1).Run(func() { l.Info("m", zap.Int("own", 3)) })
			wantLines(t, &out, `{"level":"info","msg":"m","a":2,"k":1,"own":3}`)
		}
	}
}

// A changing core changes the entry in Check, as one that hides parts of messages may.
type changing struct{ zapcore.Core }

func (c changing) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	ent.Message = "changed " + ent.Message
	return c.Core.Check(ent, ce)
}

func TestWhatACoreChangesInCheckIsWritten(t *testing.T) {
	var out sink
	l := zap.New(zaph.New(changing{jsonCore(&out, zap.InfoLevel)}, nil))
	l.Info("bare")
	scope.New("k", 1).Run(func() { l.Info("stamped") })
	wantLines(t, &out, `{"level":"info","msg":"changed bare"}`, `{"level":"info","msg":"changed stamped","k":1}`)
}

// A core that reports errors, say, looks for them in the scope's fields too.
func TestACoreOfAnotherPackageSeesTheScopesErrors(t *testing.T) {
	seen, lines := observer.New(zap.InfoLevel)
	l := zap.New(zaph.New(writing{seen}, nil))
	scope.New("err", errLuck).Run(func() {
		l.Info("m")
		scope.Set("k", 1)
		l.Info("m")
	})
	for _, line := range lines.All() {
		if f := line.Context[0]; f.Type != zapcore.ErrorType || f.Interface != errLuck {
			t.Errorf("it gets %+v", f)
		}
	}
}

// A printing encoder shows a value as fmt does, in quotes.
type printing struct{ w io.Writer }

func (p printing) Encode(v any) error {
	_, err := fmt.Fprintf(p.w, "%q\n", fmt.Sprint(v))
	return err
}

func TestAReflectedEncoderOfTheProgramGetsWhatWithWasGiven(t *testing.T) {
	cfg := encoderConfig()
	cfg.NewReflectedEncoder = func(w io.Writer) zapcore.ReflectedEncoder { return printing{w} }
	for way := range allWays(zapcore.NewNopCore()) {
		var out sink
		l := zap.New(zaph.New(allWays(zapcore.NewCore(zapcore.NewJSONEncoder(cfg), &out, zap.InfoLevel))[way], nil))
		l = l.With(zap.Namespace("n"), zap.Any("v", map[string]int{"a": 1}))
		scope.New("k", struct{ N int }{7}).Run(func() { l.Info(way) })
		wantLines(t, &out, `{"level":"info","msg":"`+way+`","k":"{7}","n":{"v":"map[a:1]"}}`)
	}
}

// A waiting core's lines wait for a slow writer.
type waiting struct {
	foreign
	writer <-chan struct{}
	lines  *sync.WaitGroup // that have yet to arrive
}

func (w waiting) With([]zapcore.Field) zapcore.Core { panic("fields are put in front of each line") }

func (w waiting) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(ent, w)
}

func (w waiting) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	w.lines.Done()
	<-w.writer
	return w.foreign.Write(ent, fields)
}

func TestLinesThatWaitForASlowWriterAreStamped(t *testing.T) {
	const lines = 2000
	if runtime.GOARCH == "wasm" {
		t.Skip("the limit is lower: see internal/memo")
	}
	var out zaptest.Buffer
	writer := make(chan struct{})
	var arriving, writing sync.WaitGroup
	arriving.Add(lines)
	core := zapcore.NewCore(conformantEncoder(), zapcore.Lock(&out), zap.InfoLevel)
	l := zap.New(zaph.New(waiting{foreign{core}, writer, &arriving}, nil))
	for range lines {
		writing.Go(func() {
			scope.New("request_id", "r-1", "any", struct{ N int }{1}).Run(func() { l.Info("slow") })
		})
	}
	arriving.Wait()
	close(writer)
	writing.Wait()
	if n := strings.Count(out.String(), `"request_id":"r-1","any":{"N":1}`); n != lines {
		t.Errorf("%d of %d lines are stamped", n, lines)
	}
}

type marshaler func()

func (m marshaler) MarshalJSON() ([]byte, error) { m(); return []byte("1"), nil }

// A value that logs with the context of a scope, and hides that it does so, ends all the same.
func TestAValueOfALineThatRunsAwayEnds(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector makes it take long")
	}
	l := zap.New(zaph.New(writing{zapcore.NewCore(conformantEncoder(), zapcore.AddSync(io.Discard), zap.InfoLevel)}, nil))
	var ctx context.Context
	called := 0
	s := scope.New("v", map[string]any{"a": marshaler(func() {
		called++
		pprof.Do(context.Background(), pprof.Labels("a", "b"), func(context.Context) { // the goroutine's scope is lost
			for range 2 { // each of them would lead to two more
				l.Info("inner", zaph.Context(ctx))
			}
		})
	})})
	ctx = scope.NewContext(t.Context(), s)
	s.Run(func() {
		for range 2 {
			l.Info("outer")
		}
	})
	if called < 2 || called > 1_000_000 {
		t.Errorf("MarshalJSON was called %d times", called)
	}
}
