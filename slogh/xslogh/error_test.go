package xslogh_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	xslog "golang.org/x/exp/slog"

	"github.com/taskscope/taskscope/scope"
)

var errLuck = errors.New("no luck")

// A detailedError is a LogValuer of x/exp's slog, and a newError one of log/slog, which is nothing
// to x/exp.
type (
	detailedError struct {
		error
		asked *int // how often
	}
	newError struct{ error }
)

func (e detailedError) Unwrap() error { return e.error }
func (e newError) Unwrap() error      { return e.error }

func (e detailedError) LogValue() xslog.Value {
	*e.asked++
	return xslog.GroupValue(xslog.String("text", e.Error()))
}

func (e newError) LogValue() slog.Value { panic("x/exp asks log/slog's LogValuer") }

// A line that is given an error is that of its scope with the fields of the error's.
func TestWhereErrorsAreFound(t *testing.T) {
	var asked int
	detailed := func(err error) error { return detailedError{err, &asked} }
	for where, log := range map[string]func(l *xslog.Logger, err error, mark func(error) error){
		"an attribute":                func(l *xslog.Logger, err error, mark func(error) error) { l.Info("m", "err", mark(err)) },
		"a LogValuer":                 func(l *xslog.Logger, err error, mark func(error) error) { l.Info("m", "err", detailed(mark(err))) },
		"a LogValuer of log/slog":     func(l *xslog.Logger, err error, mark func(error) error) { l.Info("m", "err", newError{mark(err)}) },
		"Error was given a LogValuer": func(l *xslog.Logger, err error, mark func(error) error) { l.Info("m", "err", mark(detailed(err))) },
		"Error was given log/slog's":  func(l *xslog.Logger, err error, mark func(error) error) { l.Info("m", "err", mark(newError{err})) },
		"a list":                      func(l *xslog.Logger, err error, mark func(error) error) { l.Info("m", "errs", []error{mark(err)}) },
		"the line, in an open group":  func(l *xslog.Logger, err error, mark func(error) error) { l.WithGroup("g").Info("m", "err", mark(err)) },
		"With":                        func(l *xslog.Logger, err error, mark func(error) error) { l.With("err", mark(newError{err})).Info("m") },
		"With, in an open group": func(l *xslog.Logger, err error, mark func(error) error) {
			l.WithGroup("g").With("err", mark(detailed(err))).Info("m", "a", 1)
		},
		"a LogValuer in a group": func(l *xslog.Logger, err error, mark func(error) error) {
			l.Info("m", xslog.Group("g", "err", detailed(mark(err))))
		},
		"a LogValuer without a key": func(l *xslog.Logger, err error, mark func(error) error) {
			l.Info("m", "", detailed(mark(err)), "text", "t")
		},
		"a LogValuer in a group, bare": func(l *xslog.Logger, err error, mark func(error) error) {
			l.Info("m", xslog.Group("g", "err", mark(detailed(err))))
		},
	} {
		t.Run(where, func(t *testing.T) {
			write := func(s scope.Scope, mark func(error) error) (line string, asks int) {
				var out bytes.Buffer
				before := asked
				s.Run(func() { log(jsonLogger(&out, nil), errLuck, mark) })
				return out.String(), asked - before
			}
			request := scope.New("request_id", "r")
			got, asks := write(request, func(err error) (marked error) {
				request.With("order", 7).Run(func() { marked = scope.Error(err) })
				return marked
			})
			want, wantAsks := write(request.With("order", 7), func(err error) error { return err })
			if got != want {
				t.Errorf("\ngot  %swant %s", got, want)
			}
			if asks != wantAsks {
				t.Errorf("LogValuers are asked %d times, want %d", asks, wantAsks)
			}
		})
	}
}
