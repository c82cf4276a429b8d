package zaph

import (
	"log/slog"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
)

// attach returns a with fields.
func (l *leaf) attach(a attached, fields logadapters.Fields) attached {
	list := lists.Get().(*[]zapcore.Field)
	*list = appendFields(*list, &fields)
	if l.plain {
		a.core = a.core.With(*list) // encodes the fields, and keeps no list
		release(list)
		return a
	}
	r := recording{fields: slices.Clip(a.fields), how: max(l.how, tryValue)}
	for _, f := range *list {
		if f.Type == zapcore.ErrorType && l.opaque {
			r.add(f) // the core may look for it
			continue
		}
		n := len(r.fields)
		r.record(f)
		if len(r.fields) != n+1 || r.fields[n].Key != f.Key {
			// With a marshaler's error, or of that alone. They go by the field's key.
			parts := zap.DictObject(slices.Clone(r.fields[n:])...)
			r.fields = append(r.fields[:n], zapcore.Field{Key: f.Key, Type: zapcore.InlineMarshalerType, Interface: parts})
		}
	}
	release(list)
	a.fields = r.fields
	if l.opaque && slices.ContainsFunc(fields.Attrs, func(a slog.Attr) bool { return !values.IsPlain(a.Value) }) {
		a.late = true
	}
	return a
}

// appendFields appends fields to list.
func appendFields(list []zapcore.Field, fields *logadapters.Fields) []zapcore.Field {
	if fields.Group != "" {
		group := *fields
		group.Group = ""
		return append(list, zap.Dict(fields.Group, appendFields(nil, &group)...))
	}
	list = slices.Grow(list, len(fields.Attrs))
	for i := range fields.Attrs {
		list = append(list, zapField(fields, i))
	}
	return list
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
	members := a.Value.Group()
	list := make([]zapcore.Field, len(members))
	for i, m := range members {
		if m.Value.Kind() == slog.KindGroup {
			list[i] = groupField(m)
		} else {
			list[i] = zap.Any(m.Key, m.Value.Any())
		}
	}
	return zap.Dict(a.Key, list...)
}

// expandError splits an error into the fields that zap writes for it, so that each of them is
// known by its key.
func (l *leaf) expandError(a slog.Attr) (parts []slog.Attr) {
	f := zap.Any(a.Key, a.Value.Any())
	if f.Type != zapcore.ErrorType {
		return nil
	}
	var r recording
	f.AddTo(&r)
	if l.opaque && len(r.fields) == 1 && r.fields[0].Key == a.Key {
		return nil // the core may look for an error
	}
	for _, part := range r.fields {
		if part.Type == zapcore.StringType {
			parts = append(parts, slog.String(part.Key, part.String))
		} else {
			parts = append(parts, slog.Any(part.Key, part.Interface)) // the causes
		}
	}
	return parts
}

// repeats reports whether the line may have a key of d at the root.
func (c *core) repeats(d *derived, ent *zapcore.Entry, fields []zapcore.Field) bool {
	if c.leaf.duplicates == logadapters.KeepBoth {
		return false
	}
	if l := c.leaf; ent.LoggerName != "" && hasAny(d, l.name) || ent.Caller.Defined && hasAny(d, l.caller) || ent.Stack != "" && hasAny(d, l.stack) {
		return true
	}
	if len(c.frozen) > 0 {
		return false // the line's fields stand in a namespace
	}
	for i := range fields {
		switch f := &fields[i]; f.Type {
		case zapcore.SkipType:
		case zapcore.InlineMarshalerType:
			return true // split will see
		case zapcore.ErrorType:
			if d.Has(f.Key) || d.Has(f.Key+"Verbose") || d.Has(f.Key+"Causes") || d.Has(f.Key+"Error") {
				return true
			}
		case zapcore.NamespaceType:
			return d.Has(f.Key)
		default:
			if d.Has(f.Key) {
				return true
			}
		}
	}
	return false
}

func hasAny(d *derived, keys []string) bool {
	for _, key := range keys {
		if d.Has(key) {
			return true
		}
	}
	return false
}

type keySet map[string]bool

func (s keySet) has(key string) bool { return s[key] }

// split returns the keys for which the scope's fields give way on a line that repeats
// some, and the line's fields that stay.
func (c *core) split(d *derived, ent *zapcore.Entry, fields []zapcore.Field) (taken keySet, left []zapcore.Field) {
	taken = keySet{}
	add := func(key string) { taken[key] = true }
	c.leaf.keysOf(ent, add)
	if len(c.frozen) > 0 {
		return taken, fields
	}
	fields = c.leaf.spread(fields, false)
	if c.leaf.duplicates == logadapters.ScopeWins {
		fields = strip(fields, func(key string) bool { return d.Has(key) && !taken[key] })
	}
	rootKeys(fields, add)
	return taken, fields
}

// spread returns fields with the inlined objects replaced by what they put, so that this is
// known by its keys. Their marshalers run here, and not again. With errors it replaces errors,
// too.
func (l *leaf) spread(fields []zapcore.Field, errors bool) []zapcore.Field {
	spreads := func(f zapcore.Field) bool {
		return f.Type == zapcore.InlineMarshalerType || errors && f.Type == zapcore.ErrorType
	}
	if !slices.ContainsFunc(fields, spreads) {
		return fields
	}
	r := recording{how: l.how}
	for _, f := range fields {
		if spreads(f) {
			f.AddTo(&r)
		} else {
			r.add(f)
		}
	}
	return r.fields
}

// freeze returns fields as they are now.
func (l *leaf) freeze(fields []zapcore.Field) []zapcore.Field {
	r := recording{fields: make([]zapcore.Field, 0, len(fields)), how: l.how}
	for _, f := range fields {
		r.record(f)
	}
	return r.fields
}

// rootKeys calls add with each key that fields, in which nothing is inlined, put where they
// stand, and returns how many fields come before the first namespace.
func rootKeys(fields []zapcore.Field, add func(key string)) (before int) {
	for i, f := range fields {
		switch f.Type {
		case zapcore.SkipType:
		case zapcore.NamespaceType:
			add(f.Key)
			return i
		case zapcore.ErrorType:
			var r recording
			f.AddTo(&r)
			for _, part := range r.fields {
				add(part.Key)
			}
		default:
			add(f.Key)
		}
	}
	return len(fields)
}

// strip returns fields without those that drop names, up to the first namespace.
func strip(fields []zapcore.Field, drop func(key string) bool) []zapcore.Field {
	kept := make([]zapcore.Field, 0, len(fields))
	for i, f := range fields {
		if f.Type == zapcore.NamespaceType {
			return append(kept, fields[i:]...)
		}
		if f.Type == zapcore.SkipType || !drop(f.Key) {
			kept = append(kept, f)
		}
	}
	return kept
}
