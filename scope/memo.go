package scope

// A Memo remembers one value per scope, for as long as the scope lives: what a log
// adapter made of it. The values are kept with the scope, so they go when it goes, and
// finding one takes a few nanoseconds and no lock. They are also forgotten when NewKey
// declares something new, which may change what is to be logged. The zero Memo is empty
// and ready to use; it must not be copied.
type Memo struct{ _ byte } // not of size zero: its address is its identity

// memoLimit is how many values a scope remembers. A scope that lives as long as the
// process may meet any number of short-lived loggers; the limit bounds what they leave.
const memoLimit = 64

// remembered is one entry of a scope's list, newest first. A scope that is made of another
// by adding fields starts with the other's list: entries with fewer fields are not its own.
type remembered struct {
	memo     *Memo
	value    any
	policies *policySet // as of when the value was made
	next     *remembered
	fields   int // how many the scope had
	depth    int
}

// Load returns the value that m has stored with s, or nil.
func (m *Memo) Load(s Scope) any {
	if s.n == nil {
		return nil
	}
	for r := s.n.memo.Load(); r != nil && r.fields == len(s.n.attrs); r = r.next {
		if r.memo == m {
			if r.policies != policies.Load() {
				return nil
			}
			return r.value
		}
	}
	return nil
}

// LoadPart returns the value that m has stored with the scope that s was made of by adding
// fields, and how many of the fields of s, the first, that scope had: to make what is to be
// stored with s out of it. It returns nil if there is none. The scope that s was made of is
// known until something is stored with s.
func (m *Memo) LoadPart(s Scope) (value any, fields int) {
	if s.n == nil {
		return nil, 0
	}
	for r := s.n.memo.Load(); r != nil && r.fields < len(s.n.attrs); r = r.next {
		if r.memo == m {
			if r.policies != policies.Load() {
				return nil, 0
			}
			return r.value, r.fields
		}
	}
	return nil, 0
}

// Store stores value with s, in place of what m stored before. The value must not
// refer to s. Nothing is stored with the zero Scope. When a scope has many memos'
// values, older ones are forgotten.
func (m *Memo) Store(s Scope, value any) {
	if s.n == nil {
		return
	}
	r := &remembered{memo: m, value: value, policies: policies.Load(), fields: len(s.n.attrs)}
	for {
		head := s.n.memo.Load()
		r.next, r.depth = nil, 0
		if head != nil && head.fields == r.fields && head.depth < memoLimit {
			r.next, r.depth = head, head.depth+1
		}
		if s.n.memo.CompareAndSwap(head, r) {
			return
		}
	}
}
