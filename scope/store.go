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
	// has any number of fields, and value is a *[]field.
	key   string
	value any
}

// A field has its value in one of two forms. Stored as an Attr, what Set was given would lose
// its type (an int becomes an int64), and an Attr stored in an any would be allocated.
type field struct {
	key   string
	orig  any        // as Set was given it; nil if it came as an Attr, or is nil
	value slog.Value // that of the Attr
}

func (f field) attr() slog.Attr {
	if f.orig == nil {
		return slog.Attr{Key: f.key, Value: f.value}
	}
	return slog.Any(f.key, f.orig)
}

// maxChain bounds the parent chain, so that a Get doesn't walk far. Longer chains are
// flattened into one node.
const maxChain = 16

// A nodeN is a node with room for some fields, so that it takes one allocation.
type nodeN[Room any] struct {
	node
	fields []field
	room   Room
}

// A builder makes a node of several fields.
type builder struct {
	*node
	fields *[]field
}

func build(fields int) builder {
	switch fields {
	case 1:
		m := new(nodeN[[1]field])
		return m.builder(m.room[:0])
	case 2:
		m := new(nodeN[[2]field])
		return m.builder(m.room[:0])
	case 3:
		m := new(nodeN[[3]field])
		return m.builder(m.room[:0])
	case 4:
		m := new(nodeN[[4]field])
		return m.builder(m.room[:0])
	}
	return new(nodeN[[0]field]).builder(make([]field, 0, fields))
}

func (m *nodeN[Room]) builder(room []field) builder {
	m.fields, m.value = room, &m.fields
	return builder{&m.node, &m.fields}
}

func (b builder) append(f field) { *b.fields = append(*b.fields, f) }

// put appends f, or puts it in the place of the field of its key.
func (b builder) put(f field) {
	for i := range *b.fields {
		if (*b.fields)[i].key == f.key {
			(*b.fields)[i] = f
			return
		}
	}
	b.append(f)
}

// putAttr puts a as log/slog writes it: the zero Attr not at all, and of a group without a key
// the members.
func (b builder) putAttr(a slog.Attr) {
	switch {
	case a.Key == "" && a.Value.Kind() == slog.KindGroup:
		for _, m := range a.Value.Group() {
			b.putAttr(m)
		}
	case !values.IsZero(a):
		b.put(field{normalizeKey(a.Key), nil, a.Value})
	}
}

// A change is a way to make a node of another one.
type change bool

const (
	bySet  change = false
	byWith change = true
)

// set returns n with this field, in the same task; or, if n is nil, in a new one.
func (n *node) set(key string, value any, by change) *node {
	m := new(node)
	m.key, m.value = key, value
	return m.follow(n, n.has(key), by)
}

// setAttrs is set for several fields. Without any it returns n.
func (n *node) setAttrs(attrs []slog.Attr, by change) *node {
	b := build(len(attrs))
	for _, a := range attrs {
		b.putAttr(a)
	}
	return b.follow(n, by)
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
				b.put(field{key: normalizeKey(arg), orig: args[0]})
				args = args[1:]
				continue
			}
		}
		b.put(field{key: badKey, orig: arg})
	}
	return b.follow(n, by)
}

// follow is follow for the node of b, if it has a field; else it returns n.
func (b builder) follow(n *node, by change) *node {
	if len(*b.fields) == 0 {
		return n
	}
	repeats := false
	for i := range *b.fields {
		repeats = repeats || n.has((*b.fields)[i].key)
	}
	return b.node.follow(n, repeats, by)
}

// follow makes m, which nobody else has seen yet, the child of n and returns it. m is in
// the task of n, or in a new one if n is nil. If m repeats a key of n, one node takes the
// place of the chain, in which the key keeps its place and has the value of m.
func (m *node) follow(n *node, repeats bool, by change) *node {
	if n == nil {
		m.task = new(task) // not in the node: whoever is in the task would keep its fields
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
	for i := range m.ownLen() {
		f := m.ownField(i)
		if n.has(f.key) {
			replaced = append(replaced, f.key)
		}
		b.put(f)
	}
	added := !repeats || by == byWith
	flat := b.done(n, added)
	if added {
		flat.flatten(n, replaced)
	}
	return flat
}

// done returns the node of b, in the task of n and made of it; added says by adding alone.
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
		if !slices.ContainsFunc(keys, func(key string) bool { return normalizeKey(key) == f.key }) {
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

// list returns the fields of n less those of its parent, unless it has exactly one that is in
// the node itself.
func (n *node) list() []field {
	if own, ok := n.value.(*[]field); ok && n.key == "" {
		return *own
	}
	return nil
}

// ownLen and ownField give the fields of n less those of its parent.
func (n *node) ownLen() int {
	if n.key != "" {
		return 1
	}
	return len(n.list())
}

func (n *node) ownField(i int) field {
	if n.key != "" {
		return field{key: n.key, orig: n.value}
	}
	return n.list()[i]
}

// find returns the node that has the field of key, which is not empty, and the field's number
// there; or nil.
func (n *node) find(key string) (*node, int) {
	for ; n != nil; n = n.parent {
		if n.key != "" {
			if carrier.Same(n.key, key) {
				return n, 0
			}
			continue
		}
		for i, list := 0, n.list(); i < len(list); i++ {
			if carrier.Same(list[i].key, key) {
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

// each calls yield with the fields that n has and base hasn't, the oldest first. base is in the
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

// len returns how many fields each gives.
func (n *node) len(base *node) (fields int) {
	for ; n != base; n = n.parent {
		fields += n.ownLen()
	}
	return fields
}

// shown returns the fields that each gives, as others than the program's own code may see them.
func (n *node) shown(base *node) []slog.Attr {
	attrs := make([]slog.Attr, 0, n.len(base))
	n.each(base, func(f field) {
		if a, ok := f.shown(); ok {
			attrs = append(attrs, a)
		}
	})
	return attrs
}

// shown returns f as the policy of its key has it, and whether it may be shown at all.
func (f field) shown() (a slog.Attr, ok bool) {
	policy := Policy(f.key)
	if policy&Redacted != 0 {
		return slog.String(f.key, RedactedText), policy&Hidden == 0
	}
	return f.attr(), policy&Hidden == 0
}
