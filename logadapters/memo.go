package logadapters

import (
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/taskscope/taskscope/scope"
)

// A Stamper makes, and remembers with each scope, what one logger needs to stamp a
// line: an L. That may be a derived handler, a core, or an encoded fragment. An adapter
// has one Stamper per logger, children made by With included. It must not be copied once
// it is in use.
type Stamper[L any] struct {
	logger Logger[L]
	family *family[L]
	parent *Stamper[L]               // nil iff there is none, or its stamps are of no use
	extend func(l L, added Fields) L // may be nil
	memo   scope.Memo[Stamp[L]]
}

// A Logger is one that a Stamper works for.
type Logger[L any] interface {
	// Derive makes an L that stamps these fields. It may be called by several goroutines,
	// and should it panic because of a method of some value, that value is replaced by
	// "!PANIC: …" and Derive called again.
	Derive(Fields) L

	// Taken reports whether the logger puts key at the root of each of its lines itself,
	// so that no scope field of that name can be there.
	Taken(key string) bool
}

// A Child is a Logger that another one's With made.
type Child[L any] interface {
	Logger[L]

	// Apply makes what Derive would make of what the parent's Derive has made of the same
	// fields.
	Apply(L) L
}

// A family is what a logger and its children have in common.
type family[L any] struct {
	opts   Options
	expand func(slog.Attr) []slog.Attr // may be nil
	habit  habit
}

// NewStamper returns a Stamper for l. opts may be nil.
func NewStamper[L any](opts *Options, l Logger[L]) *Stamper[L] {
	f := new(family[L])
	if opts != nil {
		f.opts = *opts
	}
	return &Stamper[L]{logger: l, family: f}
}

// Child returns a Stamper for c, a child of the logger that st is for.
func (st *Stamper[L]) Child(c Child[L]) Stamper[L] {
	child := Stamper[L]{logger: c, family: st.family, parent: st}
	if st.family.opts.Duplicates == ScopeWins {
		child.parent = nil // which fields of its own the child gives up depends on the scope
	}
	return child
}

// Expanding sets, before the first use of st, a function that splits a field for which
// the logger writes more than its key, and returns st. It returns nil for any other.
func (st *Stamper[L]) Expanding(expand func(slog.Attr) []slog.Attr) *Stamper[L] {
	st.family.expand = expand
	return st
}

// Extending sets, before the first use of st, a function that adds fields to an L, behind
// those that it has, and returns st. A scope that has gained fields since its last line is
// then stamped with what was made for that line, extended.
func (st *Stamper[L]) Extending(extend func(l L, added Fields) L) *Stamper[L] {
	st.extend = extend
	return st
}

// Options returns the options, defaults included.
func (st *Stamper[L]) Options() *Options { return &st.family.opts }

// Stamp returns what lines of s are stamped with, or nil if they get nothing.
func (st *Stamper[L]) Stamp(s scope.Scope) *Stamp[L] {
	if p, made := st.Made(s); made {
		return p
	}
	return st.make(s)
}

// Made is Stamp if there is no work left: if what it returns is remembered, or there is no scope.
func (st *Stamper[L]) Made(s scope.Scope) (p *Stamp[L], made bool) {
	if p := st.memo.Load(s); p != nil && p.ended == s.Ended() {
		return p.orNil(), true
	}
	return nil, s == (scope.Scope{})
}

// FewFields is the most fields that First gives.
const FewFields = 8

// First is for the first line of a scope, and a logger that can write a line's fields as if they
// had been attached to it before: a scope that is seen once isn't made to pay for a Stamp. added
// are fields to be written in front of those of With and of the line's own: all, at most
// FewFields; or, at most room, those by which s was made of another scope, whose Stamp is part.
// The line's keys are to be looked for in both, and if one is there, or anything panics, the
// line is to be written with what Stamp returns. So it is if First reports false: if the line isn't
// the first, if scopes mostly have more, if the Options or a Policy have something to do with
// the fields, or if these aren't just strings, integers and booleans.
func (st *Stamper[L]) First(s scope.Scope, room int) (part *Stamp[L], added Fields, ok bool) {
	if o := st.Options(); o.Group != "" || o.Duplicates == ScopeWins || s.Ended() {
		return nil, added, false
	}
	if st.extend == nil {
		room = 0 // a child's own fields come behind those of the scope
	}
	one := st.family.habit.one(s)
	of, attrs, before := st.memo.Meet(s, room, one)
	if before != 0 { // also if it is another logger that has stored something since
		st.family.habit.another(s)
		return nil, added, false
	}
	if len(attrs) > 0 {
		var made bool
		if part, made = st.Made(of); !made {
			st.family.habit.another(of)
			part, _ = st.Ready(of)
		}
	}
	switch {
	case part != nil && part.fields == nil:
		added.Attrs = attrs
	case one:
		part, added.Attrs = nil, s.Attrs()
	default:
		return nil, added, false
	}
	whole, simple := st.whole(added.Attrs)
	if ok = whole && simple && len(added.Attrs) <= FewFields; ok && part == nil {
		st.family.habit.first(s)
	}
	return part, added, ok
}

// A habit is whether scopes have one line, mostly, or more. It is learned from one scope in
// 128, so that the others share no memory that is written to.
type habit struct {
	// balance rises with a first line and falls three times as much with a second one, for to
	// have written fields with a line in vain costs more than to have remembered them in vain.
	balance atomic.Int32
}

// maxBalance, and its negative, bound a balance, so that it can change soon.
const maxBalance = 10

// one reports whether s, which has no line yet, is expected to have one, or is one to learn from.
func (h *habit) one(s scope.Scope) bool { return h.balance.Load() > 0 || sampled(s) }

func (h *habit) first(s scope.Scope) {
	if sampled(s) {
		h.balance.Store(min(h.balance.Load()+1, maxBalance))
	}
}

func (h *habit) another(s scope.Scope) {
	if sampled(s) {
		h.balance.Store(max(h.balance.Load()-3, -maxBalance))
	}
}

var seed = maphash.MakeSeed()

func sampled(s scope.Scope) bool { return maphash.Comparable(seed, s)%128 == 0 }

// Ready is Stamp for a line that may not be written after all. It reports false, and
// calls no method of any value, if some value is to be resolved anew for every line.
func (st *Stamper[L]) Ready(s scope.Scope) (p *Stamp[L], ready bool) {
	if p, made := st.Made(s); made {
		return p, true
	}
	e, grown := st.begin(s)
	if !grown {
		if varies(s) {
			return nil, false
		}
		st.fill(&e.Value)
	}
	return st.remember(e), true
}

func (st *Stamper[L]) make(s scope.Scope) *Stamp[L] {
	if s == (scope.Scope{}) {
		return nil
	}
	e, grown := st.begin(s)
	if !grown {
		st.fill(&e.Value)
	}
	return st.remember(e)
}

// begin returns a stamp of s that is to be filled, unless it could be grown.
func (st *Stamper[L]) begin(s scope.Scope) (e *scope.Entry[Stamp[L]], grown bool) {
	e = st.memo.NewEntry()
	p := &e.Value
	p.opts, p.scope, p.ended = &st.family.opts, s, s.Ended()
	return e, st.grow(p)
}

func (st *Stamper[L]) remember(e *scope.Entry[Stamp[L]]) *Stamp[L] {
	p := &e.Value
	if p.fields == nil || !varies(p.scope) {
		st.memo.Store(p.scope, e)
	}
	return p.orNil()
}

// fill makes p a stamp of its scope.
func (st *Stamper[L]) fill(p *Stamp[L]) {
	var f Fields
	f.Group, f.Attrs = st.family.opts.Group, p.scope.Attrs()
	whole, _ := st.whole(f.Attrs)
	whole = whole && !p.ended
	if whole && st.parent != nil {
		// What the parent has made of s, or makes now, serves its other children too.
		if above := st.parent.Stamp(p.scope); above != nil && above.fields == nil {
			if l, panicked := try(func() L { return st.logger.(Child[L]).Apply(above.Logger) }); panicked == nil {
				p.Logger, p.mask, p.keys = l, above.mask, above.keys
				return
			}
		}
	}
	if !whole {
		f = st.collect(p.scope, p.ended)
	}
	if p.empty = len(f.Attrs) == 0; p.empty {
		return
	}
	if panicked := st.derive(&f, &p.Logger); panicked != nil {
		whole = false
		f, p.empty = st.salvage(f, &p.Logger)
	}
	if !whole {
		kept := f
		p.fields = &kept
	}
	p.index(f.Attrs)
}

// grow makes p a stamp of its scope out of that of one which the scope was made of, with
// what was added since, and reports whether that can be done.
func (st *Stamper[L]) grow(p *Stamp[L]) bool {
	if st.extend == nil || st.family.opts.Group != "" || p.ended {
		return false
	}
	part, added := st.memo.LoadPart(p.scope)
	if part == nil || part.empty || part.fields != nil { // of an ended task it has scope_ended
		return false
	}
	p.Logger, p.mask = part.Logger, part.mask
	if len(added) == 0 {
		p.keys = part.keys
		return true
	}
	if whole, _ := st.whole(added); !whole {
		return false
	}
	l, panicked := try(func() L { return st.extend(part.Logger, Fields{Attrs: added}) })
	if panicked != nil {
		return false
	}
	p.Logger = l
	if p.scope.Len() > fewKeys {
		added = p.scope.Attrs()
	}
	p.index(added)
	return true
}

// whole reports whether lines of a scope with attrs get these as they are, and if so, whether
// no method of any value is called to write them.
func (st *Stamper[L]) whole(attrs []slog.Attr) (whole, simple bool) {
	o := &st.family.opts
	if len(attrs) == 0 || o.Filter != nil || o.MaxFields != 0 {
		return false, false
	}
	taken := o.Duplicates != KeepBoth
	if taken && o.Group != "" {
		if st.logger.Taken(o.Group) {
			return false, false
		}
		taken = false
	}
	simple = true
	for i := range attrs {
		a := &attrs[i]
		switch a.Value.Kind() {
		case slog.KindString, slog.KindInt64, slog.KindUint64, slog.KindBool:
		case slog.KindDuration:
			simple = false
		case slog.KindGroup:
			if hasLogValuer(a.Value) {
				return false, false
			}
			simple = false
		case slog.KindAny:
			if st.family.expand != nil && st.family.expand(*a) != nil {
				return false, false
			}
			simple = false
		default: // may have been something else before slog converted it, or is yet to be
			return false, false
		}
		if scope.Policy(a.Key)&(scope.Hidden|scope.Redacted) != 0 || taken && st.logger.Taken(a.Key) {
			return false, false
		}
	}
	return true, simple
}

// collect returns the fields that lines of s get from this logger.
func (st *Stamper[L]) collect(s scope.Scope, ended bool) Fields {
	f := st.family.opts.collect(s, ended)
	if st.family.expand != nil {
		f = f.expanded(st.family.expand)
	}
	if st.family.opts.Duplicates != KeepBoth {
		f = f.Without(st.logger.Taken)
	}
	return f
}

// salvage is for fields that Derive panics with, because of a method of some value. With
// the logger's own With that would have ended the program or not, depending on the logger.
// Each field is tried alone, and those at fault say so in the fields that it returns. If
// Derive panics all the same, one field says so for all; if even that can't be had, it
// reports that there is nothing.
func (st *Stamper[L]) salvage(f Fields, l *L) (left Fields, nothing bool) {
	f.Attrs = slices.Clone(f.Attrs)
	f.given = maps.Clone(f.given)
	for i, a := range f.Attrs {
		one := f
		one.Attrs = f.Attrs[i : i+1]
		if panicked := st.derive(&one, new(L)); panicked != nil {
			f.Attrs[i].Value = slog.StringValue(panicText(panicked))
			delete(f.given, a.Key)
		}
	}
	panicked := st.derive(&f, l)
	if panicked != nil {
		f.Attrs = []slog.Attr{slog.String("!PANIC", panicText(panicked))}
		panicked = st.derive(&f, l)
	}
	return f, panicked != nil
}

// derive sets l to what Derive returns, and returns what it panicked with, if so.
func (st *Stamper[L]) derive(f *Fields, l *L) (panicked any) {
	defer func() { panicked = recover() }()
	*l = st.logger.Derive(*f)
	return nil
}

func try[L any](make func() L) (l L, panicked any) {
	defer func() { panicked = recover() }()
	return make(), nil
}

// A Stamp is what the lines of one scope get from one logger. It is shared by
// goroutines and must not be changed.
type Stamp[L any] struct {
	Logger L // with all fields in it
	contents

	variants atomic.Pointer[variant[L]]
	ended    bool
	empty    bool
}

func (p *Stamp[L]) orNil() *Stamp[L] {
	if p.empty {
		return nil
	}
	return p
}

// contents are the fields of a Stamp.
type contents struct {
	opts   *Options
	scope  scope.Scope
	fields *Fields             // nil iff they are just the scope's
	mask   mask                // of the keys at the root
	keys   map[string]struct{} // the keys; nil if they are few, or in a group
}

// Fields returns what the lines get.
func (c *contents) Fields() Fields {
	if c.fields == nil {
		return Fields{Group: c.opts.Group, Attrs: c.scope.Attrs()}
	}
	return *c.fields
}

// fewKeys is how many keys are compared one by one.
const fewKeys = 16

// index makes Has know attrs.
func (c *contents) index(attrs []slog.Attr) {
	if c.opts.Group != "" {
		c.mask.add(c.opts.Group)
		return
	}
	if len(attrs) > fewKeys {
		c.keys = make(map[string]struct{}, len(attrs))
	}
	for i := range attrs {
		c.mask.add(attrs[i].Key)
		if c.keys != nil {
			c.keys[attrs[i].Key] = struct{}{}
		}
	}
}

// Has reports whether the stamp puts key at the root of the line. It is meant to be
// asked for each key of each line.
func (c *contents) Has(key string) bool { return c.mask.may(key) && c.has(key) }

func (c *contents) has(key string) bool {
	switch {
	case c.keys != nil:
		_, has := c.keys[key]
		return has
	case c.fields != nil:
		return c.fields.Has(key)
	case c.opts.Group != "":
		return key == c.opts.Group
	}
	return c.scope.Has(key)
}

// A mask tells in a nanosecond of most keys that they are not in a set.
type mask [4]uint64

func (m *mask) add(key string) {
	i := bitOf(key)
	m[i/64] |= 1 << (i % 64)
}

func (m *mask) may(key string) bool {
	i := bitOf(key)
	return m[i/64]>>(i%64)&1 != 0
}

func bitOf(key string) uint8 {
	n := len(key)
	if n == 0 {
		return 0
	}
	return uint8(n)<<5 ^ uint8(n) ^ key[0]<<2 ^ key[n/2]<<4 ^ key[n-1]
}

// A variant is a Logger with some of the fields left out.
type variant[L any] struct {
	out    uint64 // bit i: field i is left out
	logger L
	next   *variant[L]
}

// maxVariants bounds the variants that a stamp remembers. One is made for each set of
// keys that events repeat.
const maxVariants = 8

// Without returns the Logger of p, a Stamp of st, without the fields that drop names:
// those that the line has itself.
func (st *Stamper[L]) Without(p *Stamp[L], drop func(key string) bool) L {
	fields := p.Fields()
	few := len(fields.Attrs) <= 64
	var out uint64
	for i, a := range fields.Attrs {
		key := a.Key
		if fields.Group != "" {
			key = fields.Group
		}
		if few && drop(key) {
			out |= 1 << i
		}
	}
	if few && out == 0 {
		return p.Logger
	}
	known := p.variants.Load()
	n := 0
	for v := known; v != nil && few; v = v.next {
		if v.out == out {
			return v.logger
		}
		n++
	}
	left := fields.Without(drop)
	v := &variant[L]{out: out, next: known}
	if panicked := st.derive(&left, &v.logger); panicked != nil {
		if _, nothing := st.salvage(left, &v.logger); nothing {
			return p.Logger
		}
	}
	if few && n < maxVariants {
		p.variants.CompareAndSwap(known, v) // else another goroutine was first: no matter
	}
	return v.logger
}
