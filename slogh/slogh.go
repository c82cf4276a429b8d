package slogh

import (
	"context"
	"log/slog"
	"reflect"
	"slices"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A Handler stamps every line with the fields of the scope that is bound to the
// goroutine, and passes it to the handler that it wraps.
type Handler struct {
	cache logadapters.Cache[slog.Handler]
	*wrapped

	bare  slog.Handler // the wrapped handler with all that With has attached: writes lines without a scope
	root  slog.Handler // the same without what the first open group holds
	group string       // the outermost open group
	ops   []op         // WithGroup(group) and what came after it; none iff no group is open
}

// wrapped is what is known of the handler that was given to New.
type wrapped struct {
	opts *logadapters.Options

	// own iff it is one of log/slog's own handlers. Handlers that these derive from one
	// another share a lock and write a line's attributes as they write attached ones. Of any
	// other no handler is derived that the program hasn't asked for: see inFront.
	own bool

	quiet bool // it has no ReplaceAttr, so plain fields are attached without a user's code

	// writesEmptyGroups iff it writes the groups that are open also on lines without
	// attributes of their own, which log/slog's handlers don't and x/exp/slog's do.
	writesEmptyGroups bool
}

var _ slog.Handler = (*Handler)(nil)

// New returns a handler that stamps the lines of h. nil opts are the defaults. It panics if
// h is nil. If h is a Handler already, New returns it as it is: lines are stamped once.
//
// Make it the outermost handler: it stamps with the scope of the goroutine that calls it,
// and a handler around it that passes records to a goroutine of its own would have them
// stamped with that one's.
//
// h may be the handler that slog.Default has at start-up. It writes to package log, which
// slog.SetDefault makes write to slog (go.dev/issue/62424). So lines go through it until
// SetDefault is called, and from then on, in the same format, to the writer that package log
// had when New was called, with the flags of that moment.
func New(h slog.Handler, opts *logadapters.Options) *Handler {
	if h == nil {
		panic("slogh.New: h, the handler to wrap, is nil")
	}
	if stamping, ok := h.(*Handler); ok {
		return stamping
	}
	w := &wrapped{opts: opts}
	if isDefault(h) {
		h = newDefaultHandler(h)
	}
	switch h.(type) {
	case *slog.JSONHandler, *slog.TextHandler, *defaultHandler:
		w.own, w.quiet = true, !mayReplace(h)
	case interface{ WritesEmptyGroups() }: // package xslogh's
		w.writesEmptyGroups = true
	}
	n := &Handler{wrapped: w, bare: h, root: h}
	n.setCache(ownKeys)
	return n
}

// ownKeys are those that log/slog's handlers write. "source" is among them although a handler
// without AddSource doesn't write it, because a handler doesn't tell.
var ownKeys = []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey}

// mayReplace reports whether h, one of log/slog's own handlers, may have a ReplaceAttr. It
// looks at an unexported field (log/slog/handler.go); if that isn't there, there may be one.
func mayReplace(h slog.Handler) bool {
	opts := reflect.ValueOf(h).Elem().FieldByName("opts")
	if opts.Kind() != reflect.Struct {
		return true
	}
	f := opts.FieldByName("ReplaceAttr")
	return f.Kind() != reflect.Func || !f.IsNil()
}

// setCache sets the cache of h, all else of which is set.
func (h *Handler) setCache(reserved []string) {
	h.cache.Options, h.cache.Reserved, h.cache.Quiet = h.opts, reserved, h.quiet
	if !h.own {
		h.cache.Base, h.cache.Attach = &inFront{Handler: h.root, ops: h.ops, h: h.wrapped}, attachInFront
		return
	}
	h.cache.Base, h.cache.Attach = h.root, attach
	if len(h.ops) > 0 {
		h.cache.Finish = func(d slog.Handler) slog.Handler {
			for _, o := range h.ops {
				d = o.apply(d)
			}
			return d
		}
	}
}

// Enabled asks the wrapped handler, without the scope's fields.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.bare.Enabled(ctx, level)
}

// Handle stamps r with the scope that [logadapters.Pick] gives for ctx.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	s := logadapters.Pick(ctx)
	d := h.cache.Lookup(s)
	if d == nil {
		return h.bare.Handle(ctx, r)
	}
	if h.opts != nil && h.opts.Duplicates == logadapters.KeepBoth || !h.repeats(d, &r) {
		return h.write(ctx, s, d.Value, r)
	}
	keys, r := h.rootKeys(r)
	if h.opts != nil && h.opts.Duplicates == logadapters.ScopeWins && len(h.ops) == 0 {
		return h.write(ctx, s, d.Value, strip(r, d.Has))
	}
	return h.write(ctx, s, d.Without(func(key string) bool { return slices.Contains(keys, key) }), r)
}

// write has d, derived from s, handle r.
func (h *Handler) write(ctx context.Context, s scope.Scope, d slog.Handler, r slog.Record) (err error) {
	if f, ok := d.(*inFront); ok {
		// The handler may call users' code for the scope's fields, for one a ReplaceAttr.
		logadapters.Encode(s, func() { err = f.Handle(ctx, r) })
		return err
	}
	return d.Handle(ctx, r)
}

// WithAttrs returns a handler whose lines have attrs, in front of the scope's fields.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	child := &Handler{wrapped: h.wrapped, root: h.root, group: h.group, ops: h.ops}
	reserved := h.cache.Reserved
	if len(h.ops) > 0 {
		frozen := freeze(attrs)
		child.ops = append(slices.Clip(h.ops), op{attrs: frozen})
		attrs = cloneAttrs(frozen)
	} else {
		if h.own {
			attrs = resolve(attrs) // as the wrapped handler would do now: nothing is asked twice
		}
		reserved = appendKeys(slices.Clip(reserved), attrs)
	}
	child.bare = h.bare.WithAttrs(attrs)
	if len(h.ops) == 0 {
		child.root = child.bare
	}
	child.setCache(reserved)
	return child
}

// WithGroup returns a handler that puts the attributes of its lines into a group. The
// scope's fields stay outside.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	child := &Handler{wrapped: h.wrapped, root: h.root, group: h.group, ops: append(slices.Clip(h.ops), op{group: name})}
	if len(h.ops) == 0 {
		child.group = name
	}
	child.bare = h.bare.WithGroup(name)
	child.setCache(h.cache.Reserved)
	return child
}

// An op is one call of WithAttrs or, iff attrs is nil, of WithGroup.
type op struct {
	group string
	attrs []slog.Attr
}

func (o op) apply(h slog.Handler) slog.Handler {
	if o.attrs == nil {
		return h.WithGroup(o.group)
	}
	return h.WithAttrs(o.attrs)
}
