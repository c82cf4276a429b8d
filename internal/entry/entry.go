// Package entry is what the entries share: which fields a task begins with, its id, its last
// line, and what is sent to the next service.
package entry

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// SpanIDKey is the field with the id of the current span, which package otelscope sets.
const SpanIDKey = "span_id"

// ProcessWide returns s if a bare Set began its task, as in main, for fields of the whole process.
// Other scopes belong to a request or a job in which an entry happens to be built or called: for
// them it returns the zero Scope. A span of main's, such as one around all that happens at start-up, isn't
// the process's either: its ids are left out.
func ProcessWide(s scope.Scope) scope.Scope {
	switch {
	case !s.Internal().Bare():
		return scope.Scope{}
	case s.Has(SpanIDKey):
		return s.Without(SpanIDKey, propagation.TraceIDKey, propagation.ParentSpanIDKey, propagation.TraceFlagsKey, propagation.TraceStateKey)
	}
	return s
}

// NewID returns a new id: a UUID of version 7, which sorts by time.
func NewID(t time.Time) string {
	// Milliseconds, and then their fraction: RFC 9562, section 6.2, method 3.
	now := uint64(t.UnixNano())
	high := now/1e6<<16 | 7<<12 | now%1e6<<12/1e6
	low := rand.Uint64()&^(3<<62) | 2<<62 // an id is no secret: see package math/rand/v2
	var id [36]byte
	for i, shift := 0, 60; i < len(id); i++ {
		switch i {
		case 8, 13, 18, 23:
			id[i] = '-'
			continue
		}
		id[i] = "0123456789abcdef"[high>>shift&15]
		if shift -= 4; shift < 0 {
			high, shift = low, 60
		}
	}
	return string(id[:])
}

// Usable reports whether a header can hold id as it is.
func Usable(id string) bool {
	if id == "" || len(id) > 1024 || id[0] == ' ' || id[len(id)-1] == ' ' {
		return false
	}
	return !strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c > '~' })
}

// textOf returns the text of an id, or "" if it has none: it may contain itself.
func textOf(v slog.Value) string {
	text, ok := values.String(v.Resolve())
	if !ok {
		return ""
	}
	return text
}

// SettleID returns the id of the task, once the program's own fields have been set: the value that key
// has now, if it may replace id and a header can hold it. Otherwise id stays, and becomes the value of
// key again, if key has a field.
func SettleID(key, id string, mayReplace bool) string {
	value, ok := scope.Get(key)
	if !ok {
		return id
	}
	v := slog.AnyValue(value)
	text := textOf(v)
	if text == id {
		return id
	}
	if mayReplace && Usable(text) {
		id = text
		switch v.Kind() {
		case slog.KindString, slog.KindInt64, slog.KindUint64:
			return id
		}
		// Any other value might have another text next time.
	}
	scope.SetAttrs(slog.String(key, id))
	return id
}
