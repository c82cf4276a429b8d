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

// A node is what a Scope points at. Nothing in it changes once it is shared, except
// the memo.
type node struct {
	carrier.Header // first: see carrier.Load
	attrs          []slog.Attr
	// boxed is nil, or as long as attrs. It has the values as Set was given them, and nil
	// for those that came in as an Attr: making one form of the other, for Get, would cost
	// an allocation, or the type, since slog has one kind for all ints.
	boxed     []any
	task      *task  // nil iff the task was begun by a bare Set
	anonymous uint64 // not 0 iff the task was begun by a bare Set: its name
	memo      atomic.Pointer[remembered]
}

// newNode returns a node without a task, with room for n fields, and for boxed values
// if so asked: up to eight in the node's own allocation, so that a Set costs one.
func newNode(n int, boxes bool) *node {
	switch {
	case n == 0:
		return new(node).init(nil, nil)
	case n > 8:
		m := new(node).init(make([]slog.Attr, 0, n), nil)
		if boxes {
			m.boxed = make([]any, 0, n)
		}
		return m
	case boxes:
		switch n {
		case 1:
			m := new(boxedNode[[1]slog.Attr, [1]any])
			return m.init(m.attrRoom[:0], m.boxRoom[:0])
		case 2:
			m := new(boxedNode[[2]slog.Attr, [2]any])
			return m.init(m.attrRoom[:0], m.boxRoom[:0])
		case 3:
			m := new(boxedNode[[3]slog.Attr, [3]any])
			return m.init(m.attrRoom[:0], m.boxRoom[:0])
		case 4:
			m := new(boxedNode[[4]slog.Attr, [4]any])
			return m.init(m.attrRoom[:0], m.boxRoom[:0])
		case 5, 6:
			m := new(boxedNode[[6]slog.Attr, [6]any])
			return m.init(m.attrRoom[:0], m.boxRoom[:0])
		}
		m := new(boxedNode[[8]slog.Attr, [8]any])
		return m.init(m.attrRoom[:0], m.boxRoom[:0])
	}
	switch n {
	case 1:
		m := new(attrNode[[1]slog.Attr])
		return m.init(m.attrRoom[:0], nil)
	case 2:
		m := new(attrNode[[2]slog.Attr])
		return m.init(m.attrRoom[:0], nil)
	case 3:
		m := new(attrNode[[3]slog.Attr])
		return m.init(m.attrRoom[:0], nil)
	case 4:
		m := new(attrNode[[4]slog.Attr])
		return m.init(m.attrRoom[:0], nil)
	case 5, 6:
		m := new(attrNode[[6]slog.Attr])
		return m.init(m.attrRoom[:0], nil)
	}
	m := new(attrNode[[8]slog.Attr])
	return m.init(m.attrRoom[:0], nil)
}

type attrNode[A any] struct {
	node
	attrRoom A
}

type boxedNode[A, B any] struct {
	node
	attrRoom A
	boxRoom  B
}

func (n *node) init(attrs []slog.Attr, boxed []any) *node {
	n.Init(n)
	n.attrs, n.boxed = attrs, boxed
	return n
}

func (n *node) header() *carrier.Header {
	if n == nil {
		return nil
	}
	return &n.Header
}

// copy returns a copy of n with room for more fields, and for boxed values if so asked.
func (n *node) copy(more int, boxes bool) *node {
	boxes = boxes || n.boxed != nil
	m := newNode(len(n.attrs)+more, boxes)
	m.attrs = append(m.attrs, n.attrs...)
	if n.boxed != nil {
		m.boxed = append(m.boxed, n.boxed...)
	} else if boxes {
		m.boxed = m.boxed[:len(n.attrs)]
	}
	m.task, m.anonymous = n.task, n.anonymous
	m.memo.Store(n.memo.Load()) // what was made of n is of use as long as n is a part of m
	return m
}

// put adds a field to n, which nobody else has seen yet and which has room for it. boxed
// is nil, or value as it was given.
func (n *node) put(key string, value slog.Value, boxed any) {
	if i := n.find(key); i >= 0 {
		n.attrs[i].Value = value
		if n.boxed != nil {
			n.boxed[i] = boxed
		}
		n.memo.Store(nil)
		return
	}
	n.attrs = append(n.attrs, slog.Attr{Key: key, Value: value})
	if n.boxed != nil || boxed != nil {
		n.boxed = append(n.boxed, boxed)
	}
}

// find returns the index of key, or -1.
func (n *node) find(key string) int {
	if n != nil {
		for i := range n.attrs {
			if n.attrs[i].Key == key {
				return i
			}
		}
	}
	return -1
}

// value returns the value of field i as it was given.
func (n *node) value(i int) any {
	if n.boxed != nil && n.boxed[i] != nil {
		return n.boxed[i]
	}
	return n.attrs[i].Value.Any()
}

// as returns the value of field i as a T. A boxed value must be of that type. One that came
// as an Attr has lost the width of its number: any integer or float type that holds it
// without loss will do.
func as[T any](n *node, i int) (v T, ok bool) {
	if n.boxed != nil && n.boxed[i] != nil {
		v, ok = n.boxed[i].(T)
		return v, ok
	}
	value := n.attrs[i].Value
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

// derive returns a node of task t with the fields of n, which may be nil, and of args.
func derive(n *node, t *task, args []any) *node {
	count, boxes := countFields(args)
	var m *node
	if n == nil {
		m = newNode(count, boxes)
		m.task = t
	} else {
		m = n.copy(count, boxes)
	}
	for len(args) > 0 {
		switch a := args[0].(type) {
		case slog.Attr:
			m.put(storedAs(a.Key), a.Value, nil)
			args = args[1:]
		case string:
			if len(args) == 1 {
				m.put(badKey, slog.StringValue(a), a)
				return m
			}
			m.put(storedAs(a), slog.AnyValue(args[1]), args[1])
			args = args[2:]
		default:
			m.put(badKey, slog.AnyValue(a), a)
			args = args[1:]
		}
	}
	return m
}

// countFields returns how many fields args make, at the most, and whether some of them
// are given boxed.
func countFields(args []any) (n int, boxes bool) {
	for i := 0; i < len(args); i++ {
		switch args[i].(type) {
		case slog.Attr:
		case string:
			boxes = true
			i++
		default:
			boxes = true
		}
		n++
	}
	return n, boxes
}

// without returns n without the fields of keys: n itself if there are none.
func (n *node) without(keys []string) *node {
	named := func(key string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return storedAs(k) == key })
	}
	if n == nil || !slices.ContainsFunc(n.attrs, func(a slog.Attr) bool { return named(a.Key) }) {
		return n
	}
	m := newNode(len(n.attrs), n.boxed != nil)
	m.task, m.anonymous = n.task, n.anonymous
	for i, a := range n.attrs {
		if named(a.Key) {
			continue
		}
		m.attrs = append(m.attrs, a)
		if n.boxed != nil {
			m.boxed = append(m.boxed, n.boxed[i])
		}
	}
	return m
}

func storedAs(key string) string {
	if key == "" {
		return badKey
	}
	return key
}
