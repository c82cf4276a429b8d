package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// Loggers are the three of them, writing to one buffer. They are for one goroutine at a
// time.
type loggers struct {
	out  bytes.Buffer
	slog *slog.Logger
	zap  *zap.Logger
	zero zerolog.Logger
}

func newLoggers() *loggers {
	l := &loggers{}
	l.slog = slog.New(slogh.New(slog.NewJSONHandler(&l.out, nil), nil))
	l.zap = zap.New(zaph.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(&l.out), zap.InfoLevel), nil))
	l.zero = zerolog.New(&l.out).Hook(zeroh.New(nil))
	return l
}

// fields logs a line with each logger and returns the fields that are on it, as text.
// Where the line is given a context, ctx is not nil. The loggers must agree.
func (l *loggers) fields(t testing.TB, ctx context.Context) map[string]string {
	t.Helper()
	if ctx == nil {
		l.slog.Info("")
		l.zap.Info("")
		l.zero.Info().Send()
	} else {
		l.slog.InfoContext(ctx, "")
		l.zap.Info("", zaph.Context(ctx))
		l.zero.Info().Ctx(ctx).Send()
	}
	var all []map[string]string
	for line := range strings.Lines(l.out.String()) {
		var parsed map[string]any
		if err := json.Unmarshal([]byte(line), &parsed); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		fields := map[string]string{}
		for k, v := range parsed {
			if k != slog.TimeKey && k != slog.LevelKey && k != slog.MessageKey {
				fields[k] = fmt.Sprint(v)
			}
		}
		all = append(all, fields)
	}
	if len(all) != 3 || !maps.Equal(all[0], all[1]) || !maps.Equal(all[0], all[2]) {
		t.Fatalf("the loggers don't agree:\n%s", l.out.String())
	}
	l.out.Reset()
	return all[0]
}

// labels returns the labels of the running goroutine as a goroutine profile has them.
// One goroutine at a time may call it.
//
//go:noinline
func labels(t testing.TB) map[string]string {
	t.Helper()
	var out bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&out, 0); err != nil {
		t.Fatal(err)
	}
	p, err := profile.ParseData(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range p.Sample {
		if !slices.ContainsFunc(sample.Location, func(at *profile.Location) bool {
			return slices.ContainsFunc(at.Line, func(l profile.Line) bool {
				return strings.HasSuffix(l.Function.Name, "interop.labels")
			})
		}) {
			continue
		}
		found := map[string]string{}
		for k, v := range sample.Label {
			found[k] = strings.Join(v, ",")
		}
		return found
	}
	t.Fatal("the running goroutine is not in the goroutine profile")
	return nil
}
