package scope_test

import (
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// bases returns how many fields those have that lines of s may be derived from.
func bases(s scope.Scope) (fields []int) {
	for b := s.Internal().Base(); b != nil; b = b.Base() {
		fields = append(fields, len(b.Attrs(nil)))
	}
	return fields
}

func TestBaseIsAScopeWithFewerFields(t *testing.T) {
	s := scope.New("a", 1, "b", 2)
	for _, tc := range []struct {
		name string
		s    scope.Scope
		want []int
	}{
		{"the zero Scope", scope.Scope{}, nil},
		{"a new one", s, nil},
		{"With", s.With("c", 3), []int{2}},
		{"With twice", s.With("c", 3).With("d", 4, "e", 5), []int{3, 2}},
		{"With of keys that repeat", s.With("c", 3, "c", 4), []int{2}},
		{"With of a key that is there", s.With("c", 3).With("a", 2), nil},
		{"Without", s.With("c", 3).Without("a"), nil},
		{"Detach", s.Detach(), []int{2}},
	} {
		if got := bases(tc.s); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestAttrsAreWhatABaseDoesNotHave(t *testing.T) {
	s := scope.New("a", 1, "b", 2)
	more := s.With("c", 3).With(slog.Int("d", 4), slog.Int("e", 5))
	c, d, e := slog.Int("c", 3), slog.Int("d", 4), slog.Int("e", 5)
	in := more.Internal()
	for _, tc := range []struct {
		base memo.Scope
		want []slog.Attr
	}{
		{in, nil},
		{in.Base(), []slog.Attr{d, e}},
		{s.Internal(), []slog.Attr{c, d, e}},
		{nil, []slog.Attr{slog.Int("a", 1), slog.Int("b", 2), c, d, e}},
	} {
		if got := in.Attrs(tc.base); !slices.EqualFunc(got, tc.want, slog.Attr.Equal) {
			t.Errorf("got %v, want %v", got, tc.want)
		}
	}
}

func TestEncodeCountsAndPutsBack(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		level := func() int { return scope.Current().Internal().Encoding() }
		s := scope.New("a", 1)
		s.Run(func() {
			before := scope.Current()
			scope.New("b", 2).Internal().Encode(func() {
				want(t, "b=2")
				if level() != 1 || bases(scope.Current()) != nil {
					t.Errorf("level %d, bases %v", level(), bases(scope.Current()))
				}
				scope.Set("c", 3)
				scope.Set("b", 3)
				want(t, "b=3 c=3")
				scope.Delete("b")
				scope.Clear()
				if level() != 1 {
					t.Errorf("level %d after Clear", level())
				}
				scope.New("other", 1).Run(func() {
					want(t, "other=1")
					if level() != 1 {
						t.Errorf("level %d in a Run", level())
					}
				})
				s.Internal().Encode(func() {
					want(t, "a=1")
					if level() != 2 {
						t.Errorf("level %d in another Encode", level())
					}
				})
				<-p.spawn(func() {
					if level() != 1 {
						t.Errorf("level %d in a goroutine", level())
					}
				})
			})
			if scope.Current() != before || level() != 0 {
				t.Errorf("bound is %q with level %d", scope.Current(), level())
			}
		})
		scope.Scope{}.Internal().Encode(func() { want(t, "") })
	})
}

func TestBareTellsTheProcessFromATask(t *testing.T) {
	scope.Outside(func() {
		if scope.Current().Internal().Bare() {
			t.Error("nothing is bound")
		}
		scope.Set("service", "shop")
		for name, s := range map[string]scope.Scope{"Set": scope.Current(), "With": scope.With("a", 1), "Without": scope.Current().Without("service")} {
			if !s.Internal().Bare() {
				t.Errorf("%s: not of the task that a bare Set began", name)
			}
		}
		for name, s := range map[string]scope.Scope{"New": scope.New("a", 1), "Detach": scope.Current().Detach(), "zero": {}} {
			if s.Internal().Bare() {
				t.Errorf("%s: of the task that a bare Set began", name)
			}
		}
	})
}

// What is called at a task's end is called also where something before it ends the goroutine.
func TestAllIsCalledAtTheEnd(t *testing.T) {
	called := make(chan struct{})
	scope.New().Run(func() {
		in := scope.Current().Internal()
		in.AtEnd(runtime.Goexit)
		in.AtEnd(func() { close(called) })
	})
	testkit.Receive(t, called, "second call")
	waitForGo(t)
}

// A task that is over may be entered again, and end again.
func TestTheEndIsCalledOnce(t *testing.T) {
	s := scope.New()
	var calls atomic.Int64
	s.Run(func() { s.Internal().AtEnd(func() { calls.Add(1) }) })
	s.Run(func() {})
	waitForGo(t)
	if n := calls.Load(); n != 1 {
		t.Errorf("it is called %d times", n)
	}
}

func TestBindOutsidePutsBackWhatWasBound(t *testing.T) {
	scope.New("a", 1).Run(func() {
		scope.Share("user", "u")
		before := scope.Current()
		if got := before.Internal().BindOutside(); got == nil || scope.Current() != before {
			t.Errorf("with nothing to put back, bound is %s", scope.Current())
		}
		before.Internal().BindInside(slog.Int("n", 1))
		scope.Set("b", 2)
		if got := scope.Current().String(); got != "a=1 n=1 b=2 user=u" {
			t.Errorf("inside: %s", got)
		}
		detached := scope.Current().Detach()
		scope.Current().Internal().BindOutside()
		if scope.Current() != before {
			t.Errorf("bound is %s", scope.Current())
		}
		scope.Unshare("user")
		if got := scope.Current().String(); got != "a=1" {
			t.Errorf("a copy of a shared field stays: %s", got)
		}
		if v, _ := scope.Get("a"); v != 1 {
			t.Errorf("a is %T %v", v, v)
		}
		detached.Run(func() {
			scope.Current().Internal().BindOutside()
			if scope.Current() != detached {
				t.Errorf("in another task bound is %s", scope.Current())
			}
		})
		scope.Run(func() { scope.Current().Internal().BindInside(slog.Int("n", 2)) })
		if scope.Current() != before {
			t.Errorf("Run puts back %s", scope.Current())
		}
	})
}
