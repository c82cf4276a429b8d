package scope

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/taskscope/taskscope/internal/memo"
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

	// key and value are the node's only field, as Set was given it. If key is empty, the
	// node has any number of fields, and value is a *[]slog.Attr, a *[]pair, or nil.
	key   string
	value any
}

// A pair is a field as Set was given it. Stored as an Attr it would lose its type (an int
// becomes an int64), and both forms together would make a scope half as large again.
type pair struct {
	key   string
	value any // an attrValue iff the field was given as an Attr
}

type attrValue struct{ slog.Value }

// A field is one in either form.
type field struct {
	key   string
	orig  any        // the value as Set was given it, or nil
	value slog.Value // that of the Attr, if orig is nil
}

func (p pair) field() field {
	if v, ok := p.value.(attrValue); ok {
		return field{p.key, nil, v.Value}
	}
	return field{p.key, p.value, slog.Value{}}
}

func (f field) pair() pair {
	if f.orig == nil {
		return pair{f.key, attrValue{f.value}}
	}
	return pair{f.key, f.orig}
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
type nodeN[F, Room any] struct {
	node
	fields []F
	room   Room
}

func newNodeN[F any](fields int) (n *node, own *[]F) {
	switch {
	case fields <= 2:
		m := new(nodeN[F, [2]F])
		m.fields, n, own = m.room[:0], &m.node, &m.fields
	case fields <= 4:
		m := new(nodeN[F, [4]F])
		m.fields, n, own = m.room[:0], &m.node, &m.fields
	case fields <= 8:
		m := new(nodeN[F, [8]F])
		m.fields, n, own = m.room[:0], &m.node, &m.fields
	default:
		m := new(nodeN[F, [0]F])
		m.fields, n, own = make([]F, 0, fields), &m.node, &m.fields
	}
	n.value = own
	return n, own
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
	if slices.ContainsFunc(attrs, isInlined) {
		attrs = appendInlined(nil, attrs)
	}
	if len(attrs) == 0 {
		return n
	}
	m, own := newNodeN[slog.Attr](len(attrs))
	list, repeats := *own, false
	for _, a := range attrs {
		a.Key = normalizeKey(a.Key)
		if i := slices.IndexFunc(list, func(b slog.Attr) bool { return b.Key == a.Key }); i >= 0 {
			list[i] = a
			continue
		}
		list = append(list, a)
		repeats = repeats || n.has(a.Key)
	}
	*own = list
	return m.follow(n, repeats, by)
}

// setArgs is set for fields as New takes them.
func (n *node) setArgs(args []any, by change) *node {
	if len(args) == 2 {
		if key, ok := args[0].(string); ok {
			return n.set(normalizeKey(key), args[1], by)
		}
	}
	fields, attrs := 0, 0
	for i := 0; i < len(args); i++ {
		switch args[i].(type) {
		case slog.Attr:
			attrs++
		case string:
			i++
		}
		fields++
	}
	if attrs == fields {
		list := make([]slog.Attr, len(args))
		for i, a := range args {
			list[i] = a.(slog.Attr)
		}
		return n.setAttrs(list, by)
	}
	m, own := newNodeN[pair](fields)
	list, repeats := *own, false
	add := func(p pair) {
		if i := slices.IndexFunc(list, func(q pair) bool { return q.key == p.key }); i >= 0 {
			list[i] = p
			return
		}
		list = append(list, p)
		repeats = repeats || n.has(p.key)
	}
	for len(args) > 0 {
		rest := args[1:]
		switch a := args[0].(type) {
		case slog.Attr:
			for _, a := range appendInlined(nil, []slog.Attr{a}) {
				add(pair{normalizeKey(a.Key), attrValue{a.Value}})
			}
		case string:
			if len(rest) == 0 {
				add(pair{badKey, a})
			} else {
				add(pair{normalizeKey(a), rest[0]})
				rest = rest[1:]
			}
		default:
			add(pair{badKey, a})
		}
		args = rest
	}
	*own = list
	return m.follow(n, repeats, by)
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
	var c collector
	c.addAll(n)
	var replaced []string
	m.each(nil, func(f field) bool {
		if n.has(f.key) {
			replaced = append(replaced, f.key)
		}
		return c.put(f)
	})
	flat := c.node(m.task)
	added := !repeats || by == byWith
	flat.inherit(n, added)
	if added {
		flat.flatten(n, replaced)
	}
	return flat
}

// depth returns the length of the parent chain.
func (n *node) depth() (nodes int) {
	for ; n != nil; n = n.parent {
		nodes++
	}
	return nodes
}

// ownLen and ownField give the fields of n less those of its parent.
func (n *node) ownLen() int {
	if n.key != "" {
		return 1
	}
	switch own := n.value.(type) {
	case *[]slog.Attr:
		return len(*own)
	case *[]pair:
		return len(*own)
	}
	return 0
}

func (n *node) ownField(i int) field {
	if n.key != "" {
		return pair{n.key, n.value}.field()
	}
	if own, ok := n.value.(*[]slog.Attr); ok {
		return field{(*own)[i].Key, nil, (*own)[i].Value}
	}
	return (*n.value.(*[]pair))[i].field()
}

func (n *node) has(key string) bool {
	_, ok := n.find(key)
	return ok
}

// find returns the field of key, which is not empty.
func (n *node) find(key string) (f field, ok bool) {
	for ; n != nil; n = n.parent {
		if carrier.Same(n.key, key) {
			return n.ownField(0), true
		}
		if n.key != "" {
			continue
		}
		switch own := n.value.(type) {
		case *[]slog.Attr:
			for i := range *own {
				if carrier.Same((*own)[i].Key, key) {
					return n.ownField(i), true
				}
			}
		case *[]pair:
			for i := range *own {
				if carrier.Same((*own)[i].key, key) {
					return n.ownField(i), true
				}
			}
		}
	}
	return field{}, false
}

// each calls yield with the fields that n has and base hasn't, the oldest first, until it
// returns false, and reports whether it never did. base is in the parent chain of n, or nil.
func (n *node) each(base *node, yield func(field) bool) bool {
	if n == base {
		return true
	}
	if !n.parent.each(base, yield) {
		return false
	}
	for i := range n.ownLen() {
		if !yield(n.ownField(i)) {
			return false
		}
	}
	return true
}

// len returns how many fields each gives.
func (n *node) len(base *node) (fields int) {
	for ; n != base; n = n.parent {
		fields += n.ownLen()
	}
	return fields
}

// attrs returns the fields that each gives. If they are one node's and Attrs already, they
// aren't copied.
func (n *node) attrs(base *node) []slog.Attr {
	fields := n.len(base)
	for m := n; m != base; m = m.parent {
		if own, ok := m.value.(*[]slog.Attr); ok && m.key == "" && len(*own) == fields {
			return slices.Clip(*own)
		}
	}
	attrs := make([]slog.Attr, fields)
	for end := fields; n != base; n = n.parent { // the newest come first
		end -= n.ownLen()
		for i := range n.ownLen() {
			attrs[end+i] = n.ownField(i).attr()
		}
	}
	return attrs
}
