package main

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// The model: what the documentation promises, in plain variables that are passed on by
// hand. Nothing of it goes through a goroutine's scope.

// A field is what a line must show of a scope.
type field struct {
	key  string
	want any    // what Get must return; nil for a group, which == doesn't take
	json string // as all three loggers encode it

	method bool // it takes a method of the value to encode it
}

// A state is a scope. nil is the zero Scope. Nothing in it changes once it is made, except
// what contexts know of it.
type state struct {
	fields []field
	task   *task
	history
}

// The keys of three fields have policies; the others have none.
const (
	hiddenKey   = "k7"
	redactedKey = "k8"
	profiledKey = "k9"
)

func declareKeys() {
	scope.NewKey[any](hiddenKey, scope.Hidden)
	scope.NewKey[any](redactedKey, scope.Redacted)
	scope.NewKey[any](profiledKey, scope.Profiled)
}

// A task is known to be live, or to be over, by the shape of the program: it is live for
// a goroutine that is inside a Run of it or whose starter is and waits, see
// goroutine.held. Where no such frame is, the task can be reached by one goroutine alone,
// or nobody may enter it again, so its end doesn't depend on timing either.
type task struct {
	anonymous bool        // begun by a bare Set: never ends
	entered   bool        // written while one goroutine alone can reach the task
	dead      bool        // may not be entered again: several goroutines have it
	ended     bool        // of a dead one
	leaked    atomic.Bool // a goroutine that will be left behind has it
	spawned   atomic.Bool // scope.Go was called: its end may show a little later
	scope     scope.Scope // one of its scopes, to ask for that end
	totals    totals
	common    atomic.Bool // several goroutines may have it
	job       bool        // it has a last line
	sharing
}

func (st *state) taskOf() *task {
	if st == nil {
		return nil
	}
	return st.task
}

func (st *state) find(key string) int {
	if st != nil {
		for i := range st.fields {
			if st.fields[i].key == key {
				return i
			}
		}
	}
	return -1
}

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

// merged returns old with more fields: one whose key is there takes its place.
func merged(old []field, fields ...field) []field {
	all := slices.Grow(slices.Clone(old), len(fields))
	for _, f := range fields {
		if i := slices.IndexFunc(all, func(g field) bool { return g.key == f.key }); i >= 0 {
			all[i] = f
		} else {
			all = append(all, f)
		}
	}
	return all
}

// less returns old without the fields of these keys.
func less(old []field, keys ...string) []field {
	return slices.DeleteFunc(slices.Clone(old), func(f field) bool { return slices.Contains(keys, f.key) })
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
	scoped bool   // a NewContext is in it
	scope  *state // of the innermost
	binding
	// What it answers when pprof asks for its labels: the scope that is bound where it is
	// asked iff live, else this one, frozen by pprof.WithLabels.
	live   bool
	frozen *state
	label  string // its label "foreign"
}

var background = ctx{real: context.Background()}

// answer is what pprof.SetGoroutineLabels binds in a goroutine that has bound.
func (c ctx) answer(bound *state) *state {
	if c.live {
		return bound
	}
	return c.frozen
}

func (c ctx) newContext(s scope.Scope, st, bound *state) ctx {
	c.binding = bind(bound, st, func() { c.real = scope.NewContext(c.real, s) })
	c.scoped, c.scope, c.live, c.frozen = true, st, true, nil
	return c
}

// A held scope is a Scope and its model.
type heldScope struct {
	real scope.Scope
	st   *state
}

// A late value is resolved for each line.
type late string

func (l late) LogValue() slog.Value {
	runtime.Gosched() // others may share meanwhile: the line must not see it
	return slog.StringValue(string(l))
}

// A talker logs a line while a line is encoded that it is in.
type talker struct {
	run *run
	n   int
}

func (t talker) MarshalJSON() ([]byte, error) {
	line, ok := t.run.talking.Load(goid())
	if !ok {
		panic("a value is encoded, and no line of its scope is written")
	}
	line.(*logging).talk()
	return []byte(`"talk ` + strconv.Itoa(t.n) + `"`), nil
}

// goid returns the running goroutine's id, as its traceback has it.
func goid() string {
	var text [40]byte
	return strings.Fields(string(text[:runtime.Stack(text[:], false)]))[1]
}

// kindsOfFields is how many newField knows.
const kindsOfFields = 7

// newField returns a field of one of all kinds and the value that makes it, to be given to
// Set, and an Attr that makes it too. n tells it from all others.
func (r *run) newField(key string, kind, n int) (f field, value any, attr slog.Attr) {
	f.key = key
	number := strconv.Itoa(n)
	switch kind {
	case 0:
		f.json, f.want = number, int64(n)
		return f, n, slog.Int(key, n)
	case 1:
		value = n%2 == 0
		f.json, f.want = strconv.FormatBool(n%2 == 0), value
		return f, value, slog.Any(key, value)
	case 2:
		l := late("late " + number)
		f.json, f.want, f.method = `"late `+number+`"`, l, true
		return f, l, slog.Any(key, l)
	case 3:
		g := slog.GroupValue(slog.Int("n", n), slog.String("s", "x"))
		f.json = `{"n":` + number + `,"s":"x"}`
		return f, g, slog.Attr{Key: key, Value: g}
	case 4:
		t := talker{r, n}
		f.json, f.want, f.method = `"talk `+number+`"`, t, true
		return f, t, slog.Any(key, t)
	case 5:
		s := `quo"ted ` + number
		f.json, f.want = `"quo\"ted `+number+`"`, s
		return f, s, slog.String(key, s)
	}
	s := "value " + number
	f.json, f.want = `"`+s+`"`, s
	return f, s, slog.String(key, s)
}

// asSet is f after Set(key, value), which keeps the type of value.
func (f field) asSet(value any) field {
	if _, isGroup := value.(slog.Value); !isGroup {
		f.want = value
	}
	return f
}

// is reports whether v, which Get has returned, is the value of f.
func (f field) is(v any) bool { return f.want == nil || v == f.want }

// talks reports whether a line of st has a talker among its own fields.
func (st *state) talks() bool { return st != nil && slices.ContainsFunc(st.fields, field.talks) }

func (f field) talks() bool { _, ok := f.want.(talker); return ok }

// A showing is how a line shows a scope.
type showing struct {
	st      *state
	ended   bool
	quiet   bool   // a value's method logs it: fields that take a method aren't shown
	without string // the key of a field that the line itself has
}

// appendOwn appends what a line must show of the scope's own fields, and whether the task is
// over. Shared fields stand between the two: at place.
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

// appendShared appends what a line must show of shared fields: the goroutine's own come first.
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

// endsWithin waits until t is over. That it is no longer entered is known; but a
// goroutine of scope.Go gives its share back after its function has returned.
func (t *task) endsWithin(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); !t.scope.Ended(); time.Sleep(10 * time.Microsecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
