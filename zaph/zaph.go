package zaph

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A core stamps every line with the fields of the scope that is bound to the goroutine, and passes
// it to the core that it wraps.
//
// From zap's own core one is derived for each scope, as by a logger's With. Any other may do more
// than encode, so it gets the scope's fields with each line, in front of the line's own; zap's
// encoders write the same bytes then.
type core struct {
	zapcore.LevelEnabler // the wrapped core, or its own

	leaf  *leaf
	cache logadapters.Cache[attached]
	ctx   context.Context // from a Context field attached by With; may be nil
	errs  []scope.Scope   // of errors that With has attached
	bare  attached        // what lines without a scope are written with

	// frozen is what With was given from the first namespace on, which comes behind the scope's
	// fields. It is empty iff no namespace is open.
	frozen []zapcore.Field
}

var _ zapcore.Core = (*core)(nil)

// attached is what the lines of one scope are written with.
type attached struct {
	core  zapcore.Core // a derived one iff the wrapped core is plain
	front *front       // nil if it is plain, or if there is nothing
}

// A front is what comes in front of a line's fields.
type front struct {
	fields   []zapcore.Field
	userCode bool // iff encoding fields may call methods of users
}

type derived = logadapters.Derived[attached]

// New returns a core that stamps the lines of c. nil opts are the defaults. It panics if c is nil.
// Make it the outermost core: a core around it that writes from a goroutine of its own would have
// lines stamped with that goroutine's scope. A core that stamps already is returned as it is.
func New(c zapcore.Core, opts *logadapters.Options) zapcore.Core {
	if c == nil {
		panic("zaph.New: core, the core to wrap, is nil")
	}
	return wrapLeaves(c, opts)
}

// setCache sets the cache and the LevelEnabler of c. root is the wrapped core with what comes in front
// of the scope's fields.
func (c *core) setCache(root attached, reserved []string) {
	l, cache := c.leaf, &c.cache
	cache.Options, cache.Reserved, cache.Quiet = l.opts, reserved, !l.plain || l.how == encodeValue
	cache.Base = root
	if len(c.frozen) > 0 {
		cache.Finish = func(a attached) attached { l.addRecorded(&a, c.frozen); return a }
	}
	c.LevelEnabler = l.enabled
	if !l.plain {
		c.LevelEnabler = root.core
	}
}

// WrapCore is [New] as an option: zap.NewProduction(zaph.WrapCore(nil)).
func WrapCore(opts *logadapters.Options) zap.Option {
	return zap.WrapCore(func(c zapcore.Core) zapcore.Core { return New(c, opts) })
}

// Context returns a field that isn't written. The line that has it, or each line of the logger that
// With has attached it to, is stamped from ctx as [logadapters.Pick] says. Loggers without this
// package's core ignore it.
func Context(ctx context.Context) zap.Field {
	return zap.Field{Type: zapcore.SkipType, Interface: carried{ctx}}
}

type carried struct{ context.Context }

// contextOf returns the context of the last Context field among fields, or ctx.
func contextOf(ctx context.Context, fields []zapcore.Field) context.Context {
	for i := range fields {
		if c, ok := fields[i].Interface.(carried); ok {
			ctx = c.Context
		}
	}
	return ctx
}

// Level tells zapcore.LevelOf the level of the wrapped core.
func (c *core) Level() zapcore.Level { return zapcore.LevelOf(c.bare.core) }

// Sync asks the wrapped core.
func (c *core) Sync() error { return c.bare.core.Sync() }

// With returns a core whose lines have fields, in front of the scope's. They are passed on at once.
// What stands in a namespace is needed again for each scope, so it is recorded.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	if len(fields) == 0 {
		return c
	}
	child := &core{leaf: c.leaf, ctx: contextOf(c.ctx, fields), errs: c.errs, bare: c.bare, frozen: c.frozen}
	if logadapters.HaveErrors() {
		var errs []scope.Scope
		errs, fields = findErrors(fields)
		child.errs = slices.Concat(c.errs, errs)
	}
	root, reserved, inside := c.cache.Base, c.cache.Reserved, fields
	if len(c.frozen) == 0 {
		recorded := c.leaf.record(fields, zapcore.InlineMarshalerType, zapcore.ErrorType)
		n := 0
		reserved, n = appendKeys(slices.Clip(reserved), recorded)
		inside = recorded[n:]
		if n < len(recorded) || !c.leaf.opaque {
			fields = recorded[:n:n] // else as they are: the core may look for an error, or an object
		}
		if len(fields) > 0 {
			root.core = root.core.With(fields)
			child.bare = root
		}
	}
	if len(inside) > 0 {
		inside = c.leaf.record(inside)
		child.frozen = slices.Concat(c.frozen, inside)
		c.leaf.addRecorded(&child.bare, inside)
	}
	child.cache.Attach, child.cache.Expand = c.cache.Attach, c.cache.Expand
	child.setCache(root, reserved)
	return child
}

// Check asks the wrapped core, once for each line, whether to write it. Which scope stamps the
// line is seen in Write: it may have a Context field, and a key's policy may change until then.
func (c *core) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.leaf.plain {
		if c.Enabled(ent.Level) {
			return ce.AddCore(ent, c)
		}
		return ce
	}
	checked := c.bare.core.Check(ent, nil)
	if checked == nil {
		return ce
	}
	p := pendings.Get().(*pending)
	p.core, p.checked = c, checked
	return ce.AddCore(checked.Entry, p) // the core may have changed it
}

// Write stamps the line and writes it. Like any core's Write, it doesn't ask whether to.
func (c *core) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	a, s, fields := c.stamp(&ent, fields)
	if c.leaf.plain {
		return a.core.Write(ent, fields)
	}
	return c.writeInFront(nil, a, s, ent, fields)
}

// stamp returns what to write a line with, its scope, and the fields that it keeps.
func (c *core) stamp(ent *zapcore.Entry, fields []zapcore.Field) (*attached, scope.Scope, []zapcore.Field) {
	s := logadapters.Pick(contextOf(c.ctx, fields))
	if logadapters.HaveErrors() {
		s, fields = c.withErrors(s, ent, fields)
	}
	d := c.cache.Lookup(s)
	if d == nil {
		return &c.bare, s, fields
	}
	if c.repeats(d, ent, fields) {
		a, fields := c.resolveDuplicates(d, ent, fields)
		return a, s, fields
	}
	return &d.Value, s, fields
}

// resolveDuplicates returns what to write a line with that may repeat keys of d, and the fields that it
// keeps.
func (c *core) resolveDuplicates(d *derived, ent *zapcore.Entry, fields []zapcore.Field) (*attached, []zapcore.Field) {
	taken, fields := c.giveWay(d, ent, fields)
	a := d.Without(func(key string) bool { return slices.Contains(taken, key) })
	return &a, fields
}

// writeInFront writes the line, of s, with what a has in front of its own fields. p may be nil.
func (c *core) writeInFront(p *pending, a *attached, s scope.Scope, ent zapcore.Entry, fields []zapcore.Field) error {
	switch {
	case a.front == nil:
		return p.writeTo(a.core, ent, fields)
	case !c.leaf.opaque:
		list := lists.Get().(*[]zapcore.Field)
		defer release(list)
		*list = append(append(*list, a.front.fields...), fields...)
		return p.writeTo(a.core, ent, *list)
	}
	fields = slices.Concat(a.front.fields, fields) // the core may keep it
	if a.front.userCode {
		return p.encodeTo(a.core, s, ent, fields)
	}
	return p.writeTo(a.core, ent, fields)
}

var lists = sync.Pool{New: func() any { return new([]zapcore.Field) }}

func release(list *[]zapcore.Field) {
	clear(*list)
	*list = (*list)[:0]
	if cap(*list) <= 100 {
		lists.Put(list)
	}
}

// A pending line is what a core that isn't plain adds to a CheckedEntry.
type pending struct {
	*core
	checked *zapcore.CheckedEntry // has the cores that want to write the line
	errs    errorText
}

var pendings = sync.Pool{New: func() any { return new(pending) }}

// Write overrides that of the core.
func (p *pending) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	a, s, fields := p.stamp(&ent, fields)
	err := p.writeInFront(p, a, s, ent, fields)
	*p = pending{}
	pendings.Put(p)
	return err
}

// writeTo writes to the cores that want the line, or, if p is nil and none was asked, to c.
func (p *pending) writeTo(c zapcore.Core, ent zapcore.Entry, fields []zapcore.Field) error {
	if p == nil {
		return c.Write(ent, fields)
	}
	p.checked.Entry = ent // now it has a caller and a stack
	p.checked.ErrorOutput = &p.errs
	p.checked.Write(fields...)
	// Without the time, which the CheckedEntry around adds again.
	if _, text, failed := strings.Cut(p.errs.String(), " write error: "); failed {
		return errors.New(strings.TrimSuffix(text, "\n"))
	}
	return nil
}

func (p *pending) encodeTo(c zapcore.Core, s scope.Scope, ent zapcore.Entry, fields []zapcore.Field) (err error) {
	logadapters.Encode(s, func() { err = p.writeTo(c, ent, fields) })
	return err
}

// errorText takes what a CheckedEntry says about the errors of its cores.
type errorText struct{ bytes.Buffer }

func (*errorText) Sync() error { return nil }
