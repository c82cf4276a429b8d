package main

import (
	"context"
	"slices"

	"github.com/taskscope/taskscope/scope"
)

// The model: what the documentation promises, in plain variables that are passed on by hand.
// Nothing of it goes through a goroutine's scope. Here is what all operations use. Further files
// have the model of fields, of the ends of tasks, of Pick, and of shared fields.

// A state is the model of a scope. nil is the zero Scope. Nothing in it changes once it is made,
// except what contexts know of it.
type state struct {
	fields []field // in the order of a line
	task   *task
	history
}

// A pair is a scope and its model.
type pair struct {
	real scope.Scope
	st   *state
}

func (st *state) taskOf() *task {
	if st == nil {
		return nil
	}
	return st.task
}

func (st *state) len() int {
	if st == nil {
		return 0
	}
	return len(st.fields)
}

// find returns the index of the field with this key, or -1.
func (st *state) find(key string) int {
	if st == nil {
		return -1
	}
	return slices.IndexFunc(st.fields, func(f field) bool { return f.key == key })
}

// talks reports whether a talker is among the fields of st.
func (st *state) talks() bool { return st != nil && slices.ContainsFunc(st.fields, field.talks) }

// with returns st with more fields, in task t.
func (st *state) with(t *task, fields ...field) *state {
	next := &state{task: t}
	next.from, next.added = st, true
	if st != nil {
		next.fields = st.fields
	}
	next.fields = merged(next.fields, fields...)
	for _, f := range fields {
		next.given = append(next.given, f.key)
	}
	return next
}

// set is with for Set, which adds only if no key is there.
func (st *state) set(t *task, fields ...field) *state {
	next := st.with(t, fields...)
	next.added = !slices.ContainsFunc(fields, func(f field) bool { return st.find(f.key) >= 0 })
	return next
}

func (st *state) clear() *state {
	if st.len() == 0 {
		return st
	}
	next := &state{task: st.task}
	next.from = st
	return next
}

func (st *state) without(keys ...string) *state {
	if st == nil || !slices.ContainsFunc(keys, func(k string) bool { return st.find(k) >= 0 }) {
		return st
	}
	next := &state{task: st.task, fields: less(st.fields, keys...)}
	next.from = st
	return next
}

// A ctx is a context and what the model knows of it.
type ctx struct {
	real   context.Context
	scoped bool   // NewContext has put a scope into it
	scope  *state // the innermost one
	binding

	// What it answers when pprof asks for its labels: iff live, the scope that is bound where it
	// is asked; else frozen, which was bound when pprof.WithLabels asked.
	live   bool
	frozen *state

	label string // of the key "foreign"
}

var background = ctx{real: context.Background()}

// answer is the scope that pprof.SetGoroutineLabels binds with c, where bound is bound.
func (c ctx) answer(bound *state) *state {
	if c.live {
		return bound
	}
	return c.frozen
}

// newContext is c with the scope s, whose model is st, made where bound is bound.
func (c ctx) newContext(s scope.Scope, st, bound *state) ctx {
	c.binding = bind(bound, st, func() { c.real = scope.NewContext(c.real, s) })
	c.scoped, c.scope, c.live, c.frozen = true, st, true, nil
	return c
}

// A showing is how a line must show a scope.
type showing struct {
	st      *state
	ended   bool   // the line must say that the task is over
	quiet   bool   // a value's method logs the line: fields that are encoded by a method aren't on it
	without string // the key of a field that the line itself has
}

// appendOwn appends what a line must show of the scope's own fields, and of its end. Shared fields
// stand between the two, at place.
func (s showing) appendOwn(line []byte) (_ []byte, place int) {
	if s.st == nil {
		return line, len(line)
	}
	for _, f := range s.st.fields {
		line = s.append(line, f)
	}
	place = len(line)
	if s.ended {
		line = append(line, `"scope_ended":true,`...)
	}
	return line, place
}

// appendShared appends what a line must show of shared fields: those whose key no own field has.
func (s showing) appendShared(line []byte, shared []field) []byte {
	for _, f := range shared {
		if s.st.find(f.key) < 0 {
			line = s.append(line, f)
		}
	}
	return line
}

func (s showing) append(line []byte, f field) []byte {
	if f.key == hiddenKey || f.key == s.without || s.quiet && f.method && f.key != redactedKey {
		return line
	}
	line = append(line, '"')
	line = append(line, f.key...)
	line = append(line, `":`...)
	if f.key == redactedKey {
		line = append(line, `"`+scope.RedactedText+`"`...)
	} else {
		line = append(line, f.json...)
	}
	return append(line, ',')
}
