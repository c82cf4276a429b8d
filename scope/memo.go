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

// remembered is one entry of a scope's list, newest first.
type remembered struct {
	memo     *Memo
	value    any
	policies *policySet // as of when the value was made
	next     *remembered
	depth    int
}

// Load returns the value that m has stored with s, or nil.
func (m *Memo) Load(s Scope) any {
	if s.n == nil {
		return nil
	}
	for r := s.n.memo.Load(); r != nil; r = r.next {
		if r.memo == m {
			if r.policies != policies.Load() {
				return nil
			}
			return r.value
		}
	}
	return nil
}

// Store stores value with s, in place of what m stored before. The value must not
// refer to s. Nothing is stored with the zero Scope. When a scope has many memos'
// values, older ones are forgotten.
func (m *Memo) Store(s Scope, value any) {
	if s.n == nil {
		return
	}
	p := policies.Load()
	for {
		head := s.n.memo.Load()
		r := &remembered{memo: m, value: value, policies: p}
		if head != nil && head.depth < memoLimit {
			r.next, r.depth = head, head.depth+1
		}
		if s.n.memo.CompareAndSwap(head, r) {
			return
		}
	}
}
