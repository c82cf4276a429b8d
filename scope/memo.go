package scope

import (
	"log/slog"
	"sync/atomic"
)

// A Memo remembers one value per scope, for as long as the scope lives: what a log
// adapter made of it. The values are kept with the scope, so they go when it goes, and
// finding one takes a few nanoseconds and no lock. They are also forgotten when NewKey
// declares something new, which may change what is to be logged. The zero Memo is empty
// and ready to use; it must not be copied.
type Memo[T any] struct {
	used uint32 // not 0 iff it has stored something; its address is the identity of the Memo
}

// An Entry is a value with what it takes to remember it. [Memo.NewEntry] makes one.
type Entry[T any] struct {
	Value T

	remembered
}

// NewEntry returns an Entry for Store. Its value is to be made afterwards, so that what NewKey
// declares meanwhile isn't missed.
func (m *Memo[T]) NewEntry() *Entry[T] {
	e := new(Entry[T])
	e.remembered = remembered{memo: &m.used, entry: e, policies: policies.Load()}
	return e
}

// remembered is the part of an Entry that doesn't depend on T: a list, newest first.
type remembered struct {
	memo     *uint32    // identifies the Memo
	entry    any        // the *Entry[T] that this is a part of
	policies *policySet // as of before the value was made
	next     *remembered
	depth    int
}

// memoLimit is how many values a scope remembers. A scope that lives as long as the
// process may meet any number of short-lived loggers; the limit bounds what they leave.
const memoLimit = 64

// Load returns what m has stored with s, or nil.
func (m *Memo[T]) Load(s Scope) *T {
	if s.n == nil {
		return nil
	}
	for r := s.n.memo.Load(); r != nil; r = r.next {
		if r.memo == &m.used {
			if r.policies != policies.Load() {
				return nil
			}
			return &r.entry.(*Entry[T]).Value
		}
		if atomic.LoadUint32(&m.used) == 0 {
			return nil // as with a logger of this moment: it isn't to be sought among many
		}
	}
	return nil
}

// LoadPart returns what m has stored with a scope that s was made of by adding fields, and
// these fields: to make what is to be stored with s out of it. It returns nil if there is
// nothing. What m has stored with s itself plays no part.
func (m *Memo[T]) LoadPart(s Scope) (value *T, added []slog.Attr) {
	if s.n == nil {
		return nil, nil
	}
	for part := s.n.parent; part != nil; part = part.parent {
		if value := m.Load(Scope{part}); value != nil {
			return value, s.n.attrs(part)
		}
	}
	return nil, nil
}

// Meet is for the first line of a scope. Many scopes have no other, and to remember something
// with them costs more than to do without. If something is stored with s, by any Memo, it
// returns -1; if s has been met, 1; else 0, and from then on s has been met, if alone or if there is
// a part: a scope that s was made of by adding fields, at most room. That is the nearest one
// with which m has stored something, or else one that has been met, and is worth it now. One
// that s was made of by adding a field, or several at once, has been met with s.
func (m *Memo[T]) Meet(s Scope, room int, alone bool) (part Scope, added []slog.Attr, before int) {
	if s.n == nil {
		return part, nil, -1
	}
	if head := s.n.memo.Load(); head == &met {
		return part, nil, 1
	} else if head != nil {
		return part, nil, -1
	}
	for n := s.n.parent; n != nil && s.n.len(n) <= room; n = n.parent {
		if m.Load(Scope{n}) != nil {
			part = Scope{n}
			break
		}
		if part.n == nil && n.memo.Load() == &met {
			part = Scope{n}
		}
	}
	if (alone || part.n != nil) && !s.n.meet() {
		return Scope{}, nil, 1 // another goroutine was first
	}
	if part.n == nil {
		if s.n.parent != nil {
			s.n.parent.meet()
		}
		return part, nil, 0
	}
	return part, s.n.attrs(part.n), 0
}

// met marks a scope that has been met. It stands where what is remembered does, until there
// is something.
var met remembered

func (n *node) meet() (first bool) {
	// The scopes of several goroutines may be made of one: look before writing to it.
	return n.memo.Load() == nil && n.memo.CompareAndSwap(nil, &met)
}

// Store stores e, which NewEntry has made and nobody has stored yet, with s, in place of
// what m stored before. Nothing is stored with the zero Scope. When a scope has many
// memos' values, older ones are forgotten.
func (m *Memo[T]) Store(s Scope, e *Entry[T]) {
	if s.n == nil {
		return
	}
	r := &e.remembered
	if atomic.LoadUint32(&m.used) == 0 {
		atomic.StoreUint32(&m.used, 1)
	}
	for {
		head := s.n.memo.Load()
		r.next, r.depth = nil, 0
		if head != nil && head.depth < memoLimit {
			r.next, r.depth = head, head.depth+1
		}
		if s.n.memo.CompareAndSwap(head, r) {
			return
		}
	}
}
