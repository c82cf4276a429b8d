package slogh

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// attach returns h with fields.
func attach(h slog.Handler, fields logadapters.Fields) slog.Handler {
	if fields.Group != "" {
		return h.WithAttrs([]slog.Attr{{Key: fields.Group, Value: slog.GroupValue(fields.Attrs...)}})
	}
	return h.WithAttrs(fields.Attrs)
}

// An inFront takes the place of a child of another package's handler: each line gets what is attached
// in front of its own attributes. WithAttrs isn't called: the children that such handlers make don't
// always share a lock, which a program that never calls With can't have noticed.
type inFront struct {
	slog.Handler
	ops               []op
	writesEmptyGroups bool
}

func (f *inFront) WithAttrs(attrs []slog.Attr) slog.Handler { return f.with(op{attrs: attrs}) }

func (f *inFront) WithGroup(name string) slog.Handler { return f.with(op{group: name}) }

func (f *inFront) with(o op) *inFront {
	c := *f
	c.ops = append(slices.Clip(f.ops), o)
	return &c
}

// Handle passes r on with the attributes in front.
func (f *inFront) Handle(ctx context.Context, r slog.Record) error {
	f.put(&r)
	return f.Handler.Handle(ctx, r)
}

// put puts the attributes of f in front of those of r.
func (f *inFront) put(r *slog.Record) {
	// All at once: then what doesn't fit into a Record itself is one allocation.
	var room [16]slog.Attr
	attrs := room[:0]
	f.each(f.ops, r, func(a slog.Attr) { attrs = append(attrs, a) })
	setAttrs(r, attrs)
}

// each calls yield for what ops and then r attach.
func (f *inFront) each(ops []op, r *slog.Record, yield func(slog.Attr)) {
	for i, o := range ops {
		if o.attrs == nil {
			var members []slog.Attr
			f.each(ops[i+1:], r, func(a slog.Attr) { members = append(members, a) })
			if len(members) == 0 && f.writesEmptyGroups {
				members = append(members, slog.Attr{}) // not written, but with it the group isn't empty
			}
			yield(slog.Attr{Key: o.group, Value: slog.GroupValue(members...)})
			return
		}
		for _, a := range o.attrs {
			yield(values.CloneGroups(a)) // whoever gets a slice may change it
		}
	}
	for a := range r.Attrs {
		yield(a)
	}
}

// appendAttrs appends the attributes of r.
func appendAttrs(attrs []slog.Attr, r *slog.Record) []slog.Attr {
	for a := range r.Attrs {
		attrs = append(attrs, a)
	}
	return attrs
}

// setAttrs gives r attrs in place of its own. Other copies of r keep theirs.
func setAttrs(r *slog.Record, attrs []slog.Attr) {
	*r = slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.AddAttrs(attrs...)
}

// repeats reports whether r may have a key of d at the root, if that matters. It calls no method of
// any value.
func (h *Handler) repeats(d *logadapters.Derived[slog.Handler], r *slog.Record) bool {
	if h.cache.Options.Duplicates == logadapters.KeepBoth {
		return false
	}
	if len(h.ops) > 0 {
		return d.Has(h.ops[0].group)
	}
	for a := range r.Attrs {
		if a.Key == "" || d.Has(a.Key) {
			return true
		}
	}
	return false
}

// rootKeys returns the keys that a line with attrs, which are resolved, has at the root.
func (h *Handler) rootKeys(attrs []slog.Attr) []string {
	keys := appendKeys(nil, attrs)
	if len(h.ops) == 0 {
		return keys
	}
	for _, o := range h.ops {
		keys = appendKeys(keys, o.attrs)
	}
	if len(keys) == 0 && !h.writesEmptyGroups {
		return nil
	}
	return []string{h.ops[0].group}
}

// appendKeys appends the keys that attrs put where they stand. A group without a name puts its
// members there. The zero Attr isn't written, nor is a group that has nothing to show.
func appendKeys(keys []string, attrs []slog.Attr) []string {
	for _, a := range attrs {
		switch {
		case a.Value.Kind() != slog.KindGroup:
			if !values.IsZero(a) {
				keys = append(keys, a.Key)
			}
		case a.Key == "":
			keys = appendKeys(keys, a.Value.Group())
		case len(appendKeys(nil, a.Value.Group())) > 0:
			keys = append(keys, a.Key)
		}
	}
	return keys
}

// convert replaces the values of attrs with what f makes of them, in groups too. Groups are replaced
// by new ones: their members may be shared.
func convert(attrs []slog.Attr, f func(slog.Value) slog.Value) []slog.Attr {
	for i := range attrs {
		attrs[i].Value = values.Convert(attrs[i].Value, f)
	}
	return attrs
}

// freeze returns v as it is now: LogValuers resolved, byte slices copied, and, if the wrapped handler is
// one of log/slog's without a ReplaceAttr, all else encoded as that handler does it. With other handlers
// a value that is changed afterwards, such as a map, shows that on later lines.
func (h *Handler) freeze(v slog.Value) slog.Value {
	v = v.Resolve()
	if v.Kind() != slog.KindAny || v.Any() == nil {
		return v
	}
	t := reflect.TypeOf(v.Any())
	areBytes := t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 // which a TextHandler quotes in any case
	if h.own && h.cache.Quiet && !areBytes {
		if encoded, ok := encodedBy(h.bare, v); ok {
			return encoded
		}
	}
	return slog.AnyValue(values.CloneBytes(v.Any()))
}

// encodedBy returns a value that h, one of log/slog's handlers, writes as it writes v now.
func encodedBy(h slog.Handler, v slog.Value) (encoded slog.Value, ok bool) {
	var line bytes.Buffer
	var scratch slog.Handler = slog.NewTextHandler(&line, nil)
	front, behind := `level=INFO msg="" v=`, "\n"
	_, isJSON := h.(*slog.JSONHandler)
	if isJSON {
		scratch = slog.NewJSONHandler(&line, nil)
		front, behind = `{"level":"INFO","msg":"","v":`, "}\n"
	}
	r := slog.NewRecord(time.Time{}, slog.LevelInfo, "", 0)
	r.AddAttrs(slog.Attr{Key: "v", Value: v})
	_ = scratch.Handle(context.Background(), r)
	text, found := strings.CutPrefix(line.String(), front)
	text, ended := strings.CutSuffix(text, behind)
	switch {
	case !found || !ended: // a format of some later Go
		return v, false
	case isJSON:
		return slog.AnyValue(json.RawMessage(text)), json.Valid([]byte(text))
	case strings.HasPrefix(text, `"`):
		unquoted, err := strconv.Unquote(text)
		return slog.StringValue(unquoted), err == nil
	}
	return slog.StringValue(text), true
}

// mayHaveErrors reports whether withErrors may find something in r.
func mayHaveErrors(r *slog.Record) bool {
	for a := range r.Attrs {
		switch a.Value.Kind() {
		case slog.KindAny, slog.KindLogValuer, slog.KindGroup:
			return true
		}
	}
	return false
}

// withErrors returns the scope that stamps r, a line of s, and makes r the record to write. They
// differ from s and r iff the line or the logger has been given errors with scopes.
func (h *Handler) withErrors(s scope.Scope, r *slog.Record) scope.Scope {
	var room [16]slog.Attr // more allocates, as it does in a Record
	attrs := appendAttrs(room[:0], r)
	errs, changed := findErrors(attrs, h.own)
	if changed {
		setAttrs(r, attrs)
	}
	if errs = append(errs, h.errs...); len(errs) == 0 {
		return s
	}
	keys := h.rootKeys(attrs)
	return logadapters.WithErrors(s, func(key string) bool {
		return h.cache.Options.Group == "" && (slices.Contains(keys, key) || slices.Contains(h.cache.Reserved, key))
	}, errs...)
}

// findErrors returns the scopes of the errors in attrs, at any depth. It replaces each error that
// scope.Error has made with the error that it wraps. If resolve, it also replaces each LogValuer with
// its value, so that nobody asks it again, and looks for errors there.
func findErrors(attrs []slog.Attr, resolve bool) (scopes []scope.Scope, changed bool) {
	look := func(v slog.Value) slog.Value {
		for range 2 { // a LogValuer may be an error, and what scope.Error was given a LogValuer
			if v.Kind() != slog.KindGroup {
				scopes, v = appendErrors(scopes, v), bareError(v)
			}
			if !resolve || v.Kind() != slog.KindLogValuer {
				break
			}
			v = v.Resolve()
		}
		return v
	}
	for i := range attrs {
		if v := &attrs[i].Value; resolve && values.HasLogValuer(*v) || len(appendErrors(nil, *v)) > 0 {
			*v, changed = values.Convert(*v, look), true
		}
	}
	return scopes, changed
}

// appendErrors appends the scopes of the errors in v. It resolves nothing: a LogValuer may be an
// error itself.
func appendErrors(scopes []scope.Scope, v slog.Value) []scope.Scope {
	switch v.Kind() {
	case slog.KindGroup:
		for _, a := range v.Group() {
			scopes = appendErrors(scopes, a.Value)
		}
	case slog.KindAny, slog.KindLogValuer:
		switch v := v.Any().(type) {
		case error:
			scopes = logadapters.AppendErrorScopes(scopes, v)
		case []error:
			scopes = logadapters.AppendErrorScopes(scopes, v...)
		}
	}
	return scopes
}

// bareError returns v, with errors that scope.Error has made replaced by those that they wrap.
func bareError(v slog.Value) slog.Value {
	if v.Kind() != slog.KindAny {
		return v
	}
	switch errs := v.Any().(type) {
	case error:
		return slog.AnyValue(logadapters.BareErrors(errs)[0])
	case []error:
		return slog.AnyValue(logadapters.BareErrors(errs...))
	}
	return v
}

// strip returns attrs without those for whose keys drop reports true.
func strip(attrs []slog.Attr, drop func(key string) bool) (kept []slog.Attr) {
	for _, a := range attrs {
		if a.Key == "" && a.Value.Kind() == slog.KindGroup {
			kept = append(kept, strip(a.Value.Group(), drop)...)
		} else if a.Key == "" || !drop(a.Key) {
			kept = append(kept, a)
		}
	}
	return kept
}
