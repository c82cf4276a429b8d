package zaph

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
)

// A core stamps every line with the fields of the scope that is bound to the goroutine,
// and passes it to the core that it wraps.
type core struct {
	stamper *logadapters.Stamper[zapcore.Core]

	root zapcore.Core // as it was given to New
	bare zapcore.Core // root with ops: writes the lines that have no scope
	ops  [][]zapcore.Field
	// plain iff root is zap's own core, which writes what its level lets through. The
	// others (tees, samplers, hooks, …) decide in Check who writes.
	plain bool
	own   ownKeys
	ctx   context.Context // from a Context field attached by With; may be nil

	again     *core // see recheck
	againOnce sync.Once

	keys         []string // the keys that ops put at the root
	namespace    string   // the outermost open namespace
	hasNamespace bool     // iff namespace is set
}

var _ zapcore.Core = (*core)(nil)

// New returns a core that stamps the lines of c. nil opts are the defaults. It panics
// if c is nil. Make it the outermost core: a core around it that writes from a goroutine
// of its own would have lines stamped with that one's scope.
func New(c zapcore.Core, opts *logadapters.Options) zapcore.Core {
	if c == nil {
		panic("zaph.New: core, the core to wrap, is nil")
	}
	return newCore(&core{root: c, bare: c, plain: reflect.TypeOf(c) == plainCore, own: findOwnKeys(c)}, opts)
}

func newCore(c *core, opts *logadapters.Options) *core {
	c.stamper = logadapters.NewStamper(opts, c.derive, c.taken)
	return c
}

// The types of two of zap's own cores, which have no name outside zap.
var (
	plainCore   = reflect.TypeOf(zapcore.NewCore(nil, nil, nil))
	samplerCore = reflect.TypeOf(zapcore.NewSamplerWithOptions(zapcore.NewNopCore(), time.Second, 1, 1))
)

// withoutSamplers returns the core that the samplers at the top of c wrap.
func withoutSamplers(c zapcore.Core) zapcore.Core {
	for reflect.TypeOf(c) == samplerCore {
		inner, ok := reflect.ValueOf(c).Elem().FieldByName("Core").Interface().(zapcore.Core)
		if !ok {
			return c
		}
		c = inner
	}
	return c
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
func (c *core) Enabled(level zapcore.Level) bool { return c.root.Enabled(level) }

// Level tells zapcore.LevelOf the level of the wrapped core.
func (c *core) Level() zapcore.Level { return zapcore.LevelOf(c.root) }

// Sync asks the wrapped core.
func (c *core) Sync() error { return c.root.Sync() }

// With returns a core whose lines have fields, behind the scope's.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	if len(fields) == 0 {
		return c
	}
	child := &core{
		root: c.root, bare: c.bare.With(fields), ops: append(slices.Clip(c.ops), fields),
		plain: c.plain, own: c.own, ctx: contextOf(c.ctx, fields),
		keys: c.keys, namespace: c.namespace, hasNamespace: c.hasNamespace,
	}
	if !c.hasNamespace {
		child.keys = slices.Clip(c.keys)
		child.namespace, child.hasNamespace = rootKeys(fields, func(key string) { child.keys = append(child.keys, key) })
	}
	return newCore(child, c.stamper.Options())
}

// Check lets the core that writes the stamped line decide whether to write it, and adds
// one that knows the decision: the fields of the line are seen only in Write.
func (c *core) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.root.Enabled(ent.Level) {
		return ce
	}
	if c.plain {
		return ce.AddCore(ent, c)
	}
	stamp := c.stamper.Stamp(logadapters.Pick(c.ctx))
	checked := c.stamped(stamp).Check(ent, nil)
	if checked == nil {
		return ce
	}
	l := lines.Get().(*line)
	l.core, l.stamp, l.checked = c, stamp, checked
	return ce.AddCore(ent, l)
}

// Write stamps the line and writes it, without asking anyone, as any core's Write.
func (c *core) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	stamp := c.stamper.Stamp(logadapters.Pick(contextOf(c.ctx, fields)))
	if c.repeats(stamp, &ent, fields) {
		target, left := c.without(stamp, &ent, fields)
		return target.Write(ent, left)
	}
	return c.stamped(stamp).Write(ent, fields)
}

func (c *core) stamped(stamp *logadapters.Stamp[zapcore.Core]) zapcore.Core {
	if stamp == nil {
		return c.bare
	}
	return stamp.Logger
}

// without returns the core for a line that repeats keys of stamp, and what is left of
// the line's fields.
func (c *core) without(stamp *logadapters.Stamp[zapcore.Core], ent *zapcore.Entry, fields []zapcore.Field) (zapcore.Core, []zapcore.Field) {
	taken := map[string]bool{}
	for _, key := range c.own.of(ent) {
		taken[key] = true
	}
	if !c.hasNamespace {
		if c.stamper.Options().Duplicates == logadapters.ScopeWins {
			fields = strip(fields, func(key string) bool { return stamp.Has(key) && !taken[key] })
		}
		rootKeys(fields, func(key string) { taken[key] = true })
	}
	return stamp.Without(func(key string) bool { return taken[key] }), fields
}

// repeats reports whether the line may have a key of stamp at the root.
func (c *core) repeats(stamp *logadapters.Stamp[zapcore.Core], ent *zapcore.Entry, fields []zapcore.Field) bool {
	if stamp == nil || c.stamper.Options().Duplicates == logadapters.KeepBoth {
		return false
	}
	if c.own.repeats(stamp, ent) {
		return true
	}
	if c.hasNamespace {
		return false // its name is taken
	}
	for i := range fields {
		switch f := &fields[i]; f.Type {
		case zapcore.SkipType:
		case zapcore.InlineMarshalerType:
			return true
		case zapcore.ErrorType:
			if stamp.Has(f.Key) || stamp.Has(f.Key+"Verbose") || stamp.Has(f.Key+"Causes") {
				return true
			}
		case zapcore.NamespaceType:
			return stamp.Has(f.Key)
		default:
			if stamp.Has(f.Key) {
				return true
			}
		}
	}
	return false
}

// A line is added to a CheckedEntry for a line that a core other than zap's own has let
// through. checked has the cores that are to write it.
type line struct {
	*core
	stamp   *logadapters.Stamp[zapcore.Core]
	checked *zapcore.CheckedEntry
	errs    errorText
}

var lines = sync.Pool{New: func() any { return new(line) }}

// Write overrides that of the core.
func (l *line) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	c, stamp, checked := l.core, l.stamp, l.checked
	defer func() {
		*l = line{}
		lines.Put(l)
	}()
	if ctx := contextOf(nil, fields); ctx != nil {
		if other := c.stamper.Stamp(logadapters.Pick(ctx)); other != stamp {
			c, checked = c.recheck(), nil
			stamp = c.stamper.Stamp(logadapters.Pick(ctx))
		}
	}
	if c.repeats(stamp, &ent, fields) {
		if checked != nil {
			// The stamp is another logger's, but its fields are the same.
			c, checked = c.recheck(), nil
			stamp = c.stamper.Stamp(logadapters.Pick(contextOf(c.ctx, fields)))
		}
		var target zapcore.Core
		target, fields = c.without(stamp, &ent, fields)
		checked = target.Check(ent, nil)
	} else if checked == nil {
		checked = c.stamped(stamp).Check(ent, nil)
	}
	if checked == nil {
		return nil
	}
	checked.Entry = ent // as of now: with caller and stack
	checked.ErrorOutput = &l.errs
	checked.Write(fields...)
	return l.errs.err()
}

// recheck returns the core that is asked again who writes a line, after its fields have
// shown that it is to be stamped in another way than Check assumed. It is c without the
// samplers at its top, which have counted the line already. A sampler further down, in
// a branch of a tee, counts such a line twice.
func (c *core) recheck() *core {
	c.againOnce.Do(func() {
		root := withoutSamplers(c.root)
		bare := root
		for _, op := range c.ops {
			bare = bare.With(op)
		}
		c.again = newCore(&core{
			root: root, bare: bare, ops: c.ops, own: c.own, ctx: c.ctx,
			keys: c.keys, namespace: c.namespace, hasNamespace: c.hasNamespace,
		}, c.stamper.Options())
	})
	return c.again
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
	return errors.New(string(e.text))
}
