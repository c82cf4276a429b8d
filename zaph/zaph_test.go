package zaph_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// A sink is a buffer that knows how often it was synced, and fails if err is set.
type sink struct {
	bytes.Buffer
	syncs int
	err   error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.Buffer.Write(p)
}

func (s *sink) Sync() error { s.syncs++; return nil }

// encoderConfig is that of production, without the time.
func encoderConfig() zapcore.EncoderConfig {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey = zapcore.OmitKey
	return cfg
}

func jsonCore(w zapcore.WriteSyncer, level zapcore.LevelEnabler) zapcore.Core {
	return zapcore.NewCore(zapcore.NewJSONEncoder(encoderConfig()), w, level)
}

// filtered returns core in a core of zap's that can't be seen through.
func filtered(core zapcore.Core) zapcore.Core {
	f, err := zapcore.NewIncreaseLevelCore(core, zapcore.LevelOf(core))
	if err != nil {
		panic(err)
	}
	return f
}

// ways returns core itself and in cores that keep all of its lines. An adapter treats
// them differently; the lines must be the same.
func ways(core zapcore.Core) map[string]zapcore.Core {
	return map[string]zapcore.Core{
		"plain":    core,
		"tee":      zapcore.NewTee(core, zapcore.NewNopCore()),
		"sampler":  zapcore.NewSamplerWithOptions(core, time.Second, 1000, 1),
		"hooks":    zapcore.RegisterHooks(core),
		"filtered": filtered(core),
		"lazy":     zapcore.NewLazyWith(core, nil),
	}
}

// wantLines compares what was written, and empties the buffer.
var wantLines = testkit.WantLines

// keysOf reads one line. No object in it may have a key twice.
var keysOf = testkit.ParseJSON

func TestNewPanicsForANilCoreAndNamesIt(t *testing.T) {
	defer func() {
		if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "zaph.New: core,") {
			t.Errorf("panic: %s", p)
		}
	}()
	zaph.New(nil, nil)
}

func TestEachSinkOfATeeGetsItsLinesStamped(t *testing.T) {
	var all, errs sink
	l := zap.New(zaph.New(zapcore.NewTee(
		jsonCore(&all, zap.DebugLevel),
		jsonCore(&errs, zap.ErrorLevel),
	), nil))
	ctx := scope.NewContext(context.Background(), scope.New("k", "other"))
	scope.New("k", 1).Run(func() {
		l.Info("plain")
		wantLines(t, &all, `{"level":"info","msg":"plain","k":1}`)
		l.Info("repeats", zap.Int("k", 2))
		wantLines(t, &all, `{"level":"info","msg":"repeats","k":2}`)
		l.Info("other", zaph.Context(ctx))
		wantLines(t, &all, `{"level":"info","msg":"other","k":"other"}`)
		wantLines(t, &errs)

		l.Error("plain")
		l.Error("repeats", zap.Int("k", 2))
		l.With(zap.Int("a", 3)).Error("other", zaph.Context(ctx))
		for _, s := range []*sink{&all, &errs} {
			wantLines(t, s, `{"level":"error","msg":"plain","k":1}`,
				`{"level":"error","msg":"repeats","k":2}`,
				`{"level":"error","msg":"other","a":3,"k":"other"}`)
		}
	})
	l.Info("no scope")
	wantLines(t, &all, `{"level":"info","msg":"no scope"}`)
	wantLines(t, &errs)
}

// exactly lets one level through, which no threshold can.
type exactly zapcore.Level

func (e exactly) Enabled(l zapcore.Level) bool { return l == zapcore.Level(e) }

func TestATeeOfTeesAndWrappedCoresKeepsItsLevels(t *testing.T) {
	var debug, info, warn sink
	raised, err := zapcore.NewIncreaseLevelCore(jsonCore(&warn, zap.DebugLevel), zap.WarnLevel)
	if err != nil {
		t.Fatal(err)
	}
	l := zap.New(zaph.New(zapcore.NewTee(
		zapcore.NewTee(jsonCore(&debug, exactly(zap.DebugLevel)), jsonCore(&info, exactly(zap.InfoLevel))),
		raised,
	), nil))
	scope.New("k", 1).Run(func() {
		for _, fields := range [][]zap.Field{nil, {zap.Int("k", 2)}} {
			for _, level := range []zapcore.Level{zap.DebugLevel, zap.InfoLevel, zap.WarnLevel} {
				l.Log(level, "m", fields...)
			}
		}
	})
	wantLines(t, &debug, `{"level":"debug","msg":"m","k":1}`, `{"level":"debug","msg":"m","k":2}`)
	wantLines(t, &info, `{"level":"info","msg":"m","k":1}`, `{"level":"info","msg":"m","k":2}`)
	wantLines(t, &warn, `{"level":"warn","msg":"m","k":1}`, `{"level":"warn","msg":"m","k":2}`)
}

// stopped is a clock that stands still, so that a sampler's tick never passes.
type stopped struct{}

func (stopped) Now() time.Time                         { return time.Unix(1_700_000_000, 0) }
func (stopped) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

func TestASamplerCountsAsWithoutTheAdapter(t *testing.T) {
	other := scope.NewContext(context.Background(), scope.New("request_id", "other"))
	lines := func(l *zap.Logger) {
		named, child := l.Named("n"), l.With(zap.Int("a", 1))
		for range 12 {
			l.Info("plain")
			l.Info("repeats", zap.Int("request_id", 2))
			l.Info("other task", zaph.Context(other))
			l.Info("both", zaph.Context(other), zap.Int("request_id", 2))
			named.Info("named")
			child.Info("child")
			child.Info("child repeats", zap.Int("request_id", 2))
			l.WithLazy(zap.Int("request_id", 3)).Info("lazy")
			l.Debug("below the level")
		}
	}
	for name, wrap := range map[string]func(zapcore.Core) zapcore.Core{
		"a sampler": func(c zapcore.Core) zapcore.Core { return c },
		"hooks around it": func(c zapcore.Core) zapcore.Core {
			return zapcore.RegisterHooks(c, func(zapcore.Entry) error { return nil })
		},
		"a sampler around it": func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Second, 4, 3)
		},
	} {
		for _, bound := range []scope.Scope{
			scope.New("request_id", "mine", "logger", "mine"),
			scope.New("request_id", "mine", "v", new(testkit.Counter)), // made anew for each line
			{},
		} {
			t.Run(fmt.Sprintf("%s, %d fields", name, bound.Len()), func(t *testing.T) {
				run := func(adapt func(zapcore.Core) zapcore.Core) (decisions, written []string) {
					var out sink
					hook := zapcore.SamplerHook(func(e zapcore.Entry, d zapcore.SamplingDecision) {
						decisions = append(decisions, fmt.Sprint(e.Message, " ", d))
					})
					core := zapcore.NewSamplerWithOptions(jsonCore(&out, zap.InfoLevel), time.Second, 2, 3, hook)
					lines(zap.New(adapt(wrap(core)), zap.WithClock(stopped{})))
					for line := range strings.Lines(out.String()) {
						written = append(written, fmt.Sprint(keysOf(t, []byte(line))["msg"]))
					}
					return decisions, written
				}
				wantDecisions, wantWritten := run(func(c zapcore.Core) zapcore.Core { return c })
				var gotDecisions, gotWritten []string
				bound.Run(func() {
					gotDecisions, gotWritten = run(func(c zapcore.Core) zapcore.Core { return zaph.New(c, nil) })
				})
				if !slices.Equal(gotDecisions, wantDecisions) {
					t.Errorf("decisions of the sampler:\ngot  %q\nwant %q", gotDecisions, wantDecisions)
				}
				if !slices.Equal(gotWritten, wantWritten) {
					t.Errorf("lines written:\ngot  %q\nwant %q", gotWritten, wantWritten)
				}
			})
		}
	}
}

func TestALineThatIsNotWrittenResolvesNothing(t *testing.T) {
	var out sink
	v := new(testkit.Counter)
	plain := zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), nil))
	sampled := zap.New(zaph.New(zapcore.NewSamplerWithOptions(jsonCore(&out, zap.InfoLevel), time.Second, 1, 0), nil), zap.WithClock(stopped{}))
	scope.New("v", v).Run(func() {
		plain.Debug("below the level")
		sampled.Debug("below the level")
		if n := v.Count(); n != 0 {
			t.Errorf("resolved %d times for lines below the level", n)
		}
		sampled.Info("once")
		n := v.Count()
		for range 10 {
			sampled.Info("once")
		}
		if more := v.Count() - n; more != 0 {
			t.Errorf("resolved %d times for lines that the sampler dropped", more)
		}
	})
}

func TestIncreaseLevelWorksOnEitherSide(t *testing.T) {
	var out sink
	core := jsonCore(&out, zap.DebugLevel)
	for name, l := range map[string]*zap.Logger{
		"inside":  zap.New(core, zap.IncreaseLevel(zap.WarnLevel), zaph.WrapCore(nil)),
		"outside": zap.New(core, zaph.WrapCore(nil), zap.IncreaseLevel(zap.WarnLevel)),
	} {
		t.Run(name, func(t *testing.T) {
			scope.New("k", 1).Run(func() {
				l.Info("hidden")
				l.Info("hidden", zap.Int("k", 2))
				l.Warn("shown")
				l.With(zap.Int("a", 2)).Warn("shown", zap.Int("k", 2))
			})
			wantLines(t, &out, `{"level":"warn","msg":"shown","k":1}`, `{"level":"warn","msg":"shown","a":2,"k":2}`)
			if l.Level() != zap.WarnLevel || zapcore.LevelOf(l.Core()) != zap.WarnLevel {
				t.Errorf("the level is %v", l.Level())
			}
			if l.Core().Enabled(zap.InfoLevel) {
				t.Error("enabled below the level")
			}
		})
	}
}

func TestTheLevelIsThatOfTheWrappedCore(t *testing.T) {
	level := zap.NewAtomicLevelAt(zap.ErrorLevel)
	var out sink
	l := zap.New(jsonCore(&out, level), zaph.WrapCore(nil))
	child := l.With(zap.Int("a", 1))
	for _, set := range []zapcore.Level{zap.ErrorLevel, zap.DebugLevel, zap.WarnLevel} {
		level.SetLevel(set)
		if l.Level() != set || zapcore.LevelOf(child.Core()) != set {
			t.Errorf("the level is %v, the child's %v, want %v", l.Level(), child.Level(), set)
		}
	}
	tee := zaph.New(zapcore.NewTee(jsonCore(&out, zap.ErrorLevel), jsonCore(&out, zap.InfoLevel)), nil)
	if got := zapcore.LevelOf(tee); got != zap.InfoLevel {
		t.Errorf("the level of a tee is %v", got)
	}
	if got := zapcore.LevelOf(zaph.New(zapcore.NewNopCore(), nil)); got != zapcore.InvalidLevel {
		t.Errorf("the level of no core is %v", got)
	}
}

func TestHooksRunOnceForEachLineOnEitherSide(t *testing.T) {
	for _, inside := range []bool{true, false} {
		var out sink
		var seen []string
		hooks := zap.Hooks(func(e zapcore.Entry) error { seen = append(seen, e.Message); return nil })
		opts := []zap.Option{zaph.WrapCore(nil), hooks}
		if inside {
			slices.Reverse(opts)
		}
		l := zap.New(jsonCore(&out, zap.InfoLevel), opts...)
		ctx := scope.NewContext(context.Background(), scope.New("k", "other"))
		scope.New("k", 1).Run(func() {
			l.Debug("hidden")
			l.Info("plain")
			l.Info("repeats", zap.Int("k", 2))
			l.Info("other", zaph.Context(ctx))
			l.With(zap.Int("a", 1)).Info("child")
		})
		if want := []string{"plain", "repeats", "other", "child"}; !slices.Equal(seen, want) {
			t.Errorf("hooks inside: %v: saw %q, want %q", inside, seen, want)
		}
		wantLines(t, &out, `{"level":"info","msg":"plain","k":1}`, `{"level":"info","msg":"repeats","k":2}`,
			`{"level":"info","msg":"other","k":"other"}`, `{"level":"info","msg":"child","a":1,"k":1}`)
	}
}

func TestWithLazyIsLazyAndSeenForDuplicates(t *testing.T) {
	var out sink
	for name, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		encoded := 0
		lazy := zap.Object("lazy", zapcore.ObjectMarshalerFunc(func(zapcore.ObjectEncoder) error { encoded++; return nil }))
		l := zap.New(zaph.New(core, nil)).WithLazy(lazy, zap.Int("k", 2))
		scope.New("k", 1, "z", 3).Run(func() {
			l.Debug("hidden")
			if encoded != 0 {
				t.Errorf("%s: the fields were encoded before the first line", name)
			}
			l.Info("m")
		})
		wantLines(t, &out, `{"level":"info","msg":"m","lazy":{},"k":2,"z":3}`)
	}
}

func TestASugaredLoggerStamps(t *testing.T) {
	var out sink
	l := zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), nil)).Sugar()
	scope.New("k", 1).Run(func() {
		l.Infof("hello %d", 1)
		l.Infow("pairs", "a", 2, "k", 3)
		l.Info("spread ", "out")
		l.Infoln("a", "line")
		l.With("b", 4).Infow("child")
		l.Debugf("hidden %d", 1)
	})
	wantLines(t, &out, `{"level":"info","msg":"hello 1","k":1}`, `{"level":"info","msg":"pairs","a":2,"k":3}`,
		`{"level":"info","msg":"spread out","k":1}`, `{"level":"info","msg":"a line","k":1}`,
		`{"level":"info","msg":"child","b":4,"k":1}`)
}

// helper logs for its caller.
func helper(l *zap.Logger) { l.WithOptions(zap.AddCallerSkip(1)).Info("m") }

func TestCallerAndStackAreThoseOfTheCall(t *testing.T) {
	var out sink
	for name, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			l := zap.New(core, zaph.WrapCore(nil), zap.AddCaller(), zap.AddStacktrace(zap.ErrorLevel))
			check := func(way string, line int) {
				t.Helper()
				m := keysOf(t, out.Bytes())
				if want := fmt.Sprintf("zaph/zaph_test.go:%d", line); m["caller"] != want {
					t.Errorf("%s: the caller is %v, want %s", way, m["caller"], want)
				}
				stack, _ := m["stacktrace"].(string)
				hasStack := stack != "" && stack != "mine"
				if hasStack != (m["level"] == "error") {
					t.Errorf("%s: the stack is %q", way, stack)
				}
				if first, _, _ := strings.Cut(stack, "\n"); hasStack && !strings.HasPrefix(first, "github.com/taskscope/taskscope/zaph_test.TestCallerAndStackAreThoseOfTheCall") {
					t.Errorf("%s: the stack begins with %s", way, first)
				}
				out.Reset()
			}
			here := func() int { _, _, line, _ := runtime.Caller(1); return line + 1 }
			lines := func() {
				n := here()
				l.Info("m")
				check("a line", n)
				n = here()
				l.Error("m")
				check("an error", n)
				n = here()
				l.Error("m", zap.Int("k", 2))
				check("a line that repeats a key", n)
				n = here()
				l.Sugar().Errorw("m", "a", 1)
				check("sugar", n)
				n = here()
				helper(l)
				check("AddCallerSkip", n)
			}
			scope.New("k", 1).Run(lines)
			scope.New("k", 1, "caller", "mine", "stacktrace", "mine").Run(lines)
		})
	}
}

func TestNameCallerAndStackKeysAreFreeOnLinesWithoutThem(t *testing.T) {
	var out sink
	s := scope.New("logger", "mine", "caller", "mine", "stacktrace", "mine")
	for name, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			check := func(l *zap.Logger, own ...string) {
				t.Helper()
				s.Run(func() { l.Info("m") })
				m := keysOf(t, out.Bytes())
				for _, key := range []string{"logger", "caller", "stacktrace"} {
					if mine := m[key] == "mine"; m[key] == nil || mine == slices.Contains(own, key) {
						t.Errorf("%s is %v on %s", key, m[key], out.String())
					}
				}
				out.Reset()
			}
			l := zap.New(core, zaph.WrapCore(nil))
			check(l)
			check(l.Named("n"), "logger")
			check(l.WithOptions(zap.AddCaller()), "caller")
			check(l.WithOptions(zap.AddCaller(), zap.AddStacktrace(zap.InfoLevel)).Named("n"), "logger", "caller", "stacktrace")
		})
	}
}

func TestTheConfiguredKeysAreTheEncodersOwn(t *testing.T) {
	cfg := zapcore.EncoderConfig{
		MessageKey: "message", LevelKey: "", TimeKey: "@timestamp", NameKey: "name", CallerKey: zapcore.OmitKey,
		EncodeLevel: zapcore.LowercaseLevelEncoder, EncodeTime: zapcore.EpochTimeEncoder, EncodeDuration: zapcore.SecondsDurationEncoder,
	}
	s := scope.New("message", "mine", "msg", "mine", "level", "mine", "ts", "mine", "@timestamp", "mine", "name", "mine", "logger", "mine", "caller", "mine")
	var out sink
	for name, c := range ways(zapcore.NewCore(zapcore.NewJSONEncoder(cfg), &out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			for _, dup := range []logadapters.Duplicates{logadapters.EventWins, logadapters.ScopeWins} {
				l := zap.New(c, zaph.WrapCore(&logadapters.Options{Duplicates: dup}), zap.AddCaller()).Named("n")
				s.Run(func() { l.Info("m") })
				m := keysOf(t, out.Bytes())
				for key, mine := range map[string]bool{
					"message": false, "@timestamp": false, "name": false,
					"msg": true, "level": true, "ts": true, "logger": true, "caller": true,
				} {
					if m[key] == nil || (m[key] == "mine") != mine {
						t.Errorf("%s is %v", key, m[key])
					}
				}
				out.Reset()
			}
		})
	}
}

func TestSyncReachesTheSink(t *testing.T) {
	var a, b sink
	l := zap.New(zaph.New(zapcore.NewTee(jsonCore(&a, zap.InfoLevel), jsonCore(&b, zap.InfoLevel)), nil))
	if err := l.With(zap.Int("a", 1)).Sync(); err != nil || a.syncs != 1 || b.syncs != 1 {
		t.Errorf("%v, %d and %d syncs", err, a.syncs, b.syncs)
	}
	if err := zap.New(zaph.New(jsonCore(&a, zap.InfoLevel), nil)).Sync(); err != nil || a.syncs != 2 {
		t.Errorf("%v, %d syncs", err, a.syncs)
	}
}

func TestWriteErrorsReachTheErrorOutputAsWithoutTheAdapter(t *testing.T) {
	full := &sink{err: errors.New("disk full")}
	for name, core := range map[string]zapcore.Core{
		"plain":    jsonCore(full, zap.InfoLevel),
		"tee":      zapcore.NewTee(jsonCore(full, zap.InfoLevel), jsonCore(full, zap.InfoLevel)),
		"sampler":  zapcore.NewSamplerWithOptions(jsonCore(full, zap.InfoLevel), time.Second, 100, 100),
		"hooks":    zapcore.RegisterHooks(jsonCore(full, zap.InfoLevel), func(zapcore.Entry) error { return errors.New("hook failed") }),
		"filtered": filtered(zapcore.NewTee(jsonCore(full, zap.InfoLevel), jsonCore(full, zap.InfoLevel))),
	} {
		t.Run(name, func(t *testing.T) {
			run := func(c zapcore.Core) string {
				var errs sink
				l := zap.New(c, zap.ErrorOutput(&errs), zap.WithClock(stopped{}))
				l.Info("m")
				l.Info("m", zap.Int("k", 2))
				return errs.String()
			}
			want := run(core)
			scope.New("k", 1).Run(func() {
				if got := run(zaph.New(core, nil)); got != want {
					t.Errorf("got\n%swant\n%s", got, want)
				}
			})
		})
	}
}

// A core that is used without a Logger gives its caller the error itself.
func TestWriteReturnsTheErrorOfTheSink(t *testing.T) {
	full := &sink{err: errors.New("disk full")}
	for _, core := range []zapcore.Core{jsonCore(full, zap.InfoLevel), zapcore.NewTee(jsonCore(full, zap.InfoLevel), zapcore.NewNopCore())} {
		scope.New("k", 1).Run(func() {
			c := zaph.New(core, nil)
			for _, fields := range [][]zap.Field{nil, {zap.Int("k", 2)}} {
				if err := c.Write(zapcore.Entry{Message: "m"}, fields); !errors.Is(err, full.err) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

func TestReplaceGlobalsStamps(t *testing.T) {
	var out sink
	defer zap.ReplaceGlobals(zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), nil)))()
	scope.New("k", 1).Run(func() {
		zap.L().Info("L")
		zap.S().Infow("S", "a", 2)
		zap.NewStdLog(zap.L()).Printf("std %d", 3)
	})
	wantLines(t, &out, `{"level":"info","msg":"L","k":1}`, `{"level":"info","msg":"S","k":1,"a":2}`, `{"level":"info","msg":"std 3","k":1}`)
}

func TestCheckedEntriesMayBeWrittenOrDropped(t *testing.T) {
	for name, tee := range map[string]bool{"plain": false, "tee": true} {
		t.Run(name, func(t *testing.T) {
			var a, b sink
			core := jsonCore(zapcore.Lock(&a), zap.InfoLevel)
			if tee {
				core = filtered(zapcore.NewTee(core, jsonCore(zapcore.Lock(&b), zap.WarnLevel)))
			}
			l := zap.New(zaph.New(core, nil))
			const tasks, lines = 16, 40
			var done sync.WaitGroup
			for i := range tasks {
				done.Go(scope.New("task", i, "k", "of the scope").Wrap(func() {
					for j := range lines {
						dropped := l.Check(zap.ErrorLevel, "dropped")
						var fields []zap.Field
						if j%3 == 0 {
							fields = []zap.Field{zap.Int("k", j)}
						}
						if j%5 == 0 {
							fields = append(fields, zaph.Context(scope.NewContext(context.Background(), scope.New("task", i, "other", true))))
						}
						l.Check(zap.InfoLevel, fmt.Sprint("line of ", i)).Write(fields...)
						l.Check(zap.WarnLevel, fmt.Sprint("line of ", i)).Write(fields...)
						_ = dropped
					}
				}))
			}
			done.Wait()
			count := func(s *sink, want int) {
				n := 0
				for line := range strings.Lines(s.String()) {
					n++
					if m := keysOf(t, []byte(line)); m["msg"] != fmt.Sprint("line of ", m["task"]) {
						t.Errorf("mixed up: %s", line)
					}
				}
				if n != want {
					t.Errorf("%d lines, want %d", n, want)
				}
			}
			count(&a, 2*tasks*lines)
			if tee {
				count(&b, tasks*lines)
			}
		})
	}
}

// after is a hook that notes what it is given instead of ending the program.
type after struct{ message string }

func (a *after) OnWrite(ce *zapcore.CheckedEntry, _ []zapcore.Field) { a.message = ce.Message }

func TestPanicAndFatalLinesAreStampedAndTakeEffect(t *testing.T) {
	var out sink
	for name, core := range ways(jsonCore(&out, zap.ErrorLevel)) {
		t.Run(name, func(t *testing.T) {
			hook := new(after)
			l := zap.New(zaph.New(core, nil), zap.WithFatalHook(hook), zap.Development())
			panics := func(log func()) (p any) {
				defer func() { p = recover() }()
				log()
				return nil
			}
			scope.New("k", 1).Run(func() {
				l.Fatal("fatal")
				if hook.message != "fatal" {
					t.Errorf("the hook saw %q", hook.message)
				}
				for want, log := range map[string]func(string, ...zap.Field){"panic": l.Panic, "dpanic": l.DPanic} {
					if p := panics(func() { log(want, zap.Int("k", 2)) }); p != want {
						t.Errorf("%s panicked with %v", want, p)
					}
				}
			})
			for _, want := range []string{`{"level":"fatal","msg":"fatal","k":1}`, `{"level":"panic","msg":"panic","k":2}`, `{"level":"dpanic","msg":"dpanic","k":2}`} {
				if !strings.Contains(out.String(), want+"\n") {
					t.Errorf("%s is missing in %s", want, out.String())
				}
			}
			out.Reset()
		})
	}
}

func TestTheReadyMadeLoggersStamp(t *testing.T) {
	for name, build := range map[string]func(...zap.Option) (*zap.Logger, error){
		"NewProduction":  zap.NewProduction,
		"NewDevelopment": zap.NewDevelopment,
	} {
		t.Run(name, func(t *testing.T) {
			// Both write to what os.Stderr is when they are made.
			path := filepath.Join(t.TempDir(), "stderr")
			file, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			stderr := os.Stderr
			os.Stderr = file
			l, err := build(zaph.WrapCore(nil))
			os.Stderr = stderr
			if err != nil {
				t.Fatal(err)
			}
			scope.New("request_id", "r-1", "caller", "mine").Run(func() {
				l.Info("plain")
				l.Named("n").Error("repeats", zap.String("request_id", "own"))
			})
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if name == "NewDevelopment" {
				for _, want := range []string{"\tplain\t{\"request_id\": \"r-1\", \"caller\": \"mine\"}\n", "\trepeats\t{\"caller\": \"mine\", \"request_id\": \"own\"}\n"} {
					if !strings.Contains(string(text), want) {
						t.Errorf("%q is missing in %s", want, text)
					}
				}
				return
			}
			first, second, _ := bytes.Cut(text, []byte("\n"))
			if m := keysOf(t, first); m["msg"] != "plain" || m["request_id"] != "r-1" || m["caller"] == "mine" {
				t.Errorf("got %s", first)
			}
			if m := keysOf(t, second); m["msg"] != "repeats" || m["request_id"] != "own" || m["stacktrace"] == nil || m["logger"] != "n" {
				t.Errorf("got %s", second)
			}
		})
	}
}

func TestAnObserverSeesTheScopeFields(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	l := zap.New(zaph.New(core, nil)).With(zap.Int("a", 2))
	scope.New("k", 1).Run(func() {
		l.Debug("hidden")
		l.Info("m", zap.Int("b", 3))
		l.Info("repeats", zap.Int("k", 4))
	})
	var got []string
	for _, e := range logs.AllUntimed() {
		var keys []string
		for _, f := range e.Context {
			keys = append(keys, fmt.Sprint(f.Key, "=", f.Integer))
		}
		got = append(got, e.Message+" "+strings.Join(keys, " "))
	}
	if want := []string{"m a=2 k=1 b=3", "repeats a=2 k=4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// verbose is an error that says more with %+v, as those with a stack do.
type verbose struct{}

func (verbose) Error() string { return "boom" }

func (verbose) Format(s fmt.State, verb rune) {
	if s.Flag('+') {
		fmt.Fprint(s, "boom and more")
		return
	}
	fmt.Fprint(s, "boom")
}

func TestFieldsThatPutOtherKeysThanTheirName(t *testing.T) {
	var out sink
	object := zapcore.ObjectMarshalerFunc(func(enc zapcore.ObjectEncoder) error {
		enc.AddInt("k", 2)
		enc.AddInt("inner", 3)
		return nil
	})
	for _, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		l := zap.New(zaph.New(core, nil))
		scope.New("k", 1, "ns", "mine", "errorVerbose", "mine", "error", "mine").Run(func() {
			l.Info("m", zap.Inline(object))
			wantLines(t, &out, `{"level":"info","msg":"m","ns":"mine","errorVerbose":"mine","error":"mine","k":2,"inner":3}`)
			l.With(zap.Inline(object)).Info("m")
			wantLines(t, &out, `{"level":"info","msg":"m","k":2,"inner":3,"ns":"mine","errorVerbose":"mine","error":"mine"}`)
			l.Info("m", zap.Object("o", object))
			wantLines(t, &out, `{"level":"info","msg":"m","k":1,"ns":"mine","errorVerbose":"mine","error":"mine","o":{"k":2,"inner":3}}`)
			l.Info("m", zap.Error(verbose{}))
			wantLines(t, &out, `{"level":"info","msg":"m","k":1,"ns":"mine","error":"boom","errorVerbose":"boom and more"}`)
			l.With(zap.Error(verbose{})).Info("m")
			wantLines(t, &out, `{"level":"info","msg":"m","error":"boom","errorVerbose":"boom and more","k":1,"ns":"mine"}`)
			l.Info("m", zap.Error(errors.New("short")))
			wantLines(t, &out, `{"level":"info","msg":"m","k":1,"ns":"mine","errorVerbose":"mine","error":"short"}`)
			l.Info("m", zap.Error(nil), zap.Skip(), zap.Field{Key: "k", Type: zapcore.SkipType})
			wantLines(t, &out, `{"level":"info","msg":"m","k":1,"ns":"mine","errorVerbose":"mine","error":"mine"}`)
			l.Info("m", zap.Int("a", 1), zap.Namespace("ns"), zap.Int("k", 2))
			wantLines(t, &out, `{"level":"info","msg":"m","k":1,"errorVerbose":"mine","error":"mine","a":1,"ns":{"k":2}}`)
			l.With(zap.Namespace("ns"), zap.Int("k", 2)).Info("m", zap.Int("error", 3), zap.Namespace("k"), zap.Int("k", 4))
			wantLines(t, &out, `{"level":"info","msg":"m","k":1,"errorVerbose":"mine","error":"mine","ns":{"k":2,"error":3,"k":{"k":4}}}`)
		})
	}
}

// An error in the scope puts more keys than its own, too.
func TestTheKeysOfAnErrorInTheScopeAppearOnce(t *testing.T) {
	var out sink
	for name, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			l := zap.New(zaph.New(core, nil))
			for _, args := range [][]any{
				{"err", verbose{}, "errVerbose", "mine"},
				{"errVerbose", "mine", "err", verbose{}},
			} {
				scope.New(args...).Run(func() { l.Info("m") })
				keysOf(t, out.Bytes())
				out.Reset()
			}
			scope.New("err", verbose{}).Run(func() {
				l.Info("m", zap.String("errVerbose", "own"))
				if m := keysOf(t, out.Bytes()); m["errVerbose"] != "own" {
					t.Errorf("errVerbose is %v", m["errVerbose"])
				}
				out.Reset()
				l.With(zap.String("errVerbose", "own")).Info("m")
				if m := keysOf(t, out.Bytes()); m["errVerbose"] != "own" {
					t.Errorf("errVerbose is %v", m["errVerbose"])
				}
				out.Reset()
			})
		})
	}
}

func TestContextStampsFromTheTaskOfTheContext(t *testing.T) {
	other, third := scope.New("task", "other"), scope.New("task", "third")
	in := func(s scope.Scope) zap.Field { return zaph.Context(scope.NewContext(context.Background(), s)) }
	none := zaph.Context(context.Background())
	var nilCtx context.Context
	var out sink
	for name, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			l := zap.New(zaph.New(core, nil))
			check := func(l *zap.Logger, want string, fields ...zap.Field) {
				t.Helper()
				l.Info("m", fields...)
				wantLines(t, &out, `{"level":"info","msg":"m"`+want+`}`)
			}
			mine := scope.New("task", "mine")
			mine.Run(func() {
				live := in(mine) // means what is bound
				scope.Set("step", 2)
				check(l, `,"task":"mine","step":2`)
				check(l, `,"task":"other"`, in(other))
				check(l, `,"task":"mine","step":2`, live)
				check(l, `,"task":"mine"`, in(mine)) // less than what is bound: on purpose
				check(l, `,"task":"mine","step":2`, none)
				check(l, `,"task":"mine","step":2`, zaph.Context(nilCtx))
				check(l, `,"task":"third"`, in(other), in(third))
				check(l, `,"a":1,"task":"own"`, in(other), zap.Int("a", 1), zap.String("task", "own"))
				check(l.With(in(other)), `,"task":"other"`)
				check(l.With(in(other), zap.Int("a", 1)), `,"a":1,"task":"other"`)
				check(l.With(live), `,"task":"mine","step":2`)
			})
			check(l, `,"task":"other"`, in(other))
			check(l.With(in(other)).With(in(third)), `,"task":"third"`)
			check(l.With(in(other)), `,"task":"third"`, in(third))
			check(l.With(in(other)), ``, none)
			check(l.With(in(other)), `,"task":"own"`, zap.String("task", "own"))
			check(l.With(zap.Namespace("ns"), in(other)), `,"task":"other","ns":{"a":1}`, zap.Int("a", 1))
			check(l, ``)
		})
	}
}

func TestALoggerWithoutTheAdapterIgnoresContext(t *testing.T) {
	var out sink
	l := zap.New(jsonCore(&out, zap.InfoLevel))
	f := zaph.Context(scope.NewContext(context.Background(), scope.New("k", 1)))
	l.With(f).Info("m", f)
	wantLines(t, &out, `{"level":"info","msg":"m"}`)
}

func TestScopeWinsAndKeepBoth(t *testing.T) {
	var out sink
	for name, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			wins := zap.New(zaph.New(core, &logadapters.Options{Duplicates: logadapters.ScopeWins}))
			both := zap.New(zaph.New(core, &logadapters.Options{Duplicates: logadapters.KeepBoth}))
			scope.New("k", 1, "msg", "mine", "logger", "mine").Run(func() {
				wins.With(zap.Int("k", 2), zap.Int("a", 3)).Info("m", zap.Int("k", 4), zap.Int("b", 5))
				wantLines(t, &out, `{"level":"info","msg":"m","k":2,"a":3,"logger":"mine","k":4,"b":5}`) // reserved: With has attached it
				wins.With(zap.Int("a", 3)).Info("m", zap.Int("k", 4), zap.Int("b", 5))
				wantLines(t, &out, `{"level":"info","msg":"m","a":3,"k":1,"logger":"mine","b":5}`)
				wins.Named("n").Info("m", zap.Int("k", 4))
				wantLines(t, &out, `{"level":"info","logger":"n","msg":"m","k":1}`)
				wins.With(zap.Namespace("k"), zap.Int("k", 2)).Info("m", zap.Int("k", 4))
				wantLines(t, &out, `{"level":"info","msg":"m","logger":"mine","k":{"k":2,"k":4}}`)
				wins.Info("m", zap.Namespace("k"), zap.Int("k", 4))
				wantLines(t, &out, `{"level":"info","msg":"m","logger":"mine","k":{"k":4}}`)
				both.With(zap.Int("k", 2)).Info("m", zap.Int("k", 4))
				wantLines(t, &out, `{"level":"info","msg":"m","k":2,"k":1,"msg":"mine","logger":"mine","k":4}`)
			})
		})
	}
}

func TestScopeWinsOverWhatAnInlinedObjectOfTheLinePuts(t *testing.T) {
	var out sink
	inline := zap.Inline(zapcore.ObjectMarshalerFunc(func(enc zapcore.ObjectEncoder) error { enc.AddInt("k", 2); return nil }))
	for _, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		l := zap.New(zaph.New(core, &logadapters.Options{Duplicates: logadapters.ScopeWins}))
		scope.New("k", 1, "z", 3).Run(func() {
			l.Info("m", inline)
			wantLines(t, &out, `{"level":"info","msg":"m","k":1,"z":3}`)
			l.With(inline).Info("m")
			wantLines(t, &out, `{"level":"info","msg":"m","k":2,"z":3}`)
			l.Info("m", zap.NamedError("k", verbose{}))
			wantLines(t, &out, `{"level":"info","msg":"m","k":1,"z":3}`)
		})
	}
}

// A tagger is an encoder that tells fields that are attached from those of the line.
type tagger struct{ zapcore.Encoder }

func (e tagger) Clone() zapcore.Encoder { return tagger{e.Encoder.Clone()} }

func (e tagger) EncodeEntry(ent zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	return e.Encoder.EncodeEntry(ent, append(slices.Clone(fields), zap.Int("own_fields", len(fields))))
}

func TestAnEncoderThatTellsAttachedFieldsFromOthersIsGivenThemAttached(t *testing.T) {
	var out sink
	core := zapcore.NewCore(tagger{zapcore.NewJSONEncoder(encoderConfig())}, &out, zap.InfoLevel)
	l := zap.New(zaph.New(core, nil))
	scope.New("a", 1).Run(func() {
		for range 3 {
			l.Info("m", zap.Int("b", 2))
			wantLines(t, &out, `{"level":"info","msg":"m","a":1,"b":2,"own_fields":1}`)
		}
	})
	child := l.With(zap.Int("c", 3))
	scope.New("a", 1).Run(func() {
		child.Info("m")
		wantLines(t, &out, `{"level":"info","msg":"m","c":3,"a":1,"own_fields":0}`)
	})
}

func TestTheFirstLineOfAScopeHasNoKeyTwice(t *testing.T) {
	var out sink
	cfg := encoderConfig()
	cfg.NameKey, cfg.CallerKey = "name", "at"
	core := zapcore.NewCore(zapcore.NewJSONEncoder(cfg), &out, zap.InfoLevel)
	plain := zap.New(zaph.New(core, nil))
	child := plain.With(zap.String("a", "attached"))
	for name, tc := range map[string]struct {
		l      *zap.Logger
		fields []zap.Field
		want   string
	}{
		"the line's own":    {plain, []zap.Field{zap.Int("a", 9)}, `"b":2,"a":9`},
		"on top of a scope": {plain, []zap.Field{zap.Int("b", 9)}, `"a":1,"b":9`},
		"both":              {plain, []zap.Field{zap.Int("b", 9), zap.Int("a", 8)}, `"b":9,"a":8`},
		"an attached one":   {child, nil, `"a":"attached","b":2`},
		"an error's":        {plain, []zap.Field{zap.NamedError("b", errors.New("e"))}, `"a":1,"b":"e"`},
		"a verbose error's": {plain, []zap.Field{zap.NamedError("x", verbose{})}, `"a":1,"b":2,"x":"boom","xVerbose":"boom and more"`},
		"an inlined one":    {plain, []zap.Field{zap.Inline(objectOf{"b": 7})}, `"a":1,"b":7`},
		"a namespace":       {plain, []zap.Field{zap.Namespace("b"), zap.Int("a", 9)}, `"a":1,"b":{"a":9}`},
		"a logger's name":   {plain.Named("n"), nil, `"a":1,"b":2`},
	} {
		want := `{"level":"info",` + map[bool]string{true: `"name":"n",`}[name == "a logger's name"] + `"msg":"m",` + tc.want + "}"
		line := func() {
			tc.l.Info("m", tc.fields...)
			wantLines(t, &out, want)
		}
		scope.New("a", 1, "b", 2).Run(line)
		scope.New("a", 1).Run(func() {
			plain.Info("before")
			out.Reset()
			scope.With("b", 2).Run(line)
			plain.Info("before")
			out.Reset()
			scope.With("b", 2).Run(line)
		})
	}
	scope.New("xVerbose", 1).Run(func() {
		plain.Info("m", zap.NamedError("x", verbose{}))
		wantLines(t, &out, `{"level":"info","msg":"m","x":"boom","xVerbose":"boom and more"}`)
	})
	// Keys that the encoder writes on some lines.
	for _, s := range []scope.Scope{scope.New("name", 1, "at", 2), scope.New("at", 2).With("name", 1)} {
		s.Run(func() {
			plain.WithOptions(zap.AddCaller()).Named("n").Info("m")
			keysOf(t, out.Bytes())
			out.Reset()
		})
	}
}

type objectOf map[string]int

func (o objectOf) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for key, v := range o {
		enc.AddInt(key, v)
	}
	return nil
}

func TestFirstLinesOfAScopeFromManyGoroutines(t *testing.T) {
	var out sink
	core := jsonCore(zapcore.Lock(&out), zap.InfoLevel)
	l := zap.New(zaph.New(core, nil))
	tee := zap.New(zaph.New(filtered(zapcore.NewTee(core, zapcore.NewNopCore())), nil))
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
					l.Info("m", zap.Int("want", i))
				case 1:
					tee.Info("m", zap.Int("want", i))
				case 2:
					l.Info("m", zap.Int("want", i), zap.Int("k", j))
				case 3:
					tee.Info("m", zap.Int("want", i), zap.Int("k", j))
				}
			}))
		}
		start.Done()
		done.Wait()
	}
	n := 0
	for line := range strings.Lines(out.String()) {
		n++
		if m := keysOf(t, []byte(line)); m["task"] == nil || m["task"] != m["want"] {
			t.Errorf("mixed up: %s", line)
		}
	}
	if n != tasks*lines {
		t.Errorf("%d lines, want %d", n, tasks*lines)
	}
}

// A panickingEncoder panics for a bad value, as some do. If bad is empty, no value is good.
type panickingEncoder struct {
	zapcore.Encoder
	bad string
}

func (p panickingEncoder) Clone() zapcore.Encoder { return panickingEncoder{p.Encoder.Clone(), p.bad} }

func (p panickingEncoder) AddString(key, v string) {
	if p.bad == "" || v == p.bad {
		panic("can't take " + key)
	}
	p.Encoder.AddString(key, v)
}

func (p panickingEncoder) AddInt64(key string, v int64) {
	if p.bad == "" {
		panic("can't take " + key)
	}
	p.Encoder.AddInt64(key, v)
}

func panickingEncoderCore(out zapcore.WriteSyncer, bad string) zapcore.Core {
	return zapcore.NewCore(panickingEncoder{zapcore.NewJSONEncoder(encoderConfig()), bad}, out, zap.InfoLevel)
}

func TestAnEncoderThatPanicsForOneValueLosesOnlyThat(t *testing.T) {
	var out sink
	l := zap.New(zaph.New(panickingEncoderCore(&out, "bad"), nil))
	scope.New("a", 1, "b", "bad", "c", 3).Run(func() {
		l.Info("m", zap.Int("d", 4))
		l.Info("m", zap.Int("a", 4))
	})
	wantLines(t, &out, `{"level":"info","msg":"m","a":1,"b":"!PANIC: can't take b","c":3,"d":4}`,
		`{"level":"info","msg":"m","b":"!PANIC: can't take b","c":3,"a":4}`)
}

func TestAnEncoderThatTakesNoFieldsStillGetsItsLines(t *testing.T) {
	var out sink
	l := zap.New(zaph.New(panickingEncoderCore(&out, ""), nil))
	scope.New("a", 1).Run(func() {
		l.Info("m", zap.Int("d", 4))
		l.Info("m", zap.Int("a", 4))
	})
	wantLines(t, &out, `{"level":"info","msg":"m","d":4}`, `{"level":"info","msg":"m","a":4}`)
}

type panickingObject struct{}

func (panickingObject) MarshalLogObject(zapcore.ObjectEncoder) error { panic("no object") }

func TestValuesThatPanicSpoilNoLine(t *testing.T) {
	var out sink
	l := zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), nil))
	var nilError *os.PathError
	for name, v := range map[string]any{
		"MarshalJSON": testkit.PanickingJSON{}, "Error": testkit.PanickingError{}, "String": testkit.PanickingString{}, "MarshalLogObject": panickingObject{},
		"a nil pointer": nilError, "a channel": make(chan int), "NaN": math.NaN(), "a function": func() {},
	} {
		t.Run(name, func(t *testing.T) {
			scope.New("a", 1, "v", v, "z", 26).Run(func() { l.Info("m", zap.Int("own", 2)) })
			if m := keysOf(t, out.Bytes()); m["a"] != 1.0 || m["z"] != 26.0 || m["own"] != 2.0 || m["msg"] != "m" {
				t.Errorf("got %s", out.String())
			}
			out.Reset()
		})
	}
}

func TestAHostileFilterSpoilsNoLine(t *testing.T) {
	for name, filter := range map[string]func(slog.Attr) (slog.Attr, bool){
		"panics":            func(slog.Attr) (slog.Attr, bool) { panic("no") },
		"takes all keys":    func(a slog.Attr) (slog.Attr, bool) { a.Key = ""; return a, true },
		"one key for all":   func(a slog.Attr) (slog.Attr, bool) { a.Key = "x"; return a, true },
		"the message's key": func(a slog.Attr) (slog.Attr, bool) { a.Key = "msg"; return a, true },
		"panics later":      func(a slog.Attr) (slog.Attr, bool) { return slog.Any(a.Key, testkit.PanickingJSON{}), true },
		"an empty group":    func(a slog.Attr) (slog.Attr, bool) { return slog.Group(a.Key), true },
	} {
		t.Run(name, func(t *testing.T) {
			var out sink
			l := zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), &logadapters.Options{Filter: filter}))
			scope.New("a", 1, "b", 2).Run(func() { l.Info("hello", zap.Int("own", 3)) })
			if m := keysOf(t, out.Bytes()); m["msg"] != "hello" || m["own"] != 3.0 {
				t.Errorf("the line lost its own: %s", out.String())
			}
		})
	}
}

func TestAScopeOf10000FieldsIsWrittenWhole(t *testing.T) {
	args := make([]any, 0, 20_000)
	for i := range 10_000 {
		args = append(args, fmt.Sprint("k", i), i)
	}
	var out sink
	l := zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), nil))
	scope.New(args...).Run(func() {
		for range 2 {
			l.Info("m", zap.String("k77", "own"))
			m := keysOf(t, out.Bytes())
			if len(m) != 10_002 || m["k0"] != 0.0 || m["k9999"] != 9999.0 || m["k77"] != "own" {
				t.Errorf("%d keys", len(m))
			}
			out.Reset()
		}
	})
}

func TestALongValueAndAnEmptyMessageAreWritten(t *testing.T) {
	var out sink
	big := strings.Repeat("x", 1<<20)
	l := zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), nil))
	scope.New("big", big).Run(func() { l.Info("") })
	wantLines(t, &out, `{"level":"info","msg":"","big":"`+big+`"}`)
}

func TestTheFieldsGivenToWithMayBeUsedAgain(t *testing.T) {
	var out sink
	fields := []zap.Field{zap.Int("a", 1)}
	l := zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), nil)).With(fields...)
	fields[0] = zap.Int("b", 2)
	l.Info("m")
	scope.New("k", 1).Run(func() { l.Info("m") })
	wantLines(t, &out, `{"level":"info","msg":"m","a":1}`, `{"level":"info","msg":"m","a":1,"k":1}`)
}

// Children of one logger know their own keys, whatever the others are given.
func TestChildrenOfOneLoggerShareNoRoom(t *testing.T) {
	for n := range 10 {
		var out sink
		parent := zap.New(zaph.New(jsonCore(&out, zap.InfoLevel), nil))
		for i := range n {
			parent = parent.With(zap.Int(fmt.Sprint("k", i), i))
		}
		first := parent.With(zap.Int("a", 1))
		parent.With(zap.Int("b", 1))
		scope.New("a", 2, "b", 2).Run(func() { first.Info("m") })
		if line := out.String(); strings.Contains(line, `"a":2`) || !strings.Contains(line, `"b":2`) {
			t.Errorf("behind %d fields: %s", n, line)
		}
	}
}
