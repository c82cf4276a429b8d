package scope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"

	"github.com/taskscope/taskscope/internal/values"
)

// showList replaces the values of a list with what lines show of them. As on lines, a value's own
// method that asks for the list finds only what needs no method, so that no method calls itself.
func (n *node) showList(list []any) {
	plainOnly := max(n.encodingLevel(), bound().encodingLevel()) > 0
	n.Encode(func() {
		for i, v := range list {
			list[i] = listed(v, plainOnly)
		}
	})
}

// listed returns v as a line shows it in a list: a LogValuer resolved, an error as its text, a group
// as a map, and what a logger's encoder may fail on as an element.
func listed(v any, plainOnly bool) (shown any) {
	defer func() {
		if p := recover(); p != nil {
			shown = values.Panic(p).String()
		}
	}()
	r := slog.AnyValue(v)
	_, isError := r.Any().(error)
	if plainOnly && (isError || values.HasLogValuer(r)) {
		return fmt.Sprintf("!ERROR: %T isn't asked for its text within another value's method", r.Any())
	}
	switch r = values.Resolve(r); r.Kind() {
	case slog.KindGroup:
		group := map[string]any{}
		for _, a := range r.Group() {
			group[normalizeKey(a.Key)] = listed(a.Value, plainOnly)
		}
		return group
	case slog.KindFloat64:
		if f := r.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			return element{f}
		}
		if f, ok := v.(float32); ok {
			return f // with its own digits
		}
	case slog.KindAny:
		switch v := r.Any().(type) {
		case nil:
			return nil
		case error:
			return v.Error()
		case element: // the last line has listed it already
			return v
		default:
			return element{v}
		}
	}
	return r.Any()
}

// An element is a value in a list. If it can't be encoded, its text says so: an encoder's error
// would cost the whole list.
type element struct{ value any }

// Format writes what fmt writes for the value itself, or a text that says that this has no end.
func (e element) Format(f fmt.State, verb rune) {
	if v := slog.AnyValue(e.value); values.TooLarge(v) {
		e.value, _ = values.String(v)
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), values.Printable(e.value))
}

// MarshalJSON implements json.Marshaler.
func (e element) MarshalJSON() (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			text, err = json.Marshal(values.Panic(p).String())
		}
	}()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // that is for the logger's own encoder to do, or not
	if err := enc.Encode(e.value); err != nil {
		return json.Marshal("!ERROR:" + err.Error())
	}
	return b.Bytes(), nil
}
