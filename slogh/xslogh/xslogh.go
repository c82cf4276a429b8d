package xslogh

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	xslog "golang.org/x/exp/slog"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/slogh"
)

// A Handler stamps every line with the fields of the scope that is bound to the goroutine, and
// passes it to the handler that it wraps.
type Handler struct{ std slog.Handler }

var _ xslog.Handler = (*Handler)(nil)

// New is [slogh.New] for handlers of x/exp/slog. Options.Filter gets log/slog's attributes.
func New(h xslog.Handler, opts *logadapters.Options) *Handler {
	if h == nil {
		panic("xslogh.New: h, the handler to wrap, is nil")
	}
	if stamping, ok := h.(*Handler); ok {
		return stamping
	}
	return &Handler{slogh.New(target{h}, opts)}
}

// Enabled asks the wrapped handler.
func (h *Handler) Enabled(ctx context.Context, level xslog.Level) bool {
	return h.std.Enabled(ctx, slog.Level(level))
}

// Handle stamps r with the scope that [logadapters.Pick] gives for ctx.
func (h *Handler) Handle(ctx context.Context, r xslog.Record) error {
	var room [16]slog.Attr // all at once: what doesn't fit into a Record itself is one allocation
	attrs := room[:0]
	for a := range r.Attrs {
		attrs = append(attrs, toStd(a))
	}
	std := slog.NewRecord(r.Time, slog.Level(r.Level), r.Message, r.PC)
	std.AddAttrs(attrs...)
	return h.std.Handle(ctx, std)
}

// WithAttrs returns a handler whose lines have attrs, in front of the scope's fields.
func (h *Handler) WithAttrs(attrs []xslog.Attr) xslog.Handler {
	return &Handler{h.std.WithAttrs(convert(attrs, toStd))}
}

// WithGroup returns a handler that puts the attributes of its lines into a group. The scope's
// fields stay outside.
func (h *Handler) WithGroup(name string) xslog.Handler { return &Handler{h.std.WithGroup(name)} }

// A target is the wrapped handler as slogh sees it.
type target struct{ x xslog.Handler }

func (t target) Enabled(ctx context.Context, level slog.Level) bool {
	return t.x.Enabled(ctx, xslog.Level(level))
}

func (t target) Handle(ctx context.Context, r slog.Record) error {
	var room [16]xslog.Attr
	attrs := room[:0]
	for a := range r.Attrs {
		attrs = append(attrs, toX(a))
	}
	x := xslog.NewRecord(r.Time, xslog.Level(r.Level), r.Message, r.PC)
	x.AddAttrs(attrs...)
	return t.x.Handle(ctx, x)
}

func (t target) WithAttrs(attrs []slog.Attr) slog.Handler {
	return target{t.x.WithAttrs(convert(attrs, toX))}
}

func (t target) WithGroup(name string) slog.Handler { return target{t.x.WithGroup(name)} }

// WritesEmptyGroups and IsDefault tell slogh what it can't see.
func (t target) WritesEmptyGroups() {}
func (t target) IsDefault() bool    { return fmt.Sprintf("%T", t.x) == "*slog.defaultHandler" }

func convert[A, B any](as []A, f func(A) B) []B {
	bs := make([]B, len(as))
	for i, a := range as {
		bs[i] = f(a)
	}
	return bs
}

func toStd(a xslog.Attr) slog.Attr {
	if a.Key != "" && losesGroup(a.Value) {
		return slog.Any(a.Key, opaque{a.Value})
	}
	return slog.Attr{Key: a.Key, Value: stdValue(a.Value)}
}

// losesGroup reports whether v is a group with an empty one in it. log/slog's groups have no empty
// groups in them, and where that leaves one without members, x/exp writes "{}".
func losesGroup(v xslog.Value) bool {
	if v.Kind() != xslog.KindGroup {
		return false
	}
	return slices.ContainsFunc(v.Group(), func(a xslog.Attr) bool {
		return a.Value.Kind() == xslog.KindGroup && len(a.Value.Group()) == 0 || losesGroup(a.Value)
	})
}

// stdValue and xValue don't box what is most common.
func stdValue(v xslog.Value) slog.Value {
	switch v.Kind() {
	case xslog.KindString:
		return slog.StringValue(v.String())
	case xslog.KindInt64:
		return slog.Int64Value(v.Int64())
	case xslog.KindGroup:
		return slog.GroupValue(convert(v.Group(), toStd)...)
	case xslog.KindLogValuer:
		x := valuer{v.LogValuer()}
		if _, ok := x.x.(error); ok {
			return slog.AnyValue(errorValuer{x})
		}
		return slog.AnyValue(x)
	}
	switch given := v.Any().(type) {
	case memo.Error: // first: what scope.Error was given may be of a type of the next case
		return slog.AnyValue(opaqueError{given})
	case slog.Value, []slog.Attr, slog.LogValuer, slog.Kind:
		if err, ok := given.(error); ok {
			return slog.AnyValue(opaqueError{err})
		}
		return slog.AnyValue(opaque{given}) // to x/exp/slog it is a value like any other
	default:
		return slog.AnyValue(given)
	}
}

// A wrapper stands for a value while log/slog has it. The wrapped handler gets the value back as it
// was given.
type wrapper interface{ given() any }

// An opaque value is one that log/slog must not interpret. An opaqueError is one in which slogh
// looks for errors.
type (
	opaque      struct{ any }
	opaqueError struct{ error }
)

func (o opaque) given() any         { return o.any }
func (e opaqueError) given() any    { return e.error }
func (e opaqueError) Unwrap() error { return e.error }

// Bare implements memo.Error.
func (e opaqueError) Bare() error {
	bare := logadapters.BareErrors(e.error)[0]
	if x, ok := bare.(xslog.LogValuer); ok {
		return errorValuer{valuer{x}}
	}
	return opaqueError{bare}
}

// A valuer makes x/exp's LogValuer one of log/slog's. The wrapped handler resolves it when it would
// have done so anyway. An errorValuer is one that is an error, too.
type (
	valuer      struct{ x xslog.LogValuer }
	errorValuer struct{ valuer }
)

func (v valuer) given() any           { return v.x }
func (v valuer) LogValue() slog.Value { return stdValue(v.x.LogValue()) }
func (v errorValuer) Error() string   { return v.x.(error).Error() }
func (v errorValuer) Unwrap() error   { return v.x.(error) }

func toX(a slog.Attr) xslog.Attr { return xslog.Attr{Key: a.Key, Value: xValue(a.Value)} }

func xValue(v slog.Value) xslog.Value {
	switch v.Kind() {
	case slog.KindString:
		return xslog.StringValue(v.String())
	case slog.KindInt64:
		return xslog.Int64Value(v.Int64())
	case slog.KindGroup:
		return xslog.GroupValue(convert(v.Group(), toX)...)
	}
	if w, ok := v.Any().(wrapper); ok {
		return xslog.AnyValue(w.given())
	}
	if v.Kind() == slog.KindLogValuer {
		return xValue(v.Resolve())
	}
	return xslog.AnyValue(v.Any())
}
