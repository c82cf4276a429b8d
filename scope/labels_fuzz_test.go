package scope_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/internal/carrier"
)

var steps = flag.Int("steps", 20_000, "how many random things to do with labels, on each path")

// Random bytes are things that programs do with labels and contexts through public API:
// copying them, putting other keys and values into them, merging and setting them, between
// Sets and Runs of many tasks in several goroutines. A model says after each what the
// goroutine has bound: what was copied whole leads to the scope that it was copied from, and
// all else to none.
func FuzzLabels(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		data := make([]byte, 400)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		onEachPath(t, func(t *testing.T, p path) {
			next := data
			newLabelMachine(t, p, func(n int) int {
				if len(next) == 0 {
					return 0
				}
				b := int(next[0]) % n
				next = next[1:]
				return b
			}).run(func() bool { return len(next) > 0 })
			waitForGo(t)
		})
	})
}

func TestRandomThingsDoneWithLabels(t *testing.T) {
	const machines = 2
	onEachPath(t, func(t *testing.T, p path) {
		var wg sync.WaitGroup
		for seed := range uint64(machines) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 42))
				done := 0
				newLabelMachine(t, p, r.IntN).run(func() bool {
					done++
					return done <= *steps/machines && !t.Failed()
				})
			})
		}
		wg.Wait()
		waitForGo(t)
	})
}

// A binding is what a goroutine has bound: zero if nothing.
type binding struct {
	task, version int
	cleared       bool // a scope without fields
}

// An element is what the model knows of a label: whether its key is the carrier's own, and
// what its value points at.
type element struct {
	genuine bool
	value   binding
}

// A labels is the model of a label set.
type labels map[string]element

func (l labels) carries() binding {
	if e := l[carrier.Key]; e.genuine {
		return e.value
	}
	return binding{}
}

// A pair is a label that was copied.
type pair struct {
	key, value string
	element
}

// A held is a context. One of scope.NewContext answers with what the asking goroutine has
// bound, others with what they have had from the start.
type held struct {
	ctx    context.Context
	labels labels
	live   bool
}

type labelMachine struct {
	t        *testing.T
	path     path
	intn     func(n int) int
	actors   []*actor
	pairs    []pair
	contexts []held
	scopes   []heldScope
	last     int // task or version that was made last
}

type heldScope struct {
	scope.Scope
	binding
}

const long = "a text that values are cut out of, as is what programs have read from others: taskscope"

func newLabelMachine(t *testing.T, p path, intn func(int) int) *labelMachine {
	m := &labelMachine{t: t, path: p, intn: intn}
	m.contexts = []held{{ctx: context.Background()}}
	m.pairs = []pair{{key: "k", value: "v"}}
	m.scopes = []heldScope{m.newScope(m.number())}
	for range 3 {
		a := newActor()
		go a.start()
		<-a.ready
		m.actors = append(m.actors, a)
	}
	return m
}

func (m *labelMachine) number() int { m.last++; return m.last }

var fuzzZone = scope.NewKey[int]("fuzz_zone", scope.Profiled)

func (m *labelMachine) newScope(task int) heldScope {
	b := binding{task: task, version: m.number()}
	s := scope.New("task", b.task, "version", b.version)
	if m.intn(4) == 0 {
		s = s.With(fuzzZone.Attr(b.version))
	}
	return heldScope{s, b}
}

// An actor is a goroutine that does what it is told to, and what the model says of it.
type actor struct {
	do     chan func() // nil: leave the innermost frame
	ready  chan struct{}
	bound  binding
	frames []func() // what becomes of the model when a frame is left
}

func newActor() *actor { return &actor{do: make(chan func()), ready: make(chan struct{})} }

func (a *actor) start() {
	a.frame()
	close(a.ready)
}

func (a *actor) frame() {
	for {
		a.ready <- struct{}{}
		do := <-a.do
		if do == nil {
			return
		}
		do()
	}
}

// tell has a do fn.
func (a *actor) tell(fn func()) {
	a.do <- fn
	<-a.ready
}

// enter has a do fn, which calls a.frame. left is called when that is left.
func (a *actor) enter(fn, left func()) {
	a.frames = append(a.frames, left)
	a.tell(fn)
}

func (a *actor) leave(panics bool) {
	last := len(a.frames) - 1
	left := a.frames[last]
	a.frames = a.frames[:last]
	if panics {
		a.tell(func() { panic("left by a panic") })
	} else {
		a.tell(nil)
	}
	left()
}

func (m *labelMachine) end(a *actor) {
	for len(a.frames) > 0 {
		a.leave(false)
		m.check(a)
	}
	a.tell(nil) // closes ready
}

func (m *labelMachine) run(more func() bool) {
	for more() {
		m.step()
	}
	for _, a := range m.actors {
		m.end(a)
	}
}

func (m *labelMachine) check(a *actor) {
	a.tell(func() {
		// At once: on the portable path labels of other code end what a bare Set has bound,
		// some time later.
		fields, want := text(scope.Current().Without(fuzzZone.Name())), ""
		if a.bound.version != 0 && !a.bound.cleared {
			want = fmt.Sprintf("task=%d version=%d", a.bound.task, a.bound.version)
		}
		if fields != want && (fields != "" || m.path.inherits) {
			m.t.Errorf("bound is %q, want %q", fields, want)
		}
	})
}

// as returns what ctx answers with when a asks it.
func (h held) as(a *actor) labels {
	if !h.live {
		return h.labels
	}
	l := maps.Clone(h.labels)
	if l == nil {
		l = labels{}
	}
	if a.bound.version != 0 {
		l[carrier.Key] = element{true, a.bound}
	} else if l[carrier.Key].genuine {
		delete(l, carrier.Key)
	}
	return l
}

// put keeps v, in place of another if there are many.
func put[T any](m *labelMachine, list *[]T, v T) {
	if len(*list) < 12 {
		*list = append(*list, v)
		return
	}
	(*list)[m.intn(len(*list))] = v
}

func pick[T any](m *labelMachine, list []T) T { return list[m.intn(len(list))] }

// list returns some pairs, of which some may be there twice, as pprof.Labels takes them,
// and what the model makes of them: of one key the last counts.
func (m *labelMachine) list() (set pprof.LabelSet, l labels) {
	var list []string
	l = labels{}
	for range m.intn(4) {
		p := pick(m, m.pairs)
		list = append(list, p.key, p.value)
		l[p.key] = p.element
	}
	return pprof.Labels(list...), l
}

func merged(a, b labels) labels {
	l := labels{}
	maps.Copy(l, a)
	maps.Copy(l, b)
	return l
}

// A foreignContext answers with the same under each key.
type foreignContext struct {
	context.Context
	answer any
}

func (s foreignContext) Value(any) any { return s.answer }

var setType = reflect.TypeOf(pprof.WithLabels(context.Background(), pprof.Labels("k", "v")).Value(carrier.LabelKey))

// text returns a string of one of many kinds.
func (m *labelMachine) text() string {
	i := m.intn(len(long))
	switch m.intn(6) {
	case 0:
		return ""
	case 1:
		return long[i:i] // empty, with a pointer
	case 2:
		return long[i:]
	case 3:
		return strings.Clone(long)[:i]
	case 4:
		return strings.Repeat("x", 8*i)
	}
	return strings.Clone(carrier.Key)
}

func (m *labelMachine) step() {
	i := m.intn(len(m.actors))
	a := m.actors[i]
	h := pick(m, m.contexts)
	switch op := m.intn(21); op {
	case 0, 1: // Set
		if a.bound.version == 0 {
			a.bound.task = m.number()
		}
		a.bound = binding{task: a.bound.task, version: m.number()}
		zone := op == 1 && m.intn(4) == 0
		a.tell(func() {
			scope.SetAttrs(slog.Any("task", a.bound.task), slog.Any("version", a.bound.version))
			if zone {
				fuzzZone.Set(a.bound.version)
			}
		})
	case 2: // Clear
		if a.bound.version != 0 {
			a.bound.cleared = true
		}
		a.tell(scope.Clear)
	case 3: // a scope of some task
		put(m, &m.scopes, m.newScope(m.number()))
	case 4: // Run
		if len(a.frames) < 4 {
			s, was := pick(m, m.scopes), a.bound
			a.bound = s.binding
			a.enter(func() {
				defer func() { recover() }()
				s.Run(a.frame)
			}, func() { a.bound = was })
		}
	case 5: // pprof.Do
		if len(a.frames) < 4 {
			set, l := m.list()
			l = merged(h.as(a), l)
			do := func() {
				defer func() { recover() }()
				pprof.Do(h.ctx, set, func(ctx context.Context) {
					put(m, &m.contexts, held{ctx: ctx, labels: l})
					a.frame()
				})
			}
			m.bindLabels(a, l, func() {
				a.enter(do, func() { m.bindLabels(a, h.as(a), func() {}) })
			})
		}
	case 6, 7: // the end of one of these
		if len(a.frames) > 0 {
			a.leave(op == 7)
		}
	case 8, 9: // labels are set
		m.bindLabels(a, h.as(a), func() { a.tell(func() { pprof.SetGoroutineLabels(h.ctx) }) })
	case 10, 11: // labels are copied
		l := h.as(a)
		a.tell(func() {
			pprof.ForLabels(h.ctx, func(k, v string) bool {
				put(m, &m.pairs, pair{k, v, l[k]})
				return true
			})
		})
	case 12: // another value
		p := &m.pairs[m.intn(len(m.pairs))]
		p.value, p.element.value = m.text(), binding{}
	case 13: // the value of another label, or the same, cut anew
		p, q := &m.pairs[m.intn(len(m.pairs))], pick(m, m.pairs)
		p.value, p.element.value = q.value[:len(q.value)], q.element.value
	case 14: // another key
		p, q := &m.pairs[m.intn(len(m.pairs))], pick(m, m.pairs)
		switch m.intn(4) {
		case 0:
			p.key, p.genuine = q.key, q.genuine
		case 1:
			p.key, p.genuine = q.key[:len(q.key)/2], false
		case 2:
			p.key, p.genuine = strings.Clone(carrier.Key), false
		case 3:
			p.key, p.genuine = "k"+m.text(), false
		}
	case 15, 16: // labels are merged
		set, l := m.list()
		l = merged(h.as(a), l)
		a.tell(func() { put(m, &m.contexts, held{ctx: pprof.WithLabels(h.ctx, set), labels: l}) })
	case 17: // a context of ours
		put(m, &m.contexts, held{scope.NewContext(h.ctx, pick(m, m.scopes).Scope), h.labels, true})
	case 18: // a context of someone's
		switch m.intn(6) {
		case 0:
			ctx, cancel := context.WithCancel(h.ctx)
			put(m, &m.contexts, held{ctx, h.labels, h.live})
			cancel()
		case 1: // that answers with another's labels
			l := h.as(a)
			a.tell(func() {
				put(m, &m.contexts, held{ctx: foreignContext{h.ctx, h.ctx.Value(carrier.LabelKey)}, labels: l})
			})
		case 2:
			put(m, &m.contexts, held{ctx: foreignContext{h.ctx, m.text()}})
		case 3:
			put(m, &m.contexts, held{ctx: foreignContext{h.ctx, &struct{ a, b, c uintptr }{1, 2, 3}}})
		case 4:
			put(m, &m.contexts, held{ctx: foreignContext{h.ctx, reflect.Zero(setType).Interface()}})
		case 5:
			put(m, &m.contexts, held{ctx: context.Background()})
		}
	case 19: // a goroutine in place of another
		m.spawn(a, m.intn(len(m.actors)))
		return
	case 20:
		if m.intn(100) == 0 {
			runtime.GC()
		}
		for range 20 { // where something was freed, something else
			runtime.KeepAlive(strings.Repeat("x", 8*m.intn(20)))
		}
	}
	m.check(a)
}

// bindLabels does what sets the labels l in a.
func (m *labelMachine) bindLabels(a *actor, l labels, do func()) {
	if m.path.labels {
		a.bound = l.carries()
	}
	do()
}

func (m *labelMachine) spawn(a *actor, j int) {
	b := newActor()
	if m.intn(3) == 0 {
		b.bound = a.bound
		a.tell(func() { scope.Go(b.start) })
	} else {
		if m.path.inherits {
			b.bound = a.bound
		}
		a.tell(func() { go b.start() })
	}
	<-b.ready
	m.check(b)
	m.end(m.actors[j])
	m.actors[j] = b
}
