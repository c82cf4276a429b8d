package main

import (
	"slices"
	"sync/atomic"
)

// The model of Scope.Pick. What a goroutine does to a scope while another one calls
// NewContext may come before that call or behind it. So all of them note the time.

var clock atomic.Int64

// A history is how a state was made, and what contexts know of it.
type history struct {
	from  *state   // what it was made of
	added bool     // by adding alone
	given []string // the keys that were added

	since, until int64 // it was made between these

	firstStart, firstEnd atomic.Int64 // of all NewContext calls that found it bound; or 0
}

// makes does what makes a real scope, and notes in the state that make returns how it was
// made of st.
func (st *state) makes(real func(), next func() *state) *state {
	since := clock.Add(1)
	real()
	until := clock.Add(1)
	n := next()
	if st != nil && n != st && n.from == st && n.since == 0 {
		n.since, n.until = since, until
	}
	return n
}

func atMost(least *atomic.Int64, v int64) {
	for {
		old := least.Load()
		if old != 0 && old <= v || least.CompareAndSwap(old, v) {
			return
		}
	}
}

// addedTo returns the keys that st has more than base, or with other values, if it was made
// of base by adding alone.
func (st *state) addedTo(base *state) (keys []string, ok bool) {
	for ; st != base; st = st.from {
		if st == nil || !st.added {
			return nil, false
		}
		keys = append(keys, st.given...)
	}
	return keys, true
}

// A binding is what a context remembers of what was bound when it was made.
type binding struct {
	base       *state // nil if its scope was not made by adding to that
	added      []field
	end        int64 // of the NewContext call
	earlierEnd int64 // of the first such call that was over before; or 0
}

// bind calls real, which calls NewContext with the scope st while bound is bound.
func bind(bound, st *state, real func()) (b binding) {
	if st != nil {
		base := bound
		if base == nil || base.task != st.task {
			base = st
		}
		if keys, ok := st.addedTo(base); ok {
			b.base = base
			for _, f := range st.fields {
				if slices.Contains(keys, f.key) {
					b.added = append(b.added, f)
				}
			}
		}
	}
	if b.base == nil {
		real()
		return b
	}
	b.earlierEnd = b.base.firstEnd.Load()
	atMost(&b.base.firstStart, clock.Add(1))
	real()
	b.end = clock.Add(1)
	atMost(&b.base.firstEnd, b.end)
	return b
}

// cameFrom says whether st was made of the base of b after a context had found that bound.
// It isn't sure if both happened at the same time.
func (st *state) cameFrom(b binding) (came, sure bool) {
	if st == b.base {
		return true, true
	}
	for ; st != nil; st = st.from {
		if st.from != b.base {
			continue
		}
		if b.end <= st.since || b.earlierEnd != 0 && b.earlierEnd <= st.since {
			return true, true
		}
		return false, st.until < b.base.firstStart.Load()
	}
	return false, true
}

// pick is what Scope.Pick returns where bound is bound; or other, unless that is nil.
func (c ctx) pick(bound *state) (picked, other *state, how string) {
	if !c.scoped || c.scope == nil || c.scope == bound {
		return bound, nil, "pick what is bound"
	}
	if bound == nil || bound.task != c.scope.task {
		return c.scope, nil, "pick another task"
	}
	if c.base == nil {
		return c.scope, nil, "pick what was not added"
	}
	came, sure := bound.cameFrom(c.binding)
	on, how := bound, "pick nothing more"
	if len(c.added) > 0 {
		on, how = bound.with(bound.task, c.added...), "pick what was added"
	}
	switch {
	case !sure:
		return c.scope, on, "pick at the same time"
	case !came:
		return c.scope, nil, "pick what went on before"
	}
	return on, nil, how
}
