package zaph

import (
	"log/slog"
	"reflect"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// attach returns a with fields.
func (l *leaf) attach(a attached, fields logadapters.Fields) attached {
	list := lists.Get().(*[]zapcore.Field)
	defer release(list)
	*list = appendFields(*list, &fields)
	if l.plain {
		return l.add(a, *list)
	}
	r := recording{fields: slices.Clip(a.fields), how: max(l.how, tryValue)}
	for _, f := range *list {
		if f.Type == zapcore.ErrorType && l.opaque {
			r.add(f) // the core may look for it
		} else {
			f.AddTo(&r)
		}
	}
	a.fields = r.fields
	a.late = a.late || l.opaque && !values.IsPlain(slog.GroupValue(fields.Attrs...))
	return a
}

// add returns a with fields, which are recorded.
func (l *leaf) add(a attached, fields []zapcore.Field) attached {
	if l.plain {
		a.core = a.core.With(fields) // encodes them, and keeps no list
	} else {
		a.fields = slices.Concat(a.fields, fields)
	}
	return a
}

// appendFields appends fields to list as zap.Any makes them, without boxing what is most common.
// A group, which zap.Any doesn't know, is an object.
func appendFields(list []zapcore.Field, fields *logadapters.Fields) []zapcore.Field {
	if fields.Group != "" {
		members := *fields
		members.Group = ""
		return append(list, zap.Dict(fields.Group, appendFields(nil, &members)...))
	}
	list = slices.Grow(list, len(fields.Attrs))
	for i := range fields.Attrs {
		switch a := &fields.Attrs[i]; a.Value.Kind() {
		case slog.KindString:
			list = append(list, zap.String(a.Key, a.Value.String()))
		case slog.KindInt64:
			list = append(list, zap.Int64(a.Key, a.Value.Int64()))
		case slog.KindGroup:
			list = appendFields(list, &logadapters.Fields{Group: a.Key, Attrs: a.Value.Group()})
		default:
			list = append(list, zap.Any(a.Key, fields.Any(i)))
		}
	}
	return list
}

// expandError splits an error into the fields that zap writes for it, so that each of them is
// known by its key.
func (l *leaf) expandError(a slog.Attr) (parts []slog.Attr) {
	f := zap.Any(a.Key, a.Value.Any())
	if f.Type != zapcore.ErrorType {
		return nil
	}
	shown := l.record([]zapcore.Field{f})
	if l.opaque && len(shown) == 1 && shown[0].Key == a.Key {
		return nil // the core may look for an error
	}
	for _, part := range shown {
		if part.Type == zapcore.StringType {
			parts = append(parts, slog.String(part.Key, part.String))
		} else {
			parts = append(parts, slog.Any(part.Key, part.Interface)) // the causes
		}
	}
	return parts
}

// repeats reports whether the line may have a key of d at the root, if that matters.
func (c *core) repeats(d *derived, ent *zapcore.Entry, fields []zapcore.Field) bool {
	if c.leaf.opts.Duplicates == logadapters.KeepBoth {
		return false
	}
	var room [4]string
	if slices.ContainsFunc(c.leaf.appendOptional(room[:0], ent), d.Has) {
		return true
	}
	if len(c.frozen) > 0 {
		return false // the line's fields stand in a namespace
	}
	for i := range fields {
		switch f := &fields[i]; {
		case f.Type == zapcore.SkipType:
		case f.Type == zapcore.InlineMarshalerType, d.Has(f.Key):
			return true // or maybe: split looks at what is inlined
		case f.Type == zapcore.ErrorType && (d.Has(f.Key+"Verbose") || d.Has(f.Key+"Causes") || d.Has(f.Key+"Error")):
			return true
		case f.Type == zapcore.NamespaceType:
			return false
		}
	}
	return false
}

// split returns the keys for which the scope's fields give way on a line that repeats some, and the
// line's fields that stay.
func (c *core) split(d *derived, ent *zapcore.Entry, fields []zapcore.Field) (taken []string, left []zapcore.Field) {
	own := c.leaf.appendOptional(nil, ent)
	if len(c.frozen) > 0 {
		return own, fields
	}
	fields = c.leaf.record(fields, zapcore.InlineMarshalerType)
	if c.leaf.opts.Duplicates == logadapters.ScopeWins {
		inside := false // a namespace
		fields = slices.DeleteFunc(slices.Clone(fields), func(f zapcore.Field) bool {
			inside = inside || f.Type == zapcore.NamespaceType
			return !inside && f.Type != zapcore.SkipType && d.Has(f.Key) && !slices.Contains(own, f.Key)
		})
	}
	taken, _ = appendKeys(slices.Clip(own), c.leaf.record(fields, zapcore.ErrorType))
	return taken, fields
}

// record returns fields with what they put now in place of those of these types, or of all if no
// type is named. Their marshalers run here, and not again.
func (l *leaf) record(fields []zapcore.Field, types ...zapcore.FieldType) []zapcore.Field {
	isOne := func(f zapcore.Field) bool { return len(types) == 0 || slices.Contains(types, f.Type) }
	if !slices.ContainsFunc(fields, isOne) {
		return fields
	}
	r := recording{fields: make([]zapcore.Field, 0, len(fields)), how: l.how}
	for _, f := range fields {
		if isOne(f) {
			f.AddTo(&r)
		} else {
			r.add(f)
		}
	}
	return r.fields
}

// appendKeys appends the keys that fields, without inlined objects and errors, put where they
// stand. It returns how many fields come before the first namespace.
func appendKeys(keys []string, fields []zapcore.Field) (all []string, before int) {
	for i := range fields {
		if fields[i].Type != zapcore.SkipType {
			keys = append(keys, fields[i].Key)
		}
		if fields[i].Type == zapcore.NamespaceType {
			return keys, i
		}
	}
	return keys, len(fields)
}

// withErrors returns what to stamp a line of s with if it or the logger has been given errors with
// scopes, and the line's fields as they are to be written.
func (c *core) withErrors(s scope.Scope, fields []zapcore.Field) (scope.Scope, []zapcore.Field) {
	errs := errorsIn(fields)
	if len(errs) > 0 {
		fields = bareErrors(fields)
	}
	if errs = append(errs, c.errs...); len(errs) == 0 {
		return s, fields
	}
	own := func(key string) bool {
		if len(c.frozen) > 0 {
			return false
		}
		for i := range fields {
			if fields[i].Type == zapcore.NamespaceType {
				break
			}
			if fields[i].Type != zapcore.SkipType && fields[i].Key == key {
				return true
			}
		}
		return false
	}
	return logadapters.WithErrors(s, own, errs...), fields
}

// errorsIn returns the scopes of the errors in fields.
func errorsIn(fields []zapcore.Field) (scopes []scope.Scope) {
	if !logadapters.HaveErrors() {
		return nil
	}
	for i := range fields {
		scopes = logadapters.AppendErrorScopes(scopes, errorsOf(&fields[i])...)
	}
	return scopes
}

var errorsType = reflect.TypeOf(zap.Errors("", nil).Interface)

// errorsOf returns the errors that f has been made of.
func errorsOf(f *zapcore.Field) []error {
	switch f.Type {
	case zapcore.ErrorType, zapcore.ReflectType:
		if err, ok := f.Interface.(error); ok {
			return []error{err}
		}
	case zapcore.ArrayMarshalerType:
		// That of zap.Errors has no name outside zap (zap/error.go).
		if list := reflect.ValueOf(f.Interface); list.IsValid() && list.Type() == errorsType && list.CanConvert(reflect.TypeFor[[]error]()) {
			return list.Convert(reflect.TypeFor[[]error]()).Interface().([]error)
		}
	}
	return nil
}

// bareErrors returns fields with the errors themselves in the place of what scope.Error has made.
func bareErrors(fields []zapcore.Field) []zapcore.Field {
	fields = slices.Clone(fields)
	for i := range fields {
		f := &fields[i]
		switch errs := errorsOf(f); {
		case len(errs) == 0:
		case f.Type == zapcore.ArrayMarshalerType:
			f.Interface = zap.Errors(f.Key, logadapters.BareErrors(errs...)).Interface
		default:
			f.Interface = logadapters.BareErrors(errs...)[0]
		}
	}
	return fields
}
