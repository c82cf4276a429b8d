package zeroh_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// decode reads a line as zerolog's own ConsoleWriter does, which decodes CBOR in a
// build with the tag binary_log and takes JSON as it is in any other.
func decode(t *testing.T, line []byte) (fields map[string]any) {
	t.Helper()
	w := zerolog.ConsoleWriter{Out: io.Discard, FormatPrepare: func(m map[string]any) error {
		fields = m
		return nil
	}}
	if _, err := w.Write(line); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	return fields
}

// These tests run in both builds, with the tag binary_log and without it.
func TestALineIsWhatZerologWritesInThisBuild(t *testing.T) {
	args := []any{
		"request_id", "r-1", "n", -42, "f", 1.5, "single", float32(0.1), "ok", true, "nothing", nil,
		"took", 1500 * time.Millisecond, "at", time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
		"err", errors.New("boom"), "bytes", []byte{0, 1, 255}, "inf", math.Inf(1), "struct", struct{ A int }{1},
		"strings", []string{"a", "b"}, `quo"te`, "\x00\xff",
	}
	for name, opts := range map[string]*logadapters.Options{"root": nil, "group": {Group: "g"}} {
		var got, want bytes.Buffer
		l, ref := zerolog.New(&got).Hook(zeroh.New(opts)), zerolog.New(&want)
		scope.New(args...).Run(func() {
			for range 2 { // the second is remembered
				l.Info().Str("own", "x").Msg("m")
			}
		})
		for range 2 {
			if e := ref.Info().Str("own", "x"); opts == nil {
				e.Fields(args).Msg("m")
			} else {
				e.Dict("g", e.CreateDict().Fields(args)).Msg("m")
			}
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, &got, &want)
		}
	}
}

func TestALineCanBeReadInThisBuild(t *testing.T) {
	var out bytes.Buffer
	l := zerolog.New(&out).Hook(zeroh.New(nil))
	s := scope.New("request_id", "r-1", slog.Group("g", slog.Bool("a", true), slog.Group("h", slog.String("b", "2"))), "z", "last")
	want := map[string]any{
		"level": "info", "own": "x", "request_id": "r-1", "z": "last", "message": "m",
		"g": map[string]any{"a": true, "h": map[string]any{"b": "2"}},
	}
	s.Run(func() {
		l.Info().Str("own", "x").Msg("m")
		if got := decode(t, out.Bytes()); !reflect.DeepEqual(got, want) {
			t.Errorf("the hook:\ngot  %v\nwant %v", got, want)
		}
		out.Reset()
		zeroh.For(zerolog.New(&out), nil).Info().Str("own", "x").Msg("m")
		if got := decode(t, out.Bytes()); !reflect.DeepEqual(got, want) {
			t.Errorf("Logger:\ngot  %v\nwant %v", got, want)
		}
		out.Reset()
	})
	l.Info().Msg("no scope")
	if got := decode(t, out.Bytes()); len(got) != 2 {
		t.Errorf("no scope: got %v", got)
	}
}

type unreadable struct{}

func (unreadable) MarshalZerologObject(*zerolog.Event) { panic("no object") }

func TestAValueThatPanicsCostsOnlyItsFieldInThisBuild(t *testing.T) {
	var out bytes.Buffer
	l := zerolog.New(&out).Hook(zeroh.New(nil))
	scope.New("a", "1", "bad", unreadable{}, "z", "26").Run(func() { l.Info().Str("own", "x").Msg("m") })
	got := decode(t, out.Bytes())
	want := map[string]any{"level": "info", "own": "x", "a": "1", "bad": "!PANIC: no object", "z": "26", "message": "m"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
