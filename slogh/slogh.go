package slogh

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/taskscope/taskscope/logadapters"
)

// A Handler stamps every line with the fields of the scope that is bound to the
// goroutine, and passes it to the handler that it wraps.
type Handler struct {
	stamper *logadapters.Stamper[slog.Handler]

	root slog.Handler // as it was given to New
	ops  []op

	// std iff root is one of log/slog's own, which keeps no attributes that it is given,
	// and is enabled or not whatever they are.
	std bool
	// writesEmptyGroups iff root writes the groups that are open also on lines without
	// attributes of their own, which log/slog's handlers don't and x/exp/slog's do.
	writesEmptyGroups bool

	bareOnce sync.Once
	bareRoot slog.Handler // see bare

	keys     []string // the keys that ops put at the root
	group    string   // the outermost open group
	hasGroup bool     // iff group is set: an empty name opens none
}

// An op is one call of WithAttrs or, iff attrs is nil, of WithGroup.
type op struct {
	group string
	attrs []slog.Attr
	std   bool // as in Handler
}

func (o op) apply(h slog.Handler) slog.Handler {
	if o.attrs == nil {
		return h.WithGroup(o.group)
	}
	if !o.std {
		return h.WithAttrs(slices.Clone(o.attrs)) // a handler may do what it likes with them
	}
	return h.WithAttrs(o.attrs)
}

var _ slog.Handler = (*Handler)(nil)

// New returns a handler that stamps the lines of h. nil opts are the defaults. It
// panics if h is nil.
//
// Make it the outermost handler: it stamps with the scope of the goroutine that calls it,
// and a handler around it that passes records to a goroutine of its own would have them
// stamped with that one's. And don't pass the handler that slog.Default has at start-up to
// both New and slog.SetDefault: it writes to package log, which SetDefault makes write to
// slog, so the first line would never end (go.dev/issue/62424).
func New(h slog.Handler, opts *logadapters.Options) *Handler {
	if h == nil {
		panic("slogh.New: h, the handler to wrap, is nil")
	}
	_, writes := h.(interface{ WritesEmptyGroups() })
	n := &Handler{root: h, std: isStd(h), writesEmptyGroups: writes}
	n.stamper = logadapters.NewStamper(opts, n.derive, n.taken).Extending(n.extend)
	return n
}

func isStd(h slog.Handler) bool {
	switch h.(type) {
	case *slog.JSONHandler, *slog.TextHandler:
		return true
	}
	return false
}

// bare returns root with ops: what writes the lines that have no scope.
func (h *Handler) bare() slog.Handler {
	h.bareOnce.Do(func() {
		h.bareRoot = h.root
		for _, o := range h.ops {
			h.bareRoot = o.apply(h.bareRoot)
		}
	})
	return h.bareRoot
}

// Enabled asks the wrapped handler, without the scope's fields.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	if h.std {
		return h.root.Enabled(ctx, level)
	}
	return h.bare().Enabled(ctx, level)
}

// Handle stamps r with the scope that [logadapters.Pick] gives for ctx.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	stamp := h.stamper.Stamp(logadapters.Pick(ctx))
	if stamp == nil {
		return h.bare().Handle(ctx, r)
	}
	if h.stamper.Options().Duplicates == logadapters.KeepBoth || !h.repeats(stamp, &r) {
		return stamp.Logger.Handle(ctx, r)
	}
	if h.stamper.Options().Duplicates == logadapters.ScopeWins && !h.hasGroup {
		return stamp.Logger.Handle(ctx, strip(r, stamp.Has))
	}
	return stamp.Without(func(key string) bool { return h.writes(&r, key) }).Handle(ctx, r)
}

// WithAttrs returns a handler whose lines have attrs, behind the scope's fields.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(op{attrs: attrs, std: h.std})
}

// WithGroup returns a handler that puts the attributes of its lines into a group. The
// scope's fields stay outside.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(op{group: name})
}

func (h *Handler) with(o op) *Handler {
	child := &Handler{
		root: h.root, ops: append(slices.Clip(h.ops), o), std: h.std, writesEmptyGroups: h.writesEmptyGroups,
		keys: h.keys, group: h.group, hasGroup: h.hasGroup,
	}
	switch {
	case !h.hasGroup && o.attrs != nil:
		child.keys = appendKeys(slices.Clip(h.keys), o.attrs)
	case !h.hasGroup:
		child.group, child.hasGroup = o.group, true
	case slices.ContainsFunc(o.attrs, shows):
		// The group isn't empty any more, so it is on every line.
		child.keys = append(slices.Clip(h.keys), h.group)
	}
	child.stamper = logadapters.NewStamper(h.stamper.Options(), child.derive, child.taken)
	if h.stamper.Options().Duplicates != logadapters.ScopeWins {
		child.stamper.Below(h.stamper, o.apply)
	}
	if !h.std || slices.ContainsFunc(o.attrs, resolves) {
		child.bare() // root is to see attrs now, not with the first line
	}
	return child
}

// resolves reports whether a has a value that is asked for when it is attached.
func resolves(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindLogValuer, slog.KindAny:
		return true
	case slog.KindGroup:
		return slices.ContainsFunc(a.Value.Group(), resolves)
	}
	return false
}

// derive returns root with the fields, and then ops: what the logger would be if the
// fields had been attached to its root.
func (h *Handler) derive(fields logadapters.Fields) slog.Handler {
	if len(fields.Attrs) == 0 {
		return h.bare()
	}
	d := h.root
	if fields.Group != "" {
		d = d.WithAttrs([]slog.Attr{{Key: fields.Group, Value: slog.GroupValue(fields.Attrs...)}})
	} else {
		d = h.extend(d, fields)
	}
	atRoot := true
	for _, o := range h.ops {
		atRoot = atRoot && o.attrs != nil
		if atRoot && h.stamper.Options().Duplicates == logadapters.ScopeWins {
			if o.attrs = stripAttrs(o.attrs, fields.Has); len(o.attrs) == 0 {
				continue
			}
		}
		d = o.apply(d)
	}
	return d
}

// extend returns d, which has nothing but fields attached, with more fields.
func (h *Handler) extend(d slog.Handler, fields logadapters.Fields) slog.Handler {
	attrs := fields.Attrs
	if !h.std {
		attrs = slices.Clone(attrs)
	}
	return d.WithAttrs(attrs)
}

// taken: see logadapters.NewStamper. The four keys are those that slog's own handlers
// write; "source" is among them although a handler without AddSource doesn't write it,
// because a handler doesn't tell.
func (h *Handler) taken(key string) bool {
	switch key {
	case slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey:
		return true
	}
	if h.stamper.Options().Duplicates == logadapters.ScopeWins {
		// Attributes give way; a group's name doesn't.
		return h.hasGroup && key == h.group && slices.Contains(h.keys, key)
	}
	return slices.Contains(h.keys, key)
}

// repeats reports whether r may have a key of stamp at the root.
func (h *Handler) repeats(stamp *logadapters.Stamp[slog.Handler], r *slog.Record) (yes bool) {
	if h.hasGroup {
		return (h.writesEmptyGroups || r.NumAttrs() > 0) && stamp.Has(h.group)
	}
	r.Attrs(func(a slog.Attr) bool {
		yes = a.Key == "" || stamp.Has(a.Key)
		return !yes
	})
	return yes
}

// writes reports whether r has key at the root.
func (h *Handler) writes(r *slog.Record, key string) (yes bool) {
	if h.hasGroup && (h.writesEmptyGroups || key != h.group) {
		return key == h.group
	}
	r.Attrs(func(a slog.Attr) bool {
		if h.hasGroup {
			yes = shows(a)
		} else {
			yes = slices.Contains(appendKeys(nil, []slog.Attr{a}), key)
		}
		return !yes
	})
	return yes
}

// appendKeys appends the keys that attrs put where they stand. A group without a name
// puts its members there.
func appendKeys(keys []string, attrs []slog.Attr) []string {
	for _, a := range attrs {
		if a.Key != "" {
			if shows(a) {
				keys = append(keys, a.Key)
			}
		} else if v := a.Value.Resolve(); v.Kind() == slog.KindGroup {
			keys = appendKeys(keys, v.Group())
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
	return !a.Equal(slog.Attr{})
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
		if a.Key != "" {
			if !drop(a.Key) {
				kept = append(kept, a)
			}
		} else if v := a.Value.Resolve(); v.Kind() == slog.KindGroup {
			kept = append(kept, stripAttrs(v.Group(), drop)...)
		}
	}
	return kept
}
