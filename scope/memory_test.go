package scope_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

func store[T any](c *memo.Cache[T], s scope.Scope, v T) {
	e := memo.NewEntry[T]()
	e.Value = v
	c.Store(s.Internal().Table(), e)
}

// load returns what c has stored with s, or the zero T.
func load[T any](c *memo.Cache[T], s scope.Scope) (v T) {
	if p := c.Load(s.Internal().Table()); p != nil {
		v = *p
	}
	return v
}

func TestEachScopeRemembersForItself(t *testing.T) {
	var c memo.Cache[string]
	a, b := scope.New("k", 1), scope.New("k", 1)
	store(&c, a, "a")
	store(&c, b, "b")
	store(&c, scope.Scope{}, "zero")
	for _, tc := range []struct {
		s    scope.Scope
		want string
	}{{a, "a"}, {b, "b"}, {a.With("x", 1), ""}, {a.Without("k"), ""}, {a.Detach(), ""}, {scope.Scope{}, ""}} {
		if got := load(&c, tc.s); got != tc.want {
			t.Errorf("%q remembers %q, want %q", tc.s, got, tc.want)
		}
	}
	a.Run(func() {
		if got := load(&c, scope.Current()); got != "a" {
			t.Errorf("the bound scope remembers %q", got)
		}
		scope.Set("x", 1)
		if got := load(&c, scope.Current()); got != "" {
			t.Errorf("the scope after a Set remembers %q", got)
		}
	})
}

func TestADeclarationMakesScopesForget(t *testing.T) {
	var c memo.Cache[string]
	s := scope.New("k", 1)
	name := unique("declared")
	store(&c, s, "old")
	scope.NewKey[int](name, scope.Hidden)
	if got := load(&c, s); got != "" {
		t.Errorf("after a declaration: %v", got)
	}
	store(&c, s, "new")
	if got := load(&c, s); got != "new" {
		t.Errorf("after the next Store: %v", got)
	}
	e := memo.NewEntry[string]()
	e.Value = "made meanwhile"
	scope.NewKey[int](unique("declared"), scope.Hidden)
	c.Store(s.Internal().Table(), e)
	if got := load(&c, s); got != "" {
		t.Errorf("after a declaration while the value was made: %v", got)
	}
	store(&c, s, "new")
	scope.NewKey[int](name, scope.Hidden) // says nothing new
	scope.NewKey[int](unique("declared")) // nor does this
	if got := load(&c, s); got != "new" {
		t.Errorf("after a declaration of what holds already: %v", got)
	}
	scope.NewKey[int](name, scope.Traced)
	if got := load(&c, s); got != "" {
		t.Errorf("after a second option: %v", got)
	}
}

type derivation struct{ _ [64]byte }

// A probe watches what is remembered with scopes.
type probe = testkit.Probe[derivation]

//go:noinline
func remember(s scope.Scope, c *memo.Cache[*derivation], watched *probe) {
	store(c, s, watched.Watch(new(derivation)))
}

func TestWhatIsRememberedDiesWithItsScope(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		var c memo.Cache[*derivation]
		var w probe
		scope.New("k", 1).Run(func() { remember(scope.Current(), &c, &w) })
		w.WantFreed(t, "after a Run")

		scope.Set("k", 1)
		remember(scope.Current(), &c, &w)
		runtime.GC()
		if len(w.Live()) != 1 {
			t.Error("a derivation is gone while its scope is bound")
		}
		scope.Set("k", 2)
		w.WantFreed(t, "when its scope is replaced")
	})
}

// A scope keeps what those that it was made of by adding fields remember: lines of
// the new one are derived from it.
func TestWhatKeepsWhatIsRemembered(t *testing.T) {
	for _, tc := range []struct {
		how    string
		derive func(scope.Scope) scope.Scope
		kept   bool
	}{
		{"With", func(s scope.Scope) scope.Scope { return s.With("x", 1) }, true},
		{"Detach", scope.Scope.Detach, true},
		{"With of a key that is there", func(s scope.Scope) scope.Scope { return s.With("k", 2) }, false},
		{"Without", func(s scope.Scope) scope.Scope { return s.Without("k") }, false},
		{"With of many keys, one by one", func(s scope.Scope) scope.Scope {
			for i := range 100 {
				s = s.With(fmt.Sprint("key", i), i)
			}
			return s
		}, false},
	} {
		var c memo.Cache[*derivation]
		var w probe
		s := func() scope.Scope {
			s := scope.New("k", 1, "l", 2)
			remember(s, &c, &w)
			return tc.derive(s)
		}()
		if tc.kept {
			runtime.GC()
			if len(w.Live()) != 1 {
				t.Errorf("a derivation is gone while what %s made is there", tc.how)
			}
			runtime.KeepAlive(s)
			continue
		}
		w.WantFreed(t, "while what "+tc.how+" made is there")
		runtime.KeepAlive(s)
	}
}

// A scope that is detached again and again, for each round of a job, doesn't grow.
func TestDetachingForEverKeepsNothing(t *testing.T) {
	var c memo.Cache[*derivation]
	s := scope.New("a", 1)
	first := s.Detach()
	var remembered probe
	remember(first, &c, &remembered)
	s, first = first, scope.Scope{}
	var passed []scope.Scope
	for i := range 100 {
		next := s.Detach()
		if next.SameTask(s) || text(next) != "a=1" {
			t.Fatalf("after %d, a detached scope is %q", i, text(next))
		}
		if i < 20 {
			passed = append(passed, next)
		}
		s = next
	}
	for i, p := range passed {
		for _, q := range passed[i+1:] {
			if p.SameTask(q) {
				t.Fatal("two detached scopes are one task")
			}
		}
	}
	passed = nil
	remembered.WantFreed(t, "after a hundred Detach")
	runtime.KeepAlive(s)
	runtime.KeepAlive(&c)
}

// What is replaced or deleted is let go, although scopes hang together.
func TestReplacedValuesAreFreed(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		big := func(watched *probe) *derivation { return watched.Watch(new(derivation)) }
		var ctxs []context.Context
		for how, use := range map[string]func(*probe) scope.Scope{
			"Set again, as the first of the goroutine": func(w *probe) scope.Scope {
				scope.Set("big", big(w))
				scope.Set("big", 1)
				return scope.Current()
			},
			"Set again, with others around": func(w *probe) scope.Scope {
				scope.Set("a", 1)
				scope.SetAttrs(slog.Any("big", big(w)), slog.Int("b", 2))
				scope.Set("c", 3)
				scope.Set("big", 1)
				return scope.Current()
			},
			"Delete": func(w *probe) scope.Scope {
				scope.Set("big", big(w))
				scope.Set("a", 1)
				scope.Delete("big")
				return scope.Current()
			},
			"Clear": func(w *probe) scope.Scope {
				scope.SetAttrs(slog.Any("big", big(w)))
				scope.Clear()
				return scope.Current()
			},
			"Without": func(w *probe) scope.Scope {
				return scope.New("big", big(w), "a", 1).With("b", 2).Without("big")
			},
			"With": func(w *probe) scope.Scope {
				return scope.New("big", big(w)).Detach().With("big", 2)
			},
			"Set again, with contexts around": func(w *probe) scope.Scope {
				scope.Set("big", big(w))
				ctxs = append(ctxs, scope.NewContext(context.Background(), scope.With("a", 1)))
				ctxs = append(ctxs, scope.NewContext(context.Background(), scope.Scope{}))
				scope.Set("big", big(w))
				for _, ctx := range ctxs[:1] {
					scope.Current().Pick(ctx)
				}
				ctxs = ctxs[1:]
				scope.Set("big", 1)
				ctxs = append(ctxs, scope.NewContext(context.Background(), scope.Current()))
				return scope.Current()
			},
			"Set again, with a context of the entry": func(w *probe) scope.Scope {
				scope.Set("a", 1)
				ctxs = append(ctxs, scope.NewContext(context.Background(), scope.Current()))
				scope.Set("big", big(w))
				scope.Current().Pick(ctxs[len(ctxs)-1])
				scope.Set("big", 1)
				return scope.Current()
			},
			"With again and again": func(w *probe) scope.Scope {
				s := scope.New("a", 1)
				for range 50 {
					s = s.With("big", big(w))
				}
				return s.With("big", 1)
			},
		} {
			var watched probe
			var s scope.Scope
			ctxs = nil
			scope.Scope{}.Run(func() {
				s = use(&watched)
				watched.WantFreed(t, "after "+how)
			})
			runtime.KeepAlive(s)
			runtime.KeepAlive(ctxs)
		}
	})
}
