package scope

import (
	"context"
	"log/slog"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// Set sets a field of the running goroutine: it binds a scope that has the bound scope's fields
// and this one. A key that is there keeps its place and gets the new value. value is taken as it
// is and must not be changed afterwards. An empty key is stored as "!BADKEY".
//
// What a bare Set binds lasts until the goroutine ends or an enclosing [Run] returns.
// On a goroutine with no scope it starts an unnamed task, which never ends.
func Set(key string, value any) {
	n := bound()
	n.set(normalizeKey(key), value, bySet).bindFrom(n)
}

// SetAttrs is [Set] for several fields at once, with values that need no boxing: one
// allocation for all.
func SetAttrs(attrs ...slog.Attr) {
	n := bound()
	if m := n.setAttrs(attrs, bySet); m != n {
		m.bindFrom(n)
	}
}

// Get returns the value of key in the bound scope, or else the shared one of its task. See
// [Scope.Get].
func Get(key string) (value any, ok bool) {
	first := bound()
	for n := first; n != nil; n = n.parent { // find, written out: this is the hottest path
		if n.key != "" {
			if carrier.Same(n.key, key) {
				return n.value, true
			}
		} else if l := n.asList(); l != nil {
			for i := range l.attrs {
				if carrier.Same(l.attrs[i].Key, key) {
					if o := l.orig; o != nil && i < len(*o) && (*o)[i] != nil { // list.any, written out
						return (*o)[i], true
					}
					return l.attrs[i].Value.Any(), true
				}
			}
		}
	}
	if key == "" {
		return Get(badKey)
	}
	if first != nil {
		return Scope{first.task.shared()}.Get(key)
	}
	return nil, false
}

// GetOr returns what [Get] does, or fallback if the key isn't
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
	f, ok := n.get(key)
	if !ok && n != nil {
		f, ok = n.task.shared().get(key)
	}
	if ok {
		return as[T](f)
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
	if n := bound(); n.len(nil) > 0 {
		build(0).done(n, false).bind()
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
// for Current().Wrap(fn). Call Wrap before [Outside]: inside it nothing is bound.
// [Wait] doesn't wait for the function.
func Wrap(fn func()) func() { return Current().Wrap(fn) }

// Outside calls fn with no scope bound, and so with no [Profiled] label; labels that other
// code has set stay. It is for what is started inside a task and outlives it: the workers of
// a pool, a client's connections, a cache's janitor. They would otherwise keep the fields of the
// task that happened to start them. What was bound before is put back, as by [Run].
//
// If a pool starts its workers when it is given a job, call it in Outside with a function that
// was wrapped before:
//
//	fn := scope.Wrap(job)
//	scope.Outside(func() { pool.Submit(fn) })
func Outside(fn func()) { Scope{}.Run(fn) }

// Wait waits until the goroutines of all [Go] calls in the process have ended, including
// those that they start with Go meanwhile: for a graceful shutdown. When ctx ends
// first, the error says how many are left and wraps the cause of ctx. In a testing/synctest
// bubble the clock stands still while Wait waits for goroutines that were started outside it,
// unless ctx has a deadline: the bubble's clock then runs until it passes.
func Wait(ctx context.Context) error { return wait(ctx) }

// Carrier says what binds a scope to a goroutine in this process: "direct", the
// profiler-label slot; "labels", the same slot through public API only, slower;
// "portable", a map, where a plain go statement inherits nothing.
func Carrier() string { return carrier.Active().String() }

func bound() *node { return carrier.Load[node]() }

// bindFrom binds n, which was made from the bound node. If there was none, a bare Set has begun
// the task of n.
func (n *node) bindFrom(bound *node) {
	if bound == nil {
		n.task.beginBare()
	}
	n.bind()
}

func (n *node) header() *carrier.Header {
	if n == nil {
		return nil
	}
	return &n.Header
}
