package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// A run is one program: units 0, 1, 2, …, each a tree of goroutines that is made of the
// seed and the unit's number, and nothing else.
type run struct {
	*loggers
	seed     uint64
	inherits bool // by a plain go statement: not on the portable path
	lines    [kinds]atomic.Int64
	reads    atomic.Int64
	started  atomic.Int64 // goroutines
	stop     atomic.Bool
	lates    int64        // what scope.Late was before
	missed   atomic.Int64 // what it must have counted since
	mu       sync.Mutex
	failure  *deviation
	seen     *seen    // for tests: the operations that were done
	talking  sync.Map // *logging by goroutine id, while a line is written that has a talker
}

type seen struct{ sync.Map }

// A deviation is where the program and its model part.
type deviation struct {
	seed, unit      uint64
	goroutine, what string
	got, want       string
	trace           string
}

func (d *deviation) Error() string {
	return fmt.Sprintf("deviation: seed %d, unit %d, goroutine %s\n%s\ngot  %s\nwant %s\nits operations, after those of the goroutines that led to it:\n%s",
		d.seed, d.unit, d.goroutine, d.what, strings.TrimSuffix(d.got, "\n"), strings.TrimSuffix(d.want, "\n"), d.trace)
}

func newRun(seed uint64, w wrappers) *run {
	return &run{loggers: newLoggers(w), seed: seed, inherits: scope.Carrier() != "portable", lates: scope.Late()}
}

// units runs units, from first on, with this many at a time, until they have written this
// many lines.
func (r *run) units(first uint64, lines int64, atATime int) (ran uint64) {
	var next atomic.Uint64
	next.Store(first)
	var wg sync.WaitGroup
	for range atATime {
		wg.Go(func() {
			for !r.stop.Load() && r.total() < lines {
				r.unit(next.Add(1) - 1)
			}
		})
	}
	wg.Wait()
	return next.Load() - first
}

func (r *run) total() (n int64) {
	for k := range r.lines {
		n += r.lines[k].Load()
	}
	return n
}

// A unit is one tree of goroutines. Its gate opens when the root's first phase is over,
// and with it every task that a goroutine left behind could have inherited.
type unit struct {
	number uint64
	gate   chan struct{}
	behind sync.WaitGroup // the goroutines left behind
	totals sync.Map       // the tasks that have totals, each with one of its scopes
}

func (r *run) unit(number uint64) {
	u := &unit{number: number, gate: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g := &goroutine{run: r, unit: u, name: "0", rng: rand.New(rand.NewPCG(r.seed, number)), budget: 80}
		g.begin()
		defer g.finish()
		g.block(60)
		close(u.gate)
		g.late = true
		g.block(10)
		u.behind.Wait()
		g.checkTotals()
	}()
	<-done
}

// A goroutine runs operations, each on its scope and on the model.
type goroutine struct {
	*run
	unit *unit
	name string
	rng  *rand.Rand
	id   string // of the real one, if it was needed
	at   int    // of its slot
	n    int    // lines written
	read int

	bound  *state
	ctxs   []ctx
	scopes []heldScope
	own    map[*task]*sharer // of keys that it alone shares

	held []*task // the tasks that are live for sure: of the frames around, those of waiting starters included
	base int     // how many of held are starters'

	budget   int
	depth    int
	tries    int // recovers around
	values   int
	children int
	exits    bool // may call runtime.Goexit
	late     bool // the gate is open
	finished bool
	atCancel *state // what a context.AfterFunc has inherited

	lineCount   [kinds]int64
	trace       []entry
	before      []lineage
	want        []byte
	oldest      []int
	got, wanted string // of a line that deviates
}

// An entry says what was done. It is made into text when it is needed.
type entry struct {
	op, text string
	n        int
}

type lineage struct {
	name  string
	trace []entry
}

func (g *goroutine) begin() {
	g.at = g.take()
	g.started.Add(1)
}

func (g *goroutine) finish() {
	if g.finished {
		return
	}
	g.finished = true
	for k := range g.lineCount {
		g.lines[k].Add(g.lineCount[k])
	}
	g.reads.Add(int64(g.read))
	g.giveBack(g.at)
}

func (g *goroutine) did(op, text string, n int) {
	g.trace = append(g.trace, entry{op, text, n})
	if g.seen != nil {
		g.seen.Store(op, true)
		g.seen.Store(op+" "+text, true)
	}
}

func (g *goroutine) fail(what, got, want string) {
	g.stop.Store(true)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failure != nil {
		return
	}
	var trace strings.Builder
	for _, l := range append(slices.Clip(g.before), lineage{g.name, g.trace}) {
		for _, e := range l.trace {
			fmt.Fprintf(&trace, "  %s: %s %s %d\n", l.name, e.op, e.text, e.n)
		}
	}
	g.failure = &deviation{g.seed, g.unit.number, g.name, what, got, want, trace.String()}
}

// ---- tasks ----

func (g *goroutine) holds(t *task) bool { return slices.Contains(g.held, t) }

// ended says whether lines of t must say that it is over.
func (g *goroutine) ended(t *task) bool {
	if t == nil || t.anonymous || g.holds(t) {
		return false
	}
	ended := t.entered
	if t.dead {
		ended = t.ended
	}
	if ended && t.spawned.Load() && !t.endsWithin(time.Minute) {
		g.fail("a task doesn't end", "live", "ended")
	}
	return ended
}

// mayEnter says whether entering t leaves its end to be told by the program's shape.
func (g *goroutine) mayEnter(t *task) bool { return t == nil || t.anonymous || g.holds(t) || !t.dead }

// over says whether g has been left behind by t: it can't enter that any more.
func (g *goroutine) over(t *task) bool { return g.bound.taskOf() == t && g.ended(t) }

func (g *goroutine) enter(t *task) (leave func()) {
	if t == nil || t.anonymous {
		return func() {}
	}
	if g.over(t) {
		g.did("enter what is over", "", 0)
		return func() {}
	}
	if !g.holds(t) {
		t.entered = true
	}
	g.held = append(g.held, t)
	return func() {
		g.held = g.held[:len(g.held)-1]
		if !g.holds(t) && t.leaked.Load() {
			t.dead, t.ended = true, true
		}
	}
}

// freeze is called before anything is handed to another goroutine: what that may then
// reach is a task that is live as long as both run, one without an end, or one that
// nobody enters any more.
func (g *goroutine) freeze() {
	kill := func(st *state) {
		t := st.taskOf()
		if t != nil {
			t.common.Store(true)
		}
		if t != nil && !t.anonymous && !t.dead && !g.holds(t) {
			t.dead, t.ended = true, t.entered
		}
	}
	kill(g.bound)
	for _, c := range g.ctxs {
		kill(c.scope)
		kill(c.frozen)
	}
	for _, s := range g.scopes {
		kill(s.st)
	}
	for _, t := range g.held {
		t.common.Store(true)
	}
}

// ---- operations ----

// Operations and how often they are chosen. One whose condition isn't met is a line.
var operations []operation

type operation struct {
	weight int
	do     func(g *goroutine)
	unless func(g *goroutine) bool
}

func init() {
	deep := func(g *goroutine) bool { return g.depth >= 5 }
	crowded := func(g *goroutine) bool { return g.depth >= 5 || strings.Count(g.name, ".") >= 3 || g.budget < 8 }
	noLabels := func(g *goroutine) bool { return !g.inherits }
	operations = []operation{
		{40, (*goroutine).log, nil},
		{14, (*goroutine).set, nil},
		{5, (*goroutine).setAttrs, nil},
		{4, (*goroutine).delete, nil},
		{1, (*goroutine).clear, nil},
		{5, (*goroutine).look, nil},
		{4, (*goroutine).addUp, nil},
		{4, (*goroutine).share, nil},
		{4, func(g *goroutine) { g.shareOwn() }, nil},
		{4, (*goroutine).iterate, nil},
		{9, (*goroutine).runScope, deep},
		{5, (*goroutine).keepScope, nil},
		{5, (*goroutine).keepContext, nil},
		{3, (*goroutine).do, func(g *goroutine) bool { return deep(g) || noLabels(g) }},
		{2, (*goroutine).setLabels, noLabels},
		{3, (*goroutine).try, deep},
		{2, (*goroutine).panic, func(g *goroutine) bool { return g.tries == 0 }},
		{1, (*goroutine).goexit, func(g *goroutine) bool { return !g.exits }},
		{3, (*goroutine).rangeOver, deep},
		{5, (*goroutine).section, crowded},
		{2, (*goroutine).pool, crowded},
		{2, (*goroutine).pull, crowded},
		{1, (*goroutine).race, crowded},
		{1, (*goroutine).job, crowded},
	}
	for _, o := range operations {
		allWeights += o.weight
	}
}

var allWeights int

// block runs up to n operations.
func (g *goroutine) block(n int) {
	g.depth++
	defer func() { g.depth-- }()
	for range n {
		if g.budget <= 0 || g.stop.Load() {
			return
		}
		g.budget--
		w := g.rng.IntN(allWeights)
		for _, o := range operations {
			if w -= o.weight; w >= 0 {
				continue
			}
			if o.unless != nil && o.unless(g) {
				g.log()
			} else {
				o.do(g)
			}
			break
		}
	}
}

func (g *goroutine) key() string {
	return [...]string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11"}[g.rng.IntN(12)]
}

// newField returns a field with a value that no other goroutine of the unit uses.
func (g *goroutine) newField() (f field, value any, attr slog.Attr) {
	g.values++
	n := (g.values<<16 | int(hash(g.name))) & 0x7fffffff
	return g.run.newField(g.key(), g.rng.IntN(kindsOfFields), n)
}

func hash(s string) (h uint16) {
	for _, c := range []byte(s) {
		h = h*31 + uint16(c)
	}
	return h
}

// args returns arguments of With or New, and the fields that they make.
func (g *goroutine) args() (args []any, fields []field) {
	for range g.rng.IntN(4) {
		f, value, attr := g.newField()
		if g.rng.IntN(2) == 0 {
			args, fields = append(args, f.key, value), append(fields, f.asSet(value))
		} else {
			args, fields = append(args, attr), append(fields, f)
		}
	}
	return args, fields
}

// startedTask returns the task that a Set binds in.
func (g *goroutine) startedTask() *task {
	if g.bound == nil {
		return &task{anonymous: true}
	}
	return g.bound.task
}

func (g *goroutine) set() {
	f, value, _ := g.newField()
	g.did("Set", f.key, g.values)
	g.bound = g.bound.makes(func() { scope.Set(f.key, value) },
		func() *state { return g.bound.set(g.startedTask(), f.asSet(value)) })
}

func (g *goroutine) delete() {
	keys := []string{g.key(), g.key()}[:1+g.rng.IntN(2)]
	g.did("Delete", keys[0], len(keys))
	g.bound = g.bound.makes(func() { scope.Delete(keys...) }, func() *state { return g.bound.without(keys...) })
}

func (g *goroutine) clear() {
	g.did("Clear", "", 0)
	g.bound = g.bound.makes(scope.Clear, g.bound.clear)
}

// context returns one of the contexts that the goroutine has, or the background.
func (g *goroutine) context() ctx {
	if i := g.rng.IntN(len(g.ctxs) + 1); i > 0 {
		return g.ctxs[i-1]
	}
	return background
}

func (g *goroutine) log() {
	k, v := kind(g.rng.IntN(int(kinds))), variant(g.rng.IntN(int(variants)))
	repeat := g.rng.IntN(5) == 0
	var given context.Context
	var other *state
	st := g.bound
	if g.rng.IntN(3) == 0 {
		c := g.context()
		given = c.real
		if !(k == zeroKind && v == nested) { // a Logger of zeroh.For looks at no ctx
			var how string
			if st, other, how = c.pick(g.bound); g.seen != nil {
				g.seen.Store(how, true)
			}
		}
	}
	g.n++
	g.did("log", k.String(), g.n)
	how := showing{st: st, ended: g.ended(st.taskOf())}
	if how.ended && g.seen != nil {
		g.seen.Store("log ended", true)
	}
	w := st.taskOf().window(g.oldest[:0])
	g.oldest = w.oldest
	if st.talks() || other.talks() || w.talks() {
		if g.id == "" {
			g.id = goid()
		}
		g.talking.Store(g.id, &logging{g, k, w, how, other})
		g.write(k, v, given, g.at, g.n, repeat)
		g.talking.Delete(g.id)
	} else {
		g.write(k, v, given, g.at, g.n, repeat)
	}
	if !g.wrote(k, v, w, how, other, g.at, repeat) {
		g.fail(fmt.Sprintf("line %d of the goroutine, by %s", g.n, k), g.got, g.wanted)
	}
	g.lineCount[k]++
}

// wrote compares the line that was written for this slot with the model's: that of how, or of
// other, which is as right, if it isn't nil.
func (g *goroutine) wrote(k kind, v variant, w window, how showing, other *state, at int, repeat bool) (right bool) {
	got, lines := g.taken(at)
	how.without = repeated(k, v, repeat)
	for {
		var place int
		g.want, place = appendLine(g.want[:0], k, v, how, at, g.n, repeat)
		if lines == 1 && w.shows(got, g.want, place, how) {
			return true
		}
		if other == nil {
			break
		}
		how.st, other = other, nil
	}
	g.got, g.wanted = fmt.Sprintf("%d lines written, %s", lines, got), string(g.want)+w.String()
	return false
}

// A logging says what a goroutine writes a line of, and within which window.
type logging struct {
	*goroutine
	by     kind
	window window
	how    showing
	other  *state
}

// talk logs a line from within a value's method.
func (g *logging) talk() {
	g.did("talk", "", g.n)
	at, k := g.take(), kind(g.n%int(kinds))
	defer g.giveBack(at)
	how := g.how
	how.quiet = true
	g.write(k, plain, nil, at, g.n, false)
	if !g.wrote(k, plain, g.window, how, g.other, at, false) {
		g.fail(fmt.Sprintf("line by %s of a value in line %d of the goroutine, by %s", k, g.n, g.by), g.got, g.wanted)
	}
}

// check compares what the store answers with the model.
func (g *goroutine) check(what string, got, want any) {
	g.read++
	if got != want {
		g.fail(what, fmt.Sprintf("%T %v", got, got), fmt.Sprintf("%T %v", want, want))
	}
}

func (g *goroutine) look() {
	key := g.key()
	if s := g.own[g.bound.taskOf()]; s != nil && g.rng.IntN(2) == 0 {
		key = s.prefix + "b"
	}
	g.did("Get", key, 0)
	w := g.bound.taskOf().window(nil)
	v, ok := scope.Get(key)
	g.read++
	right := false
	if i := g.bound.find(key); i >= 0 {
		right = ok && g.bound.fields[i].is(v)
	} else {
		right = w.gives(key, v, ok)
	}
	if !right {
		g.fail("Get "+key, fmt.Sprintf("%T %v %v", v, v, ok), string(showing{st: g.bound}.appendShared(nil, nil))+w.String())
	}
	for _, s := range g.scopes {
		ended := g.ended(s.st.taskOf())
		g.check("Ended", s.real.Ended(), ended)
		g.check("SameTask", scope.Current().SameTask(s.real), g.bound != nil && s.st != nil && g.bound.task == s.st.task)
	}
	if len(g.ctxs) > 0 && g.inherits {
		c := g.context()
		label, _ := pprof.Label(c.real, "foreign")
		g.check("another's label in a context", label, c.label)
		s, ok := scope.FromContext(c.real)
		g.check("FromContext: found", ok, c.scoped)
		g.check("FromContext: fields", s.Len(), c.scope.len())
	}
}

func (st *state) len() int {
	if st == nil {
		return 0
	}
	return len(st.fields)
}

func (g *goroutine) iterate() {
	g.did("All", "", 0)
	i := 0
	g.check("Len", scope.Current().Len(), g.bound.len())
	for key, v := range scope.Current().All() {
		if i >= g.bound.len() {
			g.check("All: fields", i+1, g.bound.len())
			return
		}
		f := g.bound.fields[i]
		g.check("All: key", key, f.key)
		if _, late := f.want.(late); f.want != nil && !late {
			g.check("All: value", fmt.Sprint(v.Any()), fmt.Sprint(f.want))
		}
		i++
	}
	g.check("All: fields", i, g.bound.len())
}

// someScope makes a scope in one of all ways.
func (g *goroutine) someScope() heldScope {
	args, fields := g.args()
	current := heldScope{scope.Current(), g.bound}
	switch g.rng.IntN(10) {
	case 8: // longer than the chain of nodes that the store allows
		if g.bound == nil {
			return current
		}
		s := current
		for i := range 10 + g.rng.IntN(12) {
			f, value, _ := g.newField()
			f.key = "deep" + fmt.Sprint(i)
			s = s.with([]any{f.key, value}, []field{f.asSet(value)})
		}
		return s
	case 9:
		return g.picked()
	case 0:
		return g.fresh(scope.New(args...), fields)
	case 1, 2:
		if len(args) == 0 {
			return current
		}
		if g.bound == nil {
			return g.fresh(scope.With(args...), fields)
		}
		return current.with(args, fields)
	case 3:
		key := g.key()
		s := current.real
		st := g.bound.makes(func() { s = s.Without(key) }, func() *state { return g.bound.without(key) })
		return heldScope{s, st}
	case 4:
		return current.detach()
	case 5:
		if len(g.scopes) > 0 {
			return g.scopes[g.rng.IntN(len(g.scopes))]
		}
	case 6:
		return heldScope{}
	}
	return current
}

// picked is what a context says: with a scope to go on from, Pick must do as with any other.
func (g *goroutine) picked() heldScope {
	c := g.context()
	st, other, how := c.pick(g.bound)
	if other != nil {
		return heldScope{scope.Current(), g.bound}
	}
	var s scope.Scope
	st = g.bound.makes(func() { s = scope.Current().Pick(c.real) }, func() *state { return st })
	g.did("Pick", how, 0)
	return heldScope{s, st}
}

// with is the scope with more fields. It is not the zero Scope.
func (s heldScope) with(args []any, fields []field) heldScope {
	next := s
	next.st = s.st.makes(func() { next.real = s.real.With(args...) },
		func() *state { return s.st.with(s.st.task, fields...) })
	return next
}

func (s heldScope) detach() heldScope {
	into := s.st.taskOf().detaching()
	next := s
	next.st = s.st.makes(func() { next.real = s.real.Detach() }, func() *state { return s.st.with(into()) })
	next.st.task.scope = next.real
	return next
}

func (g *goroutine) fresh(s scope.Scope, fields []field) heldScope {
	return heldScope{s, (*state)(nil).with(&task{scope: s}, fields...)}
}

// freshScope is a scope of a task that nobody else has.
func (g *goroutine) freshScope() heldScope {
	args, fields := g.args()
	if g.rng.IntN(2) == 0 {
		return heldScope{scope.Current(), g.bound}.detach()
	}
	return g.fresh(scope.New(args...), fields)
}

const maxKept = 4

func keep[T any](g *goroutine, list *[]T, v T) {
	if len(*list) < maxKept {
		*list = append(slices.Clip(*list), v)
		return
	}
	*list = slices.Clone(*list)
	(*list)[g.rng.IntN(maxKept)] = v
}

func (g *goroutine) keepScope() {
	g.did("keep a scope", "", 0)
	keep(g, &g.scopes, g.someScope())
}

func (g *goroutine) setAttrs() {
	var fields []field
	var attrs []slog.Attr
	for range g.rng.IntN(4) {
		f, _, attr := g.newField()
		fields, attrs = append(fields, f), append(attrs, attr)
	}
	g.did("SetAttrs", "", len(attrs))
	g.bound = g.bound.makes(func() { scope.SetAttrs(attrs...) }, func() *state {
		if len(attrs) == 0 {
			return g.bound
		}
		return g.bound.set(g.startedTask(), fields...)
	})
}

type contextKey struct{}

func (g *goroutine) keepContext() {
	c := g.context()
	how := g.rng.IntN(6)
	switch {
	case how == 0:
		c.real = context.WithValue(c.real, contextKey{}, 1)
	case how == 1 && g.inherits:
		c = g.labelled(c)
	default:
		s := g.someScope()
		c = c.newContext(s.real, s.st, g.bound)
	}
	g.did("keep a context", "", how)
	keep(g, &g.ctxs, c)
}

// labelled is what pprof.WithLabels makes of c.
func (g *goroutine) labelled(c ctx) ctx {
	g.values++
	label := fmt.Sprint(g.values)
	c.frozen, c.live, c.label = c.answer(g.bound), false, label
	c.real = pprof.WithLabels(c.real, pprof.Labels("foreign", label))
	return c
}

func (g *goroutine) setLabels() {
	c := g.context()
	g.did("SetGoroutineLabels", "live="+fmt.Sprint(c.live), len(g.ctxs))
	pprof.SetGoroutineLabels(c.real)
	g.bound = c.answer(g.bound)
}

func (g *goroutine) do() {
	c := g.context()
	g.did("pprof.Do", "live="+fmt.Sprint(c.live), len(g.ctxs))
	defer g.unwound("Do has returned")
	defer func() { g.bound = c.answer(g.bound) }()
	g.values++
	label := fmt.Sprint(g.values)
	inner := c
	inner.frozen, inner.live, inner.label = c.answer(g.bound), false, label
	pprof.Do(c.real, pprof.Labels("foreign", label), func(real context.Context) {
		inner.real = real
		g.bound = inner.frozen
		keep(g, &g.ctxs, inner)
		g.block(1 + g.rng.IntN(5))
	})
}

// unwound is deferred outside what puts a scope back, so that a line shows it: also
// while a panic or Goexit is on its way.
func (g *goroutine) unwound(what string) {
	g.did(what, "", 0)
	if !g.stop.Load() {
		g.log()
	}
}

func (g *goroutine) runScope() {
	n := 1 + g.rng.IntN(7)
	s := g.someScope()
	if t := s.st.taskOf(); !g.mayEnter(t) && !g.over(t) {
		g.log()
		return
	}
	wrapped := g.rng.IntN(3) == 0
	g.did("Run", "", n)
	if wrapped {
		g.within(s, func(fn func()) { s.real.Wrap(fn)() }, n)
	} else {
		g.within(s, s.real.Run, n)
	}
}

// within runs n operations with s bound by bind.
func (g *goroutine) within(s heldScope, bind func(func()), n int) {
	defer g.unwound("the scope is put back")
	saved, leave := g.bound, g.enter(s.st.taskOf())
	defer func() {
		g.bound = saved
		leave()
	}()
	bind(func() {
		g.bound = s.st
		g.block(n)
	})
}

type thrown struct{}

func (g *goroutine) try() {
	g.did("try", "", g.tries)
	defer g.unwound("recovered or not")
	defer func() {
		g.tries--
		if p := recover(); p != nil {
			if _, ours := p.(thrown); !ours {
				panic(p)
			}
		}
	}()
	g.tries++
	g.block(2 + g.rng.IntN(8))
}

func (g *goroutine) panic() {
	g.did("panic", "", g.tries)
	panic(thrown{})
}

func (g *goroutine) goexit() {
	g.did("Goexit", "", 0)
	runtime.Goexit()
}

// rangeOver ranges over a function: the body sees what it sets, and it what the body does.
func (g *goroutine) rangeOver() {
	g.did("range", "", 0)
	steps := func(yield func(int) bool) {
		for i := range 2 {
			g.set()
			if !yield(i) {
				return
			}
			g.log()
		}
	}
	for i := range steps {
		g.block(2)
		if i == 1 && g.rng.IntN(2) == 0 {
			break
		}
	}
}

// ---- goroutines ----

// child returns a goroutine to be started now.
func (g *goroutine) child(bound *state) *goroutine {
	c := &goroutine{
		run: g.run, unit: g.unit, name: fmt.Sprintf("%s.%d", g.name, g.children),
		rng: rand.New(rand.NewPCG(g.rng.Uint64(), g.rng.Uint64())), bound: bound,
		ctxs: slices.Clip(g.ctxs), scopes: slices.Clip(g.scopes),
		held: slices.Clone(g.held), base: len(g.held), late: g.late,
		before: append(slices.Clip(g.before), lineage{g.name, slices.Clip(g.trace)}),
	}
	g.children++
	share := 4 + g.rng.IntN(20)
	c.budget = min(share, max(g.budget/2, 4))
	g.budget -= c.budget / 3
	c.begin()
	return c
}

// inherited is what a plain go statement passes on.
func (g *goroutine) inherited() *state {
	if g.inherits {
		return g.bound
	}
	return nil
}

// A message is what goroutines pass on through channels.
type message struct {
	c ctx
	s heldScope
}

// mayPass says whether all that can be reached through m may be used by goroutines for
// which these tasks are live.
func (m message) mayPass(live []*task) bool {
	for _, st := range []*state{m.c.scope, m.c.frozen, m.s.st} {
		if t := st.taskOf(); t != nil && !t.anonymous && !t.dead && !slices.Contains(live, t) {
			return false
		}
	}
	return true
}

func (g *goroutine) message() (m message) {
	m.c = g.context()
	if g.rng.IntN(2) == 0 {
		m.c = m.c.newContext(scope.Current(), g.bound, g.bound)
	}
	if len(g.scopes) > 0 {
		m.s = g.scopes[g.rng.IntN(len(g.scopes))]
	}
	return m
}

func (g *goroutine) send(to chan<- message, live []*task) {
	g.freeze()
	if m := g.message(); m.mayPass(live) {
		g.did("send", "", 0)
		select {
		case to <- m:
		default: // full: as many as there may be
		}
	}
}

func (g *goroutine) receive(from <-chan message) {
	m, ok := <-from
	g.did("receive", fmt.Sprint(ok), 0)
	if ok {
		keep(g, &g.ctxs, m.c)
		keep(g, &g.scopes, m.s)
	}
}

// A section is a piece of a goroutine's program in which others run beside it. It ends
// when they have ended, or are parked at the gate.
func (g *goroutine) section() {
	n := 1 + g.rng.IntN(3)
	down := make([]chan message, n) // to each child
	side := make([]chan message, n) // from each to the one after it
	for i := range n {
		down[i], side[i] = make(chan message, 4), make(chan message, 4)
	}
	var joins []func()
	defer g.unwound("section ends")
	defer func() {
		for i := range n {
			close(down[i])
		}
		for i := len(joins); i < n; i++ {
			close(side[i])
		}
		for _, join := range joins {
			join()
		}
	}()
	for i := range n {
		g.freeze()
		var from <-chan message
		if i > 0 {
			from = side[i-1]
		}
		joins = append(joins, g.start(down[i], from, side[i]))
		g.block(g.rng.IntN(4))
		if g.rng.IntN(2) == 0 {
			g.send(down[g.rng.IntN(n)], g.held)
		}
	}
}

// start starts a goroutine in one of all ways and returns what waits for it.
func (g *goroutine) start(down, from <-chan message, to chan<- message) (join func()) {
	done := make(chan struct{})
	join = func() { <-done }
	var c *goroutine
	body := func() {
		defer close(to)
		c.block(3)
		for i := range 3 {
			switch {
			case from != nil && i == 0 && c.rng.IntN(2) == 0:
				c.receive(from)
			case c.rng.IntN(3) == 0:
				c.receive(down)
			}
			c.block(4)
			if c.rng.IntN(2) == 0 {
				c.send(to, c.held[:c.base])
			}
		}
	}
	main := func() {
		defer close(done)
		defer c.finish()
		body()
	}

	how := g.rng.IntN(13)
	if g.late && how >= 11 {
		how = 0
	}
	bound := heldScope{scope.Current(), g.bound}
	over := g.over(g.bound.taskOf())
	if (how == 3 || how == 5 || how == 8) && !over && !g.mayEnter(g.bound.taskOf()) {
		how = 0
	}
	switch how {
	case 2, 4, 6, 9:
		bound = g.freshScope()
	}
	g.did("start", [...]string{"go", "WaitGroup.Go", "Go of a new task", "scope.Go", "Go of a new task", "time.AfterFunc Wrap", "time.AfterFunc Wrap of a new task",
		"time.AfterFunc", "context.AfterFunc Wrap", "context.AfterFunc Wrap of a new task", "context.AfterFunc", "go, left behind", "go, left behind"}[how], g.children)
	switch how {
	case 0:
		c = g.child(g.inherited())
		c.exits = true
		go main()
	case 1:
		c = g.child(g.inherited())
		c.exits = true
		var wg sync.WaitGroup
		wg.Go(main)
		join = wg.Wait
	case 2, 3, 4:
		c = g.child(bound.st)
		c.exits = true
		t := bound.st.taskOf()
		if t != nil {
			t.spawned.Store(true)
		}
		leave := c.enter(t)
		fn := func() {
			defer close(done)
			defer c.finish()
			defer leave()
			body()
		}
		if how == 3 {
			scope.Go(fn)
		} else {
			bound.real.Go(fn)
		}
	case 5, 6, 8, 9:
		c = g.child(nil) // until the wrapped function runs
		c.exits = true
		wrapped := bound.real.Wrap(body)
		if how == 5 || how == 8 {
			wrapped = scope.Wrap(body)
		}
		t := bound.st.taskOf()
		fn := func() {
			defer close(done)
			defer c.finish()
			leave := func() {}
			if !over || how == 6 || how == 9 { // as it was where Wrap was called
				leave = c.enter(t)
			}
			defer func() {
				c.bound = nil
				if how == 8 || how == 9 {
					c.bound = c.atCancel
				}
				leave()
				c.unwound("the wrapped function has returned")
			}()
			c.bound = bound.st
			wrapped()
		}
		if how == 5 || how == 6 {
			time.AfterFunc(0, fn)
		} else {
			g.cancelled(c, fn)
		}
	case 7:
		c = g.child(nil)
		c.exits = true
		time.AfterFunc(0, main)
	case 10:
		c = g.child(nil)
		c.exits = true
		g.cancelled(c, func() {
			c.bound = c.atCancel
			main()
		})
	default:
		c = g.child(g.inherited())
		for _, t := range g.held {
			t.leaked.Store(true)
		}
		g.unit.behind.Add(1)
		go func() {
			defer g.unit.behind.Done()
			defer c.finish()
			body()
			close(done)
			<-g.unit.gate
			c.did("the gate is open", "", 0)
			c.held, c.base, c.late = nil, 0, true
			c.budget += 12
			c.log()
			c.runScope()
			c.block(8)
		}()
	}
	return join
}

// cancelled starts fn by context.AfterFunc, when its context is cancelled: it inherits
// what is bound where that is done, and not what was bound where it was registered.
func (g *goroutine) cancelled(c *goroutine, fn func()) {
	parent, cancel := context.WithCancel(g.context().real)
	context.AfterFunc(parent, fn)
	g.set()
	g.freeze()
	c.atCancel = g.inherited()
	cancel()
}

// pool starts workers that run functions which they are sent: wrapped, or as they are,
// so that what those set stays with the worker.
func (g *goroutine) pool() {
	workers := make([]*goroutine, 2)
	jobs := make([]chan func(), len(workers))
	var wg sync.WaitGroup
	defer g.unwound("pool ends")
	defer func() {
		for _, j := range jobs {
			if j != nil {
				close(j)
			}
		}
		wg.Wait()
	}()
	g.did("pool", "", len(workers))
	for i := range workers {
		g.freeze()
		w := g.child(g.inherited())
		w.budget += 6
		j := make(chan func(), 8)
		workers[i], jobs[i] = w, j
		wg.Go(func() {
			defer w.finish()
			for job := range j {
				job()
			}
		})
	}
	for range 2 + g.rng.IntN(5) {
		g.freeze()
		i := g.rng.IntN(len(workers))
		w, n := workers[i], 1+g.rng.IntN(4)
		how := g.rng.IntN(3)
		s := heldScope{scope.Current(), g.bound}
		if how == 1 && !g.mayEnter(s.st.taskOf()) {
			how = 0
		}
		if how == 2 {
			s = g.freshScope()
		}
		g.did("submit", w.name, how)
		if how == 0 {
			jobs[i] <- func() { w.block(n) }
		} else {
			wrapped := s.real.Wrap(func() {
				w.bound = s.st
				w.block(n)
			})
			jobs[i] <- func() {
				w.did("job", "", how)
				w.within(s, func(fn func()) { wrapped() }, n)
			}
		}
		g.block(g.rng.IntN(3))
	}
}

// pull iterates with iter.Pull: what either side sets later the other doesn't see.
func (g *goroutine) pull() {
	g.freeze()
	c := g.child(g.inherited())
	g.did("Pull", c.name, 0)
	next, stop := iter.Pull(func(yield func(int) bool) {
		for i := range 3 {
			c.block(3)
			if !yield(i) {
				return
			}
		}
	})
	defer g.unwound("Pull ends")
	defer c.finish()
	defer stop()
	for range 1 + g.rng.IntN(4) {
		if _, ok := next(); !ok {
			break
		}
		g.block(2)
	}
}

// report says how many lines of each logger were compared.
func (r *run) report(w io.Writer, units uint64, took time.Duration) {
	fmt.Fprintf(w, "seed %d: %d units, %d goroutines, %d lines (", r.seed, units, r.started.Load(), r.total())
	for k := range kinds {
		if k > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprintf(w, "%s %d", k, r.lines[k].Load())
	}
	fmt.Fprintf(w, "), %d reads, carrier %s, %.1f s\n", r.reads.Load(), scope.Carrier(), took.Seconds())
}

// atATime is how many units run beside each other.
const atATime = 16

// verdict is the deviation, if there was one.
func (r *run) verdict() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil {
		return r.failure
	}
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	if r.stray != nil {
		return fmt.Errorf("deviation: seed %d: a line without the fields that all have: %s", r.seed, r.stray)
	}
	if got, want := scope.Late()-r.lates, r.missed.Load(); got != want {
		return fmt.Errorf("deviation: seed %d: scope.Late has counted %d; %d are on no last line, or shared later", r.seed, got, want)
	}
	return nil
}
