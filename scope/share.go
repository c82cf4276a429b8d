package scope

import (
	"log/slog"

	"github.com/taskscope/taskscope/internal/memo"
)

// Share sets a field of the whole task: each of its goroutines has it at once, parents,
// siblings and children alike, on lines behind its own fields. Where a goroutine has a field
// of its own with that key, its lines show that one. value is taken as it is and must not be
// changed afterwards, and an empty key is stored as "!BADKEY".
//
// Set, Delete and Clear leave shared fields alone. Get, GetOr and Key.Get see them; of a
// Scope's methods only String, LogValue and Totals do. Only own fields are sent to other services.
// Shared fields belong to the task: a scope of another one, such as that of [New], has none of
// them, and [Scope.Detach] takes over those that there are at that moment. A [Profiled] one becomes
// a label of a goroutine the next time that the goroutine binds a scope. On a goroutine with no
// scope Share starts a task, as [Set] does.
//
// After the last line of the task Share still sets the field, and the call is counted by [Late].
func Share(key string, value any) {
	share(func(shared *node) *node { return shared.set(normalizeKey(key), value, bySet) })
}

// ShareAttrs is [Share] for several fields at once.
func ShareAttrs(attrs ...slog.Attr) {
	if len(attrs) == 0 {
		return
	}
	share(func(shared *node) *node { return shared.setAttrs(attrs, bySet) })
}

// Unshare removes the shared fields of these keys from the task. Keys that aren't there are
// ignored.
func Unshare(keys ...string) {
	if n := bound(); n != nil {
		n.task.share(func(shared *node) *node { return shared.without(keys) })
	}
}

func share(change func(shared *node) *node) {
	n := bound()
	if n == nil {
		n = newTask()
		n.task.beginBare()
		n.bind()
	}
	if n.task.totalsAreRead() {
		lates.Add(1)
	}
	n.task.share(change)
}

// share replaces the shared fields of t with what change makes of them. They are the fields of a
// node that only the task points at and that is never bound.
func (t *task) share(change func(shared *node) *node) {
	x := t.ensureExtras()
	for {
		old := x.shared.Load()
		if now := change(old); now == old || x.shared.CompareAndSwap(old, now) {
			return
		}
	}
}

// line returns n as its lines have it: with the shared fields behind its own. The result is
// remembered until these change.
//
// It isn't inlined, so that [Scope.Internal] is small enough to be: then the compiler sees which
// type the memo.Scope has, and keeps the function that its Encode is given on the stack.
//
//go:noinline
func (n *node) line() *node {
	if n != nil && n.task.extras.Load() != nil {
		n = n.withShared()
	}
	return n
}

func (n *node) withShared() *node {
	shared := n.task.shared()
	if shared == nil {
		return n
	}
	if l := lines.Load(&n.table); l != nil && l.shared == shared {
		return l.node
	}
	b := build(shared.len(nil))
	n.eachShared(shared, b.append)
	e := memo.NewEntry[sharedLine]()
	e.Value = sharedLine{shared, b.addTo(n, byWith)}
	if m := e.Value.node; m != n {
		l := m.lineage.Load().copy()
		l.lineOf = n
		m.lineage.Store(&l)
	}
	lines.Store(&n.table, e)
	return e.Value.node
}

// eachShared calls yield with the fields of shared whose keys n doesn't have.
func (n *node) eachShared(shared *node, yield func(field)) {
	shared.each(nil, func(f field) {
		if !n.has(f.Key) {
			yield(f)
		}
	})
}

// A sharedLine is the node that a line has when these are the shared fields.
type sharedLine struct{ shared, node *node }

var lines memo.Cache[sharedLine]
