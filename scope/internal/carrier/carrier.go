package carrier

import (
	"context"
	"os"
	"runtime/pprof"
	"sync/atomic"
)

// Key is the text of the label that carries the bound object. It is for people who see it in a
// dump; the code recognizes the label by the address of the key's bytes.
const Key = "taskscope"

// A Path is one way to bind an object to a goroutine.
type Path uint32

const (
	Portable Path = iota // when the others can't be used
	Labels
	Direct
)

func (p Path) String() string { return [...]string{"portable", "labels", "direct"}[p] }

// active is the path in use. It is written at start-up and by Force.
var active atomic.Uint32

// Active returns the path in use.
func Active() Path { return Path(active.Load()) }

// Force makes p the path in use, for tests, and returns the way back. No goroutine may have
// anything bound while it is called. It reports false, and changes nothing, if this build or this
// Go version doesn't have p.
func Force(p Path) (undo func(), ok bool) {
	was := Active()
	if p > best {
		return func() {}, false
	}
	active.Store(uint32(p))
	return func() { active.Store(uint32(was)) }, true
}

// best is the best path that works here, found once at start-up.
var best Path

// EnvPath is the environment variable that asks for a path below the best one.
const EnvPath = "TASKSCOPE_CARRIER"

func init() {
	best = choose()
	active.Store(uint32(best))
	for p := Portable; p < best; p++ {
		if os.Getenv(EnvPath) == p.String() {
			active.Store(uint32(p))
		}
	}
}

// A Label is a profiler label that the bound object wants to be seen.
type Label struct{ Key, Value string }

// LabelKey is runtime/pprof's private context key, under which a context answers with its label
// set. pprof.Label gives it away when it asks a context for its set.
var LabelKey = func() any {
	a := &asked{Context: context.Background()}
	pprof.Label(a, Key)
	return a.key
}()

type asked struct {
	context.Context
	key any
}

func (a *asked) Value(key any) any { a.key = key; return nil }
