package scope_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// errorWith returns err as Error makes it where this field is bound.
func errorWith(err error, key string, value any) (marked error) {
	scope.New(key, value).Run(func() { marked = scope.Error(err) })
	return marked
}

func TestAnErrorIsAsBefore(t *testing.T) {
	if err := scope.Error(nil); err != nil {
		t.Errorf("nil becomes %v", err)
	}
	scope.New("a", 1).Run(func() {
		if err := scope.Error(nil); err != nil {
			t.Errorf("within a scope nil becomes %v", err)
		}
	})
	if err := scope.Error(io.EOF); err != io.EOF {
		t.Errorf("with nothing bound the error becomes %#v", err)
	}
	for _, err := range []error{
		io.EOF, &codeError{7}, fmt.Errorf("oh: %w", io.EOF), errors.Join(io.EOF, &codeError{7}), stackError{}, context.DeadlineExceeded,
	} {
		marked := errorWith(errorWith(err, "a", 1), "b", 2)
		if marked == err || marked.Error() != err.Error() || !errors.Is(marked, err) && !errors.Is(err, io.EOF) {
			t.Errorf("%v becomes %v", err, marked)
		}
		for _, sentinel := range []error{io.EOF, context.DeadlineExceeded, io.ErrClosedPipe} {
			if errors.Is(marked, sentinel) != errors.Is(err, sentinel) {
				t.Errorf("%v: Is %v is %v", err, sentinel, errors.Is(marked, sentinel))
			}
		}
		var was, is *codeError
		if errors.As(marked, &is) != errors.As(err, &was) || is != was {
			t.Errorf("%v: As finds %v and %v", err, was, is)
		}
		for _, verb := range []string{"%v", "%s", "%q", "%+v", "%x", "%10v|", "%-10s|"} {
			if got, want := fmt.Sprintf(verb, marked), fmt.Sprintf(verb, err); got != want {
				t.Errorf("%s writes %q, want %q", verb, got, want)
			}
		}
	}
}

type codeError struct{ code int }

func (e *codeError) Error() string { return fmt.Sprint("code ", e.code) }

type stackError struct{}

func (stackError) Error() string { return "short" }

func (stackError) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, "%c", verb)
	if f.Flag('+') {
		_, _ = io.WriteString(f, " with a stack")
	}
}

func TestErrorScope(t *testing.T) {
	inner := errorWith(io.EOF, "at", "inner")
	for _, c := range []struct {
		rule string
		err  error
		want string // "none" if there is no scope
	}{
		{"nil", nil, "none"},
		{"another", io.EOF, "none"},
		{"itself", inner, "at=inner"},
		{"wrapped", fmt.Errorf("a: %w", fmt.Errorf("b: %w", inner)), "at=inner"},
		{"the innermost", errorWith(fmt.Errorf("a: %w", inner), "at", "outer"), "at=inner"},
		{"the innermost, twice", errorWith(errorWith(inner, "at", "middle"), "at", "outer"), "at=inner"},
		{"joined", errors.Join(io.ErrNoProgress, inner), "at=inner"},
		{"the first of two", errors.Join(errorWith(io.EOF, "at", "first"), errorWith(io.EOF, "at", "second")), "at=first"},
		{"the deeper of two", errors.Join(errorWith(io.EOF, "at", "first"), fmt.Errorf("a: %w", errorWith(io.EOF, "at", "second"))), "at=second"},
		{"several %w", fmt.Errorf("%w %w", io.ErrNoProgress, inner), "at=inner"},
		{"a ring", ring{}, "none"},
		{"a ring of two", errors.Join(forks{}, inner), "at=inner"},
		{"a nil branch", branches{nil, inner}, "at=inner"},
		{"an Unwrap that panics", branches{broken{}, inner}, "at=inner"},
		{"a nil pointer", (*pointer)(nil), "none"},
	} {
		s, ok := scope.ErrorScope(c.err)
		if got := text(s); ok != (c.want != "none") || ok && got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.rule, got, ok, c.want)
		}
	}
	// What was set later isn't in it.
	scope.New("a", 1).Run(func() {
		err := scope.Error(io.EOF)
		scope.Set("b", 2)
		s, _ := scope.ErrorScope(err)
		if text(s) != "a=1" || !s.SameTask(scope.Current()) {
			t.Errorf("the scope is %q", text(s))
		}
	})
}

type (
	ring     struct{}
	forks    struct{}
	branches []error
	broken   struct{}
	pointer  struct{ error }
)

func (ring) Error() string         { return "ring" }
func (r ring) Unwrap() error       { return r }
func (forks) Error() string        { return "forks" }
func (f forks) Unwrap() []error    { return []error{io.EOF, io.EOF} }
func (branches) Error() string     { return "branches" }
func (b branches) Unwrap() []error { return b }
func (broken) Error() string       { return "broken" }
func (broken) Unwrap() error       { panic("broken") }
func (p *pointer) Unwrap() error   { return p.error } // panics for nil

// An error keeps its scope, what its task shares, and what Totals shows: nothing else.
func TestWhatAnErrorKeeps(t *testing.T) {
	scope.NewKey[any]("error_hidden", scope.Hidden)
	onEachPath(t, func(t *testing.T, p path) {
		var values testkit.Probe[bulk]
		var names []string
		value := func(name string) *bulk { names = append(names, name); return values.Watch(new(bulk)) }
		var kept error
		scope.New().Run(func() {
			scope.Set("own", value("set"))
			scope.Set("replaced", value("replaced"))
			scope.Set("replaced", 1)
			scope.Set("deleted", value("deleted"))
			scope.Delete("deleted")
			scope.Share("shared", value("shared"))
			scope.Share("unshared", value("unshared"))
			_ = scope.Current().String() // as a line does it
			scope.Unshare("unshared")
			_ = scope.Current().String() // what was made for the line before goes
			scope.Append("list", value("appended"))
			scope.Append("list", holder{value("appended, a LogValuer")})
			scope.Append("list", fmt.Errorf("%w", holder{value("appended, an error")}))
			scope.Append("error_hidden", value("appended, hidden"))
			for range 100 {
				scope.Append("many", 1)
			}
			scope.Append("many", value("appended, one too many"))
			scope.With("child", value("another scope's")).Run(func() {})
			kept = scope.Error(io.EOF)
			scope.Set("later", value("set later"))
			scope.Current().Internal().AtEnd(func() { _ = names[0] })
			last(scope.Current())
			scope.Append("list", value("appended late"))
			waitForGo(t)
		})
		waitForGo(t)
		want := []string{"set", "shared", "appended"}
		values.LeftWithin(len(want), testkit.Patience)
		var got []string
		for _, i := range values.Live() {
			got = append(got, names[i])
		}
		if !slices.Equal(got, want) {
			t.Errorf("it keeps %q, want %q", got, want)
		}
		runtime.KeepAlive(kept)
		kept = nil
		values.WantFreed(t, "with the error")
	})
}

// A holder is a LogValuer and an error with memory of its own.
type holder struct{ *bulk }

func (holder) LogValue() slog.Value { return slog.StringValue("resolved") }
func (holder) Error() string        { return "no luck" }

// A type as OpenTelemetry's SDK takes it from an error: that of what went wrong, not of our wrapper.
func TestTheTypeOfAnErrorIsThatOfTheBareOne(t *testing.T) {
	for want, err := range map[string]error{
		"*errors.errorString":   io.EOF,
		"*scope_test.codeError": fmt.Errorf("a: %w", fmt.Errorf("b: %w", &codeError{7})),
		"*fmt.wrapError":        fmt.Errorf("%w", nil),
		"out_of_stock":          typedError{"out_of_stock"},
		reflect.TypeFor[typedError]().PkgPath() + ".typedError": typedError{""},
		"*errors.joinError": errors.Join(io.EOF),
		reflect.TypeFor[stackError]().PkgPath() + ".stackError": stackError{},
	} {
		for _, marked := range []error{errorWith(err, "a", 1), errorWith(errorWith(err, "a", 1), "b", 2)} {
			typed, ok := marked.(interface{ ErrorType() string })
			if !ok || typed.ErrorType() != want {
				t.Errorf("%v: %v, %q, want %q", err, ok, typed.ErrorType(), want)
			}
		}
	}
}

type typedError struct{ name string }

func (typedError) Error() string       { return "typed" }
func (e typedError) ErrorType() string { return e.name }
