package slogh

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A Handler stamps every line with the fields of the scope that is bound to the
// goroutine, and passes it to the handler that it wraps.
type Handler struct {
	stamper logadapters.Stamper[slog.Handler]
	wrapped *wrapped
	enabled slog.Handler // whom Enabled asks

	// parent is the handler that WithAttrs or WithGroup was called of, and op that call;
	// nil for one that New made.
	parent *Handler
	op     op

	keys     []string // the keys that op puts at the root
	group    string   // the outermost open group
	hasGroup bool     // iff group is set: an empty name opens none

	bareOnce sync.Once
	bareRoot slog.Handler // see bare
}

// wrapped is what was given to New.
type wrapped struct {
	slog.Handler

	// std iff it is one of log/slog's own, which keeps no attributes that it is given, and
	// is enabled or not whatever they are.
	std bool
	// writesEmptyGroups iff it writes the groups that are open also on lines without
	// attributes of their own, which log/slog's handlers don't and x/exp/slog's do.
	writesEmptyGroups bool
}

// attach returns h with fields.
func (w *wrapped) attach(h slog.Handler, fields logadapters.Fields) slog.Handler {
	attrs := w.lend(fields.Attrs)
	if fields.Group != "" {
		attrs = []slog.Attr{{Key: fields.Group, Value: slog.GroupValue(attrs...)}}
	}
	return h.WithAttrs(attrs)
}

// lend returns attrs to be given to the wrapped handler, which, if it isn't log/slog's, may
// do what it likes with the slice.
func (w *wrapped) lend(attrs []slog.Attr) []slog.Attr {
	if w.std {
		return attrs
	}
	return slices.Clone(attrs)
}

// An op is one call of WithAttrs or, iff attrs is nil, of WithGroup.
type op struct {
	group string
	attrs []slog.Attr
}

func (w *wrapped) apply(h slog.Handler, o op) slog.Handler {
	if o.attrs == nil {
		return h.WithGroup(o.group)
	}
	return h.WithAttrs(w.lend(o.attrs))
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
	w := &wrapped{Handler: h}
	_, w.writesEmptyGroups = h.(interface{ WritesEmptyGroups() })
	switch h.(type) {
	case *slog.JSONHandler, *slog.TextHandler:
		w.std = true
	}
	n := &Handler{wrapped: w, enabled: h}
	n.stamper = *logadapters.NewStamper(opts, (*logger)(n)).Extending(w.attach)
	return n
}

// bare returns the wrapped handler with the ops: what writes the lines that have no scope.
func (h *Handler) bare() slog.Handler {
	if h.parent == nil {
		return h.wrapped.Handler
	}
	h.bareOnce.Do(func() { h.bareRoot = h.wrapped.apply(h.parent.bare(), h.op) })
	return h.bareRoot
}

// Enabled asks the wrapped handler, without the scope's fields.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.enabled.Enabled(ctx, level)
}

// Handle stamps r with the scope that [logadapters.Pick] gives for ctx.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	s := logadapters.Pick(ctx)
	stamp, made := h.stamper.Made(s)
	if !made {
		if handled, err := h.handleFirst(ctx, s, &r); handled {
			return err
		}
		stamp = h.stamper.Stamp(s)
	}
	if stamp == nil {
		return h.bare().Handle(ctx, r)
	}
	if h.stamper.Options().Duplicates == logadapters.KeepBoth || !h.repeats(stamp, &r) {
		return stamp.Logger.Handle(ctx, r)
	}
	if h.stamper.Options().Duplicates == logadapters.ScopeWins && !h.hasGroup {
		return stamp.Logger.Handle(ctx, strip(r, stamp.Has))
	}
	return h.stamper.Without(stamp, func(key string) bool { return h.writes(&r, key) }).Handle(ctx, r)
}

// handleFirst handles the first line of a scope, whose fields aren't worth a handler of their
// own yet, if they ever are. It reports false if the line is to be handled otherwise.
func (h *Handler) handleFirst(ctx context.Context, s scope.Scope, r *slog.Record) (handled bool, err error) {
	if !h.wrapped.std || h.parent != nil {
		return false, nil
	}
	part, added, ok := h.stamper.First(s, recordRoom-r.NumAttrs())
	if !ok || part != nil && h.repeats(part, r) {
		return false, nil
	}
	all, repeats := slog.NewRecord(r.Time, r.Level, r.Message, r.PC), false
	all.AddAttrs(added.Attrs...)
	r.Attrs(func(a slog.Attr) bool {
		all.AddAttrs(a)
		repeats = a.Key == "" || added.Has(a.Key)
		return !repeats
	})
	if repeats {
		return false, nil
	}
	d := h.wrapped.Handler
	if part != nil {
		d = part.Logger
	}
	defer func() {
		// A ReplaceAttr that panics for a field of the scope costs that field, not the line: it
		// is told so when it is attached. What else panics will do so again.
		if recover() != nil {
			handled, err = false, nil
		}
	}()
	return true, d.Handle(ctx, all)
}

// recordRoom is how many attributes a Record holds without an allocation (log/slog/record.go).
const recordRoom = 5

// WithAttrs returns a handler whose lines have attrs, behind the scope's fields.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(op{attrs: attrs})
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
	child := &Handler{wrapped: h.wrapped, enabled: h.enabled, parent: h, op: o, group: h.group, hasGroup: h.hasGroup}
	if !h.hasGroup && o.attrs == nil {
		child.group, child.hasGroup = o.group, true
	}
	if !child.hasGroup {
		child.keys = appendKeys(nil, o.attrs) // now: LogValuers are not to be asked again for each scope
	}
	child.stamper = h.stamper.Child((*logger)(child))
	// The wrapped handler is to see attrs now, not with the first line, if it can tell.
	if !h.wrapped.std {
		child.enabled = child.bare()
	} else if slices.ContainsFunc(o.attrs, resolves) {
		child.bare()
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

// A logger is a Handler as its Stamper sees it.
type logger Handler

var _ logadapters.Child[slog.Handler] = (*logger)(nil)

// Derive returns the wrapped handler with the fields, and then the ops: what the logger
// would be if the fields had been attached to its root.
func (h *logger) Derive(fields logadapters.Fields) slog.Handler {
	if len(fields.Attrs) == 0 {
		return (*Handler)(h).bare()
	}
	if h.parent == nil {
		return h.wrapped.attach(h.wrapped.Handler, fields)
	}
	d, o := (*logger)(h.parent).Derive(fields), h.op
	if !h.hasGroup && h.stamper.Options().Duplicates == logadapters.ScopeWins {
		if o.attrs = stripAttrs(o.attrs, fields.Has); len(o.attrs) == 0 {
			return d
		}
	}
	return h.wrapped.apply(d, o)
}

// Apply returns d, which the parent's Derive has made, with the op.
func (h *logger) Apply(d slog.Handler) slog.Handler { return h.wrapped.apply(d, h.op) }

// Taken reports whether key is on each line. The four keys are those that slog's own
// handlers write; "source" is among them although a handler without AddSource doesn't
// write it, because a handler doesn't tell.
func (h *logger) Taken(key string) bool {
	switch key {
	case slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey:
		return true
	}
	for ; h.parent != nil; h = (*logger)(h.parent) {
		switch {
		case !h.hasGroup:
			// Attributes give way if the scope's win.
			if h.stamper.Options().Duplicates != logadapters.ScopeWins && slices.Contains(h.keys, key) {
				return true
			}
		case key == h.group && slices.ContainsFunc(h.op.attrs, shows):
			return true // the group isn't empty, so it is on every line, and its name doesn't give way
		}
	}
	return false
}

// repeats reports whether r may have a key of stamp at the root.
func (h *Handler) repeats(stamp *logadapters.Stamp[slog.Handler], r *slog.Record) (yes bool) {
	if h.hasGroup {
		return (h.wrapped.writesEmptyGroups || r.NumAttrs() > 0) && stamp.Has(h.group)
	}
	r.Attrs(func(a slog.Attr) bool {
		yes = a.Key == "" || stamp.Has(a.Key)
		return !yes
	})
	return yes
}

// writes reports whether r has key at the root.
func (h *Handler) writes(r *slog.Record, key string) (yes bool) {
	if h.hasGroup && (h.wrapped.writesEmptyGroups || key != h.group) {
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
