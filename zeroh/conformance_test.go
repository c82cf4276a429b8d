//go:build !binary_log

package zeroh_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
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
	l.Logger = l.Logger.With().EmbedObject(conformantFields(fields)).Logger()
	return l
}

func (l conformant) Group(string) adaptertest.Logger { panic("zerolog has no groups") }

type conformantFields []adaptertest.Field

func (fields conformantFields) MarshalZerologObject(e *zerolog.Event) {
	for _, f := range fields {
		switch group, ok := f.Value.(adaptertest.Group); {
		case !ok:
			e.Fields([]any{f.Key, f.Value})
		case f.Key == "":
			conformantFields(group).MarshalZerologObject(e)
		default:
			dict := e.CreateDict()
			conformantFields(group).MarshalZerologObject(dict)
			e.Dict(f.Key, dict)
		}
	}
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

var (
	conformantJSON    = conformanceOf(func(w io.Writer) io.Writer { return w })
	conformantConsole = conformanceOf(func(w io.Writer) io.Writer {
		return zerolog.ConsoleWriter{Out: w, NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName}}
	})
)

func TestConformance(t *testing.T) { adaptertest.Run(t, conformantJSON) }

func TestSameBytesJSON(t *testing.T) { adaptertest.RunGenerated(t, conformantJSON, 5000) }

func TestSameBytesConsole(t *testing.T) { adaptertest.RunGenerated(t, conformantConsole, 5000) }

type nilPointerError struct{}

func (*nilPointerError) Error() string { return "never called" }

// zerolog itself writes a key and no value for an error that is a nil pointer, which no
// reader of JSON accepts. So this is where the same bytes are not wanted.
func TestErrorThatIsANilPointerIsNull(t *testing.T) {
	for _, write := range []func(*bytes.Buffer){
		func(w *bytes.Buffer) { l := zerolog.New(w).Hook(zeroh.New(nil)); l.Info().Msg("hello") },
		func(w *bytes.Buffer) { zeroh.Logger(zerolog.New(w)).Info().Msg("hello") },
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

type panickingMarshaler struct{}

func (panickingMarshaler) MarshalJSON() ([]byte, error) { panic("boom") }

// Logger has no hook: it must not leave the value to the logger it makes either.
func TestLoggerSurvivesAValueThatPanics(t *testing.T) {
	var line bytes.Buffer
	scope.New("a", 1, "bad", panickingMarshaler{}, "z", 2).Run(func() {
		zeroh.Logger(zerolog.New(&line)).Info().Msg("hello")
	})
	want := `{"level":"info","a":1,"bad":"!PANIC: boom","z":2,"message":"hello"}` + "\n"
	if line.String() != want {
		t.Errorf("got  %swant %s", &line, want)
	}
}
