package scope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskscope/taskscope/scope"
)

type failingText struct{}

func (failingText) MarshalText() ([]byte, error) { panic("no text") }

func TestStringIsWhatATextHandlerWrites(t *testing.T) {
	for _, args := range [][]any{
		{},
		{"a", 1},
		{"request_id", "r-17", "user", "u1"},
		{"a", "two words", "b", `quo"ted`, "c", "", "d", "x=y", "e", "new\nline", "f", " "},
		{"a key", 1, "k=v", 2, "", 3},
		{"g", slog.GroupValue(slog.Int("a", 1), slog.Group("h", slog.Int("b", 2)))},
		{slog.Group("empty"), "a", 1, slog.Group("e", slog.Group("f"))},
		{"nil", nil, "err", errors.New("no such file"), "d", time.Second, "t", time.Unix(0, 0).UTC(), "bytes", []byte("x y")},
		{"level", "mine", "msg", "m", "time", 1},
		{"z", textual{"late value"}},
	} {
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", args...)
		_, want, _ := strings.Cut(strings.TrimSuffix(b.String(), "\n"), " msg=m")
		s := scope.New(args...)
		if got := s.String(); got != strings.TrimPrefix(strings.ReplaceAll(want, `""=3`, "!BADKEY=3"), " ") {
			t.Errorf("%v: got %s, want %s", args, got, want)
		}
		if got := fmt.Sprint(s); got != s.String() {
			t.Errorf("fmt prints %s", got)
		}
	}
	if got := (scope.Scope{}).String(); got != "" {
		t.Errorf("the zero Scope is %q", got)
	}
}

func TestStringAndLogValueObeyPolicies(t *testing.T) {
	hidden := scope.NewKey[string](unique("hidden"), scope.Hidden)
	redacted := scope.NewKey[any](unique("redacted"), scope.Redacted)
	s := scope.New("a", 1, hidden.Name(), "s3cret", redacted.Name(), panics{}, "b", 2)
	want := "a=1 " + redacted.Name() + "=[REDACTED] b=2"
	if got := s.String(); got != want {
		t.Errorf("String gives %s, want %s", got, want)
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "scope", s)
	if want := " scope.a=1 scope." + redacted.Name() + "=[REDACTED] scope.b=2\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("the line is %s, want …%s", b.String(), want)
	}
	err := fmt.Errorf("in %v: %w", s, errors.New("failed"))
	if got := err.Error(); got != "in "+want+": failed" {
		t.Errorf("an error says %s", got)
	}
}

// A mock, say, prints the arguments of each call.
func TestAPrintedContextShowsNoValues(t *testing.T) {
	scope.New("request_id", "r-1").Run(func() {
		ctx := scope.NewContext(context.Background(), scope.With("user", "s3cret"))
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q"} {
			if got := fmt.Sprintf(format, ctx); got != "context.Background.WithScope" {
				t.Errorf("%s gives %s", format, got)
			}
		}
		own := scope.NewContext(struct{ context.Context }{ctx}, scope.Current())
		derived := context.WithValue(own, scopeKey{}, 1)
		if got := fmt.Sprint(derived); !strings.HasPrefix(got, "struct { context.Context }.WithScope.WithValue(") {
			t.Errorf("a derived one gives %s", got)
		}
		var lines sync.WaitGroup
		defer lines.Wait()
		lines.Go(func() { // changes what ctx remembers
			for i := range 100 {
				scope.Set("i", i)
				scope.Current().Pick(ctx)
			}
		})
		for range 100 {
			_ = fmt.Sprint(ctx)
		}
	})
}

type scopeKey struct{}

func TestStringSurvivesMethodsThatPanic(t *testing.T) {
	s := scope.New("a", 1, "b", panics{}, "c", failingText{}, "d", 2)
	got := s.String()
	if !strings.HasPrefix(got, `a=1 b="!PANIC: LogValue" c="!PANIC: no text`) || !strings.HasSuffix(got, " d=2") {
		t.Errorf("got %s", got)
	}
}

// A callback is a value that calls back into the scope that it is in.
type callback func() string

func (c callback) LogValue() slog.Value { return slog.StringValue(c()) }

func TestAValueMayLookAtItsOwnScope(t *testing.T) {
	for name, look := range map[string]func() string{
		"String":   func() string { return scope.Current().String() },
		"LogValue": func() string { return scope.Current().LogValue().String() },
		"of another scope": func() string {
			return scope.New("b", callback(func() string { return "never asked" }), "c", 3).String()
		},
		"in a Run": func() (text string) {
			scope.With("x", 1).Run(func() { text = scope.Current().String() })
			return text
		},
		"after Set": func() string {
			scope.Set("a", 2)
			return scope.Current().String()
		},
	} {
		want := map[string]string{"String": "a=1", "LogValue": "[a=1]", "of another scope": "c=3", "in a Run": `"a=1 x=1"`, "after Set": "a=2"}[name]
		if strings.Contains(want, "=") && !strings.HasPrefix(want, `"`) {
			want = `"` + want + `"`
		}
		scope.New("a", 1, "callback", callback(look)).Run(func() {
			if got := scope.Current().String(); got != "a=1 callback="+want {
				t.Errorf("%s: got %s, want a=1 callback=%s", name, got, want)
			}
			if v, _ := scope.Get("a"); v != 1 {
				t.Errorf("%s: what the method has Set is there: a=%v", name, v)
			}
		})
	}
}

// Also if it replaces a field of a scope that was made by replacing one.
func TestAValueMaySetInItsOwnScope(t *testing.T) {
	calls := 0
	s := scope.New("a", 1, "v", callback(func() string {
		if calls++; calls > 1 {
			return "asked again"
		}
		scope.Set("a", 3)
		return scope.Current().String()
	})).With("a", 2)
	s.Run(func() {
		if got, want := s.String(), `a=2 v="a=3"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// A handler may change the attributes of a line that it is given.
func TestTheGroupOfAScopeIsItsReceivers(t *testing.T) {
	s := scope.New("a", 1, slog.Group("g", slog.Int("b", 2), slog.Group("h", slog.Int("c", 3))))
	var spoil func([]slog.Attr)
	spoil = func(attrs []slog.Attr) {
		for i, a := range attrs {
			if a.Value.Kind() == slog.KindGroup {
				spoil(a.Value.Group())
			}
			attrs[i] = slog.String("wrong", "wrong")
		}
	}
	spoil(s.LogValue().Group())
	if got, want := s.String(), "a=1 g.b=2 g.h.c=3"; got != want {
		t.Errorf("the scope is now %s, want %s", got, want)
	}
}
