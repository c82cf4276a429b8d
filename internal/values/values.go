// Package values has the one place where values of scopes are resolved.
package values

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
)

// Resolve returns v as log/slog would show it: without LogValuers at any depth, without groups that
// have nothing to show, and with groups that have no key replaced by their members. If a LogValue
// method panics, or answers with LogValuers for ever, its value is a text that says so. A v that is a
// group with nothing to show comes back as a group without members; one that contains itself, or has
// too many members, as a text that says so.
func Resolve(v slog.Value) slog.Value {
	if isEndless(v) {
		return slog.StringValue(tooLarge)
	}
	r, _ := resolve(v, 0)
	return r
}

// resolve is Resolve for a value that has depth LogValuers around it. It reports whether these come
// to an end; if they don't, the value of the outermost one says so.
func resolve(v slog.Value, depth int) (r slog.Value, ends bool) {
	switch v.Kind() {
	case slog.KindLogValuer:
		if depth == maxNested {
			return v, false
		}
		if r = logValue(v); isEndless(r) {
			return slog.StringValue(tooLarge), true
		}
		if r.Kind() == slog.KindGroup {
			if r, ends = resolve(r, depth+1); !ends && depth == 0 {
				return neverEnds(v), true
			}
			return r, ends
		}
		return r, true
	case slog.KindGroup:
		if members := v.Group(); slices.ContainsFunc(members, changes) {
			shown, ends := appendShown(nil, members, depth)
			return slog.GroupValue(shown...), ends
		}
	}
	return v, true
}

// changes reports whether Resolve changes a group that has member a.
func changes(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindLogValuer:
		return true
	case slog.KindGroup:
		members := a.Value.Group()
		return a.Key == "" || len(members) == 0 || slices.ContainsFunc(members, changes)
	}
	return IsZero(a)
}

func appendShown(shown, members []slog.Attr, depth int) (_ []slog.Attr, ends bool) {
	for _, a := range members {
		if IsZero(a) {
			continue
		}
		if a.Value, ends = resolve(a.Value, depth); !ends {
			return nil, false
		}
		switch {
		case a.Value.Kind() != slog.KindGroup:
			shown = append(shown, a)
		case a.Key == "":
			shown = append(shown, a.Value.Group()...)
		case len(a.Value.Group()) > 0:
			shown = append(shown, a)
		}
	}
	return shown, true
}

// IsZero reports whether a is the zero Attr, which log/slog ignores.
func IsZero(a slog.Attr) bool {
	return a.Key == "" && a.Value.Kind() == slog.KindAny && a.Value.Any() == nil
}

// HasLogValuer reports whether v is, or has in it, something to be resolved anew for each line.
func HasLogValuer(v slog.Value) bool {
	found, _ := find(v, func(v slog.Value) bool { return v.Kind() == slog.KindLogValuer })
	return found
}

// IsPlain reports whether v is a bool, a number, a string, a time, a duration, or a group of these:
// encoding it calls no method of a user's type.
func IsPlain(v slog.Value) bool {
	found, _ := find(v, func(v slog.Value) bool { return v.Kind() == slog.KindAny || v.Kind() == slog.KindLogValuer })
	return !found
}

// AreScalars reports whether the values of attrs are strings, integers and bools only.
func AreScalars(attrs []slog.Attr) bool {
	for i := range attrs {
		switch attrs[i].Value.Kind() {
		case slog.KindString, slog.KindInt64, slog.KindUint64, slog.KindBool:
		default:
			return false
		}
	}
	return true
}

// isEndless reports whether v is a group that contains itself, or one with too many members.
func isEndless(v slog.Value) bool {
	_, ends := find(v, func(slog.Value) bool { return false })
	return !ends
}

// find reports whether match holds for v or, if that is a group, for a member at any depth; and whether
// it came to the end of the group, which may be too large to be searched.
func find(v slog.Value, match func(slog.Value) bool) (found, ends bool) {
	if v.Kind() != slog.KindGroup {
		return match(v), true
	}
	left := maxMembers
	found = findIn(v, match, 0, &left)
	return found, left > 0
}

func findIn(v slog.Value, match func(slog.Value) bool, depth int, left *int) bool {
	if *left--; depth > maxDepth {
		*left = 0
	}
	if v.Kind() != slog.KindGroup {
		return match(v)
	}
	for _, a := range v.Group() {
		if *left <= 0 {
			return false
		}
		if findIn(a.Value, match, depth+1, left) {
			return true
		}
	}
	return false
}

// CloneGroups returns a with groups of its own: for code that may change what it is given.
func CloneGroups(a slog.Attr) slog.Attr {
	a.Value = Convert(a.Value, func(v slog.Value) slog.Value { return v })
	return a
}

// Convert returns what f makes of v. If that is a group, it returns a new one, whose members' values
// are converted in the same way.
func Convert(v slog.Value, f func(slog.Value) slog.Value) slog.Value {
	if v = f(v); v.Kind() == slog.KindGroup {
		members := slices.Clone(v.Group())
		for i := range members {
			members[i].Value = Convert(members[i].Value, f)
		}
		v = slog.GroupValue(members...)
	}
	return v
}

// CloneBytes returns v, or a copy of it if it is a slice of bytes, of whatever type.
func CloneBytes(v any) any {
	b := reflect.ValueOf(v)
	if b.Kind() != reflect.Slice || b.Type().Elem().Kind() != reflect.Uint8 || b.IsNil() {
		return v
	}
	c := reflect.MakeSlice(b.Type(), b.Len(), b.Len())
	reflect.Copy(c, b)
	return c.Interface()
}

// maxLogValues ends a chain of LogValuers that answer with LogValuers, as in log/slog. maxNested ends
// one of LogValuers that answer with groups of LogValuers, where log/slog has no end.
const (
	maxLogValues = 100
	maxNested    = 1000
)

func neverEnds(v slog.Value) slog.Value {
	return slog.StringValue(fmt.Sprintf("!PANIC: LogValue of %T never ends", v.Any()))
}

// logValue is slog's Value.Resolve with a shorter text for a panic: slog's has a stack trace.
func logValue(v slog.Value) (r slog.Value) {
	defer func() {
		if p := recover(); p != nil {
			r = Panic(p)
		}
	}()
	if answer, ends := Unwrap(v); ends {
		return answer
	}
	return neverEnds(v)
}

// Unwrap returns v or, if it is a LogValuer, what that answers with. ends is false if there are
// LogValuers without end. Members of a group stay as they are. A method of v may panic.
func Unwrap(v slog.Value) (answer slog.Value, ends bool) {
	for range maxLogValues {
		if v.Kind() != slog.KindLogValuer {
			return v, true
		}
		v = v.LogValuer().LogValue()
	}
	return v, false
}

// Panic returns what is shown in place of a value whose method panicked with p.
func Panic(p any) (text slog.Value) {
	return slog.StringValue("!PANIC: " + Text(p)) // p is a user's too: its own Error or String may panic, or log
}
