package slogh

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"slices"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A Handler stamps every line with the fields of the scope that is bound to the goroutine, and
// passes it to the handler that it wraps. [New] makes one; the zero Handler can't be used.
type Handler struct {
	cache logadapters.Cache[slog.Handler]
	bare  slog.Handler  // the wrapped handler with all that With has attached: writes lines without a scope
	ops   []op          // the first WithGroup and what came after it
	errs  []scope.Scope // of errors that With has attached

	// own is true iff the wrapped handler is one of log/slog's, whose children share a lock with it and
	// write a line's attributes as they write attached ones. Others get the fields by inFront.
	own bool

	// writesEmptyGroups is true iff the wrapped handler writes open groups even on lines without
	// attributes of their own. log/slog's handlers don't, x/exp/slog's do.
	writesEmptyGroups bool
}

var _ slog.Handler = (*Handler)(nil)

// An op is one call of WithAttrs or, iff attrs is nil, of WithGroup.
type op struct {
	group string
	attrs []slog.Attr
}

// New returns a handler that stamps the lines of h. nil opts are the defaults. It panics if h is
// nil. If h is a Handler already, New returns it as it is: lines are stamped once.
//
// Make it the outermost handler: a handler around it that passes records to a goroutine of its own
// would have them stamped with that goroutine's scope.
//
// h may be the handler that slog.Default has at start-up. It writes to package log, which
// slog.SetDefault makes write to slog (go.dev/issue/62424). So lines go through it until SetDefault
// is called, and from then on, in the same format, to the writer that package log had when New was
// called, with the flags of that moment.
func New(h slog.Handler, opts *logadapters.Options) *Handler {
	if h == nil {
		panic("slogh.New: h, the handler to wrap, is nil")
	}
	if stamping, ok := h.(*Handler); ok {
		return stamping
	}
	if isDefault(h) {
		h = newDefaultHandler(h)
	}
	first := new(Handler)
	first.cache.Options = cmp.Or(opts, new(logadapters.Options))
	first.cache.Quiet = true // an inFront encodes nothing
	switch h.(type) {
	case *slog.JSONHandler, *slog.TextHandler, *defaultHandler:
		first.own, first.cache.Quiet = true, !mayReplace(h)
	case interface{ WritesEmptyGroups() }: // package xslogh's
		first.writesEmptyGroups = true
	}
	// A handler doesn't tell whether it writes the source: that key is reserved in any case.
	return first.with(h, []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey})
}

// mayReplace reports whether h, one of log/slog's own handlers, may have a ReplaceAttr. It looks at
// an unexported field (log/slog/handler.go); if that isn't there, there may be one.
func mayReplace(h slog.Handler) bool {
	opts := reflect.ValueOf(h).Elem().FieldByName("opts")
	if opts.Kind() != reflect.Struct {
		return true
	}
	f := opts.FieldByName("ReplaceAttr")
	return f.Kind() != reflect.Func || !f.IsNil()
}

// with returns the child of h that has ops, or else attributes at the root, as well. bare and reserved
// are its own.
func (h *Handler) with(bare slog.Handler, reserved []string, ops ...op) *Handler {
	c := &Handler{bare: bare, ops: slices.Concat(h.ops, ops), errs: h.errs, own: h.own, writesEmptyGroups: h.writesEmptyGroups}
	c.cache.Options, c.cache.Quiet, c.cache.Reserved = h.cache.Options, h.cache.Quiet, reserved
	c.cache.Base, c.cache.Attach = bare, attach
	if !c.own {
		c.cache.Base = &inFront{Handler: bare, writesEmptyGroups: c.writesEmptyGroups}
	}
	if len(c.ops) > 0 { // Base is what it was before the first group
		c.cache.Base, c.cache.Finish = h.cache.Base, c.finish
	}
	return c
}

// finish returns d with ops.
func (h *Handler) finish(d slog.Handler) slog.Handler {
	for _, o := range h.ops {
		if o.attrs == nil {
			d = d.WithGroup(o.group)
		} else {
			d = d.WithAttrs(o.attrs)
		}
	}
	return d
}

// Enabled asks the wrapped handler, without the scope's fields.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.bare.Enabled(ctx, level)
}

// Handle stamps r with the scope that [logadapters.Pick] gives for ctx.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	s := logadapters.Pick(ctx)
	if logadapters.HaveErrors() && (len(h.errs) > 0 || mayHaveErrors(&r)) {
		s = h.withErrors(s, &r)
	}
	d := h.cache.Lookup(s)
	if d == nil || !h.own && memo.LinesRunAway() { // a ReplaceAttr in h may be what runs away, be the fields plain
		return h.bare.Handle(ctx, r)
	}
	derived := d.Value
	if h.repeats(d, &r) {
		derived = h.resolveDuplicates(d, &r)
	}
	if h.own {
		return derived.Handle(ctx, r)
	}
	return h.encode(ctx, s, derived, r)
}

// resolveDuplicates returns the handler for r, which may repeat keys of d, and removes from r what
// gives way.
func (h *Handler) resolveDuplicates(d *logadapters.Derived[slog.Handler], r *slog.Record) (derived slog.Handler) {
	attrs := convert(appendAttrs(nil, r), slog.Value.Resolve) // what is written; LogValuers are asked once
	if h.cache.Options.Duplicates == logadapters.ScopeWins && len(h.ops) == 0 {
		derived, attrs = d.Value, strip(attrs, d.Has)
	} else {
		keys := h.rootKeys(attrs)
		derived = d.Without(func(key string) bool { return slices.Contains(keys, key) })
	}
	setAttrs(r, attrs)
	return derived
}

// encode passes r to d, derived from s, within Encode: d may call users' code for the scope's fields,
// such as a ReplaceAttr. It isn't inlined: a Record is large, and a line of a handler that is log/slog's
// own should take as little stack as it can.
//
//go:noinline
func (h *Handler) encode(ctx context.Context, s scope.Scope, d slog.Handler, r slog.Record) (err error) {
	logadapters.Encode(s, func() { err = d.Handle(ctx, r) })
	return err
}

// WithAttrs returns a handler whose lines have attrs, in front of the scope's fields.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	if logadapters.HaveErrors() {
		attrs = slices.Clone(attrs)
		if errs, _ := findErrors(attrs, h.own || len(h.ops) > 0); len(errs) > 0 {
			h = h.with(h.bare, h.cache.Reserved)
			h.errs = slices.Concat(h.errs, errs)
		}
	}
	if len(h.ops) > 0 {
		frozen := convert(slices.Clone(attrs), h.freeze)
		lent := convert(slices.Clone(frozen), func(v slog.Value) slog.Value { return v }) // the handler may change them
		return h.with(h.bare.WithAttrs(lent), h.cache.Reserved, op{attrs: frozen})
	}
	if h.own && values.HasLogValuer(slog.GroupValue(attrs...)) {
		attrs = convert(slices.Clone(attrs), slog.Value.Resolve) // as the wrapped handler would: their keys count, asked for once
	}
	reserved := slices.Grow(slices.Clip(h.cache.Reserved), len(attrs))
	return h.with(h.bare.WithAttrs(attrs), appendKeys(reserved, attrs))
}

// WithGroup returns a handler that puts the attributes of its lines into a group. The scope's
// fields stay outside.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(h.bare.WithGroup(name), h.cache.Reserved, op{group: name})
}
