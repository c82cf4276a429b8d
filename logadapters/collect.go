package logadapters

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/taskscope/taskscope/scope"
)

// Pick returns the scope that a line is stamped from. If ctx, which may be nil, carries
// the scope of another task than the running goroutine's, it is that one: a ctx that
// was passed on purpose beats the surroundings. Otherwise it is the goroutine's own,
// which within one task is the newer.
func Pick(ctx context.Context) scope.Scope {
	s := scope.Current()
	if ctx == nil || ctx == context.Background() {
		return s
	}
	if c, ok := fromContext(ctx); ok && c != (scope.Scope{}) && !c.SameTask(s) {
		return c
	}
	return s
}

// fromContext survives a ctx whose Value panics, such as a nil pointer of a type that
// implements context.Context: most handlers never look at ctx and would log the line.
func fromContext(ctx context.Context) (s scope.Scope, ok bool) {
	defer func() {
		if recover() != nil {
			s, ok = scope.Scope{}, false
		}
	}()
	return scope.FromContext(ctx)
}

// Fields is what a line gets from its scope: filtered, in order, no key twice, values
// resolved down to the last group member, so that no slog.LogValuer is left.
type Fields struct {
	// Group is the name of the object that the fields go into. They lie at the root of
	// the line iff it is empty.
	Group string
	Attrs []slog.Attr // not to be changed: they may be the scope's own

	// given has, by key, the values that slog can't hold as they were given to
	// scope.Set: a float32 becomes a float64, and a time may lose its location.
	given map[string]any
}

// FieldsOf returns attrs as fields that lie at the root of a line, resolved.
func FieldsOf(attrs ...slog.Attr) Fields {
	var f Fields
	for _, a := range attrs {
		a.Value = resolve(a.Value)
		f.put(a)
	}
	return f
}

// Any returns the value of attribute i for a logger that encodes Go values: as it was
// given to scope.Set, which isn't always what slog has made of it.
func (f *Fields) Any(i int) any {
	a := f.Attrs[i]
	if v, ok := f.given[a.Key]; ok {
		return v
	}
	return a.Value.Any()
}

// Has reports whether the fields put key at the root of the line.
func (f *Fields) Has(key string) bool {
	if len(f.Attrs) == 0 {
		return false
	}
	if f.Group != "" {
		return key == f.Group
	}
	for i := range f.Attrs {
		if f.Attrs[i].Key == key {
			return true
		}
	}
	return false
}

// Without returns f less the fields that drop names at the root of the line.
func (f Fields) Without(drop func(key string) bool) Fields {
	if f.Group != "" {
		if drop(f.Group) {
			f.Attrs = nil
		}
		return f
	}
	dropped := func(a slog.Attr) bool { return drop(a.Key) }
	if slices.ContainsFunc(f.Attrs, dropped) {
		f.Attrs = slices.DeleteFunc(slices.Clone(f.Attrs), dropped)
	}
	return f
}

// collect returns the fields that a line of s gets.
func (o *Options) collect(s scope.Scope, ended bool) (f Fields) {
	f.Group = o.Group
	attrs := s.Attrs()
	f.Attrs = make([]slog.Attr, 0, len(attrs)+2)
	for _, a := range attrs {
		key := a.Key
		policy := scope.Policy(key)
		if policy&scope.Hidden != 0 {
			continue
		}
		if policy&scope.Redacted != 0 {
			a.Value = slog.StringValue(scope.RedactedText)
		}
		a.Value = resolve(a.Value)
		keep := true
		if o.Filter != nil {
			a, keep = o.filter(a)
			a.Value = resolve(a.Value)
		}
		if !keep {
			continue
		}
		if a.Key == "" && a.Value.Kind() == slog.KindGroup {
			for _, member := range a.Value.Group() {
				f.put(member)
			}
			continue
		}
		f.put(a)
		if a.Key == key && lossy(a.Value) {
			if given, _ := s.Get(key); sameValue(slog.AnyValue(given), a.Value) {
				if f.given == nil {
					f.given = map[string]any{}
				}
				f.given[key] = given
			}
		}
	}
	dropped := 0
	if o.MaxFields > 0 && len(f.Attrs) > o.MaxFields {
		dropped = len(f.Attrs) - o.MaxFields
		f.Attrs = f.Attrs[dropped:]
	}
	if dropped > 0 {
		f.put(slog.Int(DroppedKey, dropped))
	}
	if ended {
		f.put(slog.Bool(EndedKey, true))
	}
	return f
}

// lossy reports whether v may have been something else before slog converted it.
func lossy(v slog.Value) bool { return v.Kind() == slog.KindFloat64 || v.Kind() == slog.KindTime }

// expanded returns f with the fields that expand knows replaced by what it returns.
func (f Fields) expanded(expand func(slog.Attr) []slog.Attr) Fields {
	for i, a := range f.Attrs {
		if parts := expand(a); parts != nil {
			g := Fields{Group: f.Group, given: f.given, Attrs: slices.Clone(f.Attrs[:i])}
			for _, p := range parts {
				g.put(p)
			}
			for _, rest := range f.Attrs[i+1:] {
				g.put(rest)
			}
			return g.expanded(expand)
		}
	}
	return f
}

// put adds a, in place of an attribute with its key.
func (f *Fields) put(a slog.Attr) {
	if a.Key == "" {
		a.Key = "!BADKEY"
	}
	for i := range f.Attrs {
		if f.Attrs[i].Key == a.Key {
			f.Attrs[i] = a
			delete(f.given, a.Key)
			return
		}
	}
	f.Attrs = append(f.Attrs, a)
}

// sameValue is Value.Equal for floats and times, with NaN equal to itself.
func sameValue(v, w slog.Value) bool {
	if v.Kind() == slog.KindFloat64 && w.Kind() == slog.KindFloat64 {
		return math.Float64bits(v.Float64()) == math.Float64bits(w.Float64())
	}
	return v.Kind() == w.Kind() && v.Equal(w)
}

func (o *Options) filter(a slog.Attr) (b slog.Attr, keep bool) {
	defer func() {
		if p := recover(); p != nil {
			b, keep = slog.String(a.Key, panicText(p)), true
		}
	}()
	return o.Filter(a)
}

func panicText(p any) string { return fmt.Sprintf("!PANIC: %v", p) }

// varies reports whether lines of s have values that are resolved anew for each.
func varies(s scope.Scope) bool {
	for key, value := range s.All() {
		if hasLogValuer(value) && scope.Policy(key)&(scope.Hidden|scope.Redacted) == 0 {
			return true
		}
	}
	return false
}

func hasLogValuer(v slog.Value) bool {
	switch v.Kind() {
	case slog.KindLogValuer:
		return true
	case slog.KindGroup:
		return slices.ContainsFunc(v.Group(), func(a slog.Attr) bool { return hasLogValuer(a.Value) })
	}
	return false
}

// resolve returns v without LogValuers, at any depth.
func resolve(v slog.Value) slog.Value {
	if !hasLogValuer(v) {
		return v
	}
	if v = resolveOne(v); v.Kind() != slog.KindGroup {
		return v
	}
	members := slices.Clone(v.Group())
	for i := range members {
		members[i].Value = resolve(members[i].Value)
	}
	return slog.GroupValue(members...)
}

// maxLogValues ends a chain of LogValuers that answer with LogValuers, as in log/slog.
const maxLogValues = 100

// resolveOne is slog's Value.Resolve with a shorter word for a panic: slog's has a
// stack trace in it.
func resolveOne(v slog.Value) (r slog.Value) {
	defer func() {
		if p := recover(); p != nil {
			r = slog.StringValue(panicText(p))
		}
	}()
	first := v
	for range maxLogValues {
		if v.Kind() != slog.KindLogValuer {
			return v
		}
		v = v.LogValuer().LogValue()
	}
	return slog.StringValue(fmt.Sprintf("!PANIC: LogValue of %T never ends", first.Any()))
}
