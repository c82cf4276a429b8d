package scope

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// badKey is what a field without a key is stored under, as in log/slog.
const badKey = "!BADKEY"

func normalizeKey(key string) string {
	if key == "" {
		return badKey
	}
	return key
}

// A node is what a Scope points at: the fields of its parent, and its own behind them. No
// key is there twice. Nothing in a shared node changes, except what is remembered with it
// and the marks in its lineage.
type node struct {
	carrier.Header // first: see carrier.Load
	parent         *node
	task           *task
	table          memo.Table
	lineage        atomic.Pointer[lineage]

	// key and value are the node's only field, as Set was given it. Iff key is empty, the node
	// has any number of fields, and value is a *list.
	key   string
	value any
}

// maxChain bounds the parent chain, so that a Get doesn't walk far. Longer chains are
// flattened into one node.
const maxChain = 16

// A nodeN is a node with room for some fields, so that it takes one allocation.
type nodeN[Room any] struct {
	node
	list list
	room Room
}

// A builder makes a node of several fields.
type builder struct {
	*node
	list *list
}

func build(fields int) builder {
	switch fields {
	case 1:
		m := new(nodeN[[1]slog.Attr])
		return m.builder(m.room[:0])
	case 2:
		m := new(nodeN[[2]slog.Attr])
		return m.builder(m.room[:0])
	case 3:
		m := new(nodeN[[3]slog.Attr])
		return m.builder(m.room[:0])
	case 4:
		m := new(nodeN[[4]slog.Attr])
		return m.builder(m.room[:0])
	}
	return new(nodeN[[0]slog.Attr]).builder(make([]slog.Attr, 0, fields))
}

func (m *nodeN[Room]) builder(room []slog.Attr) builder {
	m.list.attrs, m.value = room, &m.list
	return builder{&m.node, &m.list}
}

// append appends f, whose key isn't there.
func (b builder) append(f field) { b.list.put(len(b.list.attrs), f) }

// put appends f, or puts it in the place of the field of its key.
func (b builder) put(f field) {
	if i := b.list.index(f.Key); i >= 0 {
		b.list.put(i, f)
	} else {
		b.append(f)
	}
}

// putAttr puts a as log/slog writes it: the zero Attr not at all, and a group without a key as its
// members.
func (b builder) putAttr(a slog.Attr) {
	switch {
	case a.Key == "" && a.Value.Kind() == slog.KindGroup:
		if b.putMembers(a.Value, 10_000) < 0 {
			b.putAttr(slog.String("", "!BADVALUE: too many members"))
		}
	case !values.IsZero(a):
		a.Key = normalizeKey(a.Key)
		b.put(field{Attr: a})
	}
}

// putMembers puts the members of a group without a key, at any depth, and counts them down from left.
// It returns what is left. Less than 0 means that there are too many: a group may be a member of itself.
func (b builder) putMembers(group slog.Value, left int) int {
	for _, m := range group.Group() {
		left--
		switch {
		case left < 0:
			return left
		case m.Key == "" && m.Value.Kind() == slog.KindGroup:
			left = b.putMembers(m.Value, left)
		default:
			b.putAttr(m)
		}
	}
	return left
}

// newTask returns a node without fields, in a task of its own. Both are one allocation: what keeps
// the task in memory keeps only an empty node with it.
func newTask() *node {
	m := new(struct {
		node
		task task
	})
	m.node.task = &m.task
	m.Init(&m.node)
	return &m.node
}

// A change says what has made a node from another one.
type change bool

const (
	bySet  change = false
	byWith change = true
)

// set returns n with this field, in the same task; or, if n is nil, in a new one.
func (n *node) set(key string, value any, by change) *node {
	m := new(node)
	m.key, m.value = key, value
	return m.addTo(n, n.has(key), by)
}

// setAttrs is set for several fields. Without any it returns n.
func (n *node) setAttrs(attrs []slog.Attr, by change) *node {
	b := build(len(attrs))
	for i := range attrs {
		if a := &attrs[i]; a.Key != "" && b.list.index(a.Key) < 0 { // putAttr, faster for the common case
			b.list.attrs = append(b.list.attrs, *a)
		} else {
			b.putAttr(*a)
		}
	}
	return b.addTo(n, by)
}

// setArgs is set for fields as New takes them.
func (n *node) setArgs(args []any, by change) *node {
	if len(args) == 2 {
		if key, ok := args[0].(string); ok {
			return n.set(normalizeKey(key), args[1], by)
		}
	}
	fields := 0
	for i := 0; i < len(args); i++ {
		if _, ok := args[i].(string); ok {
			i++
		}
		fields++
	}
	b := build(fields)
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch arg := arg.(type) {
		case slog.Attr:
			b.putAttr(arg)
			continue
		case string:
			if len(args) > 0 {
				b.put(field{slog.Any(normalizeKey(arg), args[0]), args[0]})
				args = args[1:]
				continue
			}
		}
		b.put(field{slog.Any(badKey, arg), arg})
	}
	return b.addTo(n, by)
}

// addTo is [node.addTo] for the node of b if it has a field; else it returns n.
func (b builder) addTo(n *node, by change) *node {
	if len(b.list.attrs) == 0 {
		return n
	}
	repeats := n != nil && slices.ContainsFunc(b.list.attrs, func(a slog.Attr) bool { return n.has(a.Key) })
	return b.node.addTo(n, repeats, by)
}

// addTo returns a node with the fields of n and those of m, in the task of n, or in a new one if n is
// nil. It is m, which nobody else has seen yet, as a child of n. If m repeats a key of n, or the chain
// is too long, it is one node in place of the chain, in which a repeated key keeps its place and has
// the value of m.
func (m *node) addTo(n *node, repeats bool, by change) *node {
	if n == nil {
		m.task = new(task) // an allocation of its own: with m it would keep the fields of m in memory
	} else {
		m.task = n.task
	}
	if !repeats && n.depth() < maxChain {
		m.parent = n
		m.inherit(n, true)
		m.Init(m)
		return m
	}
	b := build(n.len(nil) + m.ownLen())
	n.each(nil, b.append)
	var replaced []string
	added := !repeats || by == byWith
	for i := range m.ownLen() {
		f := m.ownField(i)
		b.put(f)
		if added && n.has(f.Key) {
			replaced = append(replaced, f.Key)
		}
	}
	flat := b.done(n, added)
	if added {
		flat.flatten(n, replaced)
	}
	return flat
}

// done returns the node of b, in the task of n and made from it; added means by adding alone.
func (b builder) done(n *node, added bool) *node {
	b.task = n.task
	b.inherit(n, added)
	b.Init(b.node)
	return b.node
}

// without returns n without the fields of keys: n itself if there are none.
func (n *node) without(keys []string) *node {
	if !slices.ContainsFunc(keys, func(key string) bool { return n.has(normalizeKey(key)) }) {
		return n
	}
	b := build(n.len(nil))
	n.each(nil, func(f field) {
		if !slices.ContainsFunc(keys, func(key string) bool { return normalizeKey(key) == f.Key }) {
			b.append(f)
		}
	})
	return b.done(n, false)
}

// depth returns the length of the parent chain.
func (n *node) depth() (nodes int) {
	for ; n != nil; n = n.parent {
		nodes++
	}
	return nodes
}

// asList returns the fields of n without those of its parent, or nil if n has its only field in key
// and value, or none.
func (n *node) asList() *list {
	if n.key != "" {
		return nil
	}
	l, _ := n.value.(*list)
	return l
}

// ownLen and ownField give the fields of n without those of its parent.
func (n *node) ownLen() int {
	if n.key != "" {
		return 1
	}
	if l := n.asList(); l != nil {
		return len(l.attrs)
	}
	return 0
}

func (n *node) ownField(i int) field {
	if n.key != "" {
		return field{slog.Any(n.key, n.value), n.value}
	}
	return n.asList().field(i)
}

// find returns the node that has the field of key, which is not empty, and the field's index
// there; or nil.
func (n *node) find(key string) (*node, int) {
	for ; n != nil; n = n.parent {
		if n.key != "" {
			if carrier.Same(n.key, key) {
				return n, 0
			}
		} else if l := n.asList(); l != nil {
			if i := l.index(key); i >= 0 {
				return n, i
			}
		}
	}
	return nil, 0
}

func (n *node) has(key string) bool {
	m, _ := n.find(key)
	return m != nil
}

// get returns the field of key.
func (n *node) get(key string) (f field, ok bool) {
	m, i := n.find(normalizeKey(key))
	if m == nil {
		return f, false
	}
	return m.ownField(i), true
}

// each calls yield with the fields that n has and base doesn't, the oldest first. base is in the
// parent chain of n, or nil.
func (n *node) each(base *node, yield func(field)) {
	if n == base {
		return
	}
	n.parent.each(base, yield)
	for i := range n.ownLen() {
		yield(n.ownField(i))
	}
}

// len returns how many fields each yields.
func (n *node) len(base *node) (fields int) {
	for ; n != base; n = n.parent {
		fields += n.ownLen()
	}
	return fields
}

// shown returns the fields that each yields, as their policies let them be shown. They must not be
// changed.
func (n *node) shown(base *node) []slog.Attr {
	if n == nil {
		return nil
	}
	if l := n.asList(); l != nil && n.parent == base && firstRestricted(l.attrs) == len(l.attrs) {
		return slices.Clip(l.attrs)
	}
	attrs := make([]slog.Attr, n.len(base))
	for i := len(attrs); n != base; n = n.parent { // each, but faster: from the end
		i -= n.ownLen()
		if n.key != "" {
			attrs[i] = slog.Any(n.key, n.value)
		} else if l := n.asList(); l != nil {
			copy(attrs[i:], l.attrs)
		}
	}
	i := firstRestricted(attrs)
	return appendShown(attrs[:i], attrs[i:])
}

// appendShown appends attrs to list, as the policies of their keys have them. list may be the part
// of the same slice that is in front of attrs.
func appendShown(list, attrs []slog.Attr) []slog.Attr {
	for _, a := range attrs {
		if a, ok := (field{Attr: a}).shown(); ok {
			list = append(list, a)
		}
	}
	return list
}
