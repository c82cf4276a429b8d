package scope_test

import (
	"runtime"
	"testing"
	"weak"

	"github.com/taskscope/taskscope/scope"
)

func TestMemoRemembersPerScope(t *testing.T) {
	var m, other scope.Memo
	a, b := scope.New("k", 1), scope.New("k", 1)
	if got := m.Load(a); got != nil {
		t.Errorf("before Store: %v", got)
	}
	m.Store(a, "a")
	m.Store(b, "b")
	other.Store(a, "other")
	for _, tc := range []struct {
		m    *scope.Memo
		s    scope.Scope
		want any
	}{
		{&m, a, "a"}, {&m, b, "b"}, {&other, a, "other"}, {&other, b, nil},
		{&m, a.With("x", 1), nil}, {&m, a.Without("k"), nil}, {&m, a.Detach(), nil},
	} {
		if got := tc.m.Load(tc.s); got != tc.want {
			t.Errorf("Load gives %v, want %v", got, tc.want)
		}
	}
	m.Store(a, "newer")
	if got := m.Load(a); got != "newer" {
		t.Errorf("after a second Store: %v", got)
	}
	a.Run(func() {
		if got := m.Load(scope.Current()); got != "newer" {
			t.Errorf("the bound scope gives %v", got)
		}
		scope.Set("x", 1)
		if got := m.Load(scope.Current()); got != nil {
			t.Errorf("the scope after a Set gives %v", got)
		}
	})
	m.Store(scope.Scope{}, "zero")
	if got := m.Load(scope.Scope{}); got != nil {
		t.Errorf("the zero Scope remembers %v", got)
	}
}

func TestMemoForgetsAfterADeclaration(t *testing.T) {
	var m scope.Memo
	s := scope.New("k", 1)
	name := unique("declared")
	m.Store(s, "old")
	scope.NewKey[int](name, scope.Hidden)
	if got := m.Load(s); got != nil {
		t.Errorf("after a declaration: %v", got)
	}
	m.Store(s, "new")
	if got := m.Load(s); got != "new" {
		t.Errorf("after the next Store: %v", got)
	}
	scope.NewKey[int](name, scope.Hidden) // says nothing new
	scope.NewKey[int](unique("declared")) // nor does this
	if got := m.Load(s); got != "new" {
		t.Errorf("after a declaration of what holds already: %v", got)
	}
	scope.NewKey[int](name, scope.Traced)
	if got := m.Load(s); got != nil {
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
func remember(s scope.Scope, m *scope.Memo) weak.Pointer[derivation] {
	d := new(derivation)
	m.Store(s, d)
	return weak.Make(d)
}

func TestMemosOfOneScopeAreBounded(t *testing.T) {
	s := scope.New("k", 1)
	memos := make([]scope.Memo, 5000)
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
		var m scope.Memo
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

// What is made from a scope doesn't keep what that scope remembers: with fields added it
// does for LoadPart, but only until something is stored with it.
func TestDerivedScopesKeepNoMemo(t *testing.T) {
	var m, other scope.Memo
	derive := map[string]func(scope.Scope) scope.Scope{
		"With, once it has a memo of its own": func(s scope.Scope) scope.Scope {
			s = s.With("x", 1)
			other.Store(s, 1)
			return s
		},
		"With of a key that is there": func(s scope.Scope) scope.Scope { return s.With("k", 2) },
		"Without":                     func(s scope.Scope) scope.Scope { return s.Without("k") },
		"Detach":                      scope.Scope.Detach,
	}
	for name, fn := range derive {
		var w []weak.Pointer[derivation]
		s := func() scope.Scope {
			s := scope.New("k", 1, "l", 2)
			w = append(w, remember(s, &m))
			return fn(s)
		}()
		eventually(t, "a derivation goes while what "+name+" made is there", func() bool { return alive(w) == 0 })
		runtime.KeepAlive(s)
	}
}

func TestLoadPartIsOfTheScopeBefore(t *testing.T) {
	var m, other scope.Memo
	check := func(s scope.Scope, value any, fields int) {
		t.Helper()
		if v, n := m.LoadPart(s); v != value || n != fields {
			t.Errorf("got %v of %d fields, want %v of %d", v, n, value, fields)
		}
		if v := m.Load(s); v != nil {
			t.Errorf("Load gives %v, which was stored with another scope", v)
		}
	}
	s := scope.New("a", 1, "b", 2)
	check(s.With("c", 3), nil, 0)
	before := s.With("early", 0)
	m.Store(s, "two")
	check(before, nil, 0)
	check(s.With("c", 3), "two", 2)
	check(s.With("c", 3).With("d", 4, "e", 5), "two", 2)
	check(s.With("c", 3).With("a", 4), nil, 0) // its fields aren't the first of these
	check(s.With("c", 3).Without("a"), nil, 0)
	check(s.Detach(), nil, 0)

	grown := s.With("c", 3)
	other.Store(grown, "mine")
	check(grown, nil, 0)
	scope.NewKey[int](unique("part"), scope.Hidden)
	check(s.With("c", 3), nil, 0)
}
