package scope

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// NewContext returns a context that carries s, for code that is given a context and
// for [FromContext]. It remembers what is bound at this moment: see [Scope.Pick].
//
// It also keeps the goroutine's scope alive through code that sets profiler labels:
// pprof.Do, pprof.SetGoroutineLabels and the tracers that call them overwrite the slot
// that a scope lives in with what their context answers, and this context answers with
// its own labels and the scope that is bound at that moment. A context that
// pprof.WithLabels derives from it has a copy made when it was derived; pass
// such a context to NewContext before you give it to another pprof.Do.
//
// NewContext panics if ctx is nil, as the functions of package context do.
func NewContext(ctx context.Context, s Scope) context.Context {
	if ctx == nil {
		panic("scope: NewContext with a nil context")
	}
	c := &scopeContext{Context: ctx, scope: s}
	if s.n != nil {
		base := bound()
		if base == nil || base.task != s.n.task {
			base = s.n // the task isn't running here yet: it will come from s
		}
		if added, ok := s.n.addedTo(base); ok {
			c.base, c.added = base.origin(true), added
		}
	}
	return c
}

// FromContext returns the scope that [NewContext] put into ctx or into a context that ctx
// derives from, and whether there is one. Of several it is the innermost. A nil ctx has none.
func FromContext(ctx context.Context) (Scope, bool) {
	if c := contextOf(ctx); c != nil {
		return c.scope, true
	}
	return Scope{}, false
}

// Pick returns the scope for a log line, or another call, that is given ctx on a goroutine
// that has s bound:
//
//   - If ctx is nil, or carries no scope or the zero one, the line gets s, what is bound.
//   - If the scope of ctx belongs to another task than s, the line gets the scope of ctx.
//   - If both belong to the same task, the line gets s, and on top of it what was added when ctx
//     was made: the fields of the scope of ctx that weren't in what was bound at that moment.
//     The context of a request's entry adds nothing, and NewContext(ctx, scope.With("user", u))
//     adds the user, whatever is Set afterwards.
//   - In two cases nobody can tell what was added, and the line gets the scope of ctx as it is:
//     if the scope of ctx wasn't made by adding to what was bound at that moment (a field was
//     taken away, say), or if s wasn't made from what was bound at that moment (it belongs to a
//     goroutine that was started earlier, say, with fewer fields).
//
// Adding means With, or Set with keys that weren't there. If nothing of the task was bound when
// ctx was made (before a Run, say), the scope of ctx itself counts as what was bound.
func (s Scope) Pick(ctx context.Context) Scope {
	if ctx == nil || ctx == context.Background() {
		return s
	}
	return s.pick(ctx)
}

func (s Scope) pick(ctx context.Context) Scope {
	c, ok := ctx.(*scopeContext)
	if !ok {
		c = s.ask(ctx)
	}
	if c == nil || c.scope.n == nil || c.scope.n == s.n {
		return s
	}
	if c.base != nil && c.scope.SameTask(s) && s.n.cameFrom(c.base) {
		return Scope{c.addTo(s.n)}
	}
	return Scope{c.scope.n.encodingAt(s.n.encodingLevel())}
}

type contextKey struct{}

type scopeContext struct {
	context.Context
	scope Scope

	// base is what was bound when NewContext was called, and added the fields of scope that weren't
	// in it. base is nil if scope was not made by adding fields to what was bound.
	base  *origin
	added []field
	last  atomic.Pointer[union]
}

// A union remembers the node that addTo has made of another one, with all that adapters remember
// there, for the next line. It is used until either node is marked: a node made afterwards would
// know of the mark.
type union struct {
	of, n               *node
	ofLineage, nLineage *lineage
}

// addTo returns n with what the context adds.
func (c *scopeContext) addTo(n *node) *node {
	if len(c.added) == 0 {
		return n
	}
	if u := c.last.Load(); u != nil && u.of == n && u.ofLineage == n.lineage.Load() && u.nLineage == u.n.lineage.Load() {
		return u.n
	}
	u := &union{of: n, ofLineage: n.lineage.Load()} // loaded before addTo uses it
	b := build(len(c.added))
	for _, f := range c.added {
		b.append(f)
	}
	u.n = b.addTo(n, byWith)
	u.nLineage = u.n.lineage.Load()
	c.last.Store(u)
	return u.n
}

func (c *scopeContext) Value(key any) any {
	switch key {
	case contextKey{}:
		return c
	case memo.WrappedKey{}:
		return c.Context
	case carrier.LabelKey:
		own := c.Context.Value(key) // first: user code may set a field in there
		n := bound()
		return carrier.Answer(own, n.header(), n.labels(profiling()))
	}
	return c.Context.Value(key)
}

// String names the context as those of package context name theirs.
func (c *scopeContext) String() string {
	if named, ok := c.Context.(fmt.Stringer); ok {
		return named.String() + ".WithScope"
	}
	return fmt.Sprintf("%T.WithScope", c.Context)
}

// Format keeps fmt out of the context, whatever the verb: it would show values in spite of their policies,
// and read last while another goroutine writes it.
func (c *scopeContext) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

func contextOf(ctx context.Context) *scopeContext {
	if ctx == nil {
		return nil
	}
	c, _ := ctx.Value(contextKey{}).(*scopeContext)
	return c
}

// ask is contextOf for a line of s. A ctx of the program's own type may log, with itself, when it
// is asked for a value. To end that, the level of Encode is raised while such a ctx is asked, and
// at maxAsking no line asks.
func (s Scope) ask(ctx context.Context) *scopeContext {
	if isStandard(ctx) {
		return quietContextOf(ctx)
	}
	level := s.n.encodingLevel()
	if level >= maxAsking {
		return nil
	}
	n := s.n
	if n == nil {
		n = newTask()
	}
	saved := n.encodingAt(level + 1).swap() // as in Encode, without its count
	defer restore(&saved)
	return quietContextOf(ctx)
}

// maxAsking bounds the calls of Encode around a line whose context is asked. It is two: a value's
// method, which has one around it, may log with a context, which may log.
const maxAsking = 2

// isStandard reports whether the type of ctx is one of package context, as most are. Such a type
// calls no user code itself, only that of the contexts it was made from.
func isStandard(ctx context.Context) bool {
	t := reflect.TypeOf(ctx)
	for _, standard := range standardTypes {
		if t == standard {
			return true
		}
	}
	return false
}

var standardTypes = func() [5]reflect.Type {
	canceled, stop := context.WithCancel(context.Background())
	stop()
	timed, stop := context.WithTimeout(context.Background(), time.Hour)
	stop()
	of := reflect.TypeOf
	return [...]reflect.Type{of(context.WithValue(timed, contextKey{}, nil)), of(canceled), of(timed), of(context.WithoutCancel(timed)), of(context.TODO())}
}()

// quietContextOf survives a ctx whose Value panics, such as a nil pointer of a type that
// implements context.Context: most loggers never look at ctx, so without us the line would be
// written.
func quietContextOf(ctx context.Context) (c *scopeContext) {
	defer func() {
		if recover() != nil {
			c = nil
		}
	}()
	return contextOf(ctx)
}
