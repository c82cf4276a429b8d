package scope

import "log/slog"

// A Memo remembers one value per scope, for as long as the scope lives: what a log
// adapter made of it. The values are kept with the scope, so they go when it goes, and
// finding one takes a few nanoseconds and no lock. They are also forgotten when NewKey
// declares something new, which may change what is to be logged. The zero Memo is empty
// and ready to use; it must not be copied.
type Memo[T any] struct{ id byte } // its address is its identity

// An Entry is a value with what it takes to remember it. [Memo.NewEntry] makes one.
type Entry[T any] struct {
	Value T

	remembered
}

// NewEntry returns an Entry for Store. Its value is to be made afterwards, so that what NewKey
// declares meanwhile isn't missed.
func (m *Memo[T]) NewEntry() *Entry[T] {
	e := new(Entry[T])
	e.remembered = remembered{memo: &m.id, entry: e, policies: policies.Load()}
	return e
}

// remembered is the part of an Entry that doesn't depend on T: a list, newest first.
type remembered struct {
	memo     *byte      // the id of the Memo
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
		if r.memo == &m.id {
			if r.policies != policies.Load() {
				return nil
			}
			return &r.entry.(*Entry[T]).Value
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

// Store stores e, which NewEntry has made and nobody has stored yet, with s, in place of
// what m stored before. Nothing is stored with the zero Scope. When a scope has many
// memos' values, older ones are forgotten.
func (m *Memo[T]) Store(s Scope, e *Entry[T]) {
	if s.n == nil {
		return
	}
	r := &e.remembered
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
