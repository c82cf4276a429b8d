package slogh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

var errLuck = errors.New("no luck")

// A detailedError is an error that says itself how it is logged, as those of samber/oops do.
type detailedError struct {
	error
	asked *int // how often
}

func (e detailedError) Unwrap() error { return e.error }

func (e detailedError) LogValue() slog.Value {
	*e.asked++
	return slog.GroupValue(slog.String("text", e.Error()), slog.Int("code", 7))
}

// An answer is a LogValuer that is no error itself.
type answer struct {
	value slog.Value
	asked *int
}

func (a answer) LogValue() slog.Value { *a.asked++; return a.value }

// A line that is given an error is that of its scope with the fields of the error's: wherever
// the error is, and without asking a LogValuer more often.
func TestWhereErrorsAreFound(t *testing.T) {
	var asked int
	detailed := func(err error) error { return detailedError{err, &asked} }
	answering := func(v slog.Value) slog.LogValuer { return answer{v, &asked} }
	for _, c := range []struct {
		where   string
		foreign bool // also if the handler is another package's
		log     func(l *slog.Logger, err error, mark func(error) error)
	}{
		{"an attribute", true, func(l *slog.Logger, err error, mark func(error) error) { l.Info("m", "err", mark(err)) }},
		{"one that is a LogValuer", true, func(l *slog.Logger, err error, mark func(error) error) { l.Info("m", "err", detailed(mark(err))) }},
		{"what Error was given is a LogValuer", true, func(l *slog.Logger, err error, mark func(error) error) { l.Info("m", "err", mark(detailed(err))) }},
		{"a LogValuer in a group", true, func(l *slog.Logger, err error, mark func(error) error) {
			l.Info("m", slog.Group("g", "a", 1, slog.Group("h", "err", detailed(mark(err)))))
		}},
		{"what a LogValuer is", false, func(l *slog.Logger, err error, mark func(error) error) {
			l.Info("m", "err", answering(slog.AnyValue(mark(err))))
		}},
		{"what a LogValuer is, which is one", false, func(l *slog.Logger, err error, mark func(error) error) {
			l.Info("m", "err", answering(slog.AnyValue(mark(detailed(err)))))
		}},
		{"a group that a LogValuer is", false, func(l *slog.Logger, err error, mark func(error) error) {
			l.Info("m", "g", answering(slog.GroupValue(slog.Int("a", 1), slog.Any("err", answering(slog.AnyValue(mark(err)))))))
		}},
		{"a group without a key that a LogValuer is", false, func(l *slog.Logger, err error, mark func(error) error) {
			l.Info("m", "", answering(slog.GroupValue(slog.Any("err", mark(err)))))
		}},
		{"a list", true, func(l *slog.Logger, err error, mark func(error) error) {
			l.Info("m", "errs", []error{errLuck, mark(err)})
		}},
		{"With", true, func(l *slog.Logger, err error, mark func(error) error) { l.With("err", detailed(mark(err))).Info("m") }},
		{"With, what a LogValuer is", false, func(l *slog.Logger, err error, mark func(error) error) {
			l.With("g", answering(slog.GroupValue(slog.Any("err", mark(detailed(err)))))).Info("m", "a", 1)
		}},
		{"With, in an open group", true, func(l *slog.Logger, err error, mark func(error) error) {
			l.WithGroup("g").With("err", detailed(mark(err))).With("b", answering(slog.AnyValue(mark(detailed(err))))).Info("m", "a", 1)
		}},
		{"the line, in an open group", true, func(l *slog.Logger, err error, mark func(error) error) {
			l.WithGroup("g").Info("m", "err", detailed(mark(err)))
		}},
		{"logr's Error", true, func(l *slog.Logger, err error, mark func(error) error) {
			logr.FromSlogHandler(l.Handler()).WithValues("a", 1).Error(mark(detailed(err)), "m", "b", 2)
		}},
		{"the second line", false, func(l *slog.Logger, err error, mark func(error) error) {
			for range 2 {
				l.Info("m", "err", answering(slog.AnyValue(mark(err))))
			}
		}},
	} {
		for name, build := range handlers {
			t.Run(c.where+"/"+name, func(t *testing.T) {
				write := func(s scope.Scope, mark func(error) error) (line string, asks int) {
					var out bytes.Buffer
					l := slog.New(slogh.New(build(&out, &slog.HandlerOptions{ReplaceAttr: noTime}), nil))
					before := asked
					s.Run(func() { c.log(l, errLuck, mark) })
					return out.String(), asked - before
				}
				request := scope.New("request_id", "r")
				got, asks := write(request, func(err error) (marked error) {
					request.With("order", 7).Run(func() { marked = scope.Error(err) })
					return marked
				})
				want, wantAsks := write(request.With("order", 7), func(err error) error { return err })
				if name == "foreign" && !c.foreign { // it may resolve what it gets, or not
					if strings.Contains(got, "order") || asks > wantAsks {
						t.Errorf("LogValuers are asked %d times for %s", asks, got)
					}
					return
				}
				if got != want {
					t.Errorf("\ngot  %swant %s", got, want)
				}
				if asks != wantAsks {
					t.Errorf("LogValuers are asked %d times, want %d", asks, wantAsks)
				}
			})
		}
	}
}

// A LogValuer that is given to a handler which drops the line is never asked.
func TestAForeignHandlerResolvesWhenItDoes(t *testing.T) {
	scope.New().Run(func() { _ = scope.Error(errLuck) }) // from now on lines are looked through
	scope.New("request_id", "r").Run(func() {
		l := slog.New(slogh.New(discarding{slog.DiscardHandler}, nil))
		l.Info("m", "v", testkit.NeverResolved{T: t})
		l.Info("m", slog.Group("g", "err", scope.Error(errLuck), "v", testkit.NeverResolved{T: t}))
	})
}

// Fields of an error that are in a group of their own give way to no key of the line.
func TestFieldsOfAnErrorInAGroup(t *testing.T) {
	var out bytes.Buffer
	l := jsonLogger(&out, &logadapters.Options{Group: "s"}).With("attached", 1)
	scope.New("request_id", "r").Run(func() {
		var err error
		scope.With("order", 7, "attached", 8).Run(func() { err = scope.Error(errLuck) })
		l.Info("m", "order", 2, "err", err)
	})
	wantLine(t, &out, `{"level":"INFO","msg":"m","attached":1,"s":{"request_id":"r","order":7,"attached":8},"order":2,"err":"`+errLuck.Error()+`"}`)
}

// A line without an error costs no more when there have been errors.
func TestLookingForErrorsAllocatesNothing(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	scope.New("request_id", "r").Run(func() {
		_ = scope.Error(errLuck)
		h := slog.NewJSONHandler(io.Discard, nil)
		ctx, err := context.Background(), fmt.Errorf("oh: %w", errLuck)
		allocations := func(l *slog.Logger) float64 {
			return testing.AllocsPerRun(100, func() {
				l.LogAttrs(ctx, slog.LevelInfo, "m", slog.Any("err", err), slog.Int("n", 1), slog.Any("v", testkit.Resolved("v")))
			})
		}
		if got, want := allocations(slog.New(slogh.New(h, nil))), allocations(slog.New(h)); got > want {
			t.Errorf("%v allocations, want %v", got, want)
		}
	})
}
