package zaph_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

var errLuck = errors.New("no luck")

// A detailedError is an error that says itself how zap shows it.
type detailedError struct {
	error
	asked *int // how often
}

func (e detailedError) Unwrap() error  { return e.error }
func (e detailedError) String() string { return "as a string" }

func (e detailedError) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	*e.asked++
	enc.AddString("text", e.Error())
	return nil
}

// Others are marshalers that hold errors, where nobody sees them.
type (
	otherObject struct{ error }
	otherArray  []error
)

func (o otherObject) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("text", o.error.Error())
	return nil
}

func (o otherArray) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, err := range o {
		enc.AppendString(err.Error())
	}
	return nil
}

// A line that is given an error is that of its scope with the fields of the error's: wherever the
// error is, and without calling a marshaler more often.
func TestWhereErrorsAreFound(t *testing.T) {
	var asked int
	detailed := func(err error) detailedError { return detailedError{err, &asked} }
	hidden := func(err error) zapcore.ObjectMarshaler { return struct{ zapcore.ObjectMarshaler }{otherObject{err}} }
	for _, c := range []struct {
		where  string
		hidden bool
		fields func(err error) []zap.Field
	}{
		{"Error", false, func(err error) []zap.Field { return []zap.Field{zap.Error(err)} }},
		{"NamedError", false, func(err error) []zap.Field { return []zap.Field{zap.NamedError("e", err)} }},
		{"Any", false, func(err error) []zap.Field { return []zap.Field{zap.Any("e", err)} }},
		{"Any of several", false, func(err error) []zap.Field { return []zap.Field{zap.Any("e", []error{errLuck, err, nil})} }},
		{"Errors", false, func(err error) []zap.Field { return []zap.Field{zap.Errors("e", []error{err})} }},
		{"Reflect", false, func(err error) []zap.Field { return []zap.Field{zap.Reflect("e", err)} }},
		{"Reflect of several", false, func(err error) []zap.Field { return []zap.Field{zap.Reflect("e", []error{err})} }},
		{"Any of an object", false, func(err error) []zap.Field { return []zap.Field{zap.Any("e", detailed(err))} }},
		{"Error of an object", false, func(err error) []zap.Field { return []zap.Field{zap.Error(detailed(err))} }},
		{"Inline", false, func(err error) []zap.Field { return []zap.Field{zap.Inline(detailed(err))} }},
		{"Stringer", false, func(err error) []zap.Field { return []zap.Field{zap.Stringer("e", detailed(err))} }},
		{"Stringers", false, func(err error) []zap.Field { return []zap.Field{zap.Stringers("e", []detailedError{detailed(err)})} }},
		{"Objects", false, func(err error) []zap.Field { return []zap.Field{zap.Objects("e", []detailedError{detailed(err)})} }},
		{"Objects of any type", false, func(err error) []zap.Field {
			return []zap.Field{zap.Objects("e", []zapcore.ObjectMarshaler{nil, zap.DictObject(zap.Error(err))}[1:])}
		}},
		{"Dict", false, func(err error) []zap.Field { return []zap.Field{zap.Dict("d", zap.Int("a", 1), zap.Error(err))} }},
		{"a Dict in a Dict", false, func(err error) []zap.Field {
			return []zap.Field{zap.Dict("d", zap.Dict("d", zap.Errors("e", []error{err}), zap.Any("o", detailed(err))))}
		}},
		{"an inlined Dict", false, func(err error) []zap.Field { return []zap.Field{zap.Inline(zap.DictObject(zap.Error(err)))} }},
		{"a namespace", false, func(err error) []zap.Field { return []zap.Field{zap.Namespace("n"), zap.Error(err)} }},
		{"another's object", true, func(err error) []zap.Field { return []zap.Field{zap.Object("o", hidden(err))} }},
		{"another's list", true, func(err error) []zap.Field { return []zap.Field{zap.Array("l", otherArray{err})} }},
	} {
		for way := range ways(zapcore.NewNopCore()) {
			for how, log := range map[string]func(*zap.Logger, ...zap.Field){
				"the line":             func(l *zap.Logger, fields ...zap.Field) { l.Info("m", fields...) },
				"With":                 func(l *zap.Logger, fields ...zap.Field) { l.With(fields...).Info("m", zap.Int("b", 2)) },
				"With, in a namespace": func(l *zap.Logger, fields ...zap.Field) { l.With(zap.Namespace("w")).With(fields...).Info("m") },
				"WithLazy":             func(l *zap.Logger, fields ...zap.Field) { l.WithLazy(fields...).Info("m", zap.Int("b", 2)) },
			} {
				t.Run(c.where+"/"+way+"/"+how, func(t *testing.T) {
					write := func(s scope.Scope, err error) (line string, asks int) {
						var out sink
						l := zap.New(zaph.New(ways(jsonCore(&out, zap.InfoLevel))[way], nil))
						before := asked
						s.Run(func() { log(l, c.fields(err)...) })
						return out.String(), asked - before
					}
					request := scope.New("request_id", "r")
					var marked error
					request.With("order", 7).Run(func() { marked = scope.Error(errLuck) })
					got, asks := write(request, marked)
					bound := request
					if !c.hidden {
						bound = request.With("order", 7)
					}
					want, wantAsks := write(bound, errLuck)
					if got != want || !c.hidden && !strings.Contains(got, `"order":7`) {
						t.Errorf("\ngot  %swant %s", got, want)
					}
					if asks != wantAsks {
						t.Errorf("marshalers are called %d times, want %d", asks, wantAsks)
					}
				})
			}
		}
	}
}

// Fields of an error that are in a group of their own give way to no key of the line.
func TestFieldsOfAnErrorInAGroup(t *testing.T) {
	for way := range ways(zapcore.NewNopCore()) {
		var out sink
		l := zap.New(zaph.New(ways(jsonCore(&out, zap.InfoLevel))[way], &logadapters.Options{Group: "s"})).With(zap.Int("attached", 1))
		scope.New("request_id", "r").Run(func() {
			var err error
			scope.With("order", 7, "attached", 8).Run(func() { err = scope.Error(errLuck) })
			l.Info("m", zap.Int("order", 2), zap.Error(err))
		})
		const want = `{"level":"info","msg":"m","attached":1,"s":{"request_id":"r","order":7,"attached":8},"order":2,"error":"no luck"}` + "\n"
		if got := out.String(); got != want {
			t.Errorf("%s:\ngot  %swant %s", way, got, want)
		}
	}
}

// A lazyError is a LogValuer of log/slog.
type lazyError struct{ error }

func (e lazyError) Unwrap() error        { return e.error }
func (e lazyError) LogValue() slog.Value { return slog.StringValue("resolved " + e.Error()) }

// LogAttrs finds what slogh finds.
func TestLogAttrsFindsErrors(t *testing.T) {
	for where, attr := range map[string]func(error) slog.Attr{
		"an error":                func(err error) slog.Attr { return slog.Any("e", err) },
		"one that is a LogValuer": func(err error) slog.Attr { return slog.Any("e", lazyError{err}) },
		"a group":                 func(err error) slog.Attr { return slog.Group("g", "e", err) },
	} {
		for way := range ways(zapcore.NewNopCore()) {
			var out sink
			log := zaph.LogAttrs(zap.New(zaph.New(ways(jsonCore(&out, zap.InfoLevel))[way], nil)))
			request := scope.New("request_id", "r")
			var marked error
			request.With("order", 7).Run(func() { marked = scope.Error(errLuck) })
			request.Run(func() { log(context.Background(), slog.LevelInfo, "m", attr(marked)) })
			got := out.String()
			out.Reset()
			request.With("order", 7).Run(func() { log(context.Background(), slog.LevelInfo, "m", attr(errLuck)) })
			if got != out.String() {
				t.Errorf("%s, %s:\ngot  %swant %s", where, way, got, out.String())
			}
		}
	}
}
