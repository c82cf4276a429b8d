package zaph

import (
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

// A core stamps every line with the fields of the scope that is bound to the goroutine,
// and passes it to the core that it wraps.
//
// There are two ways to do that. zap's own core gets a derived core for each scope, as a
// logger gets one from With: see Write. Any other core may do more than encode, so none is
// derived from it: it gets the scope's fields with each line, in front of the line's own,
// which is the same to zap's encoders. See writeInFront.
type core struct {
	leaf  *leaf
	cache logadapters.Cache[attached]
	ctx   context.Context // from a Context field attached by With; may be nil

	// bare writes the lines that have no scope: the wrapped core with all that With was
	// given; but if it isn't plain, only with what came before the first namespace.
	bare zapcore.Core

	// frozen is what With was given from the first namespace on: it comes behind the
	// scope's fields, which stay outside. It is not empty iff a namespace is open.
	frozen []zapcore.Field
}

var _ zapcore.Core = (*core)(nil)

// attached is what the lines of one scope are written with.
type attached struct {
	core zapcore.Core // if the wrapped core is plain: a derived one

	fields []zapcore.Field // if it isn't: in front of the line's fields
	late   bool            // iff encoding fields may call methods of users
}

type derived = logadapters.Derived[attached]

// New returns a core that stamps the lines of c. nil opts are the defaults. It panics
// if c is nil. Make it the outermost core: a core around it that writes from a goroutine
// of its own would have lines stamped with that one's scope. What stamps its lines already
// is returned as it is.
func New(c zapcore.Core, opts *logadapters.Options) zapcore.Core {
	if c == nil {
		panic("zaph.New: core, the core to wrap, is nil")
	}
	// zap's own samplers, hooks and tees stay outside: they decide about a line as ever,
	// and what they let through is stamped below them.
	return inspect(c, func(l *leaf) zapcore.Core {
		if opts != nil {
			l.duplicates = opts.Duplicates
		}
		n := &core{leaf: l, bare: l.Core}
		n.cache.Options, n.cache.Reserved = opts, l.reserved
		n.cache.Attach, n.cache.Expand, n.cache.Quiet = l.attach, l.expandError, l.quiet
		n.cache.Base.core = l.Core
		return n
	})
}

// WrapCore is [New] as an option: zap.NewProduction(zaph.WrapCore(nil)).
func WrapCore(opts *logadapters.Options) zap.Option {
	return zap.WrapCore(func(c zapcore.Core) zapcore.Core { return New(c, opts) })
}

// Context returns a field that shows nothing itself: it lets the line, or the lines of
// the logger that it is attached to with With, be stamped from ctx as
// [logadapters.Pick] says. Loggers without this package's core ignore it.
func Context(ctx context.Context) zap.Field {
	return zap.Field{Type: zapcore.SkipType, Interface: carried{ctx}}
}

type carried struct{ context.Context }

// contextOf returns the context of the last Context field among fields, or ctx.
func contextOf(ctx context.Context, fields []zapcore.Field) context.Context {
	for i := range fields {
		if fields[i].Type == zapcore.SkipType {
			if c, ok := fields[i].Interface.(carried); ok {
				ctx = c.Context
			}
		}
	}
	return ctx
}

// Enabled asks the wrapped core.
func (c *core) Enabled(level zapcore.Level) bool {
	if c.leaf.plain {
		return c.leaf.enabled.Enabled(level)
	}
	return c.bare.Enabled(level)
}

// Level tells zapcore.LevelOf the level of the wrapped core.
func (c *core) Level() zapcore.Level { return zapcore.LevelOf(c.bare) }

// Sync asks the wrapped core.
func (c *core) Sync() error { return c.bare.Sync() }

// With returns a core whose lines have fields. They are passed on at once; only what stands
// in a namespace is needed again for each scope, and so is recorded: a marshaler runs now,
// and never again.
func (c *core) With(given []zapcore.Field) zapcore.Core {
	if len(given) == 0 {
		return c
	}
	fields := given
	child := &core{leaf: c.leaf, ctx: contextOf(c.ctx, fields), bare: c.bare, frozen: c.frozen}
	cache := &child.cache
	cache.Options, cache.Reserved = c.cache.Options, slices.Clip(c.cache.Reserved)
	cache.Attach, cache.Expand, cache.Quiet = c.cache.Attach, c.cache.Expand, c.cache.Quiet
	cache.Base = c.cache.Base

	if len(c.frozen) == 0 {
		attach := c.leaf.spread(fields, true)
		n := rootKeys(attach, func(key string) { cache.Reserved = append(cache.Reserved, key) })
		fields, attach = attach[n:], attach[:n:n]
		if len(fields) == 0 && c.leaf.opaque {
			attach = given // as they are: the core may look for an error, or an object
		}
		if len(attach) > 0 {
			child.bare = c.bare.With(attach)
			cache.Base.core = child.bare
		}
	}
	if len(fields) > 0 {
		frozen := c.leaf.freeze(fields)
		child.frozen = slices.Concat(c.frozen, frozen)
		if c.leaf.plain {
			child.bare = child.bare.With(frozen)
		}
	}
	if len(child.frozen) > 0 && c.leaf.plain {
		cache.Finish = child.finish
	}
	return child
}

func (c *core) finish(a attached) attached {
	a.core = a.core.With(c.frozen)
	return a
}

// Check asks the wrapped core, once for each line, whether to write it. Which scope stamps
// the line is seen in Write: it may have a Context field, and a key's policy may change
// until then.
func (c *core) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.leaf.plain {
		if c.leaf.enabled.Enabled(ent.Level) {
			return ce.AddCore(ent, c)
		}
		return ce
	}
	checked := c.bare.Check(ent, nil)
	if checked == nil {
		return ce
	}
	p := pendings.Get().(*pending)
	p.core, p.checked = c, checked
	return ce.AddCore(ent, p)
}

// Write stamps the line and writes it. As any core's Write it asks nobody whether to.
func (c *core) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	if !c.leaf.plain {
		return c.writeInFront(c.bare, ent, fields)
	}
	d := c.cache.Lookup(logadapters.Pick(contextOf(c.ctx, fields)))
	if d == nil {
		return c.bare.Write(ent, fields)
	}
	if c.repeats(d, &ent, fields) {
		taken, left := c.split(d, &ent, fields)
		return d.Without(taken.has).core.Write(ent, left)
	}
	return d.Value.core.Write(ent, fields)
}

// A writer is what writeInFront writes to.
type writer interface {
	Write(zapcore.Entry, []zapcore.Field) error
}

// writeInFront writes the line to w with the scope's fields, and what With was given from the
// first namespace on, in front of its own fields.
func (c *core) writeInFront(w writer, ent zapcore.Entry, fields []zapcore.Field) error {
	s := logadapters.Pick(contextOf(c.ctx, fields))
	d := c.cache.Lookup(s)
	if d == nil && len(c.frozen) == 0 {
		return w.Write(ent, fields)
	}
	if !c.leaf.opaque {
		list := lists.Get().(*[]zapcore.Field)
		*list = c.appendLine(*list, d, &ent, fields)
		err := w.Write(ent, *list)
		release(list)
		return err
	}
	all := c.appendLine(nil, d, &ent, fields)
	if d != nil && d.Value.late {
		return writeEncoding(s, w, ent, all)
	}
	return w.Write(ent, all)
}

func writeEncoding(s scope.Scope, w writer, ent zapcore.Entry, fields []zapcore.Field) (err error) {
	logadapters.Encode(s, func() { err = w.Write(ent, fields) })
	return err
}

// appendLine appends all that writeInFront writes to list. d may be nil.
func (c *core) appendLine(list []zapcore.Field, d *derived, ent *zapcore.Entry, fields []zapcore.Field) []zapcore.Field {
	if d == nil {
		list = slices.Grow(list, len(c.frozen)+len(fields))
		return append(append(list, c.frozen...), fields...)
	}
	var taken keySet
	if c.repeats(d, ent, fields) {
		taken, fields = c.split(d, ent, fields)
	}
	list = slices.Grow(list, len(d.Value.fields)+len(c.frozen)+len(fields))
	for i := range d.Value.fields {
		if !taken.has(d.Value.fields[i].Key) {
			list = append(list, d.Value.fields[i])
		}
	}
	return append(append(list, c.frozen...), fields...)
}

// lists are used again. An opaque core gets none of them: it may keep it.
var lists = sync.Pool{New: func() any { return new([]zapcore.Field) }}

func release(list *[]zapcore.Field) {
	clear(*list)
	*list = (*list)[:0]
	if cap(*list) <= 100 {
		lists.Put(list)
	}
}

// A pending line is added to a CheckedEntry by a core that isn't plain.
type pending struct {
	*core
	checked *zapcore.CheckedEntry // has the cores that want to write the line
	errs    errorText
}

var pendings = sync.Pool{New: func() any { return new(pending) }}

// Write overrides that of the core.
func (p *pending) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	err := p.core.writeInFront((*checkedWriter)(p), ent, fields)
	*p = pending{}
	pendings.Put(p)
	return err
}

// A checkedWriter writes to the cores of a CheckedEntry.
type checkedWriter pending

func (w *checkedWriter) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	w.checked.Entry = ent // as of now: with caller and stack
	w.checked.ErrorOutput = &w.errs
	w.checked.Write(fields...)
	return w.errs.err()
}

// errorText takes what a CheckedEntry says of the errors of its cores.
type errorText struct{ text []byte }

func (e *errorText) Write(p []byte) (int, error) {
	e.text = append(e.text, p...)
	return len(p), nil
}

func (e *errorText) Sync() error { return nil }

func (e *errorText) err() error {
	if len(e.text) == 0 {
		return nil
	}
	// The CheckedEntry around will say when again.
	_, text, _ := strings.Cut(string(e.text), " write error: ")
	return errors.New(strings.TrimSuffix(text, "\n"))
}
