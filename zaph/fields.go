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

// attach adds fields to *a.
func (l *leaf) attach(a *attached, fields *logadapters.Fields) {
	list := lists.Get().(*[]zapcore.Field)
	defer release(list)
	*list = appendFields(*list, fields)
	if l.plain {
		a.core = a.core.With(*list) // encodes them, and keeps no list
	} else {
		userCode := l.opaque && !values.IsPlain(slog.GroupValue(fields.Attrs...))
		l.addNow(a, *list, userCode)
	}
}

// addRecorded adds fields, which are recorded, to *a.
func (l *leaf) addRecorded(a *attached, fields []zapcore.Field) {
	if l.plain {
		a.core = a.core.With(fields)
	} else {
		a.front = a.front.with(fields, false)
	}
}

// addNow adds to *a what fields encode to now. userCode is as in front.
func (l *leaf) addNow(a *attached, fields []zapcore.Field, userCode bool) {
	r := recording{how: max(l.how, tryValue)}
	for _, f := range fields {
		if f.Type == zapcore.ErrorType && l.opaque {
			r.add(f) // the core may look for it
		} else {
			f.AddTo(&r)
		}
	}
	a.front = a.front.with(r.fields, userCode)
}

// with returns f, which may be nil, with fields behind.
func (f *front) with(fields []zapcore.Field, userCode bool) *front {
	if f != nil {
		fields, userCode = slices.Concat(f.fields, fields), userCode || f.userCode
	}
	return &front{fields, userCode}
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
			return true // or maybe: giveWay looks at what is inlined
		case f.Type == zapcore.ErrorType && (d.Has(f.Key+"Verbose") || d.Has(f.Key+"Causes") || d.Has(f.Key+"Error")):
			return true
		case f.Type == zapcore.NamespaceType:
			return false
		}
	}
	return false
}

// giveWay returns, for a line that may repeat keys of d, the keys for which the scope's fields give
// way, and the line's fields that stay.
func (c *core) giveWay(d *derived, ent *zapcore.Entry, fields []zapcore.Field) (taken []string, left []zapcore.Field) {
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

// record returns fields, in which those of these types, or all if no type is named, are replaced by what
// they encode to now. Their marshalers run here, and not again.
func (l *leaf) record(fields []zapcore.Field, types ...zapcore.FieldType) []zapcore.Field {
	matches := func(f zapcore.Field) bool { return len(types) == 0 || slices.Contains(types, f.Type) }
	if !slices.ContainsFunc(fields, matches) {
		return fields
	}
	r := recording{fields: make([]zapcore.Field, 0, len(fields)), how: l.how}
	for _, f := range fields {
		if matches(f) {
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

// withErrors returns the scope that stamps a line of s, and the fields to write. They differ from s and
// fields iff the line or the logger has been given errors with scopes.
func (c *core) withErrors(s scope.Scope, ent *zapcore.Entry, fields []zapcore.Field) (scope.Scope, []zapcore.Field) {
	errs, fields := findErrors(fields)
	if errs = append(errs, c.errs...); len(errs) == 0 {
		return s, fields
	}
	own := c.leaf.appendOptional(slices.Clone(c.cache.Reserved), ent)
	if len(c.frozen) == 0 {
		fields = c.leaf.record(fields, zapcore.InlineMarshalerType)
		own, _ = appendKeys(own, c.leaf.record(fields, zapcore.ErrorType))
	}
	return logadapters.WithErrors(s, func(key string) bool {
		return c.leaf.opts.Group == "" && slices.Contains(own, key)
	}, errs...), fields
}

// findErrors returns the scopes of the errors in fields, and the fields without these scopes: what
// scope.Error has made is replaced by the error that it wraps.
func findErrors(fields []zapcore.Field) (scopes []scope.Scope, bare []zapcore.Field) {
	for i := range fields {
		scopes = appendErrors(scopes, fields[i].Interface)
	}
	if len(scopes) == 0 {
		return nil, fields
	}
	bare = slices.Clone(fields)
	for i := range bare {
		bare[i].Interface = bareError(bare[i].Interface)
	}
	return scopes, bare
}

// appendErrors appends the scopes of v, if it is an error, and of those in it, if it is one of
// zap's own lists. It calls no marshaler.
func appendErrors(scopes []scope.Scope, v any) []scope.Scope {
	switch v := v.(type) {
	case nil:
		return scopes
	case error:
		return logadapters.AppendErrorScopes(scopes, v)
	case zapcore.Field:
		return appendErrors(scopes, v.Interface)
	}
	if list, ok := listOf(v); ok {
		for i := range list.Len() {
			scopes = appendErrors(scopes, list.Index(i).Interface())
		}
	}
	return scopes
}

// bareError returns v, with errors that scope.Error has made replaced by those that they wrap. It looks
// where appendErrors does.
func bareError(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case error:
		return logadapters.BareErrors(v)[0]
	case zapcore.Field:
		v.Interface = bareError(v.Interface)
		return v
	}
	list, ok := listOf(v)
	if !ok {
		return v
	}
	bare := reflect.MakeSlice(list.Type(), list.Len(), list.Len())
	for i := range list.Len() {
		if e := bareError(list.Index(i).Interface()); e != nil {
			bare.Index(i).Set(reflect.ValueOf(e))
		}
	}
	return bare.Interface()
}

// listOf returns v as a list whose elements may be or have errors: an []error, or what zap.Errors,
// Objects, ObjectValues, Stringers and Dict make, types without a name outside zap (zap/array.go,
// error.go, field.go).
func listOf(v any) (list reflect.Value, ok bool) {
	list = reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return list, false
	}
	switch t := list.Type(); {
	case t == reflect.TypeFor[[]error]():
		return list, true
	case t.PkgPath() != zapPackage:
		return list, false
	default:
		e := t.Elem()
		return list, e.Kind() == reflect.Interface || e == reflect.TypeFor[zapcore.Field]() || e.Implements(reflect.TypeFor[error]())
	}
}

var zapPackage = reflect.TypeFor[zap.Logger]().PkgPath()
