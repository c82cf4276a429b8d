//go:build !binary_log

package zeroh_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// logAttrsTo returns the function, and what it writes to.
func logAttrsTo(level zerolog.Level) (func(context.Context, slog.Level, string, ...slog.Attr), *bytes.Buffer) {
	var out bytes.Buffer
	l := stamping(&out, nil).Level(level)
	return zeroh.LogAttrs(&l), &out
}

func TestLogAttrsWritesTheLineThatZerologWrites(t *testing.T) {
	log, out := logAttrsTo(zerolog.DebugLevel)
	scope.New("request_id", "r-1").Run(func() {
		log(t.Context(), slog.LevelInfo, "m",
			slog.String("s", "x"), slog.Int("i", 1), slog.Bool("b", true), slog.Float64("f", 0.5),
			slog.Duration("d", time.Second), slog.Any("err", errors.New("bad")), slog.Any("late", testkit.Resolved("v")),
			slog.Group("g", slog.Int("n", 1), slog.Any("late", testkit.Resolved("w"))))
		log(t.Context(), slog.LevelInfo, "none")
	})
	log(t.Context(), slog.LevelInfo, "no scope", slog.Int("i", 1))
	wantLines(t, out,
		`{"level":"info","s":"x","i":1,"b":true,"f":0.5,"d":1000,"err":"bad","late":"resolved v","g":{"n":1,"late":"resolved w"},"request_id":"r-1","message":"m"}`,
		`{"level":"info","request_id":"r-1","message":"none"}`,
		`{"level":"info","i":1,"message":"no scope"}`)
}

func TestLogAttrsMapsLevels(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelDebug - 4: "debug", slog.LevelDebug: "debug", slog.LevelInfo - 1: "debug",
		slog.LevelInfo: "info", slog.LevelInfo + 1: "info", slog.LevelWarn: "warn", slog.LevelWarn + 1: "warn",
		slog.LevelError: "error", slog.LevelError + 100: "error",
	} {
		log, out := logAttrsTo(zerolog.DebugLevel)
		log(t.Context(), level, "m")
		wantLines(t, out, `{"level":"`+want+`","message":"m"}`)
	}
}

func TestLogAttrsBelowTheLevelWritesAndResolvesNothing(t *testing.T) {
	log, out := logAttrsTo(zerolog.WarnLevel)
	log(t.Context(), slog.LevelInfo, "m", slog.Any("v", testkit.NeverResolved{T: t}))
	wantLines(t, out)
}

func TestLogAttrsGoesByTheContextOfAnotherTask(t *testing.T) {
	log, out := logAttrsTo(zerolog.DebugLevel)
	mine := scope.New("request_id", "mine")
	mine.Run(func() {
		ctx := scope.NewContext(t.Context(), mine)
		scope.Set("request_id", "newer")
		log(ctx, slog.LevelInfo, "this task")
		log(scope.NewContext(t.Context(), scope.New("request_id", "other")), slog.LevelInfo, "another task")
		log(context.Background(), slog.LevelInfo, "no scope in it")
	})
	wantLines(t, out,
		`{"level":"info","request_id":"newer","message":"this task"}`,
		`{"level":"info","request_id":"other","message":"another task"}`,
		`{"level":"info","request_id":"newer","message":"no scope in it"}`)
}

func TestLogAttrsOfALoggerWithoutTheHookIsNotStamped(t *testing.T) {
	var out bytes.Buffer
	l := zerolog.New(&out)
	scope.New("k", 1).Run(func() { zeroh.LogAttrs(&l)(t.Context(), slog.LevelInfo, "m", slog.Int("i", 1)) })
	wantLines(t, &out, `{"level":"info","i":1,"message":"m"}`)
}

func TestLogAttrsOfNilIsTheGlobalLoggerOfTheMoment(t *testing.T) {
	defer func(was zerolog.Logger) { log.Logger = was }(log.Logger)
	logAttrs := zeroh.LogAttrs(nil)
	var out bytes.Buffer
	log.Logger = stamping(&out, nil)
	scope.New("request_id", "r-1").Run(func() { logAttrs(t.Context(), slog.LevelInfo, "m") })
	wantLines(t, &out, `{"level":"info","request_id":"r-1","message":"m"}`)
}
