package values

import (
	"fmt"
	"log/slog"
	"reflect"
)

// The limits of a value. It may lead back to itself, and package fmt has no end for that: the stack
// overflow ends the process.
const (
	maxDepth   = 1000
	maxMembers = 100_000 // of a group, at any depth
	maxPrinted = 10_000  // values in one that fmt prints
)

const tooLarge = "!BADVALUE: nested too deep, or too large"

// TooLarge reports whether v is, or has in it, a value that leads back to itself, or one with so many
// others in it that no text should be made of it.
func TooLarge(v slog.Value) bool {
	m := meter{maxPrinted}
	m.value(v, 0)
	return m.left <= 0
}

// String is v.String for a value that may be TooLarge: it says so.
func String(v slog.Value) string {
	if TooLarge(v) {
		return tooLarge
	}
	return v.String()
}

// Text is fmt.Sprint for what a program has panicked with, or for an error of its own. It may be
// TooLarge, or have a method that panics: with such a value, or with one whose own method panics.
func Text(v any) (text string) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		defer func() {
			if recover() != nil {
				text = fmt.Sprintf("!PANIC: %T", p)
			}
		}()
		m := meter{maxPrinted}
		if m.printed(p, 0); m.left > 0 {
			text = fmt.Sprint(v) // which says what has panicked
		} else {
			text = "!PANIC: " + tooLarge
		}
	}()
	switch v := v.(type) {
	case fmt.Formatter:
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	}
	m := meter{maxPrinted}
	if m.printed(v, 0); m.left <= 0 {
		return tooLarge
	}
	return fmt.Sprint(v)
}

// A meter counts values.
type meter struct{ left int } // 0 once there were too many

func (m *meter) spend(depth int) (over bool) {
	if m.left--; depth > maxDepth {
		m.left = 0
	}
	return m.left <= 0
}

func (m *meter) value(v slog.Value, depth int) {
	switch v.Kind() {
	case slog.KindAny, slog.KindLogValuer:
		m.printed(v.Any(), depth)
	case slog.KindGroup:
		m.spend(depth)
		for _, a := range v.Group() {
			if m.left <= 0 {
				return
			}
			m.value(a.Value, depth+1)
		}
	}
}

// printed counts what fmt goes through for v: there it follows a pointer. What has a text of its own
// isn't gone through.
func (m *meter) printed(v any, depth int) {
	switch v := v.(type) {
	case slog.Value:
		m.value(v, depth)
		return
	case slog.Attr:
		m.value(v.Value, depth)
		return
	case nil, error, fmt.Stringer, fmt.Formatter:
		return
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	m.measure(r, depth)
}

func (m *meter) measure(r reflect.Value, depth int) {
	if m.spend(depth) {
		return
	}
	switch r.Kind() {
	case reflect.Interface:
		if !r.IsNil() {
			m.measure(r.Elem(), depth+1)
		}
	case reflect.Struct:
		if r.CanInterface() {
			switch v := r.Interface().(type) {
			case slog.Attr, slog.Value:
				m.printed(v, depth+1)
				return
			}
		}
		for i := range r.NumField() {
			m.measure(r.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := 0; i < r.Len() && m.left > 0; i++ {
			m.measure(r.Index(i), depth+1)
		}
	case reflect.Map:
		for entries := r.MapRange(); entries.Next() && m.left > 0; {
			m.measure(entries.Key(), depth+1)
			m.measure(entries.Value(), depth+1)
		}
	}
}
