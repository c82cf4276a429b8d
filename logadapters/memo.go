package logadapters

import (
	"log/slog"
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

// Options returns the options, defaults included.
func (st *Stamper[L]) Options() *Options { return &st.opts }

// Stamp returns what lines of s are stamped with, or nil if they get nothing.
func (st *Stamper[L]) Stamp(s scope.Scope) *Stamp[L] {
	if s == (scope.Scope{}) {
		return nil
	}
	ended := s.Ended()
	if p, _ := st.memo.Load(s).(*Stamp[L]); p != nil && p.ended == ended && !p.dynamic {
		if p.empty {
			return nil
		}
		return p
	}
	return st.make(s, ended)
}

func (st *Stamper[L]) make(s scope.Scope, ended bool) *Stamp[L] {
	fields, dynamic := st.opts.collect(s, ended)
	if st.opts.Duplicates != KeepBoth {
		fields = fields.without(st.taken)
	}
	p := &Stamp[L]{ended: ended, dynamic: dynamic, empty: len(fields.Attrs) == 0}
	if !p.empty {
		p.Logger = st.safely(&fields)
		p.stamper, p.Fields = st, fields
		if fields.Group != "" {
			p.mask = maskOf(fields.Group)
		} else {
			for _, a := range fields.Attrs {
				p.mask |= maskOf(a.Key)
			}
		}
	}
	if !dynamic {
		st.memo.Store(s, p)
	}
	if p.empty {
		return nil
	}
	return p
}

// safely calls derive. When a method of some value panics, which with the logger's own
// With would have ended the program or not depending on the logger, each field is tried
// alone, and those at fault say so in fields.
func (st *Stamper[L]) safely(fields *Fields) L {
	if l, p := st.try(*fields); p == nil {
		return l
	}
	fields.Attrs = append(fields.Attrs[:0:0], fields.Attrs...)
	for i := range fields.Attrs {
		one := *fields
		one.Attrs = fields.Attrs[i : i+1]
		if _, p := st.try(one); p != nil {
			fields.Attrs[i].Value = slog.StringValue(panicText(p))
		}
	}
	l, p := st.try(*fields)
	if p != nil {
		fields.Attrs = fields.Attrs[:1]
		fields.Attrs[0].Key, fields.Attrs[0].Value = "!PANIC", slog.StringValue(panicText(p))
		l, _ = st.try(*fields)
	}
	return l
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
	dynamic  bool // iff it holds for one line only
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
	left := p.Fields.without(drop)
	v := &variant[L]{out: out, logger: p.stamper.safely(&left), next: known}
	if few && n < maxVariants {
		p.variants.CompareAndSwap(known, v) // else another goroutine was first: no matter
	}
	return v.logger
}
