package scope

import (
	"slices"
	"weak"

	"github.com/taskscope/taskscope/internal/memo"
)

// This file answers two questions for [Scope.Pick], exactly: was one scope made from another, and
// was it made by adding alone? The parents can't tell: a node that replaces or deletes a field has
// no parent, so that old values are freed. For entries it answers a third: what was bound before
// BindInside bound the scope that this one was made from?

// A lineage is what a node knows about the nodes that it was made from, apart from its parents. A
// lineage never changes: the node gets another one. A new node shares the lineage of the node that
// it was made from, so no shared memory is written.
type lineage struct {
	marks     *mark
	flattened *flattening
	encoding  int // how many calls of Encode are around the node

	// outside is nil, or the node that BindOutside binds again: BindInside was called on it, and
	// bound what this node was made from.
	outside *node

	// lineOf is nil, or the node that this one stands for on lines: see withShared. No node is made
	// from such a one.
	lineOf *node

	// self is nil, or stands for the one node that has this lineage. Nodes that are made from it get
	// the lineage inherited, which is the same without self.
	self      *origin
	inherited *lineage
}

// An origin stands for a node. It is kept in memory by the node, and by contexts: see NewContext.
type origin struct{ _ *byte } // tiny objects without a pointer would share a block, and be freed together

// heritage returns the lineage that a node's children get. l is the node's own; it may be nil.
func (l *lineage) heritage() *lineage {
	if l != nil && l.self != nil {
		return l.inherited
	}
	return l
}

// copy returns a copy of the heritage of l.
func (l *lineage) copy() lineage {
	if l = l.heritage(); l != nil {
		return *l
	}
	return lineage{}
}

// inherit gives m the lineage of n, which it was made from; added means by adding alone.
func (m *node) inherit(n *node, added bool) {
	if n == nil {
		return
	}
	l := n.lineage.Load().heritage()
	if l != nil && l.flattened != nil && !added {
		l = &lineage{marks: l.marks, encoding: l.encoding, outside: l.outside}
	}
	if l != nil {
		m.lineage.Store(l)
	}
}

// origin returns the origin that stands for n. If marked, all nodes that are made from n from now on
// know it.
func (n *node) origin(marked bool) *origin {
	for {
		old := n.lineage.Load()
		known := old != nil && old.self != nil
		if known && (!marked || old.marks != nil && old.marks.of == old.self) {
			return old.self
		}
		own := lineage{}
		if old != nil {
			own = *old
		}
		if !known {
			own.self, own.inherited = new(origin), old
		}
		if marked {
			m := &struct { // one allocation
				mark
				lineage
			}{mark{ref: ref{of: own.self}, next: own.marks.withoutDead()}, old.copy()}
			m.size = m.next.sizeOf()
			m.size.now++
			m.marks, own.marks, own.inherited = &m.mark, &m.mark, &m.lineage
		}
		if n.lineage.CompareAndSwap(old, &own) {
			return own.self
		}
	}
}

// A ref refers to an origin. It becomes weak when its list is first searched for dead ones: making
// a weak pointer takes microseconds.
type ref struct {
	of   *origin // or nil
	weak weak.Pointer[origin]
}

// alive returns r made weak, and whether its origin is still there. A ref that wasn't weak yet is
// found to be dead the next time at the earliest.
func (r ref) alive() (ref, bool) {
	if r.of != nil {
		r = ref{weak: weak.Make(r.of)}
	}
	return r, r.weak.Value() != nil
}

// A size has the length of a list of refs, now and when dead ones were last removed. They are
// removed again when the list has doubled since.
type size struct{ now, kept int }

func (s size) isDue() bool { return s.now >= max(16, 2*s.kept) }

// ---- was it made from that one? ----

// A mark says that NewContext was called before the node was made, with this origin bound.
type mark struct {
	ref
	next *mark
	size size
}

func (m *mark) sizeOf() size {
	if m == nil {
		return size{}
	}
	return m.size
}

// withoutDead returns m without the marks whose contexts are all gone, if it is time to look.
func (m *mark) withoutDead() (alive *mark) {
	if !m.sizeOf().isDue() {
		return m
	}
	n := 0
	for ; m != nil; m = m.next {
		if r, ok := m.ref.alive(); ok {
			n++
			alive = &mark{ref: r, next: alive, size: size{n, n}}
		}
	}
	return alive
}

// cameFrom reports whether n is the node that o stands for, or was made from it, in whatever way,
// after it was marked.
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

// ---- which scope is outside? ----

// setOutside notes that n, which nobody else has seen yet, is bound in place of outside.
func (n *node) setOutside(outside *node) {
	l := n.lineage.Load().copy()
	l.outside = outside
	n.lineage.Store(&l)
}

// outside returns the node that n, or the last such node that n was made from, was bound in place
// of; nil if there is none.
func (n *node) outside() *node {
	if l := n.lineage.Load(); l != nil {
		return l.outside
	}
	return nil
}

// ---- was it made by adding? ----

// A flattening says that one node took the place of a chain of nodes, with the same fields
// in the same places and more behind them. So the first n fields are those of the node in the
// chain that had n.
type flattening struct {
	bases    []base   // the nodes of the chain
	replaced []string // keys in the chain that got new values
	before   *flattening
	size     size // with those before
}

type base struct {
	ref
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

// flatten notes that n, which nobody else has seen yet, takes the place of the chain that ends in
// from, with new values for the replaced keys.
func (n *node) flatten(from *node, replaced []string) {
	var bases []base
	for p, fields := from, from.len(nil); p != nil; p = p.parent {
		bases = append(bases, base{ref{of: p.origin(false)}, fields})
		fields -= p.ownLen()
	}
	l := n.lineage.Load().copy()
	l.flattened = l.flattened.withoutDead().then(bases, replaced)
	n.lineage.Store(&l)
}

// withoutDead returns f without the nodes that are gone, if it is time to look.
func (f *flattening) withoutDead() (alive *flattening) {
	if f == nil || !f.size.isDue() {
		return f
	}
	var all []*flattening
	for ; f != nil; f = f.before {
		all = append(all, f)
	}
	for _, f := range slices.Backward(all) {
		var bases []base
		for _, b := range f.bases {
			if r, ok := b.ref.alive(); ok {
				bases = append(bases, base{r, b.fields})
			}
		}
		if len(bases) > 0 {
			alive = alive.then(bases, slices.Clone(f.replaced))
		} else if alive != nil { // as seen from the nodes of earlier ones, these keys are replaced too
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

// addedTo reports whether n was made from base by adding alone, and returns what was added.
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
	o := base.origin(false)
	var w weak.Pointer[origin]
	if l.flattened.size.kept > 0 { // some refs are weak
		w = weak.Make(o)
	}
	var replaced []string
	for f := l.flattened; f != nil; f = f.before {
		replaced = append(replaced, f.replaced...)
		for _, b := range f.bases {
			if b.of != o && (b.of != nil || b.weak != w) {
				continue
			}
			i := 0
			n.each(nil, func(f field) {
				if i >= b.fields || slices.Contains(replaced, f.Key) {
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

// encodingLevel returns how many calls of Encode are around the code that has n.
func (n *node) encodingLevel() int {
	if n != nil {
		if l := n.lineage.Load(); l != nil {
			return l.encoding
		}
	}
	return 0
}

// withoutShared returns the node that n stands for on lines, or n itself.
func (n *node) withoutShared() *node {
	if l := n.lineage.Load(); l != nil && l.lineOf != nil {
		return l.lineOf
	}
	return n
}

// encodingAt returns n for code that has this many calls of Encode around it, or more.
func (n *node) encodingAt(level int) *node {
	if n == nil {
		return nil
	}
	n = n.withoutShared() // what code inside has bound has no copies of shared fields
	if n.encodingLevel() >= level {
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
