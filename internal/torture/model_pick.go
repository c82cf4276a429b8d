package main

import (
	"slices"
	"sync/atomic"
)

// The model of Scope.Pick: of the two scopes that a line may have, the one that is bound and the
// one in its context. The context's is used, with one exception: if it was made by adding to what
// was bound when NewContext was called, and what is bound now came from there, then a line has what
// is bound now and those additions.
//
// Whether it came from there depends on which was first, if one goroutine changes a scope while
// another one calls NewContext. So both note the time before and after. Where the two overlap, the
// model allows both answers.

var clock atomic.Int64

// A history is how a state was made, and what contexts know of it.
type history struct {
	from  *state   // what it was made of
	added bool     // by adding only
	given []string // the keys that were added

	since, until int64 // when it was made: between these

	firstStart, firstEnd atomic.Int64 // the earliest of all NewContext calls that found it bound; or 0
}

// makes calls real, which makes a scope of the one that st models, and then next, which makes the
// state. It notes in that when this was.
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

// atMost lowers least to v, if it is higher or not set.
func atMost(least *atomic.Int64, v int64) {
	for {
		old := least.Load()
		if old != 0 && old <= v || least.CompareAndSwap(old, v) {
			return
		}
	}
}

// addedTo returns the keys that were added, or given other values, on the way from base to st. ok
// says whether st was made of base by adding only.
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
	base       *state  // what was bound; nil if the context's scope was not made by adding to that
	added      []field // what the context's scope has more
	end        int64   // of the NewContext call
	earlierEnd int64   // of the first such call that was over when this one began; or 0
}

// bind calls real, which calls NewContext with the scope of st while bound is bound.
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

// cameFrom says whether st is the base of b, or was made of it after a context had found that bound.
// It isn't sure if the two happened at the same time.
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

// pick is what Scope.Pick returns where bound is bound. It may as well return other, unless that
// is nil. how says why, for tests.
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
