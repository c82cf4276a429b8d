package scope

import (
	"log/slog"
	"math"
	"reflect"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// A list has the fields of a node twice: as Attrs, for lines, and as the values that Set was
// given, for Get. An Attr loses types (an int becomes an int64), and allocates when it is asked for
// an any. A field that came as an Attr has no orig, or nil.
type list struct {
	attrs []slog.Attr
	orig  *[]any // nil, or perhaps shorter than attrs
}

// A field is one field of a node.
type field struct {
	slog.Attr
	orig any
}

func (l *list) field(i int) field {
	f := field{Attr: l.attrs[i]}
	if l.orig != nil && i < len(*l.orig) {
		f.orig = (*l.orig)[i]
	}
	return f
}

// index returns where the field of key is, or -1. key is not empty.
func (l *list) index(key string) int {
	for i := range l.attrs {
		if carrier.Same(l.attrs[i].Key, key) {
			return i
		}
	}
	return -1
}

// any returns the value of field i as it was given.
func (l *list) any(i int) any {
	if l.orig != nil && i < len(*l.orig) {
		if v := (*l.orig)[i]; v != nil {
			return v
		}
	}
	return l.attrs[i].Value.Any()
}

// put puts f into place i, or appends it if i is the length.
func (l *list) put(i int, f field) {
	if i < len(l.attrs) {
		l.attrs[i] = f.Attr
	} else {
		l.attrs = append(l.attrs, f.Attr)
	}
	if l.orig == nil {
		if f.orig == nil {
			return
		}
		orig := make([]any, 0, cap(l.attrs))
		l.orig = &orig
	}
	for len(*l.orig) <= i {
		*l.orig = append(*l.orig, nil)
	}
	(*l.orig)[i] = f.orig
}

func isRestricted(key string) bool { return Policy(key)&(Hidden|Redacted) != 0 }

// firstRestricted returns the index of the first of attrs whose key is restricted, or len(attrs).
func firstRestricted(attrs []slog.Attr) int {
	for i := range attrs {
		if isRestricted(attrs[i].Key) {
			return i
		}
	}
	return len(attrs)
}

// shown returns f as the policy of its key has it, and whether it may be shown at all.
func (f field) shown() (a slog.Attr, ok bool) {
	policy := Policy(f.Key)
	if policy&Redacted != 0 {
		return slog.String(f.Key, RedactedText), policy&Hidden == 0
	}
	return f.Attr, policy&Hidden == 0
}

// as returns the value of f as a T. A value that Set was given must be a T. A number
// that came as an Attr has lost its width: T may be any integer or float type that
// holds it without loss.
func as[T any](f field) (v T, ok bool) {
	if f.orig != nil {
		v, ok = f.orig.(T)
		return v, ok
	}
	value := f.Value
	// Any would box a string, and scopes hold strings mostly.
	if p, is := any(&v).(*string); is && value.Kind() == slog.KindString {
		*p = value.String()
		return v, true
	}
	if v, ok = value.Any().(T); ok {
		return v, true
	}
	r := reflect.ValueOf(&v).Elem()
	if r.Kind() == reflect.Interface {
		return v, value.Any() == nil // a nil that was set is there
	}
	if r.Type().PkgPath() != "" {
		return v, false
	}
	switch value.Kind() {
	case slog.KindInt64:
		x := value.Int64()
		if ok = r.CanInt() && !r.OverflowInt(x); ok {
			r.SetInt(x)
		} else if ok = r.CanUint() && x >= 0 && !r.OverflowUint(uint64(x)); ok {
			r.SetUint(uint64(x))
		}
	case slog.KindUint64:
		x := value.Uint64()
		if ok = r.CanUint() && !r.OverflowUint(x); ok {
			r.SetUint(x)
		} else if ok = r.CanInt() && x <= math.MaxInt64 && !r.OverflowInt(int64(x)); ok {
			r.SetInt(int64(x))
		}
	case slog.KindFloat64:
		x := value.Float64()
		if ok = r.Kind() == reflect.Float32 && (float64(float32(x)) == x || x != x); ok {
			r.SetFloat(x)
		}
	}
	return v, ok
}
