package scope

import (
	"log/slog"
	"math"
	"reflect"
)

// any returns the value as it was given.
func (f *field) any() any {
	if f.orig != nil {
		return f.orig
	}
	return f.value.Any()
}

// as returns the value of f as a T. A value that was given as it is must be a T. One
// that came as an Attr has lost the width of its number: any integer or float type that
// holds it without loss will do.
func as[T any](f field) (v T, ok bool) {
	if f.orig != nil {
		v, ok = f.orig.(T)
		return v, ok
	}
	value := f.value
	// A string would be boxed by Any, and strings are most of what scopes hold.
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
