package scope

import (
	"slices"
	"weak"

	"github.com/taskscope/taskscope/internal/memo"
)

// This file answers two questions for [Scope.Pick], exactly: was this scope made of that one,
// and was it made by adding alone? The parents can't tell: a node that replaces or deletes a
// field has none, so that old values are freed.

// A lineage is what a node knows about the nodes that it was made of, apart from its parents.
// It never changes. A new node shares that of the node that it is made of: one pointer is
// copied, and no shared memory is written.
type lineage struct {
	marks     *mark
	flattened *flattening
	encoding  int // how many calls of Encode are around the node
}

// copy returns a copy of l, which may be nil.
func (l *lineage) copy() lineage {
	if l == nil {
		return lineage{}
	}
	return *l
}

// inherit gives m the lineage of n, of which it is made; added says by adding alone.
func (m *node) inherit(n *node, added bool) {
	if n == nil {
		return
	}
	l := n.lineage.Load()
	if l != nil && l.flattened != nil && !added {
		l = &lineage{marks: l.marks, encoding: l.encoding}
	}
	if l != nil {
		m.lineage.Store(l)
	}
}

// A size is that of a list. It is looked through for what is of no use any more when it has
// grown to twice the length that it had after the last time.
type size struct{ now, kept int }

func (s size) isDue() bool { return s.now >= max(16, 2*s.kept) }

// ---- was it made of that one? ----

// An origin is a node that was bound when NewContext was called. Contexts keep it in memory.
type origin struct{ _ *byte } // a pointer: objects without one share a block, and die together

// A mark says that NewContext was called before the node was made, with this origin bound.
type mark struct {
	// Exactly one of these is set. To make a weak pointer is slow, so it is weak only if the
	// list has been looked through.
	of   *origin
	weak weak.Pointer[origin]

	next *mark
	size size
}

// origins remembers the origin that a node is.
var origins memo.Cache[*origin]

// origin marks n, and so all nodes that are made of it from now on, and returns the origin
// that stands for it.
func (n *node) origin() *origin {
	if o := origins.Load(&n.table); o != nil {
		return *o
	}
	e := memo.NewEntry[*origin]()
	e.Value = new(origin)
	for {
		old := n.lineage.Load()
		m := &struct { // one allocation
			lineage
			mark
		}{lineage: old.copy()}
		m.mark = mark{of: e.Value, next: m.marks.withoutDead()}
		m.marks = &m.mark
		m.mark.size = m.mark.next.sizeOf()
		m.mark.size.now++
		if n.lineage.CompareAndSwap(old, &m.lineage) {
			origins.Store(&n.table, e)
			return e.Value
		}
	}
}

func (m *mark) sizeOf() size {
	if m == nil {
		return size{}
	}
	return m.size
}

// withoutDead returns m without the marks whose contexts are all gone, if that is due. One
// that wasn't weak yet is dead the next time at the earliest.
func (m *mark) withoutDead() (alive *mark) {
	if !m.sizeOf().isDue() {
		return m
	}
	n := 0
	for ; m != nil; m = m.next {
		w := m.weak
		if m.of != nil {
			w = weak.Make(m.of)
		}
		if w.Value() != nil {
			n++
			alive = &mark{weak: w, next: alive, size: size{n, n}}
		}
	}
	if alive != nil {
		alive.size.kept = n
	}
	return alive
}

// cameFrom reports whether n is the node that o stands for, or was made of it after it was
// marked, in whatever way.
func (n *node) cameFrom(o *origin) bool {
	l := n.lineage.Load()
	if l == nil {
		return false
	}
	m := l.marks
	for ; m != nil && m.of != nil; m = m.next {
		if m.of == o {
			return true
		}
	}
	if m == nil {
		return false
	}
	for w := weak.Make(o); m != nil; m = m.next { // behind a weak one all are weak
		if m.weak == w {
			return true
		}
	}
	return false
}

// ---- was it made by adding? ----

// A flattening says that one node took the place of a chain of nodes, with the same fields
// in the same places and more behind them. Its nodes' fields are known by their number.
type flattening struct {
	bases    []base   // the nodes of the chain
	replaced []string // keys in the chain that have got other values
	before   *flattening
	size     size // with those before
}

type base struct {
	node   weak.Pointer[node]
	fields int
}

// then returns a flattening that came after f, which may be nil.
func (f *flattening) then(bases []base, replaced []string) *flattening {
	next := &flattening{bases: bases, replaced: replaced, before: f, size: size{now: 1}}
	if f != nil {
		next.size = size{f.size.now + 1, f.size.kept}
	}
	return next
}

// flatten notes that n, which nobody else has seen yet, takes the place of the chain of
// from, with other values for the replaced keys.
func (n *node) flatten(from *node, replaced []string) {
	var bases []base
	for p, fields := from, from.len(nil); p != nil; p = p.parent {
		bases = append(bases, base{weak.Make(p), fields})
		fields -= p.ownLen()
	}
	l := n.lineage.Load().copy()
	l.flattened = l.flattened.withoutDead().then(bases, replaced)
	n.lineage.Store(&l)
}

// withoutDead returns f without the nodes that are gone, if that is due.
func (f *flattening) withoutDead() (alive *flattening) {
	if f == nil || !f.size.isDue() {
		return f
	}
	var all []*flattening
	for ; f != nil; f = f.before {
		all = append(all, f)
	}
	for _, f := range slices.Backward(all) {
		bases := slices.DeleteFunc(slices.Clone(f.bases), func(b base) bool { return b.node.Value() == nil })
		if len(bases) > 0 {
			alive = alive.then(bases, slices.Clone(f.replaced))
		} else if alive != nil { // for the nodes of earlier ones, these keys are replaced, too
			alive.replaced = append(alive.replaced, f.replaced...)
			slices.Sort(alive.replaced)
			alive.replaced = slices.Compact(alive.replaced)
		}
	}
	if alive != nil {
		alive.size.kept = alive.size.now
	}
	return alive
}

// addedTo reports whether n was made of base by adding alone, and returns what was added.
func (n *node) addedTo(base *node) (added []field, ok bool) {
	for p := n; p != nil; p = p.parent {
		if p == base {
			n.each(base, func(f field) { added = append(added, f) })
			return added, true
		}
	}
	l := n.lineage.Load()
	if l == nil || l.flattened == nil {
		return nil, false
	}
	w := weak.Make(base)
	var replaced []string
	for f := l.flattened; f != nil; f = f.before {
		replaced = append(replaced, f.replaced...)
		for _, b := range f.bases {
			if b.node != w {
				continue
			}
			i := 0
			n.each(nil, func(f field) {
				if i >= b.fields || slices.Contains(replaced, f.key) {
					added = append(added, f)
				}
				i++
			})
			return added, true
		}
	}
	return nil, false
}

// ---- Encode ----

// encodingLevel returns how many calls of Encode are around what has n.
func (n *node) encodingLevel() int {
	if n != nil {
		if l := n.lineage.Load(); l != nil {
			return l.encoding
		}
	}
	return 0
}

// encodingAt returns n for code that has this many calls of Encode around it, or more.
func (n *node) encodingAt(level int) *node {
	if n == nil || n.encodingLevel() >= level {
		return n
	}
	// Some values are encoded for each line, so the last node is remembered.
	outer := n.lineage.Load()
	if i := insides.Load(&n.table); i != nil && i.outer == outer && i.node.encodingLevel() == level {
		return i.node
	}
	e := memo.NewEntry[inside]()
	m := &node{parent: n, task: n.task}
	l := outer.copy()
	l.encoding = level
	m.lineage.Store(&l)
	m.Init(m)
	e.Value = inside{m, outer}
	insides.Store(&n.table, e)
	return m
}

// An inside is the node that stands for another one inside Encode, while that one's lineage is
// outer.
type inside struct {
	node  *node
	outer *lineage
}

var insides memo.Cache[inside]
