package values

import (
	"fmt"
	"log/slog"
	"reflect"
)

// The limits of a value. A value may contain itself, and package fmt would go round in it until the
// stack overflows, which ends the process.
const (
	maxDepth   = 1000
	maxMembers = 100_000 // of a group, at any depth
	maxPrinted = 10_000  // values in one that fmt prints
)

const tooLarge = "!BADVALUE: nested too deep, or too large"

// TooLarge reports whether v is, or has in it, a value that contains itself, or one with so many
// others in it that no text should be made of it. It calls the methods of v that give it a text,
// since these may panic with such a value, which fmt prints.
func TooLarge(v slog.Value) bool {
	m := meter{left: maxPrinted, asks: true}
	m.value(v, 0)
	return m.left <= 0
}

// Left returns limit less the number of values that package fmt goes through for v: 0 or less if there
// are too many.
func Left(limit int, v any) int {
	m := meter{left: limit, asks: true}
	m.printed(v, 0)
	return m.left
}

// String returns what v.String does. Of a value that is TooLarge it says so, and ok is false.
func String(v slog.Value) (text string, ok bool) {
	if TooLarge(v) {
		return tooLarge, false
	}
	if kind := v.Kind(); kind == slog.KindAny || kind == slog.KindLogValuer {
		return fmt.Sprint(Printable(v.Any())), true
	}
	return v.String(), true
}

// Text is fmt.Sprint for what a program has panicked with, or for an error of its own. v may be
// TooLarge, or have a method that panics with such a value, or with one whose own method panics.
func Text(v any) (text string) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		defer func() {
			if recover() != nil {
				text = fmt.Sprintf("!PANIC: text of %T", v)
			}
		}()
		if isPrintable(p) {
			text = fmt.Sprint(v) // which says what has panicked
		} else {
			text = "!PANIC: " + tooLarge
		}
	}()
	if e, ok := v.(wrapper); ok {
		v = e.Bare()
	}
	switch v := v.(type) {
	case slog.Value, slog.Attr, *slog.Value, *slog.Attr: // their String has no end for what contains itself
	case fmt.Formatter:
		return fmt.Sprint(Printable(v))
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	}
	if Left(maxPrinted, v) <= 0 {
		return tooLarge
	}
	return fmt.Sprint(v)
}

// A wrapper is what scope.Error returns. It has fmt call the error's own methods, so what these panic
// with can't be seen from outside.
type wrapper interface {
	error
	Bare() error
}

// Printable returns v for package fmt to print. A Formatter is wrapped: if it panics with something that
// is TooLarge, which fmt would print too, the text says so. v itself must not be TooLarge.
func Printable(v any) any {
	f, ok := v.(fmt.Formatter)
	if r := reflect.ValueOf(v); !ok || r.Kind() == reflect.Pointer && r.IsNil() {
		return v
	}
	return formatter{f}
}

type formatter struct{ fmt.Formatter }

func (f formatter) Format(s fmt.State, verb rune) {
	defer func() {
		if p := recover(); p != nil {
			if !isPrintable(p) {
				p = tooLarge
			}
			panic(p) // fmt says so
		}
	}()
	f.Formatter.Format(s, verb)
}

// isPrintable reports whether fmt can print p, which a method has panicked with. If a method of p
// panics in turn, fmt panics too.
func isPrintable(p any) bool {
	m := meter{left: maxPrinted}
	m.printed(p, 0)
	return m.left > 0
}

// A meter counts values.
type meter struct {
	left int  // 0 or less once there were too many
	asks bool // calls the methods that give a value its text: fmt prints what they panic with
}

func (m *meter) spend(depth int) (over bool) {
	if m.left--; depth > maxDepth {
		m.left = 0
	}
	return m.left <= 0
}

// value counts what is in v. slog calls fmt anew for its text, and that prints what a method in v
// panics with.
func (m *meter) value(v slog.Value, depth int) {
	defer func(asks bool) { m.asks = asks }(m.asks)
	m.asks = true
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

// printed counts what fmt goes through if it is given v itself: only then it follows a pointer. A
// value with a text of its own isn't gone through.
func (m *meter) printed(v any, depth int) {
	if m.special(v, depth) {
		return
	}
	switch v := v.(type) {
	case nil, fmt.Formatter:
		return
	case error, fmt.Stringer:
		m.ask(v, depth)
		return
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	m.measure(r, depth)
}

// special counts what is in v, if its type is one whose text is made of other values: one that fmt
// knows, or that has a method for it. It reports whether it is.
func (m *meter) special(v any, depth int) bool {
	switch v := v.(type) {
	case slog.Value:
		m.inner(v, depth)
	case slog.Attr:
		m.inner(v.Value, depth)
	case *slog.Value:
		if v != nil {
			m.inner(*v, depth)
		}
	case *slog.Attr:
		if v != nil {
			m.inner(v.Value, depth)
		}
	case reflect.Value:
		if !m.spend(depth) && v.IsValid() && v.CanInterface() {
			m.printed(v.Interface(), depth+1)
		} else if m.left > 0 && v.IsValid() {
			m.measure(v, depth)
		}
	case wrapper:
		if !m.spend(depth) {
			m.ask(v.Bare(), depth+1)
		}
	default:
		return false
	}
	return true
}

// inner counts v, which was found in another value, and what is in it.
func (m *meter) inner(v slog.Value, depth int) {
	if !m.spend(depth) {
		m.value(v, depth+1)
	}
}

// ask calls the method that v, an error or a fmt.Stringer, has for its text, and counts what that
// panics with.
func (m *meter) ask(v any, depth int) {
	if !m.asks || m.spend(depth) {
		return
	}
	m.asks = false
	m.printed(panicOf(v), depth+1)
	m.asks = true
}

func panicOf(v any) (p any) {
	defer func() { p = recover() }()
	switch v := v.(type) {
	case error:
		_ = v.Error()
	case fmt.Stringer:
		_ = v.String()
	}
	return nil
}

func (m *meter) measure(r reflect.Value, depth int) {
	if m.spend(depth) {
		return
	}
	hasMethods := r.Kind() != reflect.Interface && r.NumMethod() > 0 && r.CanInterface()
	if hasMethods && m.special(r.Interface(), depth+1) {
		return
	}
	switch r.Kind() {
	case reflect.Interface:
		if !r.IsNil() {
			m.measure(r.Elem(), depth+1)
		}
	case reflect.Struct:
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
	if hasMethods && m.left > 0 {
		m.ask(r.Interface(), depth)
	}
}
