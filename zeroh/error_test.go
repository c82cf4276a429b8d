//go:build !binary_log

package zeroh_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

func TestMarshalError(t *testing.T) {
	saved := zerolog.ErrorMarshalFunc
	defer func() { zerolog.ErrorMarshalFunc = saved }()
	scope.NewKey[string]("zero_secret", scope.Redacted)
	scope.NewKey[string]("zero_hidden", scope.Hidden)
	var err, nothing, nilPointer error
	scope.New("request_id", "r", "zero_secret", "s", "zero_hidden", "h", "message", "another").Run(func() {
		scope.Set("late", late{})
		err, nilPointer = scope.Error(io.EOF), scope.Error((*pointer)(nil))
	})
	object := `{"message":"EOF","request_id":"r","zero_secret":"[REDACTED]","late":"resolved"}`
	for _, c := range []struct {
		rule  string
		write func(*zerolog.Event) *zerolog.Event
		want  string
	}{
		{"Err", func(e *zerolog.Event) *zerolog.Event { return e.Err(err) }, `,"error":` + object},
		{"AnErr", func(e *zerolog.Event) *zerolog.Event { return e.AnErr("e", err) }, `,"e":` + object},
		{"Errs", func(e *zerolog.Event) *zerolog.Event { return e.Errs("e", []error{io.EOF, err}) }, `,"e":["EOF",` + object + `]`},
		{"one that is wrapped", func(e *zerolog.Event) *zerolog.Event { return e.Err(fmt.Errorf("oh: %w", err)) },
			`,"error":{"message":"oh: EOF","request_id":"r","zero_secret":"[REDACTED]","late":"resolved"}`},
		{"another", func(e *zerolog.Event) *zerolog.Event { return e.Err(io.EOF) }, `,"error":"EOF"`},
		{"joined", func(e *zerolog.Event) *zerolog.Event { return e.Err(errors.Join(io.EOF, io.EOF)) }, `,"error":"EOF\nEOF"`},
		{"nil", func(e *zerolog.Event) *zerolog.Event { return e.Err(nothing) }, ``},
		{"a nil pointer", func(e *zerolog.Event) *zerolog.Event { return e.Err(nilPointer) }, ``},
		{"With", func(e *zerolog.Event) *zerolog.Event { return e.AnErr("a", err).Err(err) }, `,"a":` + object + `,"error":` + object},
	} {
		zerolog.ErrorMarshalFunc = zeroh.MarshalError
		var out recorder
		l := zerolog.New(&out).Hook(zeroh.New(nil))
		c.write(l.Info()).Send()
		scope.New("line", 1).Run(func() { c.write(l.Info()).Send() })
		zerolog.ErrorMarshalFunc = saved
		lines := out.take()
		for i, end := range []string{"", `,"line":1`} {
			if got, want := string(lines[i]), `{"level":"info"`+c.want+end+"}\n"; got != want {
				t.Errorf("%s:\ngot  %swant %s", c.rule, got, want)
			}
		}
	}
}

// The text of the error is there once, whatever else is called message.
func TestTheMessageOfAnErrorIsItsText(t *testing.T) {
	defer func(f func(error) any) { zerolog.ErrorMarshalFunc = f }(zerolog.ErrorMarshalFunc)
	zerolog.ErrorMarshalFunc = zeroh.MarshalError
	for what, set := range map[string]func(){
		"a field":        func() { scope.Set("message", "another") },
		"a shared field": func() { scope.Share("message", "another") },
		"both":           func() { scope.Share("message", "one"); scope.Set("message", "another") },
	} {
		var out recorder
		l := zerolog.New(&out)
		scope.New("request_id", "r").Run(func() {
			set()
			l.Err(scope.Error(io.EOF)).Send()
		})
		if got, want := string(out.take()[0]), `{"level":"error","error":{"message":"EOF","request_id":"r"}}`+"\n"; got != want {
			t.Errorf("%s: got %swant %s", what, got, want)
		}
	}
}

type late struct{}

func (late) LogValue() slog.Value { return slog.StringValue("resolved") }

type pointer struct{ text string }

func (p *pointer) Error() string { return p.text }
