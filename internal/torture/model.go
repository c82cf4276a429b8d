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
	totals    [kindsOfTotals]atomic.Int64

	// shared doesn't change once the task is common: several goroutines may have it then, and
	// when each of them sees a change would depend on timing.
	common atomic.Bool
	shared []field
}

// Totals that goroutines add to. On no line is there one.
const (
	countTotal = iota
	timeTotal
	listTotal
	kindsOfTotals
)

// wantTotals returns what Totals must return, in whichever order.
func (t *task) wantTotals() map[string]string {
	want := map[string]string{}
	if n := t.totals[countTotal].Load(); n != 0 {
		want["count"] = strconv.FormatInt(n, 10)
	}
	if n := t.totals[timeTotal].Load(); n != 0 {
		want["time"] = time.Duration(n).String()
	}
	if n := int(t.totals[listTotal].Load()); n != 0 {
		want["list"] = "[" + strings.TrimSpace(strings.Repeat("x ", min(n, 64))) + "]"
		if n > 64 {
			want["list_dropped"] = strconv.Itoa(n - 64)
		}
	}
	return want
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
		next.fields = slices.Grow(slices.Clone(st.fields), len(fields))
	}
	for _, f := range fields {
		next.given = append(next.given, f.key)
		if i := next.find(f.key); i >= 0 {
			next.fields[i] = f
		} else {
			next.fields = append(next.fields, f)
		}
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
	next := &state{task: st.task}
	next.from = st
	for _, f := range st.fields {
		if !slices.Contains(keys, f.key) {
			next.fields = append(next.fields, f)
		}
	}
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

func (l late) LogValue() slog.Value { return slog.StringValue(string(l)) }

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

// talks reports whether lines of st have a talker.
func (st *state) talks() bool {
	return st != nil && slices.ContainsFunc(st.shown(), func(f field) bool { _, ok := f.want.(talker); return ok })
}

// shown returns the fields that a line shows of st: its own, and then those that are shared.
func (st *state) shown() []field {
	if len(st.task.shared) == 0 {
		return st.fields
	}
	shown := slices.Clone(st.fields)
	for _, f := range st.task.shared {
		if st.find(f.key) < 0 {
			shown = append(shown, f)
		}
	}
	return shown
}

// quiet returns what a line shows of st that a value's method logs.
func (st *state) quiet() *state {
	if st == nil {
		return nil
	}
	fields := slices.DeleteFunc(slices.Clone(st.shown()), func(f field) bool { return f.method && f.key != redactedKey })
	return &state{fields: fields, task: &task{}}
}

// appendFields appends what a line must show of st, and whether its task is over.
func (st *state) appendFields(line []byte, ended bool, without string) []byte {
	if st == nil {
		return line
	}
	for _, f := range st.shown() {
		if f.key == hiddenKey || f.key == without {
			continue
		}
		line = append(line, '"')
		line = append(line, f.key...)
		line = append(line, `":`...)
		if f.key == redactedKey {
			line = append(line, `"`+scope.RedactedText+`"`...)
		} else {
			line = append(line, f.json...)
		}
		line = append(line, ',')
	}
	if ended {
		line = append(line, `"scope_ended":true,`...)
	}
	return line
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
