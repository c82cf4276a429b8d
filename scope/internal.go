package scope

import (
	"log/slog"

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
	// what its parent's have is of no use.
	if n == nil || n.parent == nil || n.parent.encodingLevel() != n.encodingLevel() {
		return nil
	}
	return n.parent
}

// Attrs implements memo.Scope.
func (n *node) Attrs(base memo.Scope) []slog.Attr {
	b, _ := base.(*node)
	return n.attrs(b)
}

// Encoding implements memo.Scope.
func (n *node) Encoding() int { return n.encodingLevel() }

// Encode implements memo.Scope. What fn sets ends with it.
func (n *node) Encode(fn func()) {
	level := max(n.encodingLevel(), bound().encodingLevel()) + 1
	if n == nil || level > n.encodingLevel()+1 {
		n.encodingAt(level).call(fn)
		return
	}
	// Some values are encoded for each line, so the node is remembered.
	l := n.lineage.Load()
	inside := insides.Load(&n.table)
	if inside == nil || inside.of != l {
		e := memo.NewEntry[insideNode]()
		e.Value = insideNode{n.encodingAt(level), l}
		insides.Store(&n.table, e)
		inside = &e.Value
	}
	inside.node.call(fn)
}

// call calls fn with n bound, and puts back what was bound before.
func (n *node) call(fn func()) {
	saved := n.swap()
	defer restore(&saved)
	fn()
}

// insides remembers the node that Encode binds, for as long as the lineage is the same.
var insides memo.Cache[insideNode]

type insideNode struct {
	node *node
	of   *lineage
}
