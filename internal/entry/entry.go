// Package entry is what the entries share: which fields a task begins with, its id, and its
// last line.
package entry

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// ProcessWide returns s if a bare Set began its task, as main does it for the fields of the
// whole process. Others are a request's, or a job's, in which an entry happens to be built or
// called.
func ProcessWide(s scope.Scope) scope.Scope {
	if s.Internal().Bare() {
		return s
	}
	return scope.Scope{}
}

// NewID returns a new id: a UUID of version 7, which sorts by time.
func NewID(t time.Time) string {
	// Milliseconds, and then their fraction, as RFC 9562 has it in section 6.2, method 3.
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

// Agree returns the id of the task when the program's own fields have been set: what key has
// now, if it may replace id and a header can hold it. Otherwise id stays, in the field too. What
// isn't there is left out.
func Agree(key, id string, mayReplace bool) string {
	value, ok := scope.Get(key)
	if !ok {
		return id
	}
	v := slog.AnyValue(value)
	text := v.Resolve().String()
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

// Join returns attrs, which come from headers, and fields, the program's own, which replace those of
// their keys. If these say that the task is of another trace, as where a server begins one for
// each request, what attrs say of the trace goes: the fields of the keys ofTrace.
func Join(attrs, fields []slog.Attr, trace string, ofTrace ...string) []slog.Attr {
	id := func(attrs []slog.Attr) (text string) {
		for _, a := range attrs {
			if a.Key == trace {
				text = a.Value.Resolve().String()
			}
		}
		return text
	}
	if own := id(fields); trace != "" && own != "" && own != id(attrs) {
		attrs = slices.DeleteFunc(attrs, func(a slog.Attr) bool { return slices.Contains(ofTrace, a.Key) })
	}
	return append(attrs, fields...)
}

// A Line is the last line of a task, with its own attributes.
type Line struct {
	Log   func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr)
	Level slog.Level
	Msg   string
	Attrs []slog.Attr

	// Stamp returns the scope of the line, in place of s. attrs are all of the line's own, its
	// totals too. nil means s.
	Stamp func(s scope.Scope, attrs []slog.Attr) scope.Scope
}

// Write writes l within s, with the totals of the task. If limit is 0, it does so now. Otherwise
// the task must be live, and l is written when it is over, or after limit. Then l says how many
// calls of Run, Go and Wrap are going on.
func (l Line) Write(ctx context.Context, s scope.Scope, limit time.Duration) {
	if limit == 0 {
		s.Run(func() { l.write(ctx, 0) })
		return
	}
	in := s.Internal()
	write := s.Wrap(func() { l.write(ctx, in.Running()-1) }) // less this one
	var written atomic.Bool
	last := func() {
		if !written.Swap(true) {
			write()
			write = nil // the task may go on, and needs to keep nothing of it
		}
	}
	timer := time.AfterFunc(limit, last)
	in.AtEnd(func() { timer.Stop(); last() })
}

func (l Line) write(ctx context.Context, running int) {
	if running > 0 {
		l.Attrs = append(l.Attrs, slog.Int("scope_running", running))
	}
	s := scope.Current()
	attrs := s.Internal().LastTotals(l.Attrs)
	if l.Stamp == nil {
		l.Log(ctx, l.Level, l.Msg, attrs...)
		return
	}
	l.Stamp(s, attrs).Run(func() { l.Log(ctx, l.Level, l.Msg, attrs...) })
}

// AwaitLimit returns what a Line's limit is if these are an entry's options.
func AwaitLimit(await bool, limit time.Duration) time.Duration {
	if !await {
		return 0
	}
	return cmp.Or(max(limit, 0), 30*time.Second)
}
