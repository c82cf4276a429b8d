package logadapters

import (
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/taskscope/taskscope/scope"
)

// A Stamper makes, and remembers with each scope, what one logger needs to stamp a
// line: an L. That may be a derived handler, a core, or an encoded fragment. An adapter
// has one Stamper per logger, children made by With included.
type Stamper[L any] struct {
	opts   Options
	derive func(Fields) L
	taken  func(key string) bool
	expand func(slog.Attr) []slog.Attr // may be nil: see Expanding
	memo   scope.Memo
}

// NewStamper returns a Stamper. opts may be nil. derive makes an L that stamps these
// fields; it may be called by several goroutines, and should it panic because of a
// method of some value, that value is replaced by "!PANIC: …" and derive called again.
// taken reports whether the logger puts key at the root of each of its lines itself, so
// that no scope field of that name can be there.
func NewStamper[L any](opts *Options, derive func(Fields) L, taken func(key string) bool) *Stamper[L] {
	st := &Stamper[L]{derive: derive, taken: taken}
	if opts != nil {
		st.opts = *opts
	}
	return st
}

// Expanding sets, before the first use of st, a function that splits a field for which
// the logger writes more than its key, and returns st. It returns nil for any other.
func (st *Stamper[L]) Expanding(expand func(slog.Attr) []slog.Attr) *Stamper[L] {
	st.expand = expand
	return st
}

// Options returns the options, defaults included.
func (st *Stamper[L]) Options() *Options { return &st.opts }

// Stamp returns what lines of s are stamped with, or nil if they get nothing.
func (st *Stamper[L]) Stamp(s scope.Scope) *Stamp[L] {
	if p, known := st.recall(s); known {
		return p
	}
	return st.make(s, s.Ended())
}

// Ready is Stamp for a line that may not be written after all. It reports false, and
// calls no method of any value, if some value is to be resolved anew for every line.
func (st *Stamper[L]) Ready(s scope.Scope) (p *Stamp[L], ready bool) {
	if p, known := st.recall(s); known {
		return p, true
	}
	if varies(s) {
		return nil, false
	}
	return st.make(s, s.Ended()), true
}

// recall returns what is remembered with s, and whether something is.
func (st *Stamper[L]) recall(s scope.Scope) (p *Stamp[L], known bool) {
	if s == (scope.Scope{}) {
		return nil, true
	}
	if p, _ = st.memo.Load(s).(*Stamp[L]); p == nil || p.ended != s.Ended() {
		return nil, false
	}
	if p.empty {
		return nil, true
	}
	return p, true
}

func (st *Stamper[L]) make(s scope.Scope, ended bool) *Stamp[L] {
	fields := st.opts.collect(s, ended)
	if st.expand != nil {
		fields = fields.expanded(st.expand)
	}
	if st.opts.Duplicates != KeepBoth {
		fields = fields.Without(st.taken)
	}
	p := &Stamp[L]{ended: ended, empty: len(fields.Attrs) == 0}
	if !p.empty {
		logger, ok := st.safely(&fields)
		p.Logger, p.empty = logger, !ok
		p.stamper, p.Fields = st, fields
		if fields.Group != "" {
			p.mask = maskOf(fields.Group)
		} else {
			for _, a := range fields.Attrs {
				p.mask |= maskOf(a.Key)
			}
		}
	}
	if !varies(s) {
		st.memo.Store(s, p)
	}
	if p.empty {
		return nil
	}
	return p
}

// safely calls derive. When a method of some value panics, which with the logger's own
// With would have ended the program or not depending on the logger, each field is tried
// alone, and those at fault say so in fields. If derive panics all the same, one field
// says so for all; it reports false if even that can't be had.
func (st *Stamper[L]) safely(fields *Fields) (l L, ok bool) {
	if l, p := st.try(*fields); p == nil {
		return l, true
	}
	fields.Attrs = slices.Clone(fields.Attrs)
	fields.given = maps.Clone(fields.given)
	for i, a := range fields.Attrs {
		one := *fields
		one.Attrs = fields.Attrs[i : i+1]
		if _, p := st.try(one); p != nil {
			fields.Attrs[i].Value = slog.StringValue(panicText(p))
			delete(fields.given, a.Key)
		}
	}
	l, p := st.try(*fields)
	if p != nil {
		fields.Attrs = []slog.Attr{slog.String("!PANIC", panicText(p))}
		l, p = st.try(*fields)
	}
	return l, p == nil
}

func (st *Stamper[L]) try(fields Fields) (l L, panicked any) {
	defer func() { panicked = recover() }()
	return st.derive(fields), nil
}

// A Stamp is what the lines of one scope get from one logger. It is shared by
// goroutines and must not be changed.
type Stamp[L any] struct {
	Fields
	Logger L // with all fields in it

	stamper  *Stamper[L]
	mask     uint64 // has the bit of each key at the root
	ended    bool
	empty    bool
	variants atomic.Pointer[variant[L]]
}

// Has reports whether the stamp puts key at the root of the line. It is meant to be
// asked for each key of each line.
func (p *Stamp[L]) Has(key string) bool {
	return p.mask&maskOf(key) != 0 && p.Fields.Has(key)
}

// maskOf returns a word with one bit, which depends on key and is had in a nanosecond.
func maskOf(key string) uint64 {
	if key == "" {
		return 1
	}
	return 1 << ((uint(len(key))*7 + uint(key[0]) + uint(key[len(key)-1])*3) & 63)
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

// Without returns a logger without the fields that drop names: those that the line has
// itself.
func (p *Stamp[L]) Without(drop func(key string) bool) L {
	few := len(p.Attrs) <= 64
	var out uint64
	for i, a := range p.Attrs {
		key := a.Key
		if p.Group != "" {
			key = p.Group
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
	left := p.Fields.Without(drop)
	logger, ok := p.stamper.safely(&left)
	if !ok {
		return p.Logger
	}
	v := &variant[L]{out: out, logger: logger, next: known}
	if few && n < maxVariants {
		p.variants.CompareAndSwap(known, v) // else another goroutine was first: no matter
	}
	return v.logger
}
