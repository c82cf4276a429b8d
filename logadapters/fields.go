package logadapters

import (
	"cmp"
	"log/slog"
	"math"
	"slices"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope"
)

// Fields is what a line gets from its scope: filtered, in order, no key twice, values
// resolved down to the last group member, so that no slog.LogValuer is left, nor a group
// without members or, inside a group, without a key.
type Fields struct {
	// Group is the name of the object that the fields go into. They lie at the root of
	// the line iff it is empty.
	Group string
	Attrs []slog.Attr // must not be changed: it may be the scope's own

	// orig is nil, or has for each attribute what was given to scope.Set, or nil, where
	// slog changes its type: a float32 becomes a float64, and a time may lose its location.
	orig []any
}

// FieldsOf returns attrs, those of a line, as fields at its root, resolved.
func FieldsOf(attrs ...slog.Attr) Fields {
	var f Fields
	for _, a := range attrs {
		f.add(slog.Attr{Key: a.Key, Value: values.Resolve(a.Value)}, nil)
	}
	return f
}

// Any returns the value of attribute i for a logger that encodes Go values: as it was
// given to scope.Set, which isn't always what slog has made of it.
func (f *Fields) Any(i int) any {
	if orig := f.origOf(i); orig != nil {
		return orig
	}
	return f.Attrs[i].Value.Any()
}

// add adds a, in the place of an attribute of its key. orig may be nil.
func (f *Fields) add(a slog.Attr, orig any) {
	if a.Value.Kind() == slog.KindGroup {
		members := a.Value.Group()
		if a.Key == "" {
			for _, m := range members {
				f.add(m, nil)
			}
			return
		}
		if len(members) == 0 {
			return
		}
	}
	if values.IsZero(a) {
		return
	}
	if a.Key == "" {
		a.Key = "!BADKEY"
	}
	i := slices.IndexFunc(f.Attrs, func(b slog.Attr) bool { return b.Key == a.Key })
	if i < 0 {
		i = len(f.Attrs)
		f.Attrs = append(f.Attrs, slog.Attr{})
		if f.orig != nil {
			f.orig = append(f.orig, nil)
		}
	}
	f.Attrs[i] = a
	if orig != nil && f.orig == nil {
		f.orig = make([]any, len(f.Attrs), cap(f.Attrs))
	}
	if f.orig != nil {
		f.orig[i] = orig
	}
}

// mark adds a, which says something about the scope, unless it would repeat a reserved key.
func (f *Fields) mark(a slog.Attr, isReserved func(key string) bool) {
	if key := cmp.Or(f.Group, a.Key); !isReserved(key) {
		f.add(a, nil)
	}
}

// without returns f less the fields whose keys drop names. Of fields in a group it goes by
// the name of that.
func (f Fields) without(drop func(key string) bool) Fields {
	if f.Group != "" {
		if drop(f.Group) {
			return Fields{Group: f.Group}
		}
		return f
	}
	if !slices.ContainsFunc(f.Attrs, func(a slog.Attr) bool { return drop(a.Key) }) {
		return f
	}
	left := Fields{}
	for i, a := range f.Attrs {
		if !drop(a.Key) {
			left.append(f, i)
		}
	}
	return left
}

// append appends field i of g, whose key f doesn't have.
func (f *Fields) append(g Fields, i int) {
	f.Attrs = append(f.Attrs, g.Attrs[i])
	if g.orig != nil && f.orig == nil {
		f.orig = make([]any, len(f.Attrs)-1)
	}
	if f.orig != nil {
		f.orig = append(f.orig, g.origOf(i))
	}
}

func (f *Fields) origOf(i int) any {
	if f.orig == nil {
		return nil
	}
	return f.orig[i]
}

// expanded returns f with the fields that expand knows replaced by what it returns. expand may
// call methods of users, so it is called once for each field.
func (f Fields) expanded(expand func(slog.Attr) []slog.Attr) Fields {
	isAny := func(a slog.Attr) bool { return a.Value.Kind() == slog.KindAny }
	if !slices.ContainsFunc(f.Attrs, isAny) {
		return f
	}
	g := Fields{Group: f.Group}
	for i, a := range f.Attrs {
		var parts []slog.Attr
		if isAny(a) {
			parts = expand(a)
		}
		if parts == nil {
			g.add(a, f.origOf(i))
		}
		for _, part := range parts {
			g.add(part, nil)
		}
	}
	return g
}

// one returns field i alone.
func (f Fields) one(i int) Fields {
	one := Fields{Group: f.Group}
	one.append(f, i)
	return one
}

// collect returns what lines of s get of attrs, fields of s. plainOnly leaves out what takes
// a user's method to encode.
func (o *Options) collect(s scope.Scope, attrs []slog.Attr, plainOnly bool) (f Fields) {
	f.Group = o.Group
	if o.Filter == nil && !slices.ContainsFunc(attrs, needsCare) {
		f.Attrs = attrs
		return f
	}
	f.Attrs = make([]slog.Attr, 0, len(attrs)+2)
	for _, a := range attrs {
		policy := scope.Policy(a.Key)
		if policy&scope.Hidden != 0 {
			continue
		}
		if policy&scope.Redacted != 0 {
			a.Value = slog.StringValue(scope.RedactedText)
		}
		if plainOnly && !values.IsPlain(a.Value) {
			continue
		}
		a.Value = values.Resolve(a.Value)
		var orig any
		if policy&scope.Redacted == 0 && lossy(a.Value) {
			if given, _ := s.Get(a.Key); sameValue(slog.AnyValue(given), a.Value) {
				orig = given
			}
		}
		if o.Filter != nil {
			b, keep := o.filter(a)
			if !keep {
				continue
			}
			if b.Key != a.Key || !sameValue(a.Value, b.Value) {
				orig = nil
			}
			b.Value = values.Resolve(b.Value)
			a = b
		}
		f.add(a, orig)
	}
	return f
}

// needsCare reports whether collect has something to do for a.
func needsCare(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindString, slog.KindInt64, slog.KindUint64, slog.KindBool, slog.KindDuration:
		return scope.Policy(a.Key)&(scope.Hidden|scope.Redacted) != 0
	}
	return true
}

// lossy reports whether v may have been something else before slog converted it.
func lossy(v slog.Value) bool { return v.Kind() == slog.KindFloat64 || v.Kind() == slog.KindTime }

// sameValue is Value.Equal for floats and times, with NaN equal to itself.
func sameValue(v, w slog.Value) bool {
	switch {
	case v.Kind() != w.Kind():
		return false
	case v.Kind() == slog.KindFloat64:
		return math.Float64bits(v.Float64()) == math.Float64bits(w.Float64())
	}
	return v.Kind() == slog.KindTime && v.Equal(w)
}

// filter calls Filter with a copy of a, which it may change.
func (o *Options) filter(a slog.Attr) (b slog.Attr, keep bool) {
	defer func() {
		if p := recover(); p != nil {
			b, keep = slog.Attr{Key: a.Key, Value: values.Panic(p)}, true
		}
	}()
	return o.Filter(values.CloneGroups(a))
}
