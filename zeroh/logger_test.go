//go:build !binary_log

package zeroh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

func TestForPutsTheFieldsBehindThoseOfTheBase(t *testing.T) {
	var out bytes.Buffer
	f := zeroh.For(zerolog.New(&out).With().Str("service", "s").Logger(), nil)
	f.Info().Msg("no scope")
	scope.New("k", 1).Run(func() {
		l := f.L()
		l.Info().Int("own", 2).Msg("m")
		scope.Set("more", 2)
		f.Info().Int("own", 3).Msg("m")
		l.Info().Msg("as of then")
		scope.With("child", true).Run(func() { f.Info().Msg("m") })
		child := f.With().Int("a", 1).Logger()
		child.Info().Msg("m")
	})
	scope.New().Run(func() { f.Info().Msg("an empty scope") })
	wantLines(t, &out,
		`{"level":"info","service":"s","message":"no scope"}`,
		`{"level":"info","service":"s","k":1,"own":2,"message":"m"}`,
		`{"level":"info","service":"s","k":1,"more":2,"own":3,"message":"m"}`,
		`{"level":"info","service":"s","k":1,"message":"as of then"}`,
		`{"level":"info","service":"s","k":1,"more":2,"child":true,"message":"m"}`,
		`{"level":"info","service":"s","k":1,"more":2,"a":1,"message":"m"}`,
		`{"level":"info","service":"s","message":"an empty scope"}`)
}

// A Context that is used again writes into the memory of the logger that it made before, so
// loggers can't be told apart by that.
func TestForTwoLoggersOfOneTemplate(t *testing.T) {
	var out bytes.Buffer
	template := zerolog.New(&out).With().Str("service", "s")
	scope.New("k", 1).Run(func() {
		for _, user := range []string{"ann", "bob"} {
			l := template.Str("user", user).Logger()
			zeroh.For(l, nil).Info().Msg("m")
		}
	})
	wantLines(t, &out,
		`{"level":"info","service":"s","user":"ann","k":1,"message":"m"}`,
		`{"level":"info","service":"s","user":"bob","k":1,"message":"m"}`)
}

func TestForHasTheMethodsOfALogger(t *testing.T) {
	var out bytes.Buffer
	defer func(was func()) { zerolog.FatalExitFunc = was }(zerolog.FatalExitFunc)
	exited := 0
	zerolog.FatalExitFunc = func() { exited++ }
	f := zeroh.For(zerolog.New(&out), nil)
	scope.New("k", 1).Run(func() {
		f.Trace().Msg("m")
		f.Debug().Msg("m")
		f.Info().Msg("m")
		f.Warn().Msg("m")
		f.Error().Msg("m")
		f.Err(nil).Msg("m")
		f.Err(errors.New("boom")).Msg("m")
		f.Fatal().Msg("m")
		func() {
			defer func() {
				if p := recover(); p != "gone" {
					t.Errorf("panicked with %v", p)
				}
			}()
			f.Panic().Msg("gone")
		}()
		f.Log().Msg("m")
		f.WithLevel(zerolog.FatalLevel).Msg("m")
		f.WithLevel(zerolog.Disabled).Msg("m")
	})
	if exited != 1 {
		t.Errorf("exited %d times", exited)
	}
	wantLines(t, &out,
		`{"level":"trace","k":1,"message":"m"}`, `{"level":"debug","k":1,"message":"m"}`, `{"level":"info","k":1,"message":"m"}`,
		`{"level":"warn","k":1,"message":"m"}`, `{"level":"error","k":1,"message":"m"}`, `{"level":"info","k":1,"message":"m"}`,
		`{"level":"error","k":1,"error":"boom","message":"m"}`, `{"level":"fatal","k":1,"message":"m"}`,
		`{"level":"panic","k":1,"message":"gone"}`, `{"k":1,"message":"m"}`, `{"level":"fatal","k":1,"message":"m"}`)
}

func TestForGoesByTheLevelsOfItsBaseAndResolvesNothingBelow(t *testing.T) {
	defer zerolog.SetGlobalLevel(zerolog.GlobalLevel())
	var out bytes.Buffer
	f := zeroh.For(zerolog.New(&out).Level(zerolog.InfoLevel), nil)
	nop := zeroh.For(zerolog.Nop(), nil)
	v := new(testkit.Counter)
	scope.New("v", v).Run(func() {
		f.Debug().Msg("below the level")
		f.WithLevel(zerolog.TraceLevel).Msg("below the level")
		nop.Error().Msg("disabled")
		nop.Log().Msg("disabled")
		zerolog.SetGlobalLevel(zerolog.WarnLevel)
		f.Info().Msg("below the global level")
		zerolog.SetGlobalLevel(zerolog.TraceLevel)
		if n := v.Count(); n != 0 {
			t.Errorf("resolved %d times for lines that aren't written", n)
		}
		f.Info().Msg("m")
		l := f.L()
		l.Info().Msg("m")
		l.Info().Msg("m")
	})
	wantLines(t, &out, `{"level":"info","v":1,"message":"m"}`, `{"level":"info","v":2,"message":"m"}`, `{"level":"info","v":2,"message":"m"}`)
}

func TestWhatIsDoneToAnLDoesNotReachOthers(t *testing.T) {
	var out bytes.Buffer
	f := zeroh.For(zerolog.New(&out).With().Int("a", 1).Logger(), nil)
	change := func() {
		l := f.L()
		l.UpdateContext(func(c zerolog.Context) zerolog.Context { return c.Int("b", 2) })
		*l = l.Level(zerolog.Disabled).Output(io.Discard)
	}
	change()
	f.Info().Msg("m")
	scope.New("k", 1).Run(func() {
		change()
		f.Info().Msg("m")
		f.L().Info().Msg("m")
	})
	wantLines(t, &out, `{"level":"info","a":1,"message":"m"}`, `{"level":"info","a":1,"k":1,"message":"m"}`, `{"level":"info","a":1,"k":1,"message":"m"}`)
}

func TestForKeepsTheBaseOfItsMoment(t *testing.T) {
	var out bytes.Buffer
	base := zerolog.New(&out)
	f := zeroh.For(base, nil)
	base.UpdateContext(func(c zerolog.Context) zerolog.Context { return c.Int("a", 1) })
	scope.New("k", 1).Run(func() {
		f.Info().Msg("m")
		zeroh.For(base, nil).Info().Msg("m")
	})
	wantLines(t, &out, `{"level":"info","k":1,"message":"m"}`, `{"level":"info","a":1,"k":1,"message":"m"}`)
}

func TestForLeavesABaseWithTheHookAsItIs(t *testing.T) {
	var out bytes.Buffer
	other := zerolog.HookFunc(func(*zerolog.Event, zerolog.Level, string) {})
	for _, base := range []zerolog.Logger{
		stamping(&out, nil),
		stamping(&out, nil).With().Logger(),
		zerolog.New(&out).Hook(other).Hook(zeroh.New(nil)).Hook(other),
	} {
		f := zeroh.For(base, &logadapters.Options{Group: "other"})
		f.Info().Msg("m")
		scope.New("k", 1).Run(func() {
			f.Info().Int("own", 2).Msg("m")
			f.L().Info().Msg("m")
		})
		wantLines(t, &out, `{"level":"info","message":"m"}`, `{"level":"info","own":2,"k":1,"message":"m"}`, `{"level":"info","k":1,"message":"m"}`)
	}
	zeroh.For(zerolog.New(&out).Hook(nil), nil) // of which zerolog takes lines that are discarded
}

func TestForIgnoresContexts(t *testing.T) {
	var out bytes.Buffer
	other := scope.NewContext(context.Background(), scope.New("task", "other"))
	f := zeroh.For(zerolog.New(&out).With().Ctx(other).Logger(), nil)
	scope.New("task", "mine").Run(func() {
		f.Info().Msg("m")
		f.Info().Ctx(other).Msg("m")
	})
	wantLines(t, &out, `{"level":"info","task":"mine","message":"m"}`, `{"level":"info","task":"mine","message":"m"}`)
}

// A funcWriter can't be compared.
type funcWriter func(p []byte)

func (f funcWriter) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestForTakesABaseThatCanNotBeCompared(t *testing.T) {
	var out bytes.Buffer
	first := zeroh.For(zerolog.New(funcWriter(func(p []byte) { out.WriteString("1 "); out.Write(p) })), nil)
	second := zeroh.For(zerolog.New(funcWriter(func(p []byte) { out.WriteString("2 "); out.Write(p) })), nil)
	scope.New("k", 1).Run(func() {
		for range 2 {
			first.Info().Msg("m")
			second.Info().Msg("m")
		}
	})
	wantLines(t, &out, `1 {"level":"info","k":1,"message":"m"}`, `2 {"level":"info","k":1,"message":"m"}`,
		`1 {"level":"info","k":1,"message":"m"}`, `2 {"level":"info","k":1,"message":"m"}`)
}

// The filtered address is in no line, whichever way in a program takes.
func TestTheFilterHoldsForTheHookAndForFor(t *testing.T) {
	opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, a.Key != "email" }}
	var out bytes.Buffer
	scope.New("k", 1, "email", "ann@example.com").Run(func() {
		hooked := stamping(&out, opts)
		zeroh.For(hooked, opts).Info().Msg("m")
		zeroh.For(hooked, nil).Info().Msg("m")
		zeroh.For(zerolog.New(&out), opts).Info().Msg("m")
		scope.With("phone", 2).Run(func() { zeroh.For(zerolog.New(&out), opts).L().Info().Msg("m") })
	})
	wantLines(t, &out, `{"level":"info","k":1,"message":"m"}`, `{"level":"info","k":1,"message":"m"}`,
		`{"level":"info","k":1,"message":"m"}`, `{"level":"info","k":1,"phone":2,"message":"m"}`)
}
