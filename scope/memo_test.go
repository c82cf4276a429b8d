package scope_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/taskscope/taskscope/scope"
)

func store[T any](m *scope.Memo[T], s scope.Scope, v T) {
	e := m.NewEntry()
	e.Value = v
	m.Store(s, e)
}

// load returns what m has stored with s, or the zero T.
func load[T any](m *scope.Memo[T], s scope.Scope) (v T) {
	if p := m.Load(s); p != nil {
		v = *p
	}
	return v
}

func TestMemoRemembersPerScope(t *testing.T) {
	var m, other scope.Memo[string]
	a, b := scope.New("k", 1), scope.New("k", 1)
	if got := load(&m, a); got != "" {
		t.Errorf("before Store: %v", got)
	}
	store(&m, a, "a")
	store(&m, b, "b")
	store(&other, a, "other")
	for _, tc := range []struct {
		m    *scope.Memo[string]
		s    scope.Scope
		want string
	}{
		{&m, a, "a"}, {&m, b, "b"}, {&other, a, "other"}, {&other, b, ""},
		{&m, a.With("x", 1), ""}, {&m, a.Without("k"), ""}, {&m, a.Detach(), ""},
	} {
		if got := load(tc.m, tc.s); got != tc.want {
			t.Errorf("Load gives %q, want %q", got, tc.want)
		}
	}
	store(&m, a, "newer")
	if got := load(&m, a); got != "newer" {
		t.Errorf("after a second Store: %v", got)
	}
	a.Run(func() {
		if got := load(&m, scope.Current()); got != "newer" {
			t.Errorf("the bound scope gives %v", got)
		}
		scope.Set("x", 1)
		if got := load(&m, scope.Current()); got != "" {
			t.Errorf("the scope after a Set gives %v", got)
		}
	})
	store(&m, scope.Scope{}, "zero")
	if got := load(&m, scope.Scope{}); got != "" {
		t.Errorf("the zero Scope remembers %v", got)
	}
}

func TestMemoForgetsAfterADeclaration(t *testing.T) {
	var m scope.Memo[string]
	s := scope.New("k", 1)
	name := unique("declared")
	store(&m, s, "old")
	scope.NewKey[int](name, scope.Hidden)
	if got := load(&m, s); got != "" {
		t.Errorf("after a declaration: %v", got)
	}
	store(&m, s, "new")
	if got := load(&m, s); got != "new" {
		t.Errorf("after the next Store: %v", got)
	}
	e := m.NewEntry()
	e.Value = "made meanwhile"
	scope.NewKey[int](unique("declared"), scope.Hidden)
	m.Store(s, e)
	if got := load(&m, s); got != "" {
		t.Errorf("after a declaration while the value was made: %v", got)
	}
	store(&m, s, "new")
	scope.NewKey[int](name, scope.Hidden) // says nothing new
	scope.NewKey[int](unique("declared")) // nor does this
	if got := load(&m, s); got != "new" {
		t.Errorf("after a declaration of what holds already: %v", got)
	}
	scope.NewKey[int](name, scope.Traced)
	if got := load(&m, s); got != "" {
		t.Errorf("after a second option: %v", got)
	}
}

type derivation struct{ _ [64]byte }

// alive returns how many of these derivations are still in memory.
func alive(list []weak.Pointer[derivation]) (n int) {
	for _, w := range list {
		if w.Value() != nil {
			n++
		}
	}
	return n
}

//go:noinline
func remember(s scope.Scope, m *scope.Memo[*derivation]) weak.Pointer[derivation] {
	d := new(derivation)
	store(m, s, d)
	return weak.Make(d)
}

func TestMemosOfOneScopeAreBounded(t *testing.T) {
	s := scope.New("k", 1)
	memos := make([]scope.Memo[*derivation], 5000)
	var list []weak.Pointer[derivation]
	for i := range memos {
		list = append(list, remember(s, &memos[i]))
		if memos[i].Load(s) == nil {
			t.Fatalf("memo %d is forgotten at once", i)
		}
	}
	for range 5000 { // one memo that stores again and again is no exception
		list = append(list, remember(s, &memos[0]))
	}
	const bound = 100
	eventually(t, "few derivations are left", func() bool { return alive(list) <= bound })
	if memos[0].Load(s) == nil {
		t.Error("the last one is forgotten")
	}
	runtime.KeepAlive(s)
}

func TestMemoDiesWithItsScope(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		var m scope.Memo[*derivation]
		var w []weak.Pointer[derivation]
		scope.New("k", 1).Run(func() { w = append(w, remember(scope.Current(), &m)) })
		eventually(t, "a derivation goes with a Run", func() bool { return alive(w) == 0 })

		scope.Set("k", 1)
		w = append(w, remember(scope.Current(), &m))
		runtime.GC()
		if alive(w) != 1 {
			t.Error("a derivation is gone while its scope is bound")
		}
		scope.Set("k", 2)
		eventually(t, "a derivation goes when its scope is replaced", func() bool { return alive(w) == 0 })
	})
}

// A scope keeps what those that it was made of by adding fields remember: it may be of use
// for LoadPart, and it goes with the scope.
func TestWhatKeepsAMemo(t *testing.T) {
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
		var m scope.Memo[*derivation]
		var w []weak.Pointer[derivation]
		s := func() scope.Scope {
			s := scope.New("k", 1, "l", 2)
			w = append(w, remember(s, &m))
			return tc.derive(s)
		}()
		if tc.kept {
			runtime.GC()
			if alive(w) != 1 {
				t.Errorf("a derivation is gone while what %s made is there", tc.how)
			}
			runtime.KeepAlive(s)
			continue
		}
		eventually(t, "a derivation goes while what "+tc.how+" made is there", func() bool { return alive(w) == 0 })
		runtime.KeepAlive(s)
	}
}

func TestLoadPartIsOfAScopeBefore(t *testing.T) {
	var m, other scope.Memo[string]
	check := func(s scope.Scope, value string, added ...slog.Attr) {
		t.Helper()
		v, a := m.LoadPart(s)
		if v == nil {
			v = new(string)
		}
		if *v != value || !slices.EqualFunc(a, added, slog.Attr.Equal) {
			t.Errorf("got %q and %v, want %q and %v", *v, a, value, added)
		}
	}
	c, d, e := slog.Int("c", 3), slog.Int("d", 4), slog.Int("e", 5)
	s := scope.New("a", 1, "b", 2)
	check(s.With("c", 3), "")
	before := s.With("early", 0)
	store(&m, s, "two")
	check(s, "") // its own plays no part
	check(before, "two", slog.Int("early", 0))
	check(s.With("c", 3), "two", c)
	check(s.With(c), "two", c)
	check(s.With("c", 3).With("d", 4, "e", 5), "two", c, d, e)
	check(s.With("c", 3).With(d, e).With("f", "x"), "two", c, d, e, slog.String("f", "x"))
	check(s.With("c", 3).With("a", 4), "") // its fields aren't the first of these
	check(s.With("c", 3).Without("a"), "")
	check(s.Detach(), "two")
	check(s.Detach().With("c", 3), "two", c)

	grown := s.With("c", 3)
	store(&other, grown, "another's")
	check(grown, "two", c)
	store(&m, grown, "three")
	check(grown.With("d", 4), "three", d)
	scope.NewKey[int](unique("part"), scope.Hidden)
	check(s.With("c", 3), "")
}

func TestMeetIsForFirstLines(t *testing.T) {
	var m, other scope.Memo[string]
	meet := func(when string, s scope.Scope, alone bool, before int, part scope.Scope, added ...slog.Attr) {
		t.Helper()
		p, a, n := m.Meet(s, 2, alone)
		if n != before || p != part || !slices.EqualFunc(a, added, slog.Attr.Equal) {
			t.Errorf("%s: got %v, %v and %d, want %v, %v and %d", when, p, a, n, part, added, before)
		}
	}
	var none scope.Scope
	meet("the zero Scope", none, true, -1, none)

	s := scope.New("a", 1)
	meet("a scope of its own, not alone", s, false, 0, none)
	meet("a scope of its own", s, true, 0, none)
	meet("the same again", s, true, 1, none)
	b, c, d := slog.Int("b", 2), slog.Int("c", 3), slog.Int("d", 4)
	meet("one made of a met one", s.With("b", 2), false, 0, s, b)
	meet("one made of that with many fields", s.With("b", 2, "c", 3, "d", 4), true, 0, none)
	meet("one made in two steps", s.With("b", 2).With("c", 3), false, 0, s, b, c)

	nearer := s.With("b", 2)
	meet("a second one made of a met one", nearer, false, 0, s, b)
	meet("the same again, not alone", nearer, false, 1, none)
	meet("one made of two met ones", nearer.With("c", 3), false, 0, nearer, c)
	store(&m, s, "stored")
	meet("a scope with something stored", s, true, -1, none)
	meet("one made of a met one and one with something stored", nearer.With("c", 3), false, 0, s, b, c)
	meet("one that is too far from what is stored", nearer.With("c", 3, "d", 4), false, 0, nearer, c, d)
	store(&other, nearer, "another's")
	meet("a scope with something of another Memo", nearer, true, -1, none)
	meet("one made of it", nearer.With("c", 3), false, 0, s, b, c)
	if v := load(&m, s); v != "stored" {
		t.Errorf("met scopes spoil what is stored: %q", v)
	}

	// A scope for each item of a list, with a line each.
	for _, alone := range []bool{false, true} {
		list := scope.New("list", 1)
		meet("the first item", list.With(b), alone, 0, none)
		meet("the second item", list.With(b), alone, 0, list, b)
		meet("the list itself, then", list, alone, 1, none)
	}
}

// A scope that is detached again and again, for each round of a job, doesn't grow.
func TestDetachingForEverKeepsNothing(t *testing.T) {
	var m scope.Memo[*derivation]
	s := scope.New("a", 1)
	first := s.Detach()
	remembered := remember(first, &m)
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
	eventually(t, "what was remembered with the first is freed", func() bool { return remembered.Value() == nil })
	runtime.KeepAlive(s)
	runtime.KeepAlive(&m)
}

// What is replaced or deleted is let go, although scopes hang together.
func TestReplacedValuesAreFreed(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		big := func(watched *[]weak.Pointer[derivation]) *derivation {
			d := new(derivation)
			*watched = append(*watched, weak.Make(d))
			return d
		}
		for how, use := range map[string]func(*[]weak.Pointer[derivation]) scope.Scope{
			"Set again, as the first of the goroutine": func(w *[]weak.Pointer[derivation]) scope.Scope {
				scope.Set("big", big(w))
				scope.Set("big", 1)
				return scope.Current()
			},
			"Set again, with others around": func(w *[]weak.Pointer[derivation]) scope.Scope {
				scope.Set("a", 1)
				scope.SetAttrs(slog.Any("big", big(w)), slog.Int("b", 2))
				scope.Set("c", 3)
				scope.Set("big", 1)
				return scope.Current()
			},
			"Delete": func(w *[]weak.Pointer[derivation]) scope.Scope {
				scope.Set("big", big(w))
				scope.Set("a", 1)
				scope.Delete("big")
				return scope.Current()
			},
			"Clear": func(w *[]weak.Pointer[derivation]) scope.Scope {
				scope.SetAttrs(slog.Any("big", big(w)))
				scope.Clear()
				return scope.Current()
			},
			"Without": func(w *[]weak.Pointer[derivation]) scope.Scope {
				return scope.New("big", big(w), "a", 1).With("b", 2).Without("big")
			},
			"With": func(w *[]weak.Pointer[derivation]) scope.Scope {
				return scope.New("big", big(w)).Detach().With("big", 2)
			},
		} {
			var watched []weak.Pointer[derivation]
			var s scope.Scope
			scope.Scope{}.Run(func() {
				s = use(&watched)
				eventually(t, "a value is freed after "+how, func() bool { return alive(watched) == 0 })
			})
			runtime.KeepAlive(s)
		}
	})
}
