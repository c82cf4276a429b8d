package main

import (
	"fmt"
	"log/slog"
	"runtime/pprof"

	"github.com/taskscope/taskscope/scope"
)

// Operations that change the scope that is bound, and those that ask for it.

// startedTask returns the task that Set binds a scope of.
func (g *goroutine) startedTask() *task {
	if g.bound == nil {
		return &task{anonymous: true}
	}
	return g.bound.task
}

func (g *goroutine) set() {
	f, value, _ := g.newField()
	g.did("Set", f.key, g.values)
	g.bound = g.bound.makes(func() { scope.Set(f.key, value) },
		func() *state { return g.bound.set(g.startedTask(), f.asSet(value)) })
}

func (g *goroutine) setAttrs() {
	fields, attrs := attrsOf(g.rng.IntN(4), g.newField)
	g.did("SetAttrs", "", len(attrs))
	g.bound = g.bound.makes(func() { scope.SetAttrs(attrs...) }, func() *state {
		if len(attrs) == 0 {
			return g.bound
		}
		return g.bound.set(g.startedTask(), fields...)
	})
}

// attrsOf returns n fields that newField draws, and the attributes that make them.
func attrsOf(n int, newField func() (field, any, slog.Attr)) (fields []field, attrs []slog.Attr) {
	for range n {
		f, _, attr := newField()
		fields, attrs = append(fields, f), append(attrs, attr)
	}
	return fields, attrs
}

func (g *goroutine) delete() {
	keys := []string{g.key(), g.key()}[:1+g.rng.IntN(2)]
	g.did("Delete", keys[0], len(keys))
	g.bound = g.bound.makes(func() { scope.Delete(keys...) }, func() *state { return g.bound.without(keys...) })
}

func (g *goroutine) clear() {
	g.did("Clear", "", 0)
	g.bound = g.bound.makes(scope.Clear, g.bound.clear)
}

// look asks the store for a field, the scopes whether they have ended, and a context for what
// is in it.
func (g *goroutine) look() {
	g.get()
	for _, s := range g.scopes {
		ended := g.ended(s.st.taskOf())
		g.check("Ended", s.real.Ended(), ended)
		g.check("SameTask", scope.Current().SameTask(s.real), g.bound != nil && s.st != nil && g.bound.task == s.st.task)
	}
	if len(g.ctxs) > 0 && g.inherits {
		c := g.context()
		label, _ := pprof.Label(c.real, "foreign")
		g.check("another's label in a context", label, c.label)
		s, ok := scope.FromContext(c.real)
		g.check("FromContext: found", ok, c.scoped)
		g.check("FromContext: fields", s.Len(), c.scope.len())
	}
}

func (g *goroutine) get() {
	key := g.key()
	if s := g.own[g.bound.taskOf()]; s != nil && g.rng.IntN(2) == 0 {
		key = s.prefix + "b"
	}
	g.did("Get", key, 0)
	w := g.bound.taskOf().window(nil)
	v, ok := scope.Get(key)
	g.read++
	wrong := func(want string) { g.fail("Get "+key, fmt.Sprintf("%T %v %v", v, v, ok), want) }
	if i := g.bound.find(key); i >= 0 {
		if f := g.bound.fields[i]; !ok || !f.is(v) {
			wrong(f.json)
		}
	} else if !w.gives(key, v, ok) {
		wrong("none of its own" + w.String())
	}
}

// iterate compares all that All yields.
func (g *goroutine) iterate() {
	g.did("All", "", 0)
	i := 0
	g.check("Len", scope.Current().Len(), g.bound.len())
	for key, v := range scope.Current().All() {
		if i >= g.bound.len() {
			g.check("All: fields", i+1, g.bound.len())
			return
		}
		f := g.bound.fields[i]
		g.check("All: key", key, f.key)
		if _, late := f.want.(late); f.want != nil && !late {
			g.check("All: value", fmt.Sprint(v.Any()), fmt.Sprint(f.want))
		}
		i++
	}
	g.check("All: fields", i, g.bound.len())
}
