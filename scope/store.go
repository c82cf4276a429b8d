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
	fields         []field
	task           *task  // nil iff the task was begun by a bare Set
	anonymous      uint64 // not 0 iff the task was begun by a bare Set: its name
	memo           atomic.Pointer[remembered]
}

// A field keeps its value in the form it came in. Turning one form into the other
// costs an allocation, or the type: slog has one kind for all ints.
type field struct {
	key   string
	boxed any        // what Set was given; nil iff attr counts
	attr  slog.Value // what an Attr had
}

func given(key string, value any) field { return field{key: storedAs(key), boxed: value} }

func fromAttr(a slog.Attr) field { return field{key: storedAs(a.Key), attr: a.Value} }

func (f *field) any() any {
	if f.boxed != nil {
		return f.boxed
	}
	return f.attr.Any()
}

func (f *field) value() slog.Value {
	if f.boxed != nil {
		return slog.AnyValue(f.boxed)
	}
	return f.attr
}

// as returns the value of f as a T. A boxed value must be of that type. One that came
// as an Attr has lost the width of its number: any integer or float type that holds it
// without loss will do.
func as[T any](f *field) (v T, ok bool) {
	if f.boxed != nil {
		v, ok = f.boxed.(T)
		return v, ok
	}
	// A string would be boxed by Any, and strings are most of what scopes hold.
	if p, is := any(&v).(*string); is && f.attr.Kind() == slog.KindString {
		*p = f.attr.String()
		return v, true
	}
	if v, ok = f.attr.Any().(T); ok {
		return v, true
	}
	r := reflect.ValueOf(&v).Elem()
	if r.Kind() == reflect.Interface {
		return v, f.attr.Any() == nil // a nil that was set is there
	}
	if r.Type().PkgPath() != "" {
		return v, false
	}
	switch f.attr.Kind() {
	case slog.KindInt64:
		n := f.attr.Int64()
		if ok = r.CanInt() && !r.OverflowInt(n); ok {
			r.SetInt(n)
		} else if ok = r.CanUint() && n >= 0 && !r.OverflowUint(uint64(n)); ok {
			r.SetUint(uint64(n))
		}
	case slog.KindUint64:
		n := f.attr.Uint64()
		if ok = r.CanUint() && !r.OverflowUint(n); ok {
			r.SetUint(n)
		} else if ok = r.CanInt() && n <= math.MaxInt64 && !r.OverflowInt(int64(n)); ok {
			r.SetInt(int64(n))
		}
	case slog.KindFloat64:
		n := f.attr.Float64()
		if ok = r.Kind() == reflect.Float32 && (float64(float32(n)) == n || n != n); ok {
			r.SetFloat(n)
		}
	}
	return v, ok
}

// newNode returns a node without a task, with room for n fields: up to eight in the
// node's own allocation, so that a Set costs one.
func newNode(n int) *node {
	switch {
	case n == 0:
		return new(node).init(nil)
	case n == 1:
		m := new(inline[[1]field])
		return m.init(m.room[:0])
	case n == 2:
		m := new(inline[[2]field])
		return m.init(m.room[:0])
	case n == 3:
		m := new(inline[[3]field])
		return m.init(m.room[:0])
	case n == 4:
		m := new(inline[[4]field])
		return m.init(m.room[:0])
	case n <= 6:
		m := new(inline[[6]field])
		return m.init(m.room[:0])
	case n <= 8:
		m := new(inline[[8]field])
		return m.init(m.room[:0])
	}
	return new(node).init(make([]field, 0, n))
}

type inline[A any] struct {
	node
	room A
}

func (n *node) init(room []field) *node {
	n.Init(n)
	n.fields = room
	return n
}

func (n *node) header() *carrier.Header {
	if n == nil {
		return nil
	}
	return &n.Header
}

// copy returns a copy of n with room for more fields.
func (n *node) copy(more int) *node {
	m := newNode(len(n.fields) + more)
	m.fields = append(m.fields, n.fields...)
	m.task, m.anonymous = n.task, n.anonymous
	return m
}

// put adds f to n, which nobody else has seen yet and which has room for it.
func (n *node) put(f field) {
	if old := n.find(f.key); old != nil {
		*old = f
		return
	}
	n.fields = append(n.fields, f)
}

func (n *node) find(key string) *field {
	if n == nil {
		return nil
	}
	for i := range n.fields {
		if f := &n.fields[i]; f.key == key {
			return f
		}
	}
	return nil
}

// derive returns a node of task t with the fields of n, which may be nil, and of args.
func derive(n *node, t *task, args []any) *node {
	var m *node
	if n == nil {
		m = newNode(countFields(args))
		m.task = t
	} else {
		m = n.copy(countFields(args))
	}
	for len(args) > 0 {
		switch a := args[0].(type) {
		case slog.Attr:
			m.put(fromAttr(a))
			args = args[1:]
		case string:
			if len(args) == 1 {
				m.put(given(badKey, a))
				return m
			}
			m.put(given(a, args[1]))
			args = args[2:]
		default:
			m.put(given(badKey, a))
			args = args[1:]
		}
	}
	return m
}

// countFields returns how many fields args make, at the most.
func countFields(args []any) (n int) {
	for i := 0; i < len(args); i++ {
		if _, isKey := args[i].(string); isKey {
			i++
		}
		n++
	}
	return n
}

// without returns n without the fields of keys: n itself if there are none.
func (n *node) without(keys []string) *node {
	if n == nil || !slices.ContainsFunc(keys, func(k string) bool { return n.find(storedAs(k)) != nil }) {
		return n
	}
	m := newNode(len(n.fields))
	m.task, m.anonymous = n.task, n.anonymous
	for _, f := range n.fields {
		if !slices.ContainsFunc(keys, func(k string) bool { return storedAs(k) == f.key }) {
			m.fields = append(m.fields, f)
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
