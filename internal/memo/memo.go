// Package memo remembers with a scope what was derived from it, for as long as the scope lives.
// It is the door between package scope, whose scopes have a [Table] each, and package
// logadapters, which keeps there what loggers derive from a scope.
package memo

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
)

// A Scope is a scope.Scope as package logadapters sees it.
type Scope interface {
	// Table is where values are remembered with the scope; nil for the zero Scope.
	Table() *Table

	// Base returns the scope that this one was made from by adding fields. It returns nil
	// if there is none, or none that can be told without keeping replaced fields in memory.
	Base() Scope

	// Attrs returns the fields that base doesn't have, as the policies of their keys have them.
	// base is one that Base leads to; all fields if base is nil.
	Attrs(base Scope) []slog.Attr

	// Declared is Attrs, but only with keys that are declared with all bits of policy, which is a
	// scope.KeyOption and not 0.
	Declared(base Scope, policy uint8) []slog.Attr

	// Bare reports whether the task of the scope is one that a bare Set began: main's, for
	// the fields of the whole process, and no request's or job's.
	Bare() bool

	// Get returns the value of a field, as it was set, and whether it is there.
	Get(key string) (value any, ok bool)

	// Value is Get in the form that Attrs have, whatever the policy of the key. It doesn't allocate.
	Value(key string) (value slog.Value, ok bool)

	// LastTotals appends the totals of the scope's task to attrs, as the last line of the task has
	// them: those whose keys neither attrs nor the scope have. What is added later is late.
	LastTotals(attrs []slog.Attr) []slog.Attr

	// AtEnd makes the task, which must be live, call fn when it is over, in a goroutine of its own.
	AtEnd(fn func())

	// BindInside adds a to the scope and binds that to the running goroutine, until an enclosing Run
	// returns, as a bare Set does. It is for an entry that has no function to give to Run.
	BindInside(a slog.Attr)

	// BindOutside binds, and returns, the scope that BindInside was called on, if this one was made
	// from what BindInside has bound, by whatever changes. Otherwise it binds nothing, and returns
	// this one.
	BindOutside() Scope

	// Running returns how many calls of Run, Go and Wrap of the task are going on.
	Running() int

	// Encoding tells how many calls of Encode are going on around the code that has this
	// scope.
	Encoding() int

	// Encode calls fn, which encodes values of the scope, and so may call methods that
	// log. Meanwhile the goroutine has a scope with the same fields for which Encoding
	// returns one more.
	Encode(fn func())

	// EncodeLine is Encode for a whole line. Many calls may go on at once: fn may wait for a slow
	// writer.
	EncodeLine(fn func())

	// Ask is Encode for the text of a value in a header that is sent. Inside Encode it doesn't call
	// fn: that may be what has led there.
	Ask(fn func())
}

// An Error is what scope.Error returns, or what stands for that.
type Error interface {
	error
	Bare() error // the error that it was given, which a logger is to write
}

// A FullError has the methods by which code that doesn't know of Error sees what scope.Error
// returns.
type FullError interface {
	Error
	fmt.Formatter
	Unwrap() error
	Cause() error      // for github.com/pkg/errors
	ErrorType() string // for OpenTelemetry
}

// Errors is true once scope.Error has made an Error: until then no line has one.
var Errors atomic.Bool

// A limit counts calls that are going on in the process. tooMany is set when they are max, and cleared
// when they are down to few.
type limit struct {
	max     int64
	now     atomic.Int64
	tooMany atomic.Bool
}

const few = 2

// A line that is logged inside Encode knows that from its scope. But user code may have replaced the
// goroutine's profiler labels, or go on in another goroutine, and log with a context that has the scope
// from outside: then each call of Encode leads to the next. The limit ends that. Code that logs two
// lines would then go as deep again for the second one, at each step: so tooMany holds until all but a
// few calls have ended. Calls of EncodeLine may be lines that wait for one slow writer, so there may be
// more of them, but not more than fit on a stack.
var (
	encodings = limit{max: 1000}
	lines     = limit{max: maxLines()}
)

func maxLines() int64 {
	if runtime.GOARCH == "wasm" {
		return 1000 // its host has a stack of its own, which ends sooner
	}
	return 10_000
}

func (l *limit) begin() {
	if l.now.Add(1) >= l.max {
		l.tooMany.Store(true)
	}
}

func (l *limit) end() {
	if l.now.Add(-1) <= few && l.tooMany.Load() {
		l.tooMany.Store(false)
	}
}

// BeginEncode is called before the function that Encode is given, and EndEncode after it.
func BeginEncode() { encodings.begin() }
func EndEncode()   { encodings.end() }

// BeginLine and EndLine are the same for EncodeLine.
func BeginLine() { lines.begin() }
func EndLine()   { lines.end() }

// RunsAway reports whether there are so many calls of Encode or EncodeLine that one probably leads to the
// next, without end. Then no user code is called that could lead to another one.
func RunsAway() bool { return encodings.tooMany.Load() || LinesRunAway() }

// LinesRunAway is RunsAway for calls of EncodeLine alone.
func LinesRunAway() bool { return lines.tooMany.Load() }

// WrappedKey is the key under which a context made by scope.NewContext has the context that it
// wraps, for package httpscope.
type WrappedKey struct{}

// A Table holds what is remembered with one scope. The zero Table is empty.
type Table struct{ head atomic.Pointer[link] }

// A Cache remembers one value per Table: finding it takes a few nanoseconds and no lock.
// The zero Cache is ready to use. It must not be copied: its address is its identity.
type Cache[T any] struct {
	used atomic.Bool // whether Store was called
}

// An Entry is a value with what it takes to remember it. [NewEntry] makes one.
type Entry[T any] struct {
	Value T

	link
}

// A link is the part of an Entry that doesn't depend on T: a list, newest first.
type link struct {
	owner *atomic.Bool // identifies the Cache
	entry any          // the *Entry[T] that this is a part of
	epoch uint64
	next  *link
	depth int // how many links follow
}

// maxLinks bounds what one scope remembers. A scope that lives as long as the process may
// meet any number of short-lived loggers.
const maxLinks = 64

var epoch atomic.Uint64

// Invalidate makes all Caches forget. It is called when a key is declared, which changes
// what lines may show.
func Invalidate() { epoch.Add(1) }

// NewEntry returns an Entry for [Cache.Store]. Make its value afterwards: if Invalidate is
// called meanwhile, the value counts as forgotten.
func NewEntry[T any]() *Entry[T] {
	e := new(Entry[T])
	e.entry, e.epoch = e, epoch.Load()
	return e
}

// Load returns the value that c has stored in t, or nil. t may be nil.
func (c *Cache[T]) Load(t *Table) *T {
	if t == nil {
		return nil
	}
	for l := t.head.Load(); l != nil; l = l.next {
		if l.owner == &c.used {
			if l.epoch != epoch.Load() {
				return nil
			}
			return &l.entry.(*Entry[T]).Value
		}
		if !c.used.Load() {
			return nil // a new logger has stored nothing: no need to look further
		}
	}
	return nil
}

// Store puts e, which nobody has stored before, into t, in place of what c has stored there.
// When t is full, everything older is forgotten.
func (c *Cache[T]) Store(t *Table, e *Entry[T]) {
	if t == nil {
		return
	}
	if !c.used.Load() {
		c.used.Store(true)
	}
	e.owner = &c.used
	for {
		was := t.head.Load()
		head := was
		if head != nil && head.owner == e.owner { // it is replaced, and need not be kept
			head = head.next
		}
		e.next, e.depth = nil, 0
		if head != nil && head.depth+1 < maxLinks {
			e.next, e.depth = head, head.depth+1
		}
		if t.head.CompareAndSwap(was, &e.link) {
			return
		}
	}
}
