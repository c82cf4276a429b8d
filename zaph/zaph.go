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
type core struct {
	stamper logadapters.Stamper[zapcore.Core]
	wrapped *wrapped
	enabled zapcore.LevelEnabler // whom Enabled asks

	// parent is the core that With was called of, and op what it was given; nil for one
	// that New made.
	parent *core
	op     []zapcore.Field
	ctx    context.Context // from a Context field attached by With; may be nil
	inline bool            // iff the ops may be written with a line, as if they were attached

	keys         []string // the keys that op puts at the root
	fixed        []string // those of them that can't be stripped: of inlined objects
	namespace    string   // the outermost open namespace
	hasNamespace bool     // iff namespace is set

	bareOnce sync.Once
	bareRoot zapcore.Core // see bare
}

// wrapped is what was given to New, and what is known of it.
type wrapped struct {
	zapcore.Core
	tree
}

var _ zapcore.Core = (*core)(nil)

type stamp = logadapters.Stamp[zapcore.Core]

// New returns a core that stamps the lines of c. nil opts are the defaults. It panics
// if c is nil. Make it the outermost core: a core around it that writes from a goroutine
// of its own would have lines stamped with that one's scope.
func New(c zapcore.Core, opts *logadapters.Options) zapcore.Core {
	if c == nil {
		panic("zaph.New: core, the core to wrap, is nil")
	}
	// zap's own samplers, hooks and tees stay outside: they decide about a line as ever,
	// and what they let through is stamped below them.
	return below(c, func(c zapcore.Core) zapcore.Core {
		w := &wrapped{c, look(c)}
		n := &core{wrapped: w, enabled: w.enabled, inline: w.inlines}
		n.stamper = *logadapters.NewStamper(opts, (*logger)(n)).Expanding(expandError).Extending(w.attach)
		return n
	})
}

// bare returns the wrapped core with the ops: what writes the lines that have no scope.
func (c *core) bare() zapcore.Core {
	if c.parent == nil {
		return c.wrapped.Core
	}
	c.bareOnce.Do(func() { c.bareRoot = c.parent.bare().With(c.op) })
	return c.bareRoot
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
func (c *core) Enabled(level zapcore.Level) bool { return c.enabled.Enabled(level) }

// Level tells zapcore.LevelOf the level of the wrapped core.
func (c *core) Level() zapcore.Level { return zapcore.LevelOf(c.wrapped.Core) }

// Sync asks the wrapped core.
func (c *core) Sync() error { return c.wrapped.Sync() }

// With returns a core whose lines have fields, behind the scope's.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	if len(fields) == 0 {
		return c
	}
	fields = slices.Clone(fields) // zap's cores don't keep them, so the caller may use the slice again
	child := &core{
		wrapped: c.wrapped, enabled: c.enabled, parent: c, op: fields, ctx: contextOf(c.ctx, fields),
		namespace: c.namespace, hasNamespace: c.hasNamespace,
	}
	if !c.hasNamespace {
		rootKeys(inlined(fields), func(key string) { child.fixed = append(child.fixed, key) })
		child.namespace, child.hasNamespace = rootKeys(fields, func(key string) { child.keys = append(child.keys, key) })
	}
	child.stamper = c.stamper.Child((*logger)(child))
	if now := slices.ContainsFunc(fields, encodesNow); now || !c.wrapped.plain {
		child.bare() // the wrapped core is to see fields now, not with the first line
	} else {
		child.inline = c.inline
	}
	return child
}

// Check lets the wrapped core decide whether to write the line, and who does. What the
// line has itself, a Context field too, is only seen in Write, so Check adds a core that
// takes the decision there: this one, where the decision is a matter of the level.
func (c *core) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.enabled.Enabled(ent.Level) {
		return ce
	}
	if c.wrapped.plain {
		return ce.AddCore(ent, c)
	}
	s := logadapters.Pick(c.ctx)
	p, ready := c.stamper.Ready(s)
	late := !ready || c.wrapped.counts
	checker := c.wrapped.Core
	if !late {
		checker = c.stamped(p)
	}
	checked := checker.Check(ent, nil)
	if checked == nil {
		return ce
	}
	l := lines.Get().(*line)
	l.core, l.checked, l.late, l.scope, l.stamp = c, checked, late, s, p
	return ce.AddCore(ent, l)
}

// Write stamps the line and writes it, without asking anyone, as any core's Write.
func (c *core) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	s := logadapters.Pick(contextOf(c.ctx, fields))
	p, made := c.stamper.Made(s)
	if !made {
		if written, err := c.writeFirst(s, &ent, fields); written {
			return err
		}
		p = c.stamper.Stamp(s)
	}
	if c.repeats(p, &ent, fields) {
		taken, left := c.split(p, &ent, fields)
		return c.stamper.Without(p, taken.has).Write(ent, left)
	}
	return c.stamped(p).Write(ent, fields)
}

func (c *core) stamped(p *stamp) zapcore.Core {
	if p == nil {
		return c.bare()
	}
	return p.Logger
}

// A line is added to a CheckedEntry by a core whose decision isn't a matter of the level
// alone. checked has the cores that are to write it.
type line struct {
	*core
	checked *zapcore.CheckedEntry
	late    bool // iff checked is the wrapped core's, and the line is stamped in Write
	scope   scope.Scope
	stamp   *stamp // of scope: if not late, checked is its core's
	errs    errorText
}

var lines = sync.Pool{New: func() any { return new(line) }}

// Write overrides that of the core.
func (l *line) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	defer func() {
		*l = line{}
		lines.Put(l)
	}()
	checked := l.checked
	if l.late {
		fields = l.core.inFront(&ent, fields)
	} else if s := logadapters.Pick(contextOf(l.core.ctx, fields)); s != l.scope || l.core.repeats(l.stamp, &ent, fields) {
		checked, fields = l.core.check(s, &ent, fields)
	}
	if checked == nil {
		return nil
	}
	checked.Entry = ent // as of now: with caller and stack
	checked.ErrorOutput = &l.errs
	checked.Write(fields...)
	return l.errs.err()
}

// check asks again who writes a line, after its fields have shown that it is to be stamped
// in another way than Check assumed. It returns them, and the fields that are left.
func (c *core) check(s scope.Scope, ent *zapcore.Entry, fields []zapcore.Field) (*zapcore.CheckedEntry, []zapcore.Field) {
	p := c.stamper.Stamp(s)
	if !c.repeats(p, ent, fields) {
		return c.stamped(p).Check(*ent, nil), fields
	}
	taken, left := c.split(p, ent, fields)
	return c.stamper.Without(p, taken.has).Check(*ent, nil), left
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
