package scope

import (
	"context"
	"log/slog"
	"math/rand/v2"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// Set binds a scope in which key has this value to the running goroutine. A key that
// is there keeps its place. value is taken as it is and must not be changed afterwards.
// An empty key is stored as "!BADKEY".
//
// What a bare Set binds lasts until the goroutine ends or an enclosing [Run] returns.
// On a goroutine with no scope it starts a task without a name, which never ends.
func Set(key string, value any) {
	n := bound().grow(1, true)
	n.put(storedAs(key), slog.AnyValue(value), value)
	n.bind()
}

// SetAttrs is [Set] for several fields at once, with values that need no boxing: one
// allocation for all.
func SetAttrs(attrs ...slog.Attr) {
	if len(attrs) == 0 {
		return
	}
	n := bound().grow(len(attrs), false)
	for _, a := range attrs {
		n.put(storedAs(a.Key), a.Value, nil)
	}
	n.bind()
}

// Get returns the value of key in the bound scope. See [Scope.Get].
func Get(key string) (value any, ok bool) {
	n := bound()
	if n == nil {
		return nil, false
	}
	for i := range n.attrs { // find, value and storedAs by hand: this is the hottest path
		if n.attrs[i].Key == key {
			if n.boxed != nil && n.boxed[i] != nil {
				return n.boxed[i], true
			}
			return n.attrs[i].Value.Any(), true
		}
	}
	if key == "" {
		return Scope{n}.Get(badKey)
	}
	return nil, false
}

// GetOr returns the value of key in the bound scope, or fallback if the key isn't
// there or its value is not a T. A value that came in as a [slog.Attr], which doesn't
// know the width of an int, is converted to a T of its kind.
func GetOr[T any](key string, fallback T) T {
	if v, ok := get[T](key); ok {
		return v
	}
	return fallback
}

func get[T any](key string) (v T, ok bool) {
	n := bound()
	if i := n.find(storedAs(key)); i >= 0 {
		return as[T](n, i)
	}
	return v, false
}

// Delete removes the fields of these keys from the bound scope. Keys that aren't there
// are ignored.
func Delete(keys ...string) {
	if n := bound(); n != nil {
		if m := n.without(keys); m != n {
			m.bind()
		}
	}
}

// Clear removes all fields from the bound scope. The goroutine stays in its task.
func Clear() {
	if n := bound(); n != nil && len(n.attrs) > 0 {
		m := newNode(0, false)
		m.task, m.anonymous = n.task, n.anonymous
		m.bind()
	}
}

// Current returns the scope that is bound to the running goroutine: the zero Scope if
// there is none.
func Current() Scope { return Scope{bound()} }

// With returns the bound scope with these fields added. It binds nothing: follow it
// with Run, Go or Wrap. It is short for Current().With(args...).
func With(args ...any) Scope { return Current().With(args...) }

// Run calls fn; what fn sets ends with it. It is short for Current().Run(fn).
func Run(fn func()) { Current().Run(fn) }

// Go starts fn in a new goroutine, which gets the bound scope, as background work of
// the task. It is short for Current().Go(fn).
func Go(fn func()) { Current().Go(fn) }

// Wrap returns a function that calls fn with the scope that is bound now. It is short
// for Current().Wrap(fn).
func Wrap(fn func()) func() { return Current().Wrap(fn) }

// Wait waits until the goroutines of all [Go] calls in the process have ended, those
// that they start with Go meanwhile included: for a graceful shutdown. When ctx ends
// first, the error says how many are left and wraps the cause of ctx.
func Wait(ctx context.Context) error { return wait(ctx) }

// Carrier says what binds a scope to a goroutine in this process: "direct", the
// profiler-label slot; "labels", the same slot through public API only, slower;
// "portable", a map, where a plain go statement inherits nothing.
func Carrier() string { return carrier.Active().String() }

func bound() *node { return carrier.Load[node]() }

// grow is copy for an n that may be nil.
func (n *node) grow(more int, boxes bool) *node {
	if n != nil {
		return n.copy(more, boxes)
	}
	m := newNode(more, boxes)
	// The task that a bare Set begins is known by a random number. A record would be
	// an allocation, and a counter a cache line that every core writes.
	m.anonymous = rand.Uint64() | 1
	return m
}

func (n *node) bind() { carrier.Bind(n.header(), n.labels()) }
