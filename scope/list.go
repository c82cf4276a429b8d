package scope

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"

	"github.com/taskscope/taskscope/internal/values"
)

// showList puts what lines have of the values of a list in their place. As with lines, a value's own
// method that asks for the list finds what needs no method, so that none calls itself.
func (n *node) showList(list []any) {
	plainOnly := max(n.encodingLevel(), bound().encodingLevel()) > 0
	n.Encode(func() {
		for i, v := range list {
			list[i] = listed(v, plainOnly)
		}
	})
}

// listed returns v as a line has it in a list: a LogValuer resolved, of an error the text, of a group
// a map, and what a logger's encoder may fail with as an element.
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
		case element: // of a last line
			return v
		default:
			return element{v}
		}
	}
	return r.Any()
}

// An element is a value in a list. If it can't be encoded, it says so in its own place: with an
// encoder's error a logger shows nothing of the list.
type element struct{ value any }

// Format writes what fmt writes of the value itself, which may have no end for it.
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
	enc.SetEscapeHTML(false) // the logger's own encoder does it, or not
	if err := enc.Encode(e.value); err != nil {
		return json.Marshal("!ERROR:" + err.Error())
	}
	return b.Bytes(), nil
}
