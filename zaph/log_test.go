package zaph_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// logAttrsTo returns the function, and what it writes to.
func logAttrsTo(level zapcore.Level, opts ...zap.Option) (func(context.Context, slog.Level, string, ...slog.Attr), *sink) {
	out := &sink{}
	return zaph.LogAttrs(zap.New(zaph.New(jsonCore(out, level), nil), opts...)), out
}

func TestLogAttrsWritesTheLineThatZapWrites(t *testing.T) {
	log, out := logAttrsTo(zap.DebugLevel)
	scope.New("request_id", "r-1").Run(func() {
		log(t.Context(), slog.LevelInfo, "m",
			slog.String("s", "x"), slog.Int("i", 1), slog.Bool("b", true), slog.Float64("f", 0.5),
			slog.Duration("d", time.Second), slog.Any("err", errors.New("bad")), slog.Any("late", testkit.Resolved("v")),
			slog.Group("g", slog.Int("n", 1), slog.Any("late", testkit.Resolved("w"))))
		log(t.Context(), slog.LevelInfo, "none")
	})
	log(t.Context(), slog.LevelInfo, "no scope", slog.Int("i", 1))
	wantLines(t, out,
		`{"level":"info","msg":"m","request_id":"r-1","s":"x","i":1,"b":true,"f":0.5,"d":1,"err":"bad","late":"resolved v","g":{"n":1,"late":"resolved w"}}`,
		`{"level":"info","msg":"none","request_id":"r-1"}`,
		`{"level":"info","msg":"no scope","i":1}`)
}

func TestLogAttrsMapsLevels(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelDebug - 4: "debug", slog.LevelDebug: "debug", slog.LevelInfo - 1: "debug",
		slog.LevelInfo: "info", slog.LevelInfo + 1: "info", slog.LevelWarn: "warn", slog.LevelWarn + 1: "warn",
		slog.LevelError: "error", slog.LevelError + 100: "error",
	} {
		log, out := logAttrsTo(zap.DebugLevel)
		log(t.Context(), level, "m")
		wantLines(t, out, `{"level":"`+want+`","msg":"m"}`)
	}
}

func TestLogAttrsBelowTheLevelWritesAndResolvesNothing(t *testing.T) {
	log, out := logAttrsTo(zap.WarnLevel)
	log(t.Context(), slog.LevelInfo, "m", slog.Any("v", testkit.NeverResolved{T: t}))
	wantLines(t, out)
}

func TestLogAttrsGoesByTheContextOfAnotherTask(t *testing.T) {
	log, out := logAttrsTo(zap.DebugLevel)
	mine := scope.New("request_id", "mine")
	mine.Run(func() {
		ctx := scope.NewContext(t.Context(), mine)
		scope.Set("request_id", "newer")
		log(ctx, slog.LevelInfo, "this task")
		log(scope.NewContext(t.Context(), scope.New("request_id", "other")), slog.LevelInfo, "another task")
		log(context.Background(), slog.LevelInfo, "no scope in it")
	})
	wantLines(t, out,
		`{"level":"info","msg":"this task","request_id":"newer"}`,
		`{"level":"info","msg":"another task","request_id":"other"}`,
		`{"level":"info","msg":"no scope in it","request_id":"newer"}`)
}

func TestLogAttrsHasNoKeyTwice(t *testing.T) {
	log, out := logAttrsTo(zap.DebugLevel)
	scope.New("k", "scope", "msg", "scope").Run(func() {
		log(t.Context(), slog.LevelInfo, "m", slog.String("k", "first"), slog.String("k", "line"))
	})
	wantLines(t, out, `{"level":"info","msg":"m","k":"line"}`)
}

func TestLogAttrsShowsTheCaller(t *testing.T) {
	log, out := logAttrsTo(zap.DebugLevel, zap.AddCaller())
	log(t.Context(), slog.LevelInfo, "m")
	if !bytes.Contains(out.Bytes(), []byte(`"caller":"zaph/log_test.go:`)) {
		t.Errorf("the caller isn't here: %s", out)
	}
}

func TestLogAttrsOfNilIsTheGlobalLoggerOfTheMoment(t *testing.T) {
	log := zaph.LogAttrs(nil)
	log(t.Context(), slog.LevelInfo, "nobody listens")
	out := &sink{}
	defer zap.ReplaceGlobals(zap.New(zaph.New(jsonCore(out, zap.DebugLevel), nil), zap.AddCaller()))()
	scope.New("request_id", "r-1").Run(func() { log(t.Context(), slog.LevelInfo, "m") })
	if got := out.String(); !strings.Contains(got, `"request_id":"r-1"`) || !strings.Contains(got, `"caller":"zaph/log_test.go:`) {
		t.Errorf("zap.L() has got %q", got)
	}
}
