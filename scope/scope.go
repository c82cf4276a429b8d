package scope

import (
	"iter"
	"log/slog"
	"sync/atomic"

	"github.com/taskscope/taskscope/internal/memo"
)

// A Scope is an immutable, ordered set of fields that belongs to a task. The zero
// Scope is empty, belongs to no task, and is ready to use. Scopes are passed by value,
// cost one word, and may be shared by any number of goroutines.
type Scope struct{ n *node }

// New returns a scope with these fields and no others, as a task of its own: what the
// running goroutine has bound plays no part. args are as slog's: alternating keys and
// values, or [slog.Attr]s. A value without a key is stored under "!BADKEY".
func New(args ...any) Scope {
	n := (*node)(nil).setArgs(args, byWith)
	if n == nil {
		n = newTask()
	}
	return Scope{n}
}

// With returns s with the fields of args added, in the same task. A key that is there
// keeps its place and gets the new value. args are as for [New]. Without any field it
// returns s. Adding to the zero Scope starts a task.
func (s Scope) With(args ...any) Scope { return Scope{s.n.setArgs(args, byWith)} }

// Without returns s without the fields of these keys, in the same task. Keys that
// aren't there are ignored.
func (s Scope) Without(keys ...string) Scope { return Scope{s.n.without(keys)} }

// Detach returns the same fields as a task of their own: for work that goes on, as a task in
// its own right, when the task that started it is over.
func (s Scope) Detach() Scope {
	if s.n == nil {
		return Scope{newTask()}
	}
	m := &node{parent: s.n}
	if s.n.depth() >= maxChain {
		b := build(s.n.len(nil))
		s.n.each(nil, b.append)
		m = b.node
	}
	m.task = new(task)
	if shared := s.n.task.shared(); shared != nil {
		m.task.ensureExtras().shared.Store(shared)
	}
	m.inherit(s.n, true)
	m.Init(m)
	return Scope{m}
}

// Get returns the value of key, as it was set and of the same type, and whether it is
// there. A value that came in as a [slog.Attr] comes back as [slog.Value.Any] has it:
// slog.Int makes an int64. Get itself allocates only in that case.
func (s Scope) Get(key string) (value any, ok bool) {
	n, i := s.n.find(normalizeKey(key))
	if n == nil {
		return nil, false
	}
	if n.key != "" {
		return n.value, true
	}
	return n.asList().any(i), true
}

// Has reports whether the key is there.
func (s Scope) Has(key string) bool { return s.n.has(normalizeKey(key)) }

// Len returns the number of fields.
func (s Scope) Len() int { return s.n.len(nil) }

// All iterates over the fields in the order in which their keys were first set. Values
// are not resolved: a [slog.LogValuer] comes as one. All gives every field, also one
// whose key is declared [Hidden].
func (s Scope) All() iter.Seq2[string, slog.Value] {
	return func(yield func(string, slog.Value) bool) {
		more := true
		s.n.each(nil, func(f field) { more = more && yield(f.Key, f.Value) })
	}
}

// Run binds s to the running goroutine, calls fn, and puts back what was bound before,
// whatever fn did: also when it panics or calls [runtime.Goexit], and when it changed
// the goroutine's profiler labels, which are put back too. While fn runs, the task of s
// is live. A task that is over can be entered again, but not by a goroutine that it has left
// behind: if s belongs to the bound task, and that is over, fn is as late as its caller.
func (s Scope) Run(fn func()) { s.n.run(s.n.enter(fromHere), fn) }

// Go starts fn in a new goroutine with s bound to it. The task of s is live until fn
// has returned, as in [Scope.Run], and [Wait] waits for it. A panic in fn ends the program, as
// with the go statement: a library that recovers it would hide the bug and print it
// where nobody looks. Go panics if fn is nil.
func (s Scope) Go(fn func()) {
	if fn == nil {
		panic("scope.Go: fn, the func to start, is nil") // here, where the caller is seen, and can recover
	}
	counted := s.n.enter(fromHere)
	running := counter()
	running.Add(1)
	go func() {
		defer func() {
			running.Add(-1)
			signalEnded()
		}()
		s.n.run(counted, fn)
	}()
}

// Wrap returns a function that calls fn with s bound, wherever and as often as it is
// called, like s.Run(fn). It is for code that inherits no scope, or the wrong one: pools,
// timers, callbacks. The function keeps the task live while it runs, not while it waits to be
// called, and it can enter a task that has ended since Wrap was called. If Run, in place of
// Wrap, would be late, the function is too. Wrap panics if fn is nil.
func (s Scope) Wrap(fn func()) func() {
	if fn == nil {
		panic("scope.Wrap: fn, the func to wrap, is nil") // here, and not on a pool's worker
	}
	how := inTime
	if s.Ended() && s.SameTask(Current()) {
		how = late
	}
	return func() { s.n.run(s.n.enter(how), fn) }
}

// Ended reports whether the task of s is over: it was entered by Run, Go or Wrap, and
// none of these is running any more. A task that was never entered doesn't end, nor
// does one that a bare [Set] began. Adapters stamp such lines with scope_ended=true.
func (s Scope) Ended() bool { return s.n != nil && s.n.task.ended() }

// SameTask reports whether s and t belong to one task. The zero Scope belongs to none,
// so it is in no task with anything.
func (s Scope) SameTask(t Scope) bool {
	return s.n != nil && t.n != nil && s.n.task == t.n.task
}

// Internal is for package logadapters: the scope as its lines have it. Its type is internal: it
// is not part of the API.
func (s Scope) Internal() memo.Scope { return s.n.line() }

// run calls fn with n bound, and then leaves its task if enter has counted that.
func (n *node) run(counted *atomic.Uint64, fn func()) {
	if counted != nil {
		defer n.leave(counted) // also if swap, which asks Profiled values for their text, doesn't return
	}
	if level := bound().encodingLevel(); level > 0 {
		if n == nil { // a line in Outside that is given a context needs to know the level, too
			n = newTask()
		}
		n = n.encodingAt(level)
	}
	saved := n.swap()
	defer restore(&saved)
	fn()
}
