//go:build !binary_log

package zeroh_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// conformant is zerolog as adaptertest sees it.
type conformant struct {
	zerolog.Logger
	behind conformantFields // of the reference: behind the event's own
}

func (l conformant) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(l.Info(), ctx, msg, fields)
}

func (l conformant) Disabled(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(l.Debug(), ctx, msg, fields)
}

func (l conformant) log(e *zerolog.Event, ctx context.Context, msg string, fields conformantFields) {
	if e != nil {
		fields.MarshalZerologObject(e.Ctx(ctx))
		l.behind.MarshalZerologObject(e)
		e.Msg(msg)
	}
}

func (l conformant) With(fields ...adaptertest.Field) adaptertest.Logger {
	l.Logger = with(l.Logger, fields)
	return l
}

// with keeps an object that adds nothing from zerolog's EmbedObject, which writes a comma for it.
func with(l zerolog.Logger, fields []adaptertest.Field) zerolog.Logger {
	if isEmpty(fields) {
		return l
	}
	return l.With().EmbedObject(conformantFields(fields)).Logger()
}

func (l conformant) Group(string) adaptertest.Logger { panic("zerolog has no groups") }

type conformantFields []adaptertest.Field

func (fields conformantFields) MarshalZerologObject(e *zerolog.Event) {
	for _, f := range fields {
		switch group, ok := f.Value.(adaptertest.Group); {
		case !ok:
			e.Fields([]any{f.Key, f.Value})
		case isEmpty(group): // as in log/slog
		case f.Key == "":
			conformantFields(group).MarshalZerologObject(e)
		default:
			dict := e.CreateDict()
			conformantFields(group).MarshalZerologObject(dict)
			e.Dict(f.Key, dict)
		}
	}
}

// isEmpty reports whether there is nothing in group but groups in which there is nothing.
func isEmpty(group adaptertest.Group) bool {
	return !slices.ContainsFunc(group, func(f adaptertest.Field) bool {
		inner, ok := f.Value.(adaptertest.Group)
		return !ok || !isEmpty(inner)
	})
}

func conformanceOf(format func(io.Writer) io.Writer) adaptertest.Adapter {
	logger := func(w io.Writer) zerolog.Logger { return zerolog.New(format(w)).Level(zerolog.InfoLevel) }
	return adaptertest.Adapter{
		New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
			return conformant{logger(w).Hook(zeroh.New(opts)), nil}
		},
		Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
			return conformant{logger(w), fields}
		},
		Own:   []string{zerolog.LevelFieldName, zerolog.MessageFieldName, zerolog.TimestampFieldName},
		Lacks: adaptertest.Groups | adaptertest.EventKeys,
	}
}

// forConformant is a Logger of For as adaptertest sees it.
type forConformant struct {
	base zerolog.Logger
	opts *logadapters.Options
	*zeroh.Logger
}

func newForConformant(base zerolog.Logger, opts *logadapters.Options) forConformant {
	return forConformant{base, opts, zeroh.For(base, opts)}
}

func (l forConformant) Log(_ context.Context, msg string, fields ...adaptertest.Field) {
	l.Info().EmbedObject(conformantFields(fields)).Msg(msg)
}

func (l forConformant) Disabled(_ context.Context, msg string, fields ...adaptertest.Field) {
	l.Debug().EmbedObject(conformantFields(fields)).Msg(msg)
}

func (l forConformant) With(fields ...adaptertest.Field) adaptertest.Logger {
	return newForConformant(with(l.base, fields), l.opts)
}

func (l forConformant) Group(string) adaptertest.Logger { panic("zerolog has no groups") }

func forConformanceOf(format func(io.Writer) io.Writer) adaptertest.Adapter {
	a := conformanceOf(format)
	logger := func(w io.Writer) zerolog.Logger { return zerolog.New(format(w)).Level(zerolog.InfoLevel) }
	a.New = func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
		return newForConformant(logger(w), opts)
	}
	a.Reference = func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
		return adaptertest.AttachLast(conformant{logger(w), nil}, fields)
	}
	a.Lacks |= adaptertest.Contexts
	return a
}

func asJSON(w io.Writer) io.Writer { return w }

func onConsole(w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: w, NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName}}
}

// adapters are the two ways in, in both formats.
var adapters = map[string]adaptertest.Adapter{
	"hook, JSON": conformanceOf(asJSON), "hook, console": conformanceOf(onConsole),
	"For, JSON": forConformanceOf(asJSON), "For, console": forConformanceOf(onConsole),
}

func TestConformance(t *testing.T) {
	for _, way := range []string{"hook, JSON", "For, JSON"} {
		t.Run(way, func(t *testing.T) { adaptertest.Run(t, adapters[way]) })
	}
}

func TestSameBytesJSON(t *testing.T) {
	for _, way := range []string{"hook, JSON", "For, JSON"} {
		t.Run(way, func(t *testing.T) { adaptertest.RunGenerated(t, adapters[way], 5000) })
	}
}

func TestSameBytesConsole(t *testing.T) {
	for _, way := range []string{"hook, console", "For, console"} {
		t.Run(way, func(t *testing.T) { adaptertest.RunGenerated(t, adapters[way], 5000) })
	}
}

// zerolog itself writes a key and no value for an error that is a nil pointer, which no
// reader of JSON accepts. So this is where the same bytes are not wanted.
func TestErrorThatIsANilPointerIsNull(t *testing.T) {
	for _, write := range []func(*bytes.Buffer){
		func(w *bytes.Buffer) { l := zerolog.New(w).Hook(zeroh.New(nil)); l.Info().Msg("hello") },
		func(w *bytes.Buffer) { zeroh.For(zerolog.New(w), nil).Info().Msg("hello") },
	} {
		var line bytes.Buffer
		err := (*nilPointerError)(nil)
		scope.New("first", err, "group", slog.GroupValue(slog.Any("inner", err)), "last", []error{err, err}).Run(func() { write(&line) })
		want := `{"level":"info","first":null,"group":{"inner":null},"last":[null,null],"message":"hello"}` + "\n"
		if line.String() != want {
			t.Errorf("got  %swant %s", &line, want)
		}
	}
}
