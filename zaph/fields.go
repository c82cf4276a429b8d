package zaph

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A logger is a core as its Stamper sees it.
type logger core

var _ logadapters.Child[zapcore.Core] = (*logger)(nil)

// Derive returns the wrapped core with the fields, and then the ops: what the logger would
// be if the fields had been attached to its root.
func (c *logger) Derive(fields logadapters.Fields) zapcore.Core {
	if len(fields.Attrs) == 0 {
		return (*core)(c).bare()
	}
	if c.parent == nil {
		return c.wrapped.attach(c.wrapped.Core, fields)
	}
	d := (*logger)(c.parent).Derive(fields)
	if op := (*core)(c).stripped(fields); len(op) > 0 {
		d = d.With(op)
	}
	return d
}

// Apply returns d, which the parent's Derive has made, with the op.
func (c *logger) Apply(d zapcore.Core) zapcore.Core { return d.With(c.op) }

// Taken reports whether key is on each line.
func (c *logger) Taken(key string) bool {
	if slices.Contains(c.wrapped.own.always, key) || c.hasNamespace && key == c.namespace {
		return true
	}
	for ; c.parent != nil; c = (*logger)(c.parent) {
		keys := c.keys
		if c.stamper.Options().Duplicates != logadapters.EventWins {
			keys = c.fixed
		}
		if slices.Contains(keys, key) {
			return true
		}
	}
	return false
}

// stripped returns op without the fields that give way to scoped.
func (c *core) stripped(scoped logadapters.Fields) []zapcore.Field {
	if c.stamper.Options().Duplicates != logadapters.ScopeWins || c.parent.hasNamespace {
		return c.op
	}
	return strip(c.op, scoped.Has)
}

// attach returns d with fields.
func (w *wrapped) attach(d zapcore.Core, fields logadapters.Fields) zapcore.Core {
	if !w.plain || fields.Group != "" {
		return d.With(zapFields(fields))
	}
	// zap's own core encodes what it is given and doesn't keep it.
	b := batches.Get().(*batch)
	defer b.free()
	b.fields = fields
	return d.With(b.self[:])
}

// A batch is a single field that writes many, to write them without a list.
type batch struct {
	fields logadapters.Fields
	self   [1]zapcore.Field
	line   []zapcore.Field // a line that begins with it, or room for one
}

var batches = sync.Pool{New: func() any {
	b := new(batch)
	b.self[0] = zap.Inline(b)
	return b
}}

func (b *batch) free() {
	clear(b.line)
	b.fields, b.line = logadapters.Fields{}, b.line[:0]
	if cap(b.line) > 100 {
		b.line = nil
	}
	batches.Put(b)
}

// MarshalLogObject adds the fields.
func (b *batch) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for i := range b.fields.Attrs {
		switch a := &b.fields.Attrs[i]; a.Value.Kind() {
		case slog.KindString: // most are
			enc.AddString(a.Key, a.Value.String())
		case slog.KindInt64:
			enc.AddInt64(a.Key, a.Value.Int64())
		default:
			zapField(&b.fields, i).AddTo(enc)
		}
	}
	return nil
}

// writeFirst writes the first line of a scope, whose fields aren't worth a core of their own
// yet, if they ever are. It reports false if the line is to be written otherwise.
func (c *core) writeFirst(s scope.Scope, ent *zapcore.Entry, fields []zapcore.Field) (written bool, err error) {
	if !c.inline {
		return false, nil
	}
	part, added, ok := c.stamper.First(s, logadapters.FewFields)
	if !ok || c.repeats(part, ent, fields) || c.wrapped.own.repeats(added.Has, ent) {
		return false, nil
	}
	for i := range fields {
		switch f := &fields[i]; f.Type {
		case zapcore.SkipType:
		case zapcore.InlineMarshalerType:
			return false, nil
		case zapcore.ErrorType:
			if added.Has(f.Key) || added.Has(f.Key+"Verbose") || added.Has(f.Key+"Causes") {
				return false, nil
			}
		default:
			if added.Has(f.Key) {
				return false, nil
			}
		}
	}
	d := c.wrapped.Core
	if part != nil {
		d = part.Logger
	}
	b := batches.Get().(*batch)
	defer b.free()
	b.fields = added
	b.line = append(c.appendOps(append(b.line, b.self[0]), added), fields...)
	return true, d.Write(*ent, b.line)
}

// encodesNow reports whether f has a value that is asked for when it is attached.
func encodesNow(f zapcore.Field) bool {
	switch f.Type {
	case zapcore.ArrayMarshalerType, zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType,
		zapcore.ReflectType, zapcore.StringerType, zapcore.ErrorType, zapcore.BinaryType, zapcore.ByteStringType:
		return true
	}
	return false
}

// inFront returns the fields of a line for a core that has none attached: the scope's, those
// of ops, and the line's own. zap's encoders write them as if they were attached.
func (c *core) inFront(ent *zapcore.Entry, fields []zapcore.Field) []zapcore.Field {
	var all []zapcore.Field
	var scoped logadapters.Fields
	if p := c.stamper.Stamp(logadapters.Pick(contextOf(c.ctx, fields))); p != nil {
		scoped = p.Fields()
		if c.repeats(p, ent, fields) {
			var taken keySet
			taken, fields = c.split(p, ent, fields)
			scoped = scoped.Without(taken.has)
		}
		all = zapFields(scoped)
	}
	return append(c.appendOps(all, scoped), fields...)
}

// appendOps appends the ops, less what gives way to scoped.
func (c *core) appendOps(all []zapcore.Field, scoped logadapters.Fields) []zapcore.Field {
	if c.parent == nil {
		return all
	}
	return append(c.parent.appendOps(all, scoped), c.stripped(scoped)...)
}

// repeats reports whether the line may have a key of p at the root.
func (c *core) repeats(p *stamp, ent *zapcore.Entry, fields []zapcore.Field) bool {
	if p == nil || c.stamper.Options().Duplicates == logadapters.KeepBoth {
		return false
	}
	if c.wrapped.own.repeats(p.Has, ent) {
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
			if p.Has(f.Key) || p.Has(f.Key+"Verbose") || p.Has(f.Key+"Causes") {
				return true
			}
		case zapcore.NamespaceType:
			return p.Has(f.Key)
		default:
			if p.Has(f.Key) {
				return true
			}
		}
	}
	return false
}

type keySet map[string]bool

func (s keySet) has(key string) bool { return s[key] }

// split returns the keys for which the scope's fields give way on a line that repeats
// some, and the line's fields that stay.
func (c *core) split(p *stamp, ent *zapcore.Entry, fields []zapcore.Field) (taken keySet, left []zapcore.Field) {
	taken = keySet{}
	for _, key := range c.wrapped.own.of(ent) {
		taken[key] = true
	}
	if c.hasNamespace {
		return taken, fields
	}
	if c.stamper.Options().Duplicates == logadapters.ScopeWins {
		fields = strip(fields, func(key string) bool { return p.Has(key) && !taken[key] })
	}
	rootKeys(fields, func(key string) { taken[key] = true })
	return taken, fields
}

// expandError splits an error of which zap writes more than the text into the fields that
// zap writes, so that each of them is known by its key.
func expandError(a slog.Attr) []slog.Attr {
	if a.Value.Kind() != slog.KindAny {
		return nil
	}
	err, ok := a.Value.Any().(error)
	if !ok || len(shownKeys(zap.Any(a.Key, err))) < 2 {
		return nil
	}
	parts := []slog.Attr{slog.String(a.Key, err.Error())}
	if group, ok := err.(interface{ Errors() []error }); ok {
		return append(parts, slog.Any(a.Key+"Causes", causes(group.Errors())))
	}
	return append(parts, slog.String(a.Key+"Verbose", fmt.Sprintf("%+v", err)))
}

// causes are written as zap writes the errors of a multierr.
type causes []error

// MarshalLogArray adds each error as an object.
func (c causes) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, err := range c {
		if err == nil {
			continue
		}
		object := zapcore.ObjectMarshalerFunc(func(enc zapcore.ObjectEncoder) error {
			zap.NamedError("error", err).AddTo(enc)
			return nil
		})
		if err := enc.AppendObject(object); err != nil {
			return err
		}
	}
	return nil
}

// zapFields returns the fields for a core that may keep them.
func zapFields(fields logadapters.Fields) []zapcore.Field {
	if len(fields.Attrs) == 0 {
		return nil
	}
	zf := make([]zapcore.Field, len(fields.Attrs))
	for i := range zf {
		zf[i] = zapField(&fields, i)
	}
	if fields.Group != "" {
		return []zapcore.Field{zap.Dict(fields.Group, zf...)}
	}
	return zf
}

// zapField returns field i as zap.Any makes it, without boxing what is most common. A
// group, which zap.Any doesn't know, is an object.
func zapField(fields *logadapters.Fields, i int) zapcore.Field {
	switch a := &fields.Attrs[i]; a.Value.Kind() {
	case slog.KindString:
		return zap.String(a.Key, a.Value.String())
	case slog.KindInt64:
		return zap.Int64(a.Key, a.Value.Int64())
	case slog.KindUint64:
		return zap.Uint64(a.Key, a.Value.Uint64())
	case slog.KindBool:
		return zap.Bool(a.Key, a.Value.Bool())
	case slog.KindDuration:
		return zap.Duration(a.Key, a.Value.Duration())
	case slog.KindGroup:
		return groupField(*a)
	}
	return zap.Any(fields.Attrs[i].Key, fields.Any(i))
}

func groupField(a slog.Attr) zapcore.Field {
	var members []zapcore.Field
	for _, m := range a.Value.Group() {
		switch {
		case m.Value.Kind() != slog.KindGroup:
			members = append(members, zap.Any(m.Key, m.Value.Any()))
		case m.Key != "":
			members = append(members, groupField(m))
		default: // inlined, as slog does it
			members = append(members, zap.Inline(groupField(m).Interface.(zapcore.ObjectMarshaler)))
		}
	}
	return zap.Dict(a.Key, members...)
}

// rootKeys calls add with each key that fields put where they stand, and returns the
// name of the namespace that they open, if any.
func rootKeys(fields []zapcore.Field, add func(key string)) (namespace string, opens bool) {
	for _, f := range fields {
		switch f.Type {
		case zapcore.SkipType:
		case zapcore.NamespaceType:
			add(f.Key)
			return f.Key, true
		case zapcore.InlineMarshalerType, zapcore.ErrorType:
			// These put more keys than they name, or none that they name.
			for _, key := range shownKeys(f) {
				add(key)
			}
		default:
			add(f.Key)
		}
	}
	return "", false
}

// shownKeys returns the keys that f puts. A method of its value that panics puts none
// here; the logger will call it again.
func shownKeys(f zapcore.Field) (keys []string) {
	defer func() { _ = recover() }()
	enc := zapcore.NewMapObjectEncoder()
	f.AddTo(enc)
	for key := range enc.Fields {
		keys = append(keys, key)
	}
	return keys
}

// inlined returns the inlined objects among fields, up to the first namespace. What they
// put can't be stripped from a line.
func inlined(fields []zapcore.Field) (objects []zapcore.Field) {
	for _, f := range fields {
		if f.Type == zapcore.NamespaceType {
			break
		}
		if f.Type == zapcore.InlineMarshalerType {
			objects = append(objects, f)
		}
	}
	return objects
}

// strip returns fields without those that drop names, up to the first namespace.
func strip(fields []zapcore.Field, drop func(key string) bool) []zapcore.Field {
	kept := make([]zapcore.Field, 0, len(fields))
	for i, f := range fields {
		if f.Type == zapcore.NamespaceType {
			return append(kept, fields[i:]...)
		}
		if f.Type == zapcore.SkipType || f.Type == zapcore.InlineMarshalerType || !drop(f.Key) {
			kept = append(kept, f)
		}
	}
	return kept
}
