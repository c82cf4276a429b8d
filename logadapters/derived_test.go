package logadapters_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// What an adapter remembers is made of what it remembered before: for a scope that gains
// fields, and for child loggers. However a scope came about and whoever logged meanwhile,
// a line is the one that a logger writes which has never logged, of a scope never seen.
func TestADerivedLineIsTheSameAsAFreshOne(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var out bytes.Buffer
		seen := lineWriters(&out)
		scope.New("id", seed).Run(func() {
			for range 12 {
				changeScope(r)
				for range r.IntN(4) {
					i := r.IntN(len(seen))
					line := func() {
						out.Reset()
						seen[i]()
						if strings.Contains(out.String(), "SECRET") {
							t.Fatalf("seed %d, logger %d tells: %s", seed, i, out.String())
						}
						// Twice: the second line is made of what the first has left remembered.
						var fresh bytes.Buffer
						neverSeen(scope.Current()).Run(func() {
							write := lineWriters(&fresh)[i]
							write()
							write()
						})
						if out.String()+out.String() != fresh.String() {
							t.Fatalf("seed %d, logger %d wrote\n%sand not\n%s", seed, i, out.String(), fresh.String())
						}
					}
					if r.IntN(3) == 0 {
						scope.With(fmt.Sprint("k", r.IntN(6)), r.IntN(99), "sub", "x").Run(line)
					} else {
						line()
					}
				}
			}
		})
	}
}

// neverSeen returns a scope with the fields of s and nothing else in common with it.
func neverSeen(s scope.Scope) scope.Scope {
	var args []any
	for key := range s.All() {
		value, _ := s.Get(key)
		args = append(args, key, value)
	}
	return scope.New(args...)
}

var (
	neverLogged  = scope.NewKey[string]("derive_hidden", scope.Hidden)
	neverInClear = scope.NewKey[string]("derive_redacted", scope.Redacted)
)

func changeScope(r *rand.Rand) {
	key := fmt.Sprint("k", r.IntN(6))
	switch r.IntN(8) {
	case 0, 1:
		scope.Set(key, r.IntN(99))
	case 2:
		scope.SetAttrs(slog.Int(key, r.IntN(99)), slog.String("x"+key, "v"))
	case 3:
		scope.Delete(key)
	case 4:
		scope.Set("err", io.EOF)
	case 5:
		scope.Set("f", float32(1.5))
	case 6:
		neverLogged.Set("SECRET")
	case 7:
		neverInClear.Set("SECRET")
	}
}

// lineWriters returns functions that write a line each, with loggers made for them: with
// fields, groups and namespaces of their own, some of whose keys the scope has too.
func lineWriters(w io.Writer) []func() {
	untimed := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	s := slog.New(slogh.New(slog.NewJSONHandler(w, untimed), nil))
	sChild := s.With("c", 1)
	sGroup := sChild.WithGroup("g").With("k1", 2)
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
	z := zap.New(zaph.New(zapcore.NewCore(encoder, zapcore.AddSync(w), zap.InfoLevel), nil))
	zChild := z.With(zap.Int("k2", 1))
	zSpace := zChild.With(zap.Namespace("k3"), zap.Int("a", 1))
	e := zerolog.New(w).Hook(zeroh.New(nil))
	return []func(){
		func() { s.Info("m") },
		func() { s.Info("m", "k1", 5) },
		func() { s.Info("m", "sub", 5, "id", 6) },
		func() { sChild.Info("m", "k0", 5) },
		func() { sGroup.Info("m") },
		func() { z.Info("m", zap.Int("k1", 9)) },
		func() { z.Info("m", zap.String("sub", "y")) },
		func() { zChild.Info("m") },
		func() { zSpace.Info("m") },
		func() { e.Info().Msg("m") },
		func() { zeroh.For(zerolog.New(w), nil).Info().Msg("m") },
	}
}
