package scope_test

import (
	"context"
	"fmt"
	"runtime/pprof"
	"slices"
	"testing"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// A model is what a scope must hold: fields in order, and the task they are of.
type model struct {
	fields []string // key, value, key, value …
	task   int      // 0 iff nothing was ever bound
}

func (m model) set(key, value string) model {
	m.fields = slices.Clone(m.fields)
	for i := 0; i < len(m.fields); i += 2 {
		if m.fields[i] == key {
			m.fields[i+1] = value
			return m
		}
	}
	m.fields = append(m.fields, key, value)
	return m
}

func (m model) without(key string) model {
	var kept []string
	for i := 0; i < len(m.fields); i += 2 {
		if m.fields[i] != key {
			kept = append(kept, m.fields[i], m.fields[i+1])
		}
	}
	m.fields = kept
	return m
}

func (m model) text() (s string) {
	for i := 0; i < len(m.fields); i += 2 {
		s = joined(s, m.fields[i]+"="+m.fields[i+1])
	}
	return s
}

// A machine runs a program on the scope and on the model. An operation is a byte; its
// operands are the next bytes. What a nested operation runs ends with opEnd.
type machine struct {
	t       *testing.T
	p       path
	program []byte
	tasks   map[int]scope.Scope // one scope of each task seen
	values  int
	depth   int
	failed  bool
}

// fail ends the program. It runs in any goroutine, where t.Fatal isn't allowed.
func (m *machine) fail(format string, args ...any) {
	m.t.Helper()
	if !m.failed {
		m.t.Errorf(format, args...)
	}
	m.failed, m.program = true, nil
}

const (
	opEnd = iota
	opSet
	opSetAttr
	opDelete
	opClear
	opRun
	opRunWith
	opRunWithout
	opRunNew
	opRunZero
	opDetach
	opFork
	opGo
	opWrap
	opPanic
	opDo
	opSetLabels
	opCount
)

func (m *machine) next() (b byte, ok bool) {
	if len(m.program) == 0 {
		return 0, false
	}
	b, m.program = m.program[0], m.program[1:]
	return b, true
}

func (m *machine) key() string {
	b, _ := m.next()
	return string(rune('a' + b%12)) // more than a node has room for
}

func (m *machine) value() string {
	m.values++
	return fmt.Sprint(m.values)
}

// newTask is the name of a task that the model hasn't met.
func (m *machine) newTask() int {
	m.values++
	return -m.values
}

// started is now in a task: the first Set on a goroutine starts one.
func (m *machine) started(now model) model {
	if now.task == 0 {
		now.task = m.newTask()
	}
	return now
}

func (m *machine) check(now model) {
	m.t.Helper()
	s := scope.Current()
	if got := text(s); got != now.text() {
		m.fail("bound is %q, want %q", got, now.text())
	}
	if s.Len() != len(now.fields)/2 {
		m.fail("Len is %d, want %d", s.Len(), len(now.fields)/2)
	}
	for i := 0; i < len(now.fields); i += 2 {
		if v, ok := scope.Get(now.fields[i]); !ok || v != now.fields[i+1] {
			m.fail("Get(%q) = %v, %v, want %q", now.fields[i], v, ok, now.fields[i+1])
		}
	}
	if now.task == 0 {
		if s != (scope.Scope{}) {
			m.fail("a scope is bound: %q", text(s))
		}
		return
	}
	if _, seen := m.tasks[now.task]; !seen {
		m.tasks[now.task] = s
	}
	for task, of := range m.tasks {
		if same := task == now.task; s.SameTask(of) != same {
			m.fail("SameTask is %v, want %v", !same, same)
		}
	}
	if s.Ended() {
		m.fail("the running task has ended")
	}
}

// block runs the program up to its opEnd, from a goroutine that has what now says, and
// returns what is bound at the end.
func (m *machine) block(now model) model {
	m.depth++
	defer func() { m.depth-- }()
	m.check(now)
	for {
		op, ok := m.next()
		if !ok {
			return now
		}
		op %= opCount
		if m.depth > 20 && op >= opRun {
			continue
		}
		switch op {
		case opEnd:
			if m.depth > 1 {
				return now
			}
		case opSet:
			k, v := m.key(), m.value()
			scope.Set(k, v)
			now = m.started(now).set(k, v)
		case opSetAttr:
			k, v := m.key(), m.value()
			scope.SetAttrs(scope.NewKey[string](k).Attr(v))
			now = m.started(now).set(k, v)
		case opDelete:
			k := m.key()
			scope.Delete(k)
			now = now.without(k)
		case opClear:
			scope.Clear()
			now.fields = nil
		case opRun:
			scope.Run(func() { m.block(now) })
		case opRunWith:
			k, v := m.key(), m.value()
			scope.With(k, v).Run(func() { m.block(m.started(now).set(k, v)) })
		case opRunWithout:
			k := m.key()
			scope.Current().Without(k).Run(func() { m.block(now.without(k)) })
		case opRunNew:
			k, v := m.key(), m.value()
			scope.New(k, v).Run(func() { m.block(model{task: m.newTask()}.set(k, v)) })
		case opRunZero:
			scope.Scope{}.Run(func() { m.block(model{}) })
		case opDetach:
			detached := now
			detached.task = m.newTask()
			scope.Current().Detach().Run(func() { m.block(detached) })
		case opFork:
			<-m.p.spawn(func() { m.block(now) })
		case opGo:
			done := make(chan struct{})
			scope.Go(func() { defer close(done); m.block(now) })
			<-done
		case opWrap:
			scope.Scope{}.Run(scope.Wrap(func() { m.block(now) }))
		case opPanic:
			func() {
				defer func() { recover() }()
				scope.Run(func() { m.block(now); panic("in a Run") })
			}()
		case opDo:
			ctx := scope.NewContext(context.Background(), scope.Current())
			pprof.Do(ctx, pprof.Labels("k", m.key()), func(context.Context) { now = m.block(now) })
		case opSetLabels:
			ctx := pprof.WithLabels(context.Background(), pprof.Labels("k", m.key()))
			pprof.SetGoroutineLabels(scope.NewContext(ctx, scope.Current()))
		}
		m.check(now)
	}
}

// Whatever is done in whatever order, what is bound is what a simple list says.
func FuzzScope(f *testing.F) {
	f.Add([]byte{opSet, 0, opSet, 1, opSet, 0, opDelete, 0, opClear, opSet, 2})
	f.Add([]byte{opSet, 0, opRun, opSet, 1, opFork, opSet, 2, opEnd, opDelete, 0, opEnd, opSet, 3})
	f.Add([]byte{opRunNew, 1, opDo, 2, opSet, 3, opDo, 1, opDelete, 1, opEnd, opClear, opEnd, opSetAttr, 4})
	f.Add([]byte{opSetLabels, 1, opSet, 1, opPanic, opSet, 2, opSetLabels, 3, opEnd, opGo, opDetach, opSet, 5})
	f.Add([]byte{opRunZero, opSet, 1, opWrap, opRunWith, 2, opRunWithout, 1, opFork, opFork, opClear, opSet, 9})
	all := []byte{}
	for k := range byte(12) {
		all = append(all, opSet, k, opSetAttr, 11-k, opFork, opRunWith, k, opDelete, k, opEnd, opEnd)
	}
	f.Add(all)
	for op := range byte(opCount) { // each operation under each other one
		for inner := range byte(opCount) {
			f.Add([]byte{opSet, 1, op, 2, inner, 3, opSet, 4, opEnd, opSet, 5, opEnd, opDelete, 1})
		}
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		for _, p := range []path{
			{Path: carrier.Direct, inherits: true}, {Path: carrier.Labels, inherits: true}, {Path: carrier.Portable},
		} {
			undo, ok := carrier.Force(p.Path)
			if !ok {
				continue
			}
			// In a Run: on the portable path, labels that are set after a bare Set take
			// away what was set.
			scope.Scope{}.Run(func() {
				m := &machine{t: t, p: p, program: program, tasks: map[int]scope.Scope{}}
				m.block(model{})
			})
			undo()
		}
	})
}
