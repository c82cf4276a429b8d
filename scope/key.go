package scope

import (
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// A Key is a field's name together with the type of its value. Declare it once, as a
// package variable, with [NewKey].
type Key[T any] struct{ name string }

// NewKey returns the key of this name and declares what may be done with its fields.
// What is declared belongs to the name: it holds for scope.Set(name, …) as well,
// wherever that is called, and for scopes that exist already (a profiler label shows from
// the next time that a scope is bound). Several declarations of one name add up. An empty
// name is stored as "!BADKEY".
func NewKey[T any](name string, opts ...KeyOption) Key[T] {
	declare(storedAs(name), opts)
	return Key[T]{name}
}

// Name returns the name of the field.
func (k Key[T]) Name() string { return storedAs(k.name) }

// Set is [Set] with a value of the key's type.
func (k Key[T]) Set(v T) { Set(k.name, v) }

// Get returns the value in the bound scope, and whether it is there and a T.
func (k Key[T]) Get() (T, bool) { return get[T](k.name) }

// GetOr returns the value in the bound scope, or fallback if it isn't there or not a T.
func (k Key[T]) GetOr(fallback T) T { return GetOr(k.name, fallback) }

// Attr returns the field, for [SetAttrs], [New] and a log line of one's own.
func (k Key[T]) Attr(v T) slog.Attr { return slog.Any(k.Name(), v) }

// A KeyOption says what may be done with the fields of a key. Options are bits.
type KeyOption uint8

const (
	Hidden     KeyOption = 1 << iota // stored and readable, never logged
	Redacted                         // logged as "[REDACTED]"
	Profiled                         // also a pprof label of this name, as text
	Propagated                       // may leave the process, to the services that it calls
	Traced                           // becomes an attribute of the span
)

// Policy returns all that was declared for the key of this name, as bits: 0 if nothing.
func Policy(name string) KeyOption {
	p := policies.Load()
	if p == nil || p.lengths&(1<<(len(name)&63)) == 0 {
		return 0
	}
	return p.byName[storedAs(name)]
}

// policies is replaced as a whole by each declaration, so that readers need no lock and
// a memo can tell by its address whether it is still good. It is nil until the first.
var policies atomic.Pointer[policySet]

type policySet struct {
	byName   map[string]KeyOption
	lengths  uint64 // has the bit of the length of each name, and that of the empty one
	profiled bool   // some key is
}

func declare(name string, opts []KeyOption) {
	var all KeyOption
	for _, o := range opts {
		all |= o
	}
	for {
		old := policies.Load()
		next := &policySet{byName: map[string]KeyOption{}, lengths: 1}
		if old != nil {
			if old.byName[name]|all == old.byName[name] {
				return
			}
			maps.Copy(next.byName, old.byName)
			next.lengths, next.profiled = old.lengths, old.profiled
		}
		next.byName[name] |= all
		next.lengths |= 1 << (len(name) & 63)
		next.profiled = next.profiled || all&Profiled != 0
		if all == 0 || policies.CompareAndSwap(old, next) {
			return
		}
	}
}

// labels returns the fields of n that are to be seen in profiles.
func (n *node) labels() (labels []carrier.Label) {
	if p := policies.Load(); n != nil && p != nil && p.profiled {
		return n.profiled(p)
	}
	return nil
}

func (n *node) profiled(p *policySet) (labels []carrier.Label) {
	n.each(nil, func(f field) bool {
		a := f.attr()
		switch policy := p.byName[a.Key]; {
		case policy&Profiled == 0:
		case policy&Redacted != 0:
			labels = append(labels, carrier.Label{Key: a.Key, Value: RedactedText})
		default:
			labels = append(labels, carrier.Label{Key: a.Key, Value: labelText(a.Value)})
		}
		return true
	})
	return labels
}

// RedactedText is logged in place of the value of a [Redacted] key.
const RedactedText = "[REDACTED]"

// labelText returns v as text that a profile may hold. A method of v that panics costs
// the text, not the caller of Set.
func labelText(v slog.Value) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("!PANIC: %v", p)
		}
	}()
	// Not Value.Resolve, which puts a stack trace in place of a panic.
	for range 100 {
		if v.Kind() != slog.KindLogValuer {
			break
		}
		v = v.LogValuer().LogValue()
	}
	return strings.ToValidUTF8(v.String(), "\uFFFD")
}
