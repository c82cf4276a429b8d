package zaph_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// Values that call do when they are asked for what they show.
type (
	callbackObject struct{ do func() }
	callbackArray  struct{ do func() }
	callbackJSON   struct{ do func() }
	callbackError  struct{ do func() }
	callbackString struct{ do func() }
	callbackValue  struct{ do func() }
)

func (d callbackObject) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	d.do()
	enc.AddBool("done", true)
	return nil
}

func (d callbackArray) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	d.do()
	enc.AppendString("done")
	return nil
}

func (d callbackJSON) MarshalJSON() ([]byte, error) { d.do(); return []byte(`"done"`), nil }
func (d callbackError) Error() string               { d.do(); return "done" }
func (d callbackString) String() string             { d.do(); return "done" }
func (d callbackValue) LogValue() slog.Value        { d.do(); return slog.StringValue("done") }

// callbacks returns a value of each kind, that calls do.
func callbacks(do func()) map[string]any {
	return map[string]any{
		"object": callbackObject{do}, "array": callbackArray{do}, "json": callbackJSON{do}, "error": callbackError{do}, "string": callbackString{do}, "value": callbackValue{do},
		"group": slog.GroupValue(slog.Any("in", callbackJSON{do})),
	}
}

// eachCallback runs a test for each kind of value and core, with a namespace and without, for a line
// that repeats a key and for others. line writes one.
func eachCallback(t *testing.T, do func(l *zap.Logger), check func(t *testing.T, line func(), out *sink)) {
	for kind := range callbacks(nil) {
		var out sink
		for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
			for _, namespace := range []bool{false, true} {
				for _, repeats := range []bool{false, true} {
					t.Run(fmt.Sprint(kind, " ", name, " namespace ", namespace, " repeats ", repeats), func(t *testing.T) {
						l := zap.New(zaph.New(core, nil))
						if namespace {
							l = l.With(zap.Namespace("ns"), zap.Int("n", 1))
						}
						v := callbacks(func() { do(l) })[kind]
						var fields []zap.Field
						if repeats {
							fields = []zap.Field{zap.String("own", "line")}
						}
						scope.New("plain", 1, "own", "scope").Run(func() {
							if group, ok := v.(slog.Value); ok {
								scope.SetAttrs(slog.Attr{Key: "v", Value: group})
							} else {
								scope.Set("v", v)
							}
							testkit.InTime(t, scope.Wrap(func() { check(t, func() { l.Info("outer", fields...) }, &out) }))
						})
						out.Reset()
					})
				}
			}
		}
	}
}

// Both lines are written; a value that is encoded once need not log again.
func TestAValueThatLogs(t *testing.T) {
	eachCallback(t, func(l *zap.Logger) { l.Info("inner") }, func(t *testing.T, line func(), out *sink) {
		for i := range 3 {
			line()
			outer, inner := 0, 0
			for text := range strings.Lines(out.String()) {
				m := keysOf(t, []byte(text))
				if m["plain"] != 1.0 {
					t.Errorf("not stamped: %s", text)
				}
				if m["msg"] == "inner" {
					inner++
					if m["v"] != nil {
						t.Errorf("more than what is plain: %s", text)
					}
				} else {
					outer++
					if m["v"] == nil || !strings.Contains(text, "done") {
						t.Errorf("no value: %s", text)
					}
				}
			}
			if outer != 1 || i == 0 && inner == 0 {
				t.Errorf("line %d: %d outer lines, %d inner ones:\n%s", i, outer, inner, out)
			}
			out.Reset()
		}
	})
}

func TestAValueThatSetsOrRunsChangesNoScope(t *testing.T) {
	eachCallback(t, func(l *zap.Logger) {
		scope.Set("set", "by the value")
		scope.New("other", 1).Run(func() { l.Info("inner") })
		if v, _ := scope.Get("plain"); v != 1 {
			panic("Get sees another scope")
		}
	}, func(t *testing.T, line func(), out *sink) {
		line()
		if _, ok := scope.Get("set"); ok {
			t.Error("what the value has set is bound after the line")
		}
		inner := false
		for text := range strings.Lines(out.String()) {
			m := keysOf(t, []byte(text))
			if isInner := m["msg"] == "inner"; isInner != (m["other"] != nil) || isInner == (m["plain"] != nil) {
				t.Errorf("mixed up: %s", text)
			} else {
				inner = inner || isInner
			}
		}
		if !inner {
			t.Errorf("no inner line in %s", out)
		}
	})
}

func TestAValueThatWaitsForAnotherGoroutinesLine(t *testing.T) {
	for kind := range callbacks(nil) {
		var out sink
		for name, core := range allWays(jsonCore(zapcore.Lock(&out), zap.InfoLevel)) {
			t.Run(kind+" "+name, func(t *testing.T) {
				l := zap.New(zaph.New(core, nil))
				var s scope.Scope
				var asked atomic.Bool
				v := callbacks(func() {
					if asked.Swap(true) {
						return
					}
					done := make(chan struct{})
					go s.Run(func() { defer close(done); l.Info("inner") })
					<-done
				})[kind]
				if group, ok := v.(slog.Value); ok {
					s = scope.New(slog.Attr{Key: "v", Value: group})
				} else {
					s = scope.New("v", v)
				}
				testkit.InTime(t, func() { s.Run(func() { l.Info("outer") }) })
				if n := strings.Count(out.String(), "\n"); n != 2 {
					t.Errorf("%d lines:\n%s", n, &out)
				}
				out.Reset()
			})
		}
	}
}

func TestAValueThatPanicsCostsItselfInEveryCore(t *testing.T) {
	eachCallback(t, func(*zap.Logger) { panic("no") }, func(t *testing.T, line func(), out *sink) {
		for range 2 {
			line()
			if m := keysOf(t, out.Bytes()); m["msg"] != "outer" || m["plain"] != 1.0 || !strings.Contains(out.String(), "no") {
				t.Errorf("got %s", out)
			}
			out.Reset()
		}
	})
}

// A logger's own value that logs when With is given it does what it does without us.
func TestAValueOfWithThatLogs(t *testing.T) {
	var out sink
	for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
		for _, namespace := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " namespace ", namespace), func(t *testing.T) {
				root := zap.New(zaph.New(core, nil))
				l := root
				if namespace {
					l = l.With(zap.Namespace("ns"))
				}
				scope.New("plain", 1).Run(func() {
					child := l.With(zap.Object("o", callbackObject{func() { root.Info("inner") }}))
					wantLines(t, &out, `{"level":"info","msg":"inner","plain":1}`)
					child.Info("outer")
				})
				if namespace {
					wantLines(t, &out, `{"level":"info","msg":"outer","plain":1,"ns":{"o":{"done":true}}}`)
				} else {
					wantLines(t, &out, `{"level":"info","msg":"outer","o":{"done":true},"plain":1}`)
				}
			})
		}
	}
}

// A loggingEncoder logs for each integer that With attaches.
type loggingEncoder struct {
	zapcore.Encoder
	log func()
}

func (e loggingEncoder) Clone() zapcore.Encoder { return loggingEncoder{e.Encoder.Clone(), e.log} }

func (e loggingEncoder) AddInt64(key string, n int64) {
	e.log()
	e.Encoder.AddInt64(key, n)
}

func TestAnEncoderThatLogsEnds(t *testing.T) {
	var out sink
	var l *zap.Logger
	deep := 0
	l = zap.New(zaph.New(zapcore.NewCore(loggingEncoder{zapcore.NewJSONEncoder(encoderConfig()), func() {
		if deep++; deep < 100 {
			l.Info("inner")
		}
		deep--
	}}, &out, zap.InfoLevel), nil))
	scope.New("k", 1).Run(func() { l.Info("outer") })
	if got := out.String(); strings.Count(got, "inner") != 2 || !strings.Contains(got, `"outer","k":1`) {
		t.Errorf("got %s", got)
	}
}

func TestAWritersPanicComesOutAndNoLineIsWrittenTwice(t *testing.T) {
	for name := range allWays(zapcore.NewNopCore()) {
		t.Run(name, func(t *testing.T) {
			out := new(testkit.PanickingWriter)
			core := zapcore.NewCore(zapcore.NewJSONEncoder(encoderConfig()), out, zap.InfoLevel)
			if name == "sampler" {
				core = zapcore.NewSamplerWithOptions(core, time.Second, 1e6, 1)
			} else {
				core = allWays(core)[name]
			}
			l := zap.New(zaph.New(core, nil))
			for i := range 3000 {
				scope.New("i", i).Run(func() { l.Info("m") })
			}
			out.Reset()
			for _, fields := range [][]zap.Field{nil, {zap.Int("i", 2)}} {
				out.Armed = true
				scope.New("i", 1).Run(func() {
					defer func() {
						if p := recover(); p != "broken" {
							t.Errorf("the panic is %v", p)
						}
					}()
					l.Info("m", fields...)
				})
			}
			wantLines(t, out, `{"level":"info","msg":"m","i":1}`, `{"level":"info","msg":"m","i":2}`)
			scope.New("i", 3).Run(func() { l.Info("m") })
			wantLines(t, out, `{"level":"info","msg":"m","i":3}`)
		})
	}
}

func TestAPolicyDeclaredBetweenCheckAndWriteHolds(t *testing.T) {
	var out sink
	for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
		for policy, opt := range map[string]scope.KeyOption{"redacted": scope.Redacted, "hidden": scope.Hidden} {
			for _, seen := range []bool{false, true} {
				t.Run(fmt.Sprint(name, " ", policy, " seen ", seen), func(t *testing.T) {
					l := zap.New(zaph.New(core, nil))
					key := testkit.NewName("zaph pan ")
					want := map[string]string{"redacted": `,"` + key + `":"[REDACTED]"`, "hidden": ""}[policy]
					scope.New(key, "4111").Run(func() {
						if seen {
							l.Info("m")
							wantLines(t, &out, `{"level":"info","msg":"m","`+key+`":"4111"}`)
						}
						ce, again := l.Check(zap.InfoLevel, "m"), l.With(zap.Namespace("ns")).Check(zap.InfoLevel, "m")
						scope.NewKey[string](key, opt)
						ce.Write(zap.Int("own", 1))
						again.Write(zap.Int("own", 1))
						wantLines(t, &out, `{"level":"info","msg":"m"`+want+`,"own":1}`, `{"level":"info","msg":"m"`+want+`,"ns":{"own":1}}`)
					})
				})
			}
		}
	}
}

func TestMaxFieldsKeepsEachFieldsOwnValue(t *testing.T) {
	var out sink
	for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			scope.New("t", time.Unix(1700000000, 0).UTC(), "err", multi{errors.New("a"), errors.New("b")}).Run(func() {
				zap.New(zaph.New(core, nil)).Info("m")
				wantLines(t, &out, `{"level":"info","msg":"m","t":1700000000,"err":"2 errors","errCauses":[{"error":"a"},{"error":"b"}]}`)
				zap.New(zaph.New(core, &logadapters.Options{MaxFields: 2})).Info("m")
				wantLines(t, &out, `{"level":"info","msg":"m","err":"2 errors","errCauses":[{"error":"a"},{"error":"b"}],"scope_dropped":1}`)
				zap.New(zaph.New(core, &logadapters.Options{MaxFields: 1})).Info("m")
				wantLines(t, &out, `{"level":"info","msg":"m","errCauses":[{"error":"a"},{"error":"b"}],"scope_dropped":2}`)
				zap.New(zaph.New(core, nil)).Info("m", zap.Int("errCauses", 1))
				wantLines(t, &out, `{"level":"info","msg":"m","t":1700000000,"err":"2 errors","errCauses":1}`)
			})
		})
	}
}

// multi is an error with causes, as zap knows them.
type multi []error

func (m multi) Error() string   { return fmt.Sprint(len(m), " errors") }
func (m multi) Errors() []error { return m }

func TestALineOfAnEndedTaskIsMarked(t *testing.T) {
	for name := range allWays(zapcore.NewNopCore()) {
		t.Run(name, func(t *testing.T) {
			var out sink
			core := allWays(jsonCore(&out, zap.InfoLevel))[name]
			mark := zap.New(zaph.New(core, nil))
			drop := zap.New(zaph.New(core, &logadapters.Options{Ended: logadapters.DropEnded}))
			var ctx context.Context
			scope.New("k", 1).Run(func() {
				ctx = scope.NewContext(context.Background(), scope.Current())
				mark.Info("m")
				drop.Info("m")
			})
			mark.Info("late", zaph.Context(ctx))
			drop.Info("late", zaph.Context(ctx), zap.Int("own", 1))
			wantLines(t, &out, `{"level":"info","msg":"m","k":1}`, `{"level":"info","msg":"m","k":1}`,
				`{"level":"info","msg":"late","k":1,"scope_ended":true}`, `{"level":"info","msg":"late","scope_ended":true,"own":1}`)
		})
	}
}

func TestAFloat32KeepsItsTypeAndEmptyGroupsAreNotWritten(t *testing.T) {
	var out sink
	for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
		for group, want := range map[string]string{"": `"f":1.1,"g":{"n":1}`, "in": `"in":{"f":1.1,"g":{"n":1}}`} {
			t.Run(name+" "+group, func(t *testing.T) {
				l := zap.New(zaph.New(core, &logadapters.Options{Group: group}))
				scope.New("f", float32(1.1), slog.Group("g", slog.Group("", slog.Int("n", 1)), slog.Group("e")), slog.Group("e"), slog.Attr{}).Run(func() {
					l.Info("m")
					l.Info("m", zap.Int("own", 1))
				})
				wantLines(t, &out, `{"level":"info","msg":"m",`+want+`}`, `{"level":"info","msg":"m",`+want+`,"own":1}`)
			})
		}
	}
}

// A value that can't be encoded shows the reason, under another key. It is the field's all the same.
func TestAFieldThatShowsOnlyItsErrorGivesWayByItsKey(t *testing.T) {
	var out sink
	for name, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			l := zap.New(zaph.New(core, nil))
			scope.New("v", make(chan int), "o", failing{}, "z", 1).Run(func() {
				l.Info("m")
				wantLines(t, &out, `{"level":"info","msg":"m","vError":"json: unsupported type: chan int","o":{"done":1},"oError":"no more","z":1}`)
				l.Info("m", zap.Int("v", 2), zap.Int("o", 3))
				wantLines(t, &out, `{"level":"info","msg":"m","z":1,"v":2,"o":3}`)
			})
		})
	}
}

func TestTheKeysOfTheLinesErrorAppearOnce(t *testing.T) {
	var out sink
	for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			l := zap.New(zaph.New(core, nil))
			for key, err := range map[string]error{
				"error": errors.New("e"), "errorCauses": multi{errors.New("a")}, "errorVerbose": verbose{}, "errorError": testkit.PanickingError{},
			} {
				scope.New(key, "mine", "z", 1).Run(func() { l.Info("m", zap.Error(err)) })
				if m := keysOf(t, out.Bytes()); m[key] == "mine" || m[key] == nil || m["z"] != 1.0 {
					t.Errorf("got %s", out.String())
				}
				out.Reset()
			}
		})
	}
}
