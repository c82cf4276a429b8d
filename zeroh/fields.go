package zeroh

import (
	"bytes"
	"cmp"
	"encoding/json"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A cache is a [logadapters.Cache] that is replaced when zerolog's variables change: what is remembered
// depends on them.
type cache[L any] struct {
	options *logadapters.Options
	base    L
	attach  func(l L, fields logadapters.Fields) L
	last    atomic.Pointer[configured[L]]
}

// A configured cache is valid while zerolog's variables are these.
type configured[L any] struct {
	logadapters.Cache[L]
	variables
}

type variables struct {
	usual                bool   // zerolog's own fields have their default names
	level, message, time string // these names
	stacks               bool   // iff there is an ErrorStackMarshaler
}

func (c *cache[L]) lookup(s scope.Scope) *logadapters.Derived[L] {
	last := c.last.Load()
	if last == nil || !last.areCurrent() {
		last = &configured[L]{variables: variables{areUsual(), zerolog.LevelFieldName, zerolog.MessageFieldName, zerolog.TimestampFieldName, zerolog.ErrorStackMarshaler != nil}}
		last.Options, last.Base, last.Attach, last.Quiet = c.options, c.base, c.attach, true
		last.Reserved = []string{last.level, last.message, last.time}
		c.last.Store(last)
	}
	return last.Lookup(s)
}

func (v *variables) areCurrent() bool {
	return v.usual == areUsual() && v.stacks == (zerolog.ErrorStackMarshaler != nil) &&
		(v.usual || v.level == zerolog.LevelFieldName && v.message == zerolog.MessageFieldName && v.time == zerolog.TimestampFieldName)
}

// areUsual is called for each line. Comparisons with constants are cheap: they take no call.
func areUsual() bool {
	return zerolog.LevelFieldName == "level" && zerolog.MessageFieldName == "message" && zerolog.TimestampFieldName == "time"
}

// A fragment is a piece of a line: the fields of a scope. The zero fragment has none.
//
// RawJSON writes a key and then any bytes, which makes it one call for all fields: json is what
// follows the first key and its colon.
type fragment struct {
	deferred *deferred // what comes in front; mostly nil
	key      string    // the first key of json
	json     []byte    // nil if there is nothing behind deferred
}

// A deferred is a piece of a line that ends with fields that can't be encoded in advance.
type deferred struct {
	before fragment
	fields logadapters.Fields
	plain  bool // encoding fields calls no user's method
}

// attach returns f with fields behind.
func attach(f fragment, fields logadapters.Fields) fragment {
	f.attach(&fields)
	return f
}

func (f *fragment) attach(fields *logadapters.Fields) {
	members := encode(fields) // in any case, to see whether it panics
	switch {
	case members == nil || mayHaveStack(fields.Attrs):
		f.attachDeferred(fields)
	case f.json == nil:
		f.key, f.json = cmp.Or(fields.Group, fields.Attrs[0].Key), behindKey(members)
	default:
		f.json = bytes.Join([][]byte{f.json, members}, []byte(","))
	}
}

func (f *fragment) attachDeferred(fields *logadapters.Fields) {
	d := &deferred{before: *f, fields: *fields}
	d.plain = values.IsPlain(slog.GroupValue(fields.Attrs...))
	*f = fragment{deferred: d}
}

// behindKey returns what follows the first key of members, as it was escaped, and the colon.
func behindKey(members []byte) []byte {
	end := 1
	for end < len(members) && members[end] != '"' {
		if members[end] == '\\' {
			end++
		}
		end++
	}
	return members[min(end+len(`":`), len(members)):]
}

// addTo adds f, of s, to e.
func (f *fragment) addTo(e *zerolog.Event, s scope.Scope) {
	if d := f.deferred; d != nil {
		d.before.addTo(e, s)
		if d.plain {
			addAll(e, &d.fields, false)
		} else {
			logadapters.Encode(s, func() { addAll(e, &d.fields, true) })
		}
	}
	if f.json != nil {
		e.RawJSON(f.key, f.json)
	}
}

// addAll adds fields to e with the methods of zerolog. If a method of a value panics, the field says so
// if safe is true; else the panic goes on.
func addAll(e *zerolog.Event, fields *logadapters.Fields, safe bool) {
	into := e
	if fields.Group != "" {
		into = e.CreateDict()
	}
	for i := range fields.Attrs {
		if safe {
			addSafely(into, fields, i)
		} else {
			add(into, fields, i)
		}
	}
	if fields.Group != "" {
		e.Dict(fields.Group, into)
	}
}

// addSafely adds field i. If a method of its value panics, the field says so.
func addSafely(e *zerolog.Event, fields *logadapters.Fields, i int) {
	defer func() {
		if p := recover(); p != nil { // zerolog has added nothing then
			e.Str(fields.Attrs[i].Key, values.Panic(p).String())
		}
	}()
	add(e, fields, i)
}

// add adds field i. Event.Fields is the method that takes a value of any type and has zerolog's own
// encoding for those that it knows. Str and Int64 do the same without boxing.
func add(e *zerolog.Event, fields *logadapters.Fields, i int) {
	switch a := &fields.Attrs[i]; a.Value.Kind() {
	case slog.KindString:
		e.Str(a.Key, a.Value.String())
	case slog.KindInt64:
		e.Int64(a.Key, a.Value.Int64())
	case slog.KindGroup:
		addAll(e, &logadapters.Fields{Group: a.Key, Attrs: a.Value.Group()}, false)
	default:
		e.Fields([]any{a.Key, writable(fields.Any(i))})
	}
}

// writable returns v as Event.Fields can write it. For an error that is a nil pointer, alone or in a slice,
// that leaves out the value, which no reader of JSON accepts, and it copies raw JSON unchecked.
func writable(v any) any {
	switch v := v.(type) {
	case error:
		if isNil(logadapters.BareErrors(v)[0]) { // MarshalError returns that
			return nil
		}
	case []error:
		errs := slices.Clone(v) // the program's own stays as it is
		for i, err := range errs {
			errs[i], _ = writable(err).(error)
		}
		return errs
	case json.RawMessage:
		return checked(v)
	}
	return v
}

// checked returns raw if it is JSON, without the line breaks that would split the line, and else a
// text that says so: what isn't JSON might end the line, and begin one with other ids.
func checked(raw json.RawMessage) any {
	if raw == nil {
		return nil // as encoding/json has it
	}
	if json.Valid(raw) && !bytes.ContainsAny(raw, "\r\n") {
		return raw
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "!ERROR:" + err.Error() // as log/slog has it
	}
	return json.RawMessage(b.Bytes())
}

// mayHaveStack reports whether zerolog may write a stack with one of attrs, in an event that has
// Stack set.
func mayHaveStack(attrs []slog.Attr) bool {
	return zerolog.ErrorStackMarshaler != nil && slices.ContainsFunc(attrs, hasStack)
}

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
