package slogh_test

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"weak"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// A node is a handler whose children are watched.
type node struct {
	slog.Handler
	children *[]weak.Pointer[node]
}

func (n *node) WithAttrs(attrs []slog.Attr) slog.Handler {
	child := &node{n.Handler.WithAttrs(attrs), n.children}
	*n.children = append(*n.children, weak.Make(child))
	return child
}

func newNode() (*node, *[]weak.Pointer[node]) {
	children := new([]weak.Pointer[node])
	return &node{slog.NewJSONHandler(io.Discard, nil), children}, children
}

// alive collects garbage until at most want of the watched handlers are left, and
// returns how many are.
func alive(watched []weak.Pointer[node], want int) (n int) {
	for range 10 {
		runtime.GC()
		n = 0
		for _, w := range watched {
			if w.Value() != nil {
				n++
			}
		}
		if n <= want {
			break
		}
	}
	return n
}

func TestADerivedHandlerDiesWithItsScope(t *testing.T) {
	h, children := newNode()
	l := slog.New(slogh.New(h, nil))
	const scopes = 200
	for i := range scopes {
		scope.New("i", i, "k", 1).Run(func() {
			l.Info("m")
			l.Info("m", "k", 2)
		})
	}
	if len(*children) < scopes {
		t.Fatalf("%d handlers were derived: the test watches the wrong thing", len(*children))
	}
	if n := alive(*children, 0); n > 0 {
		t.Errorf("%d of %d derived handlers are alive after their scopes", n, len(*children))
	}
	runtime.KeepAlive(l)
}

func TestADerivedHandlerIsRemembered(t *testing.T) {
	h, children := newNode()
	l := slog.New(slogh.New(h, nil))
	scope.New("k", 1).Run(func() {
		for range 100 {
			l.Info("m")
		}
	})
	if n := len(*children); n != 1 {
		t.Errorf("%d handlers were derived for one scope", n)
	}
}

func TestALongLivedScopeDoesNotCollectHandlers(t *testing.T) {
	h, children := newNode()
	s := scope.New("k", 1)
	s.Run(func() {
		l := slog.New(slogh.New(h, nil))
		for i := range 1000 {
			l.With("i", i).LogAttrs(context.Background(), slog.LevelInfo, "m")
		}
	})
	// How many a scope remembers is its own affair; that it is few is the rule. Each
	// logger here makes three handlers.
	if n := alive(*children, 400); n > 400 {
		t.Errorf("%d of %d derived handlers are alive", n, len(*children))
	}
	runtime.KeepAlive(s)
}
