package logadapters

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"

	"github.com/taskscope/taskscope/internal/memo"
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
	Attrs []slog.Attr // must not be changed

	// orig has, by key, what was given to scope.Set where slog changes its type: a float32
	// becomes a float64, and a time may lose its location.
	orig map[string]any
}

// FieldsOf returns attrs, those of a line, as fields at its root, resolved.
func FieldsOf(attrs ...slog.Attr) Fields {
	f := Fields{Attrs: make([]slog.Attr, 0, len(attrs))}
	for _, a := range attrs {
		f.add(slog.Attr{Key: a.Key, Value: values.Resolve(a.Value)}, nil)
	}
	return f
}

// Any returns the value of attribute i for a logger that encodes Go values: as it was
// given to scope.Set, which isn't always what slog has made of it.
func (f *Fields) Any(i int) any {
	if orig, ok := f.orig[f.Attrs[i].Key]; ok {
		return orig
	}
	return f.Attrs[i].Value.Any()
}

// add adds a, or puts it in the place of the attribute that has its key. orig may be nil.
func (f *Fields) add(a slog.Attr, orig any) {
	if a.Value.Kind() == slog.KindGroup {
		members := a.Value.Group()
		if a.Key == "" {
			for _, m := range members {
				f.add(m, nil)
			}
		}
		if a.Key == "" || len(members) == 0 {
			return
		}
	}
	if values.IsZero(a) {
		return
	}
	a.Key = cmp.Or(a.Key, "!BADKEY")
	if i := slices.IndexFunc(f.Attrs, func(b slog.Attr) bool { return b.Key == a.Key }); i >= 0 {
		f.Attrs[i] = a
	} else {
		f.Attrs = append(f.Attrs, a)
	}
	if orig != nil {
		if f.orig == nil {
			f.orig = map[string]any{}
		}
		f.orig[a.Key] = orig
	} else {
		delete(f.orig, a.Key)
	}
}

// plus returns f with the fields of g behind. g has no key of f.
func (f Fields) plus(g Fields) Fields {
	f.Attrs = slices.Concat(f.Attrs, g.Attrs)
	if g.orig != nil {
		g.orig = maps.Clone(g.orig)
		maps.Copy(g.orig, f.orig)
		f.orig = g.orig
	}
	return f
}

// drop removes the fields for whose keys out reports true. Fields in a Group count as having its name
// as their key.
func (f *Fields) drop(out func(key string) bool) {
	for i := range f.Attrs {
		if out(cmp.Or(f.Group, f.Attrs[i].Key)) {
			f.Attrs = slices.DeleteFunc(slices.Clone(f.Attrs), func(a slog.Attr) bool { return out(cmp.Or(f.Group, a.Key)) })
			return
		}
	}
}

// collect sets f to what lines of s get for attrs, which are fields of s. expand may be nil.
func (o *Options) collect(f *Fields, s memo.Scope, attrs []slog.Attr, expand func(slog.Attr) []slog.Attr) {
	if *f = (Fields{Group: o.Group, Attrs: attrs}); o.Filter != nil || !values.AreScalars(attrs) {
		o.collectEach(f, s, attrs, expand)
	}
}

func (o *Options) collectEach(f *Fields, s memo.Scope, attrs []slog.Attr, expand func(slog.Attr) []slog.Attr) {
	plainOnly := s.Encoding() > 0 // nothing that needs a user's method to be encoded
	f.Attrs = make([]slog.Attr, 0, len(attrs)+2)
	for _, a := range attrs {
		if plainOnly && !values.IsPlain(a.Value) {
			continue
		}
		var orig any
		if kind := a.Value.Kind(); kind == slog.KindFloat64 || kind == slog.KindTime {
			orig, _ = s.Get(a.Key)
		}
		a.Value = values.Resolve(a.Value)
		if a.Value.Kind() == slog.KindAny {
			if err, ok := a.Value.Any().(memo.Error); ok {
				a.Value = slog.AnyValue(err.Bare())
			}
		}
		if o.Filter != nil {
			b, keep := o.filter(a)
			if !keep {
				continue
			}
			if b.Key == ErrorScopeKey && b.Value.Kind() == slog.KindGroup {
				b.Value = o.filterMembers(b.Value) // they are fields of a scope, too
			}
			if orig != nil && (b.Key != a.Key || !b.Value.Equal(a.Value)) { // values with an orig can be compared
				orig = nil
			}
			a = b
		}
		if expand != nil && a.Value.Kind() == slog.KindAny {
			if parts := expand(a); parts != nil {
				for _, part := range parts {
					f.add(part, nil)
				}
				continue
			}
		}
		f.add(a, orig)
	}
}

// filterMembers returns a group with what Filter makes of the members of group.
func (o *Options) filterMembers(group slog.Value) slog.Value {
	var kept Fields
	for _, a := range group.Group() {
		if b, keep := o.filter(a); keep {
			kept.add(b, nil)
		}
	}
	return slog.GroupValue(kept.Attrs...)
}

// filter calls Filter with a copy of a, which it may change. What it returns is resolved, and policed: it
// may have the key of a secret.
func (o *Options) filter(a slog.Attr) (b slog.Attr, keep bool) {
	defer func() {
		if p := recover(); p != nil {
			b, keep = slog.Attr{Key: a.Key, Value: values.Panic(p)}, true
		}
	}()
	if b, keep = o.Filter(values.CloneGroups(a)); !keep {
		return b, false
	}
	b.Value = values.Resolve(b.Value)
	return police(b)
}

// police returns a as the policy of its key has it, and whether it may be shown at all. The members of a
// group without a key are fields of their own.
func police(a slog.Attr) (_ slog.Attr, shown bool) {
	if a.Key == "" && a.Value.Kind() == slog.KindGroup {
		var members []slog.Attr
		for _, m := range a.Value.Group() {
			if m, shown := police(m); shown {
				members = append(members, m)
			}
		}
		return slog.Attr{Value: slog.GroupValue(members...)}, true
	}
	policy := scope.Policy(a.Key)
	if policy&scope.Redacted != 0 {
		a.Value = slog.StringValue(scope.RedactedText)
	}
	return a, policy&scope.Hidden == 0
}
