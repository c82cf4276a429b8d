package scope

import (
	"log/slog"
	"slices"

	"github.com/taskscope/taskscope/internal/memo"
)

// A node is a memo.Scope: these methods are for package logadapters.
var _ memo.Scope = (*node)(nil)

// Table implements memo.Scope.
func (n *node) Table() *memo.Table {
	if n == nil {
		return nil
	}
	return &n.table
}

// Base implements memo.Scope.
func (n *node) Base() memo.Scope {
	// A node made by Encode has another level than its parent. Its lines have fewer fields, so
	// what was derived from its parent is of no use.
	if n == nil || n.parent == nil || n.parent.encodingLevel() != n.encodingLevel() {
		return nil
	}
	return n.parent
}

// Attrs implements memo.Scope.
func (n *node) Attrs(base memo.Scope) []slog.Attr {
	b, _ := base.(*node)
	return n.shown(b)
}

// Declared implements memo.Scope.
func (n *node) Declared(base memo.Scope, policy uint8) []slog.Attr {
	b, _ := base.(*node)
	var room [8]slog.Attr
	attrs := room[:0]
	n.each(b, func(f field) {
		if Policy(f.Key)&KeyOption(policy) == KeyOption(policy) {
			if a, ok := f.shown(); ok {
				attrs = append(attrs, a)
			}
		}
	})
	return slices.Clone(attrs)
}

// Bare implements memo.Scope.
func (n *node) Bare() bool { return n != nil && n.task.isBare() }

// Get implements memo.Scope.
func (n *node) Get(key string) (value any, ok bool) { return Scope{n}.Get(key) }

// Value implements memo.Scope.
func (n *node) Value(key string) (value slog.Value, ok bool) {
	f, ok := n.get(key)
	return f.Value, ok
}

// LastTotals implements memo.Scope.
func (n *node) LastTotals(attrs []slog.Attr) []slog.Attr { return n.totals(attrs, true) }

// AtEnd implements memo.Scope.
func (n *node) AtEnd(fn func()) {
	x := n.task.ensureExtras()
	for {
		before := x.atEnd.Load()
		both := fn
		if before != nil {
			both = func() { defer fn(); (*before)() }
		}
		if x.atEnd.CompareAndSwap(before, &both) {
			return
		}
	}
}

// Running implements memo.Scope.
func (n *node) Running() int { return n.task.running() }

// Encoding implements memo.Scope.
func (n *node) Encoding() int { return n.encodingLevel() }

// Encode implements memo.Scope. What fn sets ends with it.
func (n *node) Encode(fn func()) {
	memo.BeginEncode()
	defer memo.EndEncode()
	n.encode(fn)
}

// EncodeLine implements memo.Scope.
func (n *node) EncodeLine(fn func()) {
	memo.BeginLine()
	defer memo.EndLine()
	n.encode(fn)
}

func (n *node) encode(fn func()) {
	saved := n.encodingAt(max(n.encodingLevel(), bound().encodingLevel()) + 1).swap()
	defer restore(&saved)
	fn()
}

// Ask implements memo.Scope.
func (n *node) Ask(fn func()) {
	if max(n.encodingLevel(), bound().encodingLevel()) == 0 && !memo.RunsAway() {
		n.Encode(fn)
	}
}

// BindInside implements memo.Scope.
func (n *node) BindInside(a slog.Attr) {
	n = n.withoutShared()
	m := n.setAttrs([]slog.Attr{a}, byWith)
	m.setOutside(n)
	m.encodingAt(bound().encodingLevel()).bind()
}

// BindOutside implements memo.Scope.
func (n *node) BindOutside() memo.Scope {
	o := n.outside()
	if o == nil || !o.in(n.task) {
		return n
	}
	o.encodingAt(bound().encodingLevel()).bind()
	return o
}
