package logadapters

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"slices"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope"
)

// Pick returns the scope that a line is stamped from. ctx is what the line was given; it may
// be nil. See [scope.Scope.Pick].
func Pick(ctx context.Context) scope.Scope { return scope.Current().Pick(ctx) }

// A Cache makes, and remembers with each scope, what one logger needs to stamp a line: an L.
// That may be a derived handler, a core, a list of fields, or encoded bytes. A logger's child
// has a Cache of its own. Base and Attach must be set before the first use: without an Attach no line
// is stamped. A Cache must not be copied after that.
type Cache[L any] struct {
	// Options says how lines are stamped. nil means the defaults.
	Options *Options

	// Base is the logger before any scope.
	Base L

	// Attach returns l with fields behind those that it has. It may be called by several
	// goroutines at once. It runs before the line is written. If it panics because of a
	// method of some value, it is called again with "!PANIC: …" in place of that value.
	Attach func(l L, fields Fields) L

	// Finish returns l with what comes behind the scope's fields: what the logger has
	// attached inside an open group. nil means nothing.
	Finish func(l L) L

	// Reserved has the keys that lines of the logger have already at their root. A scope
	// field with such a key is left out, unless Options.Duplicates is KeepBoth.
	Reserved []string

	// Declared, such as scope.Traced, leaves out the fields whose keys aren't declared so. If it has
	// several options, a key must have all of them. 0 leaves out none.
	Declared scope.KeyOption

	// Expand splits a field for which the logger writes more keys than one, and returns nil
	// for any other field. nil splits none.
	Expand func(slog.Attr) []slog.Attr

	// Quiet says that Attach calls no user code for bools, integers and strings. Then these are
	// attached without [Encode], the guard against user code that logs and so calls Attach again.
	Quiet bool

	memo memo.Cache[Derived[L]]
}

// Derived is what the lines of one scope get from one logger. It is shared by goroutines.
type Derived[L any] struct {
	Value L // with all fields; must not be changed

	cache    *Cache[L]
	scope    memo.Scope  // with the shared fields of that moment
	attached *L          // Value before Finish; nil if there is no Finish
	base     *Derived[L] // what it was derived from, or nil
	fields   Fields      // that base doesn't have
	bloom    bloom       // of the keys that the line gets at its root
	variants variants[L]
	ended    bool
	loud     bool // user code may be called for it, or for its base
}

// Lookup returns what lines of s get, or nil if they get nothing.
//
// A remembered result is used as it is. Otherwise it is derived and remembered: from the result
// of a scope that s was made from by adding fields, or, if none is remembered, from Base. A
// result with a [slog.LogValuer] in it isn't remembered, but derived anew for every line.
func (c *Cache[L]) Lookup(s scope.Scope) *Derived[L] {
	in := s.Internal() // once for each line: shared fields may change at any moment
	d := c.memo.Load(in.Table())
	if ended := s.Ended(); d == nil || d.ended != ended || d.loud && memo.RunsAway() {
		d = c.derive(in, ended)
	}
	if d == nil || d.bloom == (bloom{}) {
		return nil
	}
	return d
}

// Encode calls fn, which encodes values of s later than Attach did: with the line itself.
// What such values' methods log meanwhile is stamped with plain fields only (bools, numbers,
// strings, times, durations, and groups of these), so that it doesn't need these methods.
func Encode(s scope.Scope, fn func()) { s.Internal().EncodeLine(fn) }

// maxEncoding bounds the calls of Encode around each other: a line with more of them around
// is not stamped. Two make sense: a value's method logs; and a handler's ReplaceAttr, called
// for a plain field of that line, logs.
const maxEncoding = 2

func (c *Cache[L]) derive(in memo.Scope, ended bool) *Derived[L] {
	table := in.Table()
	if table == nil || in.Encoding() >= maxEncoding {
		return nil
	}
	e := memo.NewEntry[Derived[L]]()
	d := &e.Value
	d.cache, d.scope, d.ended = c, in, ended
	base, attrs := d.nearest()
	made, ok := d.tryMake(base, attrs)
	if ok && !made {
		attrs = d.attrs(nil)
		_, ok = d.tryMake(nil, attrs)
	}
	switch {
	case !ok:
		d.makeQuiet() // for this line alone
	case slices.ContainsFunc(attrs, hasLogValuer): // it is asked anew for each line
	default:
		c.memo.Store(table, e)
	}
	return d
}

// tryMake is make, within Encode if user code may be called. ok is false if none may be called now.
func (d *Derived[L]) tryMake(base *Derived[L], attrs []slog.Attr) (made, ok bool) {
	quiet := d.cache.isQuiet(attrs)
	d.loud = !quiet || base != nil && base.loud
	switch {
	case d.loud && memo.RunsAway():
		return false, false
	case quiet:
		return d.make(base, attrs), true
	}
	return d.makeInEncode(base, attrs), true
}

func (d *Derived[L]) makeInEncode(base *Derived[L], attrs []slog.Attr) (made bool) {
	d.scope.Encode(func() { made = d.make(base, attrs) })
	return made
}

// makeQuiet makes d of those fields of its scope for which no user code is called.
func (d *Derived[L]) makeQuiet() {
	attrs := slices.DeleteFunc(slices.Clone(d.attrs(nil)), func(a slog.Attr) bool { return !values.AreScalars([]slog.Attr{a}) })
	if d.loud = !d.cache.isQuiet(attrs); !d.loud {
		d.make(nil, attrs)
	}
}

func hasLogValuer(a slog.Attr) bool { return values.HasLogValuer(a.Value) }

func (c *Cache[L]) options() *Options {
	if c.Options != nil {
		return c.Options
	}
	return &defaults
}

var defaults Options

// isQuiet reports whether no user code is called for attrs. With a Finish nobody can tell.
func (c *Cache[L]) isQuiet(attrs []slog.Attr) bool {
	return c.Quiet && c.Finish == nil && c.options().Filter == nil && values.AreScalars(attrs)
}

// nearest returns the result to derive d from: what is remembered with the nearest scope that d's was
// made from by adding, or nil. It also returns the fields that are left to attach.
func (d *Derived[L]) nearest() (base *Derived[L], attrs []slog.Attr) {
	in := d.scope
	if o := d.cache.options(); o.Group == "" && o.MaxFields <= 0 && !d.ended {
		for b := in.Base(); b != nil; b = b.Base() {
			if base := d.cache.memo.Load(b.Table()); base != nil && !base.ended {
				return base, d.attrs(b)
			}
		}
	}
	return nil, d.attrs(nil)
}

// attrs returns the fields of the scope of d that base, which may be nil, doesn't have.
func (d *Derived[L]) attrs(base memo.Scope) []slog.Attr {
	if p := d.cache.Declared; p != 0 {
		return d.scope.Declared(base, uint8(p))
	}
	return d.scope.Attrs(base)
}

// make makes d from base, which may be nil, and attrs, fields of its scope. It returns false if a Filter
// or Expand gave a field a key that base has: that field must be replaced, so base can't be used. make
// and what it calls work on d itself: with copies on the stack, many goroutines would have to grow their
// stack for their first line.
func (d *Derived[L]) make(base *Derived[L], attrs []slog.Attr) (made bool) {
	c, o, f := d.cache, d.cache.options(), &d.fields
	if d.ended && o.Ended == DropEnded {
		attrs = nil
	}
	o.collect(f, d.scope, attrs, c.Expand)
	f.drop(c.isReserved)
	if base != nil && base.hasAny(f.Attrs) {
		return false
	}
	if d.ended || o.MaxFields > 0 {
		d.mark()
	}
	d.attach(base)
	return true
}

// mark leaves out the fields that are too many, and adds those that say something about the scope.
func (d *Derived[L]) mark() {
	f, limit := &d.fields, d.cache.options().MaxFields
	if dropped := len(f.Attrs) - limit; limit > 0 && dropped > 0 {
		f.Attrs = f.Attrs[dropped:]
		d.cache.add(f, slog.Int(DroppedKey, dropped))
	}
	if d.ended {
		d.cache.add(f, slog.Bool(EndedKey, true))
	}
}

// add adds a to f, unless it would repeat a reserved key.
func (c *Cache[L]) add(f *Fields, a slog.Attr) {
	if !c.isReserved(cmp.Or(f.Group, a.Key)) {
		f.Attrs = slices.Clone(f.Attrs) // may be the scope's own
		f.add(a, nil)
	}
}

func (c *Cache[L]) isReserved(key string) bool {
	return slices.Contains(c.Reserved, key) && c.options().Duplicates != KeepBoth
}

// attach attaches the fields of d behind what base has.
func (d *Derived[L]) attach(base *Derived[L]) {
	c, f := d.cache, &d.fields
	d.base = base
	switch {
	case base == nil:
		d.Value = c.Base
	case base.attached != nil:
		d.Value = *base.attached
	default:
		d.Value = base.Value
	}
	if base != nil {
		d.bloom = base.bloom
	}
	if len(f.Attrs) > 0 {
		c.attachSafely(&d.Value, f)
	}
	for i := range f.Attrs {
		d.bloom.add(cmp.Or(f.Group, f.Attrs[i].Key))
	}
	if c.Finish != nil && d.bloom != (bloom{}) {
		d.finish()
	}
}

func (d *Derived[L]) finish() {
	d.attached = new(L)
	*d.attached = d.Value
	d.Value = d.cache.Finish(d.Value)
}

// attachSafely is Attach for fields whose values may have methods that panic; whether the logger's own
// With would end the program then depends on the logger. If Attach panics, each field is tried alone,
// and f gets a text in place of the value of each that panics. If Attach still panics, all values that
// may have methods are replaced; then all fields, by one; and if that fails too, there are none.
func (c *Cache[L]) attachSafely(l *L, f *Fields) {
	if c.try(l, f) != nil {
		c.attachEach(l, f)
	}
}

func (c *Cache[L]) attachEach(l *L, f *Fields) {
	said := Fields{Group: f.Group}
	for _, a := range f.Attrs {
		alone, orig := *l, f.orig[a.Key]
		if panicked := c.try(&alone, &Fields{f.Group, []slog.Attr{a}, f.orig}); panicked != nil {
			a.Value, orig = values.Panic(panicked), nil
		}
		said.add(a, orig)
	}
	*f = said
	panicked := c.try(l, f)
	if panicked == nil {
		return
	}
	// A method that panics only now, and not when it was tried alone, must not cost other fields.
	for i := range f.Attrs {
		if a := &f.Attrs[i]; !values.IsPlain(a.Value) {
			a.Value = values.Panic(panicked)
		}
	}
	if c.try(l, f) == nil {
		return
	}
	*f = Fields{Group: f.Group, Attrs: []slog.Attr{{Key: "!PANIC", Value: values.Panic(panicked)}}}
	if c.try(l, f) != nil {
		f.Attrs = nil
	}
}

// try attaches f to l, which stays as it is if Attach panics.
func (c *Cache[L]) try(l *L, f *Fields) (panicked any) {
	panicked = new(runtime.PanicNilError) // what stays after a panic(nil), with GODEBUG=panicnil=1
	defer func() {
		if p := recover(); p != nil {
			panicked = p
		}
	}()
	*l = c.Attach(*l, *f)
	return nil
}
