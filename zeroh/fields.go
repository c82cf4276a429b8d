package zeroh

import (
	"log/slog"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A cache is a [logadapters.Cache] that is replaced when a variable of zerolog changes that what is
// remembered depends on.
type cache[L any] struct {
	options *logadapters.Options
	base    L
	attach  func(l L, fields logadapters.Fields) L
	last    atomic.Pointer[settled[L]]
}

// A settled cache is right while these are zerolog's variables.
type settled[L any] struct {
	logadapters.Cache[L]
	variables
}

type variables struct {
	level, message, time string // the names of zerolog's own fields
	stacks               bool   // iff there is an ErrorStackMarshaler
}

func (c *cache[L]) lookup(s scope.Scope) *logadapters.Derived[L] {
	last := c.last.Load()
	if last == nil || !last.areCurrent() {
		last = &settled[L]{variables: variables{zerolog.LevelFieldName, zerolog.MessageFieldName, zerolog.TimestampFieldName, zerolog.ErrorStackMarshaler != nil}}
		last.Options, last.Base, last.Attach, last.Quiet = c.options, c.base, c.attach, true
		last.Reserved = []string{last.level, last.message, last.time}
		c.last.Store(last)
	}
	return last.Lookup(s)
}

func (v *variables) areCurrent() bool {
	return v.level == zerolog.LevelFieldName && v.message == zerolog.MessageFieldName && v.time == zerolog.TimestampFieldName && v.stacks == (zerolog.ErrorStackMarshaler != nil)
}

// A fragment is a piece of a line: the fields of a scope. The zero fragment has none.
//
// RawJSON writes a key and then any bytes, which makes it one call for all fields: json is what
// follows the first key and its colon.
type fragment struct {
	key  string // the first key
	json []byte // nil if the fields can't be encoded in advance

	fields *logadapters.Fields // if json is nil: they are encoded with the line
	plain  bool                // encoding fields calls no user's method
	before *fragment           // what comes in front
}

// attach returns l with fields behind.
func attach(l fragment, fields logadapters.Fields) fragment {
	f, members := encode(&fields) // in any case, to see whether it panics
	if f.json == nil || zerolog.ErrorStackMarshaler != nil && slices.ContainsFunc(fields.Attrs, hasStack) {
		late := fields // not fields itself: that would be allocated for every fragment
		f = fragment{fields: &late, plain: values.IsPlain(slog.GroupValue(fields.Attrs...))}
	}
	if l.json != nil && f.json != nil {
		l.json = slices.Concat(l.json, []byte(","), members)
		return l
	}
	if l.json != nil || l.fields != nil {
		before := l
		f.before = &before
	}
	return f
}

// addTo adds f, of s, to e.
func (f *fragment) addTo(e *zerolog.Event, s scope.Scope) {
	if f.before != nil {
		f.before.addTo(e, s)
	}
	switch {
	case f.json != nil:
		e.RawJSON(f.key, f.json)
	case f.plain:
		addAll(e, f.fields, false)
	default:
		logadapters.Encode(s, func() { addAll(e, f.fields, true) })
	}
}

// addAll adds fields to e with the methods of zerolog. If safe, a field says so whose value's method
// panics; else the panic goes on.
func addAll(e *zerolog.Event, fields *logadapters.Fields, safe bool) {
	into := e
	if fields.Group != "" {
		into = e.CreateDict()
	}
	for i := range fields.Attrs {
		add(into, fields, i, safe)
	}
	if fields.Group != "" {
		e.Dict(fields.Group, into)
	}
}

// add adds field i. Event.Fields is the method that takes a value of any type and has zerolog's own
// encoding for those that it knows. Str and Int64 do the same without boxing.
func add(e *zerolog.Event, fields *logadapters.Fields, i int, safe bool) {
	a := &fields.Attrs[i]
	if safe {
		defer func() {
			if p := recover(); p != nil { // zerolog has added nothing then
				e.Str(a.Key, "!PANIC: "+values.Text(p))
			}
		}()
	}
	switch a.Value.Kind() {
	case slog.KindString:
		e.Str(a.Key, a.Value.String())
	case slog.KindInt64:
		e.Int64(a.Key, a.Value.Int64())
	case slog.KindGroup:
		addAll(e, &logadapters.Fields{Group: a.Key, Attrs: a.Value.Group()}, false)
	default:
		e.Fields([]any{a.Key, orNil(fields.Any(i))})
	}
}

// orNil returns v with nil in place of an error that is a nil pointer, alone or in a slice:
// Event.Fields writes nothing for it, which no reader of JSON accepts.
func orNil(v any) any {
	switch v := v.(type) {
	case error:
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return nil
		}
	case []error:
		errs := slices.Clone(v)
		for i, err := range errs {
			errs[i], _ = orNil(err).(error)
		}
		return errs
	}
	return v
}

// hasStack reports whether zerolog may write a stack with a, in an event that has Stack set.
func hasStack(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindAny:
		switch a.Value.Any().(type) {
		case error, zerolog.LogObjectMarshaler, []zerolog.LogObjectMarshaler:
			return true
		}
	case slog.KindGroup:
		return slices.ContainsFunc(a.Value.Group(), hasStack)
	}
	return false
}
