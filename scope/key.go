package scope

import (
	"log/slog"
	"maps"
	"sync/atomic"

	"github.com/taskscope/taskscope/internal/memo"
)

// A Key is a field's name together with the type of its value. Declare it once, as a
// package variable, with [NewKey].
type Key[T any] struct{ name string }

// NewKey returns the key of this name and declares what may be done with its fields.
// What is declared belongs to the name: it holds for scope.Set(name, …) as well,
// wherever that is called, and for scopes that exist already. Several declarations of one
// name add up. An empty name is stored as "!BADKEY".
//
// Call it in a package variable, before anything is set. A declaration that comes later
// holds for each line whose writing begins after NewKey has returned, and for each
// profiler label that is bound from then on, at the end of a [Run] too; the labels of the
// goroutine that calls NewKey follow at once. It can't recall what is out already: the
// labels of other goroutines, until they bind a scope the next time (Set, Run or the end
// of one), and of goroutines that these start until then; copies of labels in contexts
// that pprof.WithLabels or pprof.Do have made; profiles and lines.
func NewKey[T any](name string, opts ...KeyOption) Key[T] {
	if declare(normalizeKey(name), opts)&(Hidden|Redacted|Profiled) != 0 {
		bound().bind()
	}
	return Key[T]{name}
}

// Name returns the name of the field.
func (k Key[T]) Name() string { return normalizeKey(k.name) }

// Set is [Set] with a value of the key's type.
func (k Key[T]) Set(v T) { Set(k.name, v) }

// Share is [Share] with a value of the key's type.
func (k Key[T]) Share(v T) { Share(k.name, v) }

// Get returns what the func [Get] does, and whether it is there and is a T.
func (k Key[T]) Get() (T, bool) { return get[T](k.name) }

// GetOr returns what Get does, or fallback if that isn't there or isn't a T.
func (k Key[T]) GetOr(fallback T) T { return GetOr(k.name, fallback) }

// Attr returns the field with value v, for [SetAttrs], [New] or a log line.
func (k Key[T]) Attr(v T) slog.Attr { return slog.Any(k.Name(), v) }

// A KeyOption says what may be done with the fields of a key. Options are bits.
type KeyOption uint8

const (
	Hidden     KeyOption = 1 << iota // stored and readable, never logged, and no label
	Redacted                         // logged as "[REDACTED]", and so in a label
	Profiled                         // also a pprof label of this name, as text
	Propagated                       // may leave the process, to the services that it calls
	Traced                           // for module otelscope: an attribute of the spans that start under it
	Measured                         // for module otelscope: may be an attribute of metrics
)

// Policy returns all that was declared for the key of this name, as bits: 0 if nothing.
func Policy(name string) KeyOption {
	p := policies.Load()
	if p == nil || p.lengths&(1<<(len(name)&63)) == 0 {
		return 0
	}
	return p.byName[normalizeKey(name)]
}

// policies is replaced as a whole by each declaration, so that readers need no lock. It is
// nil until the first.
var policies atomic.Pointer[policySet]

type policySet struct {
	byName   map[string]KeyOption
	lengths  uint64 // bit n is set iff some name has length n, modulo 64; bit 0 always is
	profiled bool   // some key is Profiled
}

// declare adds opts to the policy of name, and returns those that are new.
func declare(name string, opts []KeyOption) (added KeyOption) {
	var all KeyOption
	for _, o := range opts {
		all |= o
	}
	for {
		old := policies.Load()
		next := &policySet{byName: map[string]KeyOption{}, lengths: 1}
		if old != nil {
			maps.Copy(next.byName, old.byName)
			next.lengths, next.profiled = old.lengths, old.profiled
		}
		if added = all &^ next.byName[name]; added == 0 {
			return 0
		}
		next.byName[name] |= all
		next.lengths |= 1 << (len(name) & 63)
		next.profiled = next.profiled || all&Profiled != 0
		if policies.CompareAndSwap(old, next) {
			memo.Invalidate()
			return added
		}
	}
}

// RedactedText is logged in place of the value of a [Redacted] key.
const RedactedText = "[REDACTED]"
