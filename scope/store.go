package scope

import (
	"log/slog"
	"math"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// badKey is what a field without a key is stored under, as in log/slog.
const badKey = "!BADKEY"

func storedAs(key string) string {
	if key == "" {
		return badKey
	}
	return key
}

// A node is what a Scope points at: the fields of its parent, and its own behind them. No
// key is there twice. Nothing in a node changes once it is shared, except the memo.
type node struct {
	carrier.Header // first: see carrier.Load
	parent         *node
	task           *task
	memo           atomic.Pointer[remembered]

	// key and value are the node's own field, as Set was given it. If key is empty, the
	// node has any number of fields, and value is a *[]slog.Attr, a *[]pair, or nil.
	key   string
	value any
}

// A pair is a field as Set was given it. To keep it as an Attr too, which has another form
// of the value, would make a scope half as large again.
type pair struct {
	key   string
	value any // an unboxed iff the field was given as an Attr
}

type unboxed struct{ slog.Value }

// A field is one in either form.
type field struct {
	key   string
	given any        // the value as Set was given it, or nil
	value slog.Value // that of the Attr, if given is nil
}

func (p pair) field() field {
	if u, ok := p.value.(unboxed); ok {
		return field{p.key, nil, u.Value}
	}
	return field{p.key, p.value, slog.Value{}}
}

func (p pair) attr() slog.Attr {
	if u, ok := p.value.(unboxed); ok {
		return slog.Attr{Key: p.key, Value: u.Value}
	}
	return slog.Any(p.key, p.value)
}

func (f field) pair() pair {
	if f.given == nil {
		return pair{f.key, unboxed{f.value}}
	}
	return pair{f.key, f.given}
}

func (f field) attr() slog.Attr {
	if f.given == nil {
		return slog.Attr{Key: f.key, Value: f.value}
	}
	return slog.Any(f.key, f.given)
}

// maxChain is how many nodes hang together. One more makes one of them all, so that a Get
// doesn't walk far.
const maxChain = 16

// one is a node with one field, several one with any number: up to eight in the node's own
// allocation, so that a Set costs one. begun is room for the task that begins with it.
type (
	one struct {
		node
		begun task
	}
	several[F, R any] struct {
		node
		fields []F
		begun  task
		room   R
	}
)

func newSeveral[F any](fields int) (n *node, own *[]F, begun *task) {
	switch {
	case fields <= 1:
		m := new(several[F, [1]F])
		m.fields, n, own, begun = m.room[:0], &m.node, &m.fields, &m.begun
	case fields == 2:
		m := new(several[F, [2]F])
		m.fields, n, own, begun = m.room[:0], &m.node, &m.fields, &m.begun
	case fields == 3:
		m := new(several[F, [3]F])
		m.fields, n, own, begun = m.room[:0], &m.node, &m.fields, &m.begun
	case fields == 4:
		m := new(several[F, [4]F])
		m.fields, n, own, begun = m.room[:0], &m.node, &m.fields, &m.begun
	case fields <= 6:
		m := new(several[F, [6]F])
		m.fields, n, own, begun = m.room[:0], &m.node, &m.fields, &m.begun
	case fields <= 8:
		m := new(several[F, [8]F])
		m.fields, n, own, begun = m.room[:0], &m.node, &m.fields, &m.begun
	default:
		m := new(several[F, [0]F])
		m.fields, n, own, begun = make([]F, 0, fields), &m.node, &m.fields, &m.begun
	}
	n.value = own
	return n, own, begun
}

// set returns n with this field, in the same task; or, if n is nil, in a new one.
func (n *node) set(key string, value any) *node {
	m := new(one)
	m.key, m.value = key, value
	return m.follow(n, &m.begun, n.has(key))
}

// setAttrs is set for several fields.
func (n *node) setAttrs(attrs []slog.Attr) *node {
	m, own, begun := newSeveral[slog.Attr](len(attrs))
	*own = append(*own, attrs...)
	list, repeats := *own, false
	for i := range list {
		if list[i].Key == "" {
			list[i].Key = badKey
		}
		for j := range i {
			repeats = repeats || list[j].Key == list[i].Key
		}
		repeats = repeats || n != nil && n.has(list[i].Key)
	}
	return m.follow(n, begun, repeats)
}

// setArgs is set for fields as New takes them.
func (n *node) setArgs(args []any) *node {
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
	switch {
	case attrs == fields:
		return n.setAttrs(attrsOf(args))
	case fields == 1:
		p, _ := nextPair(args)
		return n.set(p.key, p.value)
	}
	m, own, begun := newSeveral[pair](fields)
	list, repeats := *own, false
	for len(args) > 0 {
		var p pair
		p, args = nextPair(args)
		for i := range list {
			repeats = repeats || list[i].key == p.key
		}
		repeats = repeats || n != nil && n.has(p.key)
		list = append(list, p)
	}
	*own = list
	return m.follow(n, begun, repeats)
}

func attrsOf(args []any) []slog.Attr {
	attrs := make([]slog.Attr, len(args))
	for i, a := range args {
		attrs[i] = a.(slog.Attr)
	}
	return attrs
}

// nextPair returns the first field of args, of which there are some, and the rest.
func nextPair(args []any) (p pair, rest []any) {
	switch a := args[0].(type) {
	case slog.Attr:
		return pair{storedAs(a.Key), unboxed{a.Value}}, args[1:]
	case string:
		if len(args) > 1 {
			return pair{storedAs(a), args[1]}, args[2:]
		}
	}
	return pair{badKey, args[0]}, args[1:]
}

// follow makes m, which nobody else has seen yet, the node that follows n and is of its
// task, and returns it. If n is nil, begun is the task. If m repeats a key, what has it
// gets the value of m and keeps its place.
func (m *node) follow(n *node, begun *task, repeats bool) *node {
	m.task = begun
	if n != nil {
		m.task = n.task
	}
	if repeats || n.links() >= maxChain {
		var c collector
		c.add(n)
		m.each(nil, c.put)
		return c.node(m.task, n == nil)
	}
	m.parent = n
	m.Init(m)
	return m
}

// A collector makes one node of the fields of several.
type collector struct {
	fields []field
	given  bool // some are
}

// add is put for all fields of n, none of which c has: no comparing of each with each.
func (c *collector) add(n *node) {
	c.fields = slices.Grow(c.fields, n.len(nil))
	n.each(nil, c.append)
}

func (c *collector) append(f field) bool {
	c.given = c.given || f.given != nil
	c.fields = append(c.fields, f)
	return true
}

// put appends f, or puts it in the place of the field of its key.
func (c *collector) put(f field) bool {
	for i := range c.fields {
		if c.fields[i].key == f.key {
			c.given = c.given || f.given != nil
			c.fields[i] = f
			return true
		}
	}
	return c.append(f)
}

// node returns a node of task t. Unless alone, that is of others too.
func (c *collector) node(t *task, alone bool) (m *node) {
	var begun *task
	if c.given {
		var own *[]pair
		m, own, begun = newSeveral[pair](len(c.fields))
		for _, f := range c.fields {
			*own = append(*own, f.pair())
		}
	} else {
		var own *[]slog.Attr
		m, own, begun = newSeveral[slog.Attr](len(c.fields))
		for _, f := range c.fields {
			*own = append(*own, f.attr())
		}
	}
	m.task = t
	if alone || t.isBare() {
		m.task = begun // t lies in another node, and would keep its fields
		t.copyTo(begun)
	}
	m.Init(m)
	return m
}

// links returns how many nodes n hangs together with.
func (n *node) links() (nodes int) {
	for ; n != nil; n = n.parent {
		nodes++
	}
	return nodes
}

func (n *node) has(key string) bool {
	_, ok := n.find(key)
	return ok
}

// find returns the field of key, which is not empty.
func (n *node) find(key string) (f field, ok bool) {
	for ; n != nil; n = n.parent {
		if carrier.Same(n.key, key) {
			return pair{key, n.value}.field(), true
		}
		if n.key != "" {
			continue
		}
		switch own := n.value.(type) {
		case *[]slog.Attr:
			for i := range *own {
				if a := &(*own)[i]; carrier.Same(a.Key, key) {
					return field{key, nil, a.Value}, true
				}
			}
		case *[]pair:
			for i := range *own {
				if p := &(*own)[i]; carrier.Same(p.key, key) {
					return p.field(), true
				}
			}
		}
	}
	return field{}, false
}

// each calls yield with the fields that n has and part hasn't, the oldest first, until it
// returns false, and reports whether it never did. part is one of those that n hangs
// together with, or nil.
func (n *node) each(part *node, yield func(field) bool) bool {
	if n == part {
		return true
	}
	if !n.parent.each(part, yield) {
		return false
	}
	if n.key != "" {
		return yield(pair{n.key, n.value}.field())
	}
	switch own := n.value.(type) {
	case *[]slog.Attr:
		for _, a := range *own {
			if !yield(field{a.Key, nil, a.Value}) {
				return false
			}
		}
	case *[]pair:
		for _, p := range *own {
			if !yield(p.field()) {
				return false
			}
		}
	}
	return true
}

// len returns how many fields each gives.
func (n *node) len(part *node) (fields int) {
	for ; n != part; n = n.parent {
		if n.key != "" {
			fields++
			continue
		}
		switch own := n.value.(type) {
		case *[]slog.Attr:
			fields += len(*own)
		case *[]pair:
			fields += len(*own)
		}
	}
	return fields
}

// attrs returns the fields that each gives: those of n themselves if they lie as they should.
func (n *node) attrs(part *node) []slog.Attr {
	fields := n.len(part)
	if fields == 0 {
		return nil
	}
	for m := n; m != part; m = m.parent {
		if own, ok := m.value.(*[]slog.Attr); ok && m.key == "" && len(*own) == fields {
			return slices.Clip(*own)
		}
	}
	attrs := make([]slog.Attr, fields)
	for i := fields; n != part; n = n.parent { // the last come first
		if n.key != "" {
			i--
			attrs[i] = pair{n.key, n.value}.attr()
			continue
		}
		switch own := n.value.(type) {
		case *[]slog.Attr:
			i -= copy(attrs[i-len(*own):], *own)
		case *[]pair:
			i -= len(*own)
			for j, p := range *own {
				attrs[i+j] = p.attr()
			}
		}
	}
	return attrs
}

// without returns n without the fields of keys: n itself if there are none.
func (n *node) without(keys []string) *node {
	if !slices.ContainsFunc(keys, func(key string) bool { return n.has(storedAs(key)) }) {
		return n
	}
	var c collector
	n.each(nil, func(f field) bool {
		if !slices.ContainsFunc(keys, func(key string) bool { return storedAs(key) == f.key }) {
			c.append(f)
		}
		return true
	})
	return c.node(n.task, false)
}

// any returns the value as it was given.
func (f field) any() any {
	if f.given != nil {
		return f.given
	}
	return f.value.Any()
}

// as returns the value of f as a T. One that was given as it is must be of that type. One
// that came as an Attr has lost the width of its number: any integer or float type that
// holds it without loss will do.
func as[T any](f field) (v T, ok bool) {
	if f.given != nil {
		v, ok = f.given.(T)
		return v, ok
	}
	value := f.value
	// A string would be boxed by Any, and strings are most of what scopes hold.
	if p, is := any(&v).(*string); is && value.Kind() == slog.KindString {
		*p = value.String()
		return v, true
	}
	if v, ok = value.Any().(T); ok {
		return v, true
	}
	r := reflect.ValueOf(&v).Elem()
	if r.Kind() == reflect.Interface {
		return v, value.Any() == nil // a nil that was set is there
	}
	if r.Type().PkgPath() != "" {
		return v, false
	}
	switch value.Kind() {
	case slog.KindInt64:
		x := value.Int64()
		if ok = r.CanInt() && !r.OverflowInt(x); ok {
			r.SetInt(x)
		} else if ok = r.CanUint() && x >= 0 && !r.OverflowUint(uint64(x)); ok {
			r.SetUint(uint64(x))
		}
	case slog.KindUint64:
		x := value.Uint64()
		if ok = r.CanUint() && !r.OverflowUint(x); ok {
			r.SetUint(x)
		} else if ok = r.CanInt() && x <= math.MaxInt64 && !r.OverflowInt(int64(x)); ok {
			r.SetInt(int64(x))
		}
	case slog.KindFloat64:
		x := value.Float64()
		if ok = r.Kind() == reflect.Float32 && (float64(float32(x)) == x || x != x); ok {
			r.SetFloat(x)
		}
	}
	return v, ok
}
