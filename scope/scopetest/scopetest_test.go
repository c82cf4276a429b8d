package scopetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	zlog "github.com/rs/zerolog/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/scopetest"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// messages returns what the lines say.
func messages(r *scopetest.Recorder) (list []string) {
	for _, line := range r.Lines() {
		list = append(list, line.Message)
	}
	return list
}

// wantMessages compares them with want, which has them with a space between.
func wantMessages(t *testing.T, r *scopetest.Recorder, want string) {
	t.Helper()
	if got := strings.Join(messages(r), " "); got != want {
		t.Errorf("recorded is %q, want %q", got, want)
	}
}

// all logs text with each default logger, and with package log.
func all(text string) {
	slog.Info(text + "-slog")
	log.Print(text + "-log")
	zap.L().Info(text + "-zap")
	zap.S().Infow(text + "-sugar")
	zlog.Info().Msg(text + "-zerolog")
}

// said returns what all(text) says.
func said(text string) string {
	return strings.ReplaceAll("T-slog T-log T-zap T-sugar T-zerolog", "T", text)
}

func TestRecordStampsTheLinesOfAllDefaultLoggers(t *testing.T) {
	r := scopetest.Record(t)
	scope.New("request_id", "r-1", "attempt", 2).Run(func() { all("a") })
	all("b")
	wantMessages(t, r, said("a")+" "+said("b"))
	for i, line := range r.Lines() {
		want := map[string]any{}
		if i < 5 {
			want = map[string]any{"request_id": "r-1", "attempt": int64(2)}
		}
		if !reflect.DeepEqual(line.Fields, want) || line.Level != slog.LevelInfo {
			t.Errorf("%s: %+v", line.Message, line)
		}
	}
	r.Reset()
	wantMessages(t, r, "")
}

// A program's own default loggers, each with a buffer to write to, put back at the end.
type ownDefaults struct{ slog, zap, zerolog testkit.Buffer }

func setDefaults(t *testing.T) *ownDefaults {
	own := new(ownDefaults)
	oldSlog, writer, flags, oldZerolog := slog.Default(), log.Writer(), log.Flags(), zlog.Logger
	slog.SetDefault(slog.New(slog.NewTextHandler(&own.slog, nil)))
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), &own.zap, zap.InfoLevel)
	restore := zap.ReplaceGlobals(zap.New(core))
	zlog.Logger = zerolog.New(&own.zerolog)
	t.Cleanup(func() {
		slog.SetDefault(oldSlog)
		log.SetOutput(writer)
		log.SetFlags(flags)
		restore()
		zlog.Logger = oldZerolog
	})
	return own
}

// has reports whether each of the loggers has written what all(text) says.
func (o *ownDefaults) has(text string) bool {
	return strings.Contains(o.slog.String(), text+"-slog") && strings.Contains(o.slog.String(), text+"-log") &&
		strings.Contains(o.zap.String(), text+"-zap") && strings.Contains(o.zap.String(), text+"-sugar") &&
		strings.Contains(o.zerolog.String(), text+"-zerolog")
}

func TestRecordPutsBackWhatWasThere(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"after a test":              func(t *testing.T) {},
		"that sets its own default": func(t *testing.T) { setAll(io.Discard); log.SetFlags(log.LUTC) },
		"that fails or skips":       func(t *testing.T) { t.SkipNow() },
		"that has called it twice":  func(t *testing.T) { scopetest.Record(t) },
	} {
		t.Run(name, func(t *testing.T) {
			own := setDefaults(t)
			var r *scopetest.Recorder
			t.Run("test", func(t *testing.T) {
				r = scopetest.Record(t)
				all("inside")
				test(t)
			})
			all("after")
			wantMessages(t, r, said("inside"))
			if own.has("inside") || !own.has("after") {
				t.Errorf("slog %s\nzap %s\nzerolog %s", own.slog.String(), own.zap.String(), own.zerolog.String())
			}
		})
	}
}

// setAll sets all defaults as a program does it, and never puts any back.
func setAll(w io.Writer) {
	slog.SetDefault(slog.New(slog.NewTextHandler(w, nil)))
	zap.ReplaceGlobals(zap.NewNop())
	zlog.Logger = zerolog.New(w)
}

// The default loggers that a program has before it sets any: log/slog's writes through
// package log, and both have to be what they were.
func TestRecordPutsBackTheFirstDefault(t *testing.T) {
	var out bytes.Buffer
	writer, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	defer func() { log.SetOutput(writer); log.SetFlags(flags); log.SetPrefix(prefix) }()
	log.SetOutput(&out)
	log.SetFlags(log.Lmsgprefix)
	log.SetPrefix("app: ")
	first := slog.Default()
	t.Run("test", func(t *testing.T) {
		scopetest.Record(t)
		slog.Info("inside")
		log.Print("inside")
	})
	if slog.Default() != first || log.Writer() != io.Writer(&out) || log.Flags() != log.Lmsgprefix {
		t.Errorf("the flags are %d, and the writer %T", log.Flags(), log.Writer())
	}
	slog.Info("after", "n", 1)
	log.Print("after")
	if want := "app: INFO after n=1\napp: after\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestRecordInASubtestHasItsOwnLines(t *testing.T) {
	outer := scopetest.Record(t)
	all("before")
	var inner *scopetest.Recorder
	t.Run("subtest", func(t *testing.T) {
		all("still-outer")
		inner = scopetest.Record(t)
		all("inner")
	})
	all("after")
	wantMessages(t, inner, said("inner"))
	wantMessages(t, outer, said("before")+" "+said("still-outer")+" "+said("after"))
}

func TestCleanupsAreRecorded(t *testing.T) {
	var r *scopetest.Recorder
	var own *ownDefaults
	t.Run("test", func(t *testing.T) {
		own = setDefaults(t)
		t.Cleanup(func() { all("registered-before") })
		r = scopetest.Record(t)
		t.Cleanup(func() { all("registered-after") })
	})
	wantMessages(t, r, said("registered-after"))
	if !own.has("registered-before") {
		t.Error("a cleanup that was registered before Record doesn't have the program's loggers")
	}
}

func TestRecordAndParallelTestsExcludeEachOther(t *testing.T) {
	refused := func(t testing.TB) (said string) {
		f := &fatal{TB: t}
		func() {
			defer func() { _ = recover() }()
			scopetest.Record(f)
		}()
		return f.said
	}
	before := slog.Default()
	t.Run("tests", func(t *testing.T) {
		t.Run("parallel", func(t *testing.T) {
			t.Parallel()
			if said := refused(t); !strings.Contains(said, "parallel test") {
				t.Errorf("in a parallel test Record says %q", said)
			}
			t.Run("subtest", func(t *testing.T) {
				if said := refused(t); !strings.Contains(said, "parallel test") {
					t.Errorf("in a subtest of a parallel test Record says %q", said)
				}
			})
		})
	})
	if slog.Default() != before {
		t.Error("where it is refused, Record has set a default")
	}
	t.Run("afterwards", func(t *testing.T) {
		scopetest.Record(t)
		defer func() {
			if recover() == nil {
				t.Error("t.Parallel after Record is let through")
			}
		}()
		t.Parallel()
	})
}

// A fatal panics where a test would end.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Fatal(args ...any) { f.said = fmt.Sprint(args...); panic("the test has ended") }

func TestTheContextLoggerIsRecordedIfThereIsOne(t *testing.T) {
	defer func(l *zerolog.Logger) { zerolog.DefaultContextLogger = l }(zerolog.DefaultContextLogger)
	for _, set := range []bool{false, true} {
		var out bytes.Buffer
		own := zerolog.New(&out)
		zerolog.DefaultContextLogger = nil
		want := ""
		if set {
			zerolog.DefaultContextLogger, want = &own, "a"
		}
		var r *scopetest.Recorder
		t.Run("test", func(t *testing.T) {
			r = scopetest.Record(t)
			zlog.Ctx(context.Background()).Info().Msg("a")
		})
		wantMessages(t, r, want)
		if set != (zerolog.DefaultContextLogger == &own) || out.Len() > 0 {
			t.Errorf("set: %v; it isn't put back, or has written %q", set, out.String())
		}
	}
}

func TestRecordTakesEveryLevel(t *testing.T) {
	r := scopetest.Record(t)
	for _, test := range []struct {
		want slog.Level
		log  func()
	}{
		{slog.LevelDebug, func() { slog.Debug("m") }},
		{slog.LevelWarn, func() { slog.Warn("m") }},
		{slog.LevelError, func() { slog.Error("m") }},
		{slog.Level(-9), func() { slog.Log(context.Background(), -9, "m") }},
		{slog.LevelDebug, func() { zap.L().Debug("m") }},
		{slog.LevelInfo, func() { zap.L().Info("m") }},
		{slog.LevelWarn, func() { zap.L().Warn("m") }},
		{slog.LevelError, func() { zap.L().Error("m") }},
		{slog.LevelError + 4, func() { zap.L().DPanic("m") }},
		{slog.LevelDebug - 4, func() { zap.L().Log(zap.DebugLevel-1, "m") }},
		{slog.LevelDebug - 4, func() { zlog.Trace().Msg("m") }},
		{slog.LevelDebug - 12, func() { // a number to zerolog
			defer zerolog.SetGlobalLevel(zerolog.GlobalLevel())
			zerolog.SetGlobalLevel(math.MinInt8)
			low := zlog.Level(-3)
			low.WithLevel(-3).Msg("m")
		}},
		{slog.LevelDebug, func() { zlog.Debug().Msg("m") }},
		{slog.LevelInfo, func() { zlog.Info().Msg("m") }},
		{slog.LevelWarn, func() { zlog.Warn().Msg("m") }},
		{slog.LevelError, func() { zlog.Error().Msg("m") }},
		{slog.LevelError + 4, func() { zlog.WithLevel(zerolog.FatalLevel).Msg("m") }},
		{slog.LevelInfo, func() { zlog.Log().Msg("m") }},
	} {
		r.Reset()
		test.log()
		if lines := r.Lines(); len(lines) != 1 || lines[0].Level != test.want || lines[0].Message != "m" {
			t.Errorf("got %+v, want one line of level %v", lines, test.want)
		}
	}
	r.Reset()
	func() {
		defer func() { _ = recover() }()
		zap.L().Panic("m")
	}()
	if lines := r.Lines(); len(lines) != 1 || lines[0].Level != slog.LevelError+8 {
		t.Errorf("a panic: got %+v", lines)
	}
}

// A writer between zerolog and the Recorder may know nothing of levels.
func TestThroughAPlainWriterALineHasItsLevel(t *testing.T) {
	defer func(name string, text func(zerolog.Level) string) {
		zerolog.LevelFieldName, zerolog.LevelFieldMarshalFunc = name, text
	}(zerolog.LevelFieldName, zerolog.LevelFieldMarshalFunc)
	for _, name := range []string{zerolog.LevelFieldName, "severity"} {
		for _, text := range []func(zerolog.Level) string{zerolog.LevelFieldMarshalFunc, func(l zerolog.Level) string { return strings.ToUpper(l.String()) + "!" }} {
			zerolog.LevelFieldName, zerolog.LevelFieldMarshalFunc = name, text
			var direct, plain scopetest.Recorder
			for _, w := range []io.Writer{direct.Writer(), struct{ io.Writer }{plain.Writer()}} {
				logger := zerolog.New(w)
				for level := zerolog.TraceLevel; level <= zerolog.NoLevel; level++ {
					logger.WithLevel(level).Int("n", 1).Msg("m")
				}
			}
			if got, want := plain.Lines(), direct.Lines(); len(want) != 8 || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
			}
		}
	}
	var r scopetest.Recorder
	logger := zerolog.New(struct{ io.Writer }{r.Writer()})
	logger.Log().Str(zerolog.LevelFieldName, "high").Msg("m")
	if line := r.Lines()[0]; line.Level != slog.LevelInfo {
		t.Errorf("a level that is none: got %+v", line)
	}
}

// The getters give the same for a field of the scope and for one of the line, with each logger.
func TestGettersGiveOneTypeForAllLoggers(t *testing.T) {
	at := time.Date(2026, 11, 26, 1, 2, 3, 500000000, time.UTC)
	fields := []any{
		"int", -3, "int8", int8(-8), "uint64", uint64(math.MaxUint64), "zero", 0, "float", 1.5, "whole", 2.0, "huge", 1e300,
		"yes", true, "no", false, "text", "a b", "digits", "12", "none", nil, "err", errors.New("no such file"),
		"duration", 1500 * time.Millisecond, "at", at,
		slog.Group("g", slog.Int("n", 7), slog.Group("h", slog.Bool("b", true))),
		"list", []int{1, 2},
	}
	var line bytes.Buffer
	logger := zerolog.New(&line)
	logger.Log().Send()
	cbor := line.Bytes()[0] != '{' // zerolog reads its own large numbers wrongly there
	r := scopetest.Record(t)
	defer func(format string) { zerolog.TimeFieldFormat = format }(zerolog.TimeFieldFormat)
	zerolog.TimeFieldFormat = time.RFC3339Nano
	scope.New(fields...).Run(func() {
		slog.Info("slog")
		zap.L().Info("zap")
		zlog.Info().Msg("zerolog")
	})
	slog.Info("slog", fields...)
	zap.L().Info("zap", zap.Int("int", -3), zap.Int8("int8", -8), zap.Uint64("uint64", math.MaxUint64), zap.Int("zero", 0),
		zap.Float64("float", 1.5), zap.Float64("whole", 2), zap.Float64("huge", 1e300), zap.Bool("yes", true), zap.Bool("no", false),
		zap.String("text", "a b"), zap.String("digits", "12"), zap.Any("none", nil), zap.NamedError("err", errors.New("no such file")),
		zap.Duration("duration", 1500*time.Millisecond), zap.Time("at", at),
		zap.Dict("g", zap.Int("n", 7), zap.Dict("h", zap.Bool("b", true))), zap.Ints("list", []int{1, 2}))
	zlog.Info().Int("int", -3).Int8("int8", -8).Uint64("uint64", math.MaxUint64).Int("zero", 0).
		Float64("float", 1.5).Float64("whole", 2).Float64("huge", 1e300).Bool("yes", true).Bool("no", false).
		Str("text", "a b").Str("digits", "12").Any("none", nil).AnErr("err", errors.New("no such file")).
		Dur("duration", 1500*time.Millisecond).Time("at", at).
		Dict("g", zerolog.Dict().Int("n", 7).Dict("h", zerolog.Dict().Bool("b", true))).Ints("list", []int{1, 2}).Msg("zerolog")

	lines := r.Lines()
	if len(lines) != 6 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, l := range lines {
		for what, ok := range map[string]bool{
			"Int": l.Int("int") == -3 && l.Int("int8") == -8 && l.Int("zero") == 0 && l.Int("g.n") == 7,
			"Int of what is no int": (cbor || l.Int("uint64") == 0) && l.Int("float") == 0 && l.Int("huge") == 0 && l.Int("yes") == 0 &&
				l.Int("digits") == 0 && l.Int("none") == 0 && l.Int("g") == 0,
			"Float": l.Float("float") == 1.5 && l.Float("whole") == 2 && l.Float("huge") == 1e300 && l.Float("int") == -3 &&
				(cbor || l.Float("uint64") == math.MaxUint64) && l.Float("digits") == 0 && l.Float("yes") == 0,
			"Bool": l.Bool("yes") && !l.Bool("no") && !l.Bool("int") && !l.Bool("text") && l.Bool("g.h.b"),
			"String": l.String("text") == "a b" && l.String("digits") == "12" && l.String("int") == "-3" && l.String("yes") == "true" &&
				l.String("err") == "no such file" && l.String("float") == "1.5" && l.String("missing") == "" && l.String("list") == "[1 2]",
			"Duration":                   l.Duration("duration") == 1500*time.Millisecond && l.Duration("text") == 0 && l.Duration("missing") == 0,
			"Time":                       l.Time("at").Equal(at) && l.Time("text").IsZero() && l.Time("missing").IsZero(),
			"Has":                        l.Has("zero") && l.Has("no") && l.Has("none") && l.Has("g.h.b") && !l.Has("g") && !l.Has("missing") && !l.Has("msg"),
			"no field of the line's own": !l.Has("level") && !l.Has("ts") && !l.Has("message"),
		} {
			if !ok {
				t.Errorf("line %d, %s: %s is wrong in %#v", i, l.Message, what, l.Fields)
			}
		}
	}
}

func TestFieldsNamedAsTheLinesOwn(t *testing.T) {
	r := scopetest.Record(t)
	zap.L().Info("m", zap.String("msg", "mine"), zap.Int("level", 7), zap.String("ts", "now"))
	zlog.Info().Str("time", "now").Str("msg", "mine").Msg("m")
	want := []scopetest.Line{
		{Message: "m", Fields: map[string]any{"msg": "mine", "level": int64(7), "ts": "now"}},
		{Message: "m", Fields: map[string]any{"msg": "mine", "time": "now"}},
	}
	if got := r.Lines(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// zap leaves out a time that is zero, and then the field of that name is the program's.
func TestALineWithoutATime(t *testing.T) {
	r := scopetest.Record(t)
	if err := r.Core().Write(zapcore.Entry{Message: "m"}, []zap.Field{zap.Int("ts", 7), zap.String("level", "mine")}); err != nil {
		t.Fatal(err)
	}
	line := r.Lines()[0]
	if line.Message != "m" || line.Int("ts") != 7 || line.String("level") != "mine" {
		t.Errorf("got %+v", line)
	}
}

// What a logger's With and groups hold, and options, show as in a program.
func TestARecorderForLoggersThatAreGivenToTheCode(t *testing.T) {
	var r scopetest.Recorder
	opts := &logadapters.Options{Group: "scope"}
	loggers := map[string]func(){
		"slog": func() {
			slog.New(slogh.New(&r, opts)).With("a", 1).WithGroup("g").With("b", 2).Warn("m", "c", 3, slog.Group("h", "d", 4), slog.Group("", "e", 5))
		},
		"zap": func() {
			zap.New(r.Core(), zaph.WrapCore(opts)).With(zap.Int("a", 1), zap.Namespace("g"), zap.Int("b", 2)).
				Warn("m", zap.Int("c", 3), zap.Dict("h", zap.Int("d", 4)), zap.Int("e", 5))
		},
		"zerolog": func() {
			l := zerolog.New(r.Writer()).Hook(zeroh.New(opts)).With().Int("a", 1).Logger()
			l.Warn().Dict("g", zerolog.Dict().Int("b", 2).Int("c", 3).Dict("h", zerolog.Dict().Int("d", 4)).Int("e", 5)).Msg("m")
		},
	}
	for name, log := range loggers {
		r.Reset()
		scope.New("s", "x").Run(log)
		want := []scopetest.Line{{Level: slog.LevelWarn, Message: "m", Fields: map[string]any{
			"scope.s": "x", "a": int64(1), "g.b": int64(2), "g.c": int64(3), "g.h.d": int64(4), "g.e": int64(5),
		}}}
		if got := r.Lines(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestBytesThatAreNoLineAreAnError(t *testing.T) {
	var r scopetest.Recorder
	if n, err := r.Writer().Write([]byte("no line\n")); n != 0 || err == nil {
		t.Errorf("got %d, %v", n, err)
	}
	wantMessages(t, &r, "")
}

func TestManyGoroutinesLogAtOnce(t *testing.T) {
	r := scopetest.Record(t)
	const goroutines, rounds = 8, 20
	var wg sync.WaitGroup
	for n := range goroutines {
		wg.Go(func() {
			for range rounds {
				scope.New("n", n).Run(func() { all(fmt.Sprint(n)) })
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	lines := r.Lines()
	if len(lines) != 5*goroutines*rounds {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if text, _, _ := strings.Cut(line.Message, "-"); text != line.String("n") {
			t.Errorf("another's line: %+v", line)
		}
	}
}

func TestNoLeak(t *testing.T) {
	secret := scope.NewKey[string]("scopetest_secret", scope.Redacted)
	for _, test := range []struct {
		name string
		code func()
		want string
	}{
		{"a bare Set", func() { scope.Set("leaked", 1) }, "{leaked=1}"},
		{"a Set of a secret", func() { secret.Set("s3cret") }, "{scopetest_secret=[REDACTED]}"},
		{"a Set within Run", func() { scope.Run(func() { scope.Set("kept inside", 1) }) }, ""},
	} {
		f := newT()
		scope.Scope{}.Run(func() {
			scopetest.NoLeak(f)
			test.code()
			f.end()
		})
		if got := strings.Join(f.failed, "\n"); (got == "") != (test.want == "") || !strings.HasSuffix(got, test.want) {
			t.Errorf("%s: it says %q", test.name, got)
		}
	}
}
