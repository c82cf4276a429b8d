package scope_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// newContext is NewContext in a context of its own.
func newContext(s scope.Scope) context.Context { return scope.NewContext(context.Background(), s) }

// setMany sets n keys, one by one.
func setMany(from, n int) {
	for i := range n {
		scope.Set(fmt.Sprint("m", from+i), i)
	}
}

// Each case runs in a task with a=1 b=2. It returns a context, and leaves bound what a line
// finds that is given it. many stands for fields m0, m1, …
func TestPickWithinATask(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func() context.Context
		want string
	}{
		{"nothing more is bound", func() context.Context { return newContext(scope.Current()) }, "a=1 b=2"},
		{"the zero Scope in the context", func() context.Context { return newContext(scope.Scope{}) }, "a=1 b=2"},
		{"no scope in the context", context.Background, "a=1 b=2"},

		{"an entry's context, then Set", func() context.Context {
			ctx := newContext(scope.Current())
			scope.Set("c", 3)
			return ctx
		}, "a=1 b=2 c=3"},
		{"an entry's context, then Set of a key that is there", func() context.Context {
			ctx := newContext(scope.Current())
			scope.Set("a", 9)
			return ctx
		}, "a=9 b=2"},
		{"an entry's context, then Delete", func() context.Context {
			ctx := newContext(scope.Current())
			scope.Delete("a")
			return ctx
		}, "b=2"},
		{"an entry's context, then Clear and Set", func() context.Context {
			ctx := newContext(scope.Current())
			scope.Clear()
			scope.Set("c", 3)
			return ctx
		}, "c=3"},
		{"an entry's context, then a Run of With and Without", func() (ctx context.Context) {
			ctx = newContext(scope.Current())
			s := scope.With("c", 3).Without("a")
			s.Run(func() { scope.SetAttrs(attrs(scope.Current().Pick(ctx))...) })
			scope.Clear()
			scope.SetAttrs(attrs(s.Pick(ctx))...)
			return context.Background()
		}, "b=2 c=3"},
		{"what was picked, bound twice, and the context of the first time", func() (inner context.Context) {
			ctx := newContext(scope.With("c", 3))
			scope.Current().Pick(ctx).Run(func() { inner = newContext(scope.With("d", 4)) })
			var picked scope.Scope
			scope.Current().Pick(ctx).Run(func() {
				scope.Set("e", 5)
				picked = scope.Current().Pick(inner)
			})
			scope.Clear()
			scope.SetAttrs(attrs(picked)...)
			return context.Background()
		}, "a=1 b=2 c=3 d=4"},
		{"an entry's context, then many Sets", func() context.Context {
			ctx := newContext(scope.Current())
			setMany(0, 70)
			return ctx
		}, "a=1 b=2 many"},
		{"an entry's context, then a hundred others that are kept", func() context.Context {
			ctx := newContext(scope.With("user", "u"))
			var others []context.Context
			for i := range 100 {
				scope.Set("c", i)
				others = append(others, newContext(scope.Current()))
				if i%20 == 0 {
					runtime.GC()
				}
			}
			runtime.KeepAlive(others)
			return ctx
		}, "a=1 b=2 c=99 user=u"},
		{"an entry's context, then a hundred others that are gone", func() context.Context {
			ctx := newContext(scope.With("user", "u"))
			for i := range 100 {
				scope.Set("c", i)
				newContext(scope.Current())
				if i%20 == 0 {
					runtime.GC()
				}
			}
			return ctx
		}, "a=1 b=2 c=99 user=u"},
		{"a context that was made before the Run", func() (ctx context.Context) {
			s := scope.New("a", 1)
			ctx = newContext(s)
			var picked scope.Scope
			s.Run(func() {
				scope.Set("b", 2)
				picked = scope.Current().Pick(ctx)
			})
			return newContext(picked.Detach())
		}, "a=1 b=2"},

		{"With", func() context.Context { return newContext(scope.With("user", "u")) }, "a=1 b=2 user=u"},
		{"With, then Set", func() context.Context {
			ctx := newContext(scope.With("user", "u"))
			scope.Set("c", 3)
			return ctx
		}, "a=1 b=2 c=3 user=u"},
		{"With, then Set of that key", func() context.Context {
			ctx := newContext(scope.With("user", "u"))
			scope.Set("user", "other")
			scope.Set("c", 3)
			return ctx
		}, "a=1 b=2 user=u c=3"},
		{"With, then Clear", func() context.Context {
			ctx := newContext(scope.With("user", "u"))
			scope.Clear()
			return ctx
		}, "user=u"},
		{"With of a key that is there, then Set", func() context.Context {
			ctx := newContext(scope.With("a", 9, "user", "u"))
			scope.Set("c", 3)
			return ctx
		}, "a=9 b=2 c=3 user=u"},
		{"With of a key that is there, then Delete of it", func() context.Context {
			ctx := newContext(scope.With("a", 9, "user", "u"))
			scope.Delete("a")
			return ctx
		}, "b=2 a=9 user=u"},
		{"With after With of a key that is there", func() context.Context {
			ctx := newContext(scope.With("a", 8).With("x", 1).With("a", 9).With("b", 9))
			scope.Set("c", 3)
			return ctx
		}, "a=9 b=9 c=3 x=1"},
		{"With through a long chain", func() context.Context {
			s := scope.Current()
			for i := range 70 {
				s = s.With(fmt.Sprint("m", i), i)
			}
			ctx := newContext(s)
			scope.Set("c", 3)
			return ctx
		}, "a=1 b=2 c=3 many"},
		{"With of one key again and again", func() context.Context {
			s := scope.Current()
			for i := range 100 {
				s = s.With("a", i, "x", i)
			}
			ctx := newContext(s)
			scope.Set("c", 3)
			return ctx
		}, "a=99 b=2 c=3 x=99"},
		{"With of keys that are there, when what was between is gone", func() context.Context {
			s := scope.With("x", 0).With("a", 9).With("b", 8)
			for i := range 50 {
				s = s.With("x", i)
				if i%10 == 0 {
					runtime.GC()
				}
			}
			ctx := newContext(s)
			scope.Set("c", 3)
			return ctx
		}, "a=9 b=8 c=3 x=49"},
		{"With of a long chain that is bound", func() context.Context {
			setMany(0, 70)
			ctx := newContext(scope.With("m3", 3, "user", "u"))
			scope.Set("c", 3)
			return ctx
		}, "a=1 b=2 many c=3 user=u"},
		{"With of what gets bound later", func() (ctx context.Context) {
			s := scope.With("x", 1)
			more := s.With("a", 9, "user", "u")
			s.Run(func() {
				inner := newContext(more)
				scope.Set("c", 3)
				ctx = newContext(scope.Current().Pick(inner).Detach())
			})
			return ctx
		}, "a=9 b=2 x=1 c=3 user=u"},
		{"Sets of new keys in a Run", func() (ctx context.Context) {
			var s scope.Scope
			scope.Run(func() {
				setMany(0, 40)
				s = scope.Current()
			})
			ctx = newContext(s)
			scope.Set("c", 3)
			return ctx
		}, "a=1 b=2 c=3 many"},
		{"the innermost context counts", func() context.Context {
			ctx := scope.NewContext(newContext(scope.With("x", 1)), scope.With("user", "u"))
			scope.Set("c", 3)
			return ctx
		}, "a=1 b=2 c=3 user=u"},

		{"Without", func() context.Context {
			ctx := newContext(scope.Current().Without("a"))
			scope.Set("c", 3)
			return ctx
		}, "b=2"},
		{"With and Without", func() context.Context {
			ctx := newContext(scope.With("user", "u").Without("a"))
			scope.Set("c", 3)
			return ctx
		}, "b=2 user=u"},
		{"a Set of a key that is there, in a Run", func() (ctx context.Context) {
			var s scope.Scope
			scope.Run(func() {
				scope.Set("a", 9)
				s = scope.Current()
			})
			ctx = newContext(s)
			scope.Set("c", 3)
			return ctx
		}, "a=9 b=2"},
		{"a scope from before", func() context.Context {
			before := scope.Current()
			scope.Set("c", 3)
			return newContext(before)
		}, "a=1 b=2"},
		{"a scope from before a Delete", func() context.Context {
			before := scope.Current()
			scope.Delete("a")
			return newContext(before)
		}, "a=1 b=2"},
		{"bound again, a scope from before", func() (ctx context.Context) {
			before := scope.With("x", 1)
			scope.Set("c", 3)
			ctx = newContext(scope.Current())
			scope.Set("d", 4)
			before.Run(func() { ctx = newContext(scope.Current().Pick(ctx).Detach()) })
			return ctx
		}, "a=1 b=2 c=3"},
		{"With of a key that is there, and Without", func() context.Context {
			ctx := newContext(scope.With("a", 9).Without("b"))
			scope.Set("c", 3)
			return ctx
		}, "a=9"},
		{"With of a key that is there, and a Set of one, in a Run", func() (ctx context.Context) {
			var s scope.Scope
			scope.With("a", 9).Run(func() {
				scope.Set("b", 8)
				s = scope.Current()
			})
			ctx = newContext(s)
			scope.Set("c", 3)
			return ctx
		}, "a=9 b=8"},
		{"With of a key that is there, Clear and Set, in a Run", func() (ctx context.Context) {
			var s scope.Scope
			scope.With("a", 9).Run(func() {
				scope.Clear()
				scope.Set("x", 1)
				s = scope.Current()
			})
			ctx = newContext(s)
			scope.Set("c", 3)
			return ctx
		}, "x=1"},
		{"another task", func() context.Context { return newContext(scope.New("z", 1)) }, "z=1"},
		{"a detached task", func() context.Context {
			ctx := newContext(scope.Current().Detach())
			scope.Set("c", 3)
			return ctx
		}, "a=1 b=2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onEachPath(t, func(t *testing.T, p path) {
				scope.New("a", 1, "b", 2).Run(func() {
					ctx := tc.do()
					got := text(scope.Current().Pick(ctx))
					for i := range 70 {
						got = strings.Replace(got, fmt.Sprintf(" m%d=%d", i, i), " many", 1)
					}
					fields := slices.Compact(strings.Fields(got))
					if got := strings.Join(fields, " "); got != tc.want {
						t.Errorf("Pick gives %q, want %q", got, tc.want)
					}
				})
			})
		})
	}
}

func TestPickInGoroutinesOfATask(t *testing.T) {
	for _, tc := range []struct {
		name    string
		before  func() // in a goroutine that starts before NewContext
		context func() context.Context
		after   func() // in the same one, or one that starts after it
		want    string // in the goroutine that had started before
		wantNew string
	}{
		{"a fork of the entry", nil, func() context.Context { return newContext(scope.Current()) },
			func() { scope.Set("c", 3) }, "a=1 c=3", "a=1 c=3"},
		{"with something more", nil, func() context.Context { return newContext(scope.With("user", "u")) },
			func() { scope.Set("c", 3) }, "a=1 c=3 user=u", "a=1 c=3 user=u"},
		{"that has gone on before", func() { scope.Set("b", 2) }, func() context.Context { return newContext(scope.With("user", "u")) },
			func() { scope.Set("c", 3) }, "a=1 user=u", "a=1 c=3 user=u"},
		{"while the entry goes on", nil, func() context.Context {
			scope.Set("b", 2)
			return newContext(scope.With("user", "u"))
		}, func() { scope.Set("c", 3) }, "a=1 b=2 user=u", "a=1 b=2 c=3 user=u"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onEachPath(t, func(t *testing.T, p path) {
				scope.New("a", 1).Run(func() {
					started, passed := make(chan struct{}), make(chan context.Context, 1)
					done := p.spawn(func() {
						if tc.before != nil {
							tc.before()
						}
						close(started)
						ctx := <-passed
						tc.after()
						if got := text(scope.Current().Pick(ctx)); got != tc.want {
							t.Errorf("Pick in the goroutine from before gives %q, want %q", got, tc.want)
						}
					})
					<-started
					ctx := tc.context()
					passed <- ctx
					<-done
					<-p.spawn(func() {
						tc.after()
						if got := text(scope.Current().Pick(ctx)); got != tc.wantNew {
							t.Errorf("Pick in a new goroutine gives %q, want %q", got, tc.wantNew)
						}
					})
				})
			})
		})
	}
}

// ---- random programs, and a model that remembers everything ----

type modelTask struct{ _ int }

// A modelState is a scope with its whole history.
type modelState struct {
	task   *modelTask
	keys   []string
	values map[string]string
	from   *modelState
	given  []string // what was added to from; nil if it wasn't made by adding alone
	made   int      // when
	marked int      // when NewContext first found it bound; 0: never
}

// A context that logs when it is asked.
type loggingContext struct {
	context.Context
	log func(context.Context)
}

func (c loggingContext) Value(key any) any {
	c.log(c)
	return c.Context.Value(key)
}

// A context that logs with itself when it is asked is asked a few times more, and then the lines have what is
// bound.
func TestPickOfAContextThatLogsWithItself(t *testing.T) {
	s := scope.New("request_id", "r-1")
	for _, bound := range []scope.Scope{{}, scope.New("request_id", "r-2"), s} {
		asked := 0
		ctx := loggingContext{scope.NewContext(t.Context(), s), func(ctx context.Context) {
			if asked++; asked > 100 {
				t.Fatal("it has no end")
			}
			scope.Current().Pick(ctx)
		}}
		bound.Run(func() {
			if got := scope.Current().Pick(ctx); got != s {
				t.Errorf("picked %s, want %s", got, s)
			}
		})
		if asked == 0 {
			t.Error("it wasn't asked")
		}
	}
}

func (st *modelState) String() string {
	if st == nil {
		return ""
	}
	var list []string
	for _, k := range st.keys {
		list = append(list, k+"="+st.values[k])
	}
	return strings.Join(list, " ")
}

func (st *modelState) sameTask(o *modelState) bool {
	return st != nil && o != nil && st.task == o.task
}

type modelContext struct {
	real  context.Context
	scope *modelState
	base  *modelState // nil: the scope wasn't made by adding to it
	added []string
}

// A history makes states. now is how many steps are done.
type history struct{ now int }

type pairs [][2]string

func (ps pairs) args() (args []any) {
	for _, p := range ps {
		args = append(args, p[0], p[1])
	}
	return args
}

func (ps pairs) attrs() (list []slog.Attr) {
	for _, p := range ps {
		list = append(list, slog.String(p[0], p[1]))
	}
	return list
}

// with is With if adds, else Set and SetAttrs.
func (m *history) with(st *modelState, ps pairs, adds bool) *modelState {
	if len(ps) == 0 {
		return st
	}
	next := &modelState{values: map[string]string{}, from: st, made: m.now, task: new(modelTask)}
	replaced := false
	if st != nil {
		next.task, next.keys = st.task, slices.Clone(st.keys)
		for k, v := range st.values {
			next.values[k] = v
		}
	}
	given := []string{}
	for _, p := range ps {
		if _, there := next.values[p[0]]; !there {
			next.keys = append(next.keys, p[0])
		} else if st != nil && slices.Contains(st.keys, p[0]) {
			replaced = true
		}
		next.values[p[0]] = p[1]
		given = append(given, p[0])
	}
	if adds || !replaced {
		next.given = given
	}
	return next
}

func (m *history) without(st *modelState, keys []string) *modelState {
	if st == nil || !slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(st.keys, k) }) {
		return st
	}
	next := &modelState{values: map[string]string{}, from: st, made: m.now, task: st.task}
	for _, k := range st.keys {
		if !slices.Contains(keys, k) {
			next.keys = append(next.keys, k)
			next.values[k] = st.values[k]
		}
	}
	return next
}

func (m *history) detach(st *modelState) *modelState {
	next := &modelState{values: map[string]string{}, made: m.now, task: new(modelTask)}
	if st != nil {
		next.keys, next.values = st.keys, st.values
	}
	return next
}

func (m *history) newContext(bound, st *modelState) *modelContext {
	c := &modelContext{scope: st}
	if st == nil {
		return c
	}
	base := bound
	if !bound.sameTask(st) {
		base = st
	}
	var keys []string
	for s := st; s != base; s = s.from {
		if s == nil || s.given == nil {
			return c
		}
		keys = append(keys, s.given...)
	}
	c.base = base
	for _, k := range st.keys {
		if slices.Contains(keys, k) {
			c.added = append(c.added, k)
		}
	}
	if base.marked == 0 {
		base.marked = m.now
	}
	return c
}

func (m *history) pick(c *modelContext, bound *modelState) *modelState {
	if c.scope == nil {
		return bound
	}
	if c.base == nil || !bound.sameTask(c.scope) {
		return c.scope
	}
	for st := bound; st != c.base; st = st.from {
		if st == nil || st.from == c.base && st.made <= c.base.marked {
			return c.scope
		}
	}
	var ps pairs
	for _, k := range c.added {
		ps = append(ps, [2]string{k, c.scope.values[k]})
	}
	return m.with(bound, ps, true)
}

type modelScope struct {
	real scope.Scope
	st   *modelState
}

// A worker is a goroutine that does what it is told, one thing at a time, so that it is known
// what came first.
type worker struct {
	ops    chan func() // nil: return from the innermost Run
	done   chan struct{}
	ended  <-chan struct{}
	bounds []*modelState // of each Run around
}

func newWorker(bound *modelState) *worker {
	return &worker{ops: make(chan func()), done: make(chan struct{}), bounds: []*modelState{bound}}
}

func (a *worker) loop() {
	for op := range a.ops {
		if op == nil {
			return
		}
		op()
		a.done <- struct{}{}
	}
}

func (a *worker) do(op func()) { a.ops <- op; <-a.done }

// enter runs what follows, up to leave, in a Run of s.
func (a *worker) enter(s modelScope) {
	a.do(func() {
		s.real.Run(func() {
			a.done <- struct{}{} // the Run has begun
			a.loop()
		})
	})
	a.bounds = append(a.bounds, s.st)
}

func (a *worker) leave() {
	a.ops <- nil
	<-a.done
	a.bounds = a.bounds[:len(a.bounds)-1]
}

func (a *worker) bound() *modelState  { return a.bounds[len(a.bounds)-1] }
func (a *worker) bind(st *modelState) { a.bounds[len(a.bounds)-1] = st }
func (a *worker) stop()               { close(a.ops); <-a.ended }
func (a *worker) start(p path)        { a.ended = p.spawn(a.loop) }
func (a *worker) current() (s modelScope) {
	a.do(func() { s.real = scope.Current() })
	s.st = a.bound()
	return s
}

// pickProgram runs a random program and compares Pick with the model after every step.
func pickProgram(t *testing.T, p path, seed uint64, steps int) (onTop, asIs int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	m := &history{}
	var (
		workers = []*worker{newWorker(nil)}
		scopes  = []modelScope{{}}
		ctxs    []*modelContext
		trace   []string
		value   int
	)
	workers[0].start(p)
	defer func() {
		for _, a := range workers {
			for len(a.bounds) > 1 {
				a.leave()
			}
			a.stop()
		}
	}()
	some := func(n int) (ps pairs) {
		for range n {
			value++
			ps = append(ps, [2]string{fmt.Sprint("k", rng.IntN(7)), fmt.Sprint(value)})
		}
		return ps
	}
	keep := func(s modelScope) {
		if len(scopes) < 12 {
			scopes = append(scopes, s)
		} else {
			scopes[1+rng.IntN(11)] = s
		}
	}
	for range steps {
		m.now++
		i := rng.IntN(len(workers))
		a := workers[i]
		held := scopes[rng.IntN(len(scopes))]
		if rng.IntN(2) == 0 {
			held = a.current()
		}
		op := rng.IntN(20)
		trace = append(trace, fmt.Sprintf("%d:%d", i, op))
		switch op {
		case 0, 1, 2:
			ps := some(1)
			a.do(func() { scope.Set(ps[0][0], ps[0][1]) })
			a.bind(m.with(a.bound(), ps, false))
		case 3:
			ps := some(rng.IntN(4))
			a.do(func() { scope.SetAttrs(ps.attrs()...) })
			a.bind(m.with(a.bound(), ps, false))
		case 4:
			keys := []string{some(1)[0][0], some(1)[0][0]}
			a.do(func() { scope.Delete(keys...) })
			a.bind(m.without(a.bound(), keys))
		case 5:
			if rng.IntN(3) == 0 {
				a.do(scope.Clear)
				if st := a.bound(); st != nil {
					a.bind(m.without(st, st.keys))
				}
			}
		case 6, 7:
			ps := some(rng.IntN(3))
			var s modelScope
			a.do(func() { s.real = held.real.With(ps.args()...) })
			s.st = m.with(held.st, ps, true)
			keep(s)
		case 8:
			key := some(1)[0][0]
			keep(modelScope{held.real.Without(key), m.without(held.st, []string{key})})
		case 9:
			keep(held)
		case 10:
			if rng.IntN(2) == 0 {
				keep(modelScope{held.real.Detach(), m.detach(held.st)})
			} else {
				ps := some(1 + rng.IntN(2))
				keep(modelScope{scope.New(ps.args()...), m.with(nil, ps, true)})
			}
		case 11, 12:
			if len(a.bounds) < 5 {
				a.enter(held)
			}
		case 13:
			if len(a.bounds) > 1 {
				a.leave()
			}
		case 14:
			if len(workers) < 5 {
				b := newWorker(a.bound())
				a.do(func() { b.start(p) })
				workers = append(workers, b)
			}
		case 15: // long chains: of Sets, or of Withs
			n, bySet := 20+rng.IntN(50), rng.IntN(2) == 0
			if rng.IntN(4) > 0 || a.bound() != nil && len(a.bound().keys) > 100 {
				break
			}
			for range n {
				m.now++
				value++
				ps := pairs{{fmt.Sprint("long", value), "1"}}
				if bySet {
					a.do(func() { scope.Set(ps[0][0], ps[0][1]) })
					a.bind(m.with(a.bound(), ps, false))
				} else {
					held = modelScope{held.real.With(ps.args()...), m.with(held.st, ps, true)}
				}
			}
			keep(held)
		default:
			c := m.newContext(a.bound(), held.st)
			a.do(func() { c.real = newContext(held.real) })
			if len(ctxs) < 8 {
				ctxs = append(ctxs, c)
			} else {
				ctxs[rng.IntN(8)] = c
			}
		}
		for _, c := range ctxs {
			a := workers[rng.IntN(len(workers))]
			st := m.pick(c, a.bound())
			if c.base != nil && a.bound().sameTask(c.scope) && a.bound() != c.scope {
				if st == c.scope {
					asIs++
				} else {
					onTop++
				}
			}
			var got scope.Scope
			a.do(func() { got = scope.Current().Pick(c.real) })
			if text(got) != st.String() {
				t.Fatalf("seed %d, after %v: Pick gives %q, want %q; in the context is %q, bound %q",
					seed, trace, text(got), st, c.scope, a.bound())
			}
		}
	}
	return onTop, asIs
}

func TestPickInRandomPrograms(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		programs := 30
		if testing.Short() || testkit.Race {
			programs = 10
		}
		onTop, asIs := 0, 0
		for seed := range programs {
			m, n := pickProgram(t, p, uint64(seed), 250)
			onTop, asIs = onTop+m, asIs+n
		}
		if onTop < 100 || asIs < 100 {
			t.Errorf("few picks of interest: %d on top of what is bound, %d as they are", onTop, asIs)
		}
		t.Logf("%d on top of what is bound, %d as they are", onTop, asIs)
	})
}

// ---- memory and time ----

// What is done again and again, for as long as a connection lasts, say, keeps nothing and
// doesn't get slower.
func TestWhatPickKnowsIsBounded(t *testing.T) {
	if testkit.Race {
		t.Skip("it is about memory and time")
	}
	var s scope.Scope
	for name, step := range map[string]func(i int){
		"a context, then a Set of one key": func(i int) {
			ctx := newContext(scope.Current())
			scope.Set("i", i)
			scope.Current().Pick(ctx)
		},
		"a context with more, then a Set of one key": func(i int) {
			ctx := newContext(scope.With("i", i, "x", i))
			scope.Set("i", i)
			scope.Current().Pick(ctx)
		},
		"contexts of one scope": func(i int) { scope.Current().Pick(newContext(scope.With("x", i))) },
		"With of one key":       func(i int) { s = s.With("i", i) },
		"Set of one key":        func(i int) { scope.Set("i", i) },
	} {
		t.Run(name, func(t *testing.T) {
			rounds := func(n int) (perRound time.Duration, heap uint64) {
				scope.New("i", 0).Run(func() {
					s = scope.Current()
					start := time.Now()
					for i := range n {
						step(i)
						if i%1000 == 999 {
							runtime.GC() // what is gone is known by then
						}
					}
					perRound = time.Since(start) / time.Duration(n)
					runtime.GC()
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					heap = m.HeapAlloc
				})
				return perRound, heap
			}
			rounds(1000)
			short, before := rounds(1000)
			long, after := rounds(100_000)
			t.Logf("%v a round of 1,000, %v of 100,000; %d bytes more", short, long, int64(after)-int64(before))
			if long > 20*short+10*time.Microsecond {
				t.Errorf("a round takes %v, after few %v", long, short)
			}
			if after > before+2<<20 {
				t.Errorf("%d bytes are kept", after-before)
			}
		})
	}
}

// Contexts and what they have marked keep replaced values no longer than they must.
func TestAContextDoesNotKeepWhatWasReplaced(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		big := func(watched *probe) *derivation { return watched.Watch(new(derivation)) }
		for name, use := range map[string]func(*probe) []context.Context{
			"of the entry": func(w *probe) []context.Context {
				scope.Set("a", 1)
				ctx := newContext(scope.Current())
				scope.Set("big", big(w))
				scope.Current().Pick(ctx)
				scope.Set("big", 1)
				return []context.Context{ctx}
			},
			"of the zero Scope": func(w *probe) []context.Context {
				scope.Set("big", big(w))
				ctx := newContext(scope.Scope{})
				scope.Set("big", 1)
				return []context.Context{ctx}
			},
			"with more": func(w *probe) []context.Context {
				scope.Set("a", 1)
				ctx := newContext(scope.With("x", 1))
				scope.Set("big", big(w))
				scope.Current().Pick(ctx)
				scope.Set("big", 1)
				scope.Current().Pick(ctx) // it keeps its last union
				return []context.Context{ctx}
			},
			"that are many": func(w *probe) (ctxs []context.Context) {
				for range 100 {
					scope.Set("big", big(w))
					ctxs = append(ctxs, newContext(scope.Current().With("big", 1)))
				}
				scope.Delete("big")
				return ctxs
			},
		} {
			var watched probe
			scope.Scope{}.Run(func() {
				ctxs := use(&watched)
				watched.WantFreed(t, "with a context "+name)
				for _, ctx := range ctxs {
					if scope.Current().Pick(ctx) == (scope.Scope{}) {
						t.Errorf("a context %s gives nothing", name)
					}
				}
				runtime.KeepAlive(ctxs)
			})
		}
	})
}
