package slogh

import (
	"context"
	"log/slog"
	"slices"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
)

// attach returns h, one of log/slog's own handlers, with fields.
func attach(h slog.Handler, fields logadapters.Fields) slog.Handler {
	return h.WithAttrs(grouped(fields))
}

func grouped(fields logadapters.Fields) []slog.Attr {
	if fields.Group != "" && len(fields.Attrs) > 0 {
		return []slog.Attr{{Key: fields.Group, Value: slog.GroupValue(fields.Attrs...)}}
	}
	return fields.Attrs
}

// inFront is what is derived from another package's handler: each line gets the scope's
// attributes in front of its own, which is where attached ones stand. Handlers that such
// packages derive from one another don't always share a lock, and a program that never calls
// With need not care.
type inFront struct {
	slog.Handler // without what the first open group holds

	h     *wrapped
	attrs []slog.Attr
	ops   []op // WithGroup and what comes after it
}

func attachInFront(h slog.Handler, fields logadapters.Fields) slog.Handler {
	f := *h.(*inFront)
	f.attrs = append(slices.Clip(f.attrs), grouped(fields)...)
	return &f
}

// Handle passes r on with the attributes in front.
func (f *inFront) Handle(ctx context.Context, r slog.Record) error {
	// All at once: what doesn't fit into a Record itself is one allocation then.
	var room [16]slog.Attr
	attrs := room[:0]
	for _, a := range f.attrs {
		attrs = append(attrs, values.CloneGroups(a)) // whoever gets a slice may change it
	}
	if len(f.ops) == 0 {
		r.Attrs(func(a slog.Attr) bool {
			attrs = append(attrs, a)
			return true
		})
	} else {
		attrs = append(attrs, f.nest(f.ops, r)...)
	}
	all := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	all.AddAttrs(attrs...)
	return f.Handler.Handle(ctx, all)
}

// cloneAttrs returns a copy for code that may change what it is given.
func cloneAttrs(attrs []slog.Attr) []slog.Attr {
	attrs = slices.Clone(attrs)
	for i := range attrs {
		attrs[i] = values.CloneGroups(attrs[i])
	}
	return attrs
}

// nest returns what ops and then r attach, as attributes.
func (f *inFront) nest(ops []op, r slog.Record) (attrs []slog.Attr) {
	for i, o := range ops {
		if o.attrs == nil {
			return append(attrs, slog.Attr{Key: o.group, Value: slog.GroupValue(f.nest(ops[i+1:], r)...)})
		}
		attrs = append(attrs, cloneAttrs(o.attrs)...)
	}
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	if f.h.writesEmptyGroups && len(attrs) == 0 {
		attrs = append(attrs, slog.Attr{}) // is ignored, but the group isn't empty
	}
	return attrs
}

// repeats reports whether r may have a key of d at the root. It calls no method of any value.
func (h *Handler) repeats(d *logadapters.Derived[slog.Handler], r *slog.Record) (yes bool) {
	if len(h.ops) > 0 {
		return d.Has(h.group)
	}
	r.Attrs(func(a slog.Attr) bool {
		yes = a.Key == "" || d.Has(a.Key)
		return !yes
	})
	return yes
}

// rootKeys returns the keys that r has at the root, and r with LogValuers resolved: what they
// resolve to tells whether there is anything to write, and they are asked once.
func (h *Handler) rootKeys(r slog.Record) (keys []string, resolved slog.Record) {
	resolved = slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	var attrs []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	attrs = resolve(attrs)
	resolved.AddAttrs(attrs...)
	if len(h.ops) == 0 {
		return appendKeys(nil, attrs), resolved
	}
	shown := h.writesEmptyGroups || slices.ContainsFunc(attrs, shows)
	for _, o := range h.ops {
		shown = shown || slices.ContainsFunc(o.attrs, shows)
	}
	if shown {
		keys = append(keys, h.group)
	}
	return keys, resolved
}

// appendKeys appends the keys that attrs, which are resolved, put where they stand. A group
// without a name puts its members there.
func appendKeys(keys []string, attrs []slog.Attr) []string {
	for _, a := range attrs {
		switch {
		case a.Key == "" && a.Value.Kind() == slog.KindGroup:
			keys = appendKeys(keys, a.Value.Group())
		case shows(a):
			keys = append(keys, a.Key)
		}
	}
	return keys
}

// shows reports whether slog writes a: not the zero Attr, and no group that has nothing
// to show.
func shows(a slog.Attr) bool {
	if a.Value.Kind() == slog.KindGroup {
		return slices.ContainsFunc(a.Value.Group(), shows)
	}
	return !values.IsZero(a)
}

// resolve returns attrs without LogValuers, as log/slog resolves them.
func resolve(attrs []slog.Attr) []slog.Attr {
	if !slices.ContainsFunc(attrs, func(a slog.Attr) bool { return values.HasLogValuer(a.Value) }) {
		return attrs
	}
	attrs = slices.Clone(attrs)
	for i := range attrs {
		attrs[i].Value = attrs[i].Value.Resolve()
		if attrs[i].Value.Kind() == slog.KindGroup {
			attrs[i].Value = slog.GroupValue(resolve(attrs[i].Value.Group())...)
		}
	}
	return attrs
}

// freeze returns attrs as they are now: LogValuers resolved, byte slices copied. They are
// given to the wrapped handler again for each scope. What else is changed afterwards, such as
// a map, shows on later lines.
func freeze(attrs []slog.Attr) []slog.Attr {
	attrs = slices.Clone(resolve(attrs))
	for i, a := range attrs {
		switch a.Value.Kind() {
		case slog.KindGroup:
			attrs[i].Value = slog.GroupValue(freeze(a.Value.Group())...)
		case slog.KindAny:
			attrs[i].Value = slog.AnyValue(values.CloneBytes(a.Value.Any()))
		}
	}
	return attrs
}

// strip returns r without the attributes that drop names.
func strip(r slog.Record, drop func(key string) bool) slog.Record {
	stripped := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		stripped.AddAttrs(stripAttrs([]slog.Attr{a}, drop)...)
		return true
	})
	return stripped
}

func stripAttrs(attrs []slog.Attr, drop func(key string) bool) []slog.Attr {
	var kept []slog.Attr
	for _, a := range attrs {
		if a.Key == "" && a.Value.Kind() == slog.KindGroup {
			kept = append(kept, stripAttrs(a.Value.Group(), drop)...)
		} else if a.Key == "" || !drop(a.Key) {
			kept = append(kept, a)
		}
	}
	return kept
}
