package zaph_test

import (
	"runtime"
	"testing"
	"weak"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// A node is a core whose children are watched.
type node struct {
	zapcore.Core
	children *[]weak.Pointer[node]
}

func (n *node) With(fields []zapcore.Field) zapcore.Core {
	child := &node{n.Core.With(fields), n.children}
	*n.children = append(*n.children, weak.Make(child))
	return child
}

func (n *node) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if n.Enabled(ent.Level) {
		return ce.AddCore(ent, n)
	}
	return ce
}

func newNode() (*node, *[]weak.Pointer[node]) {
	children := new([]weak.Pointer[node])
	return &node{jsonCore(nowhere{}, zap.InfoLevel), children}, children
}

// alive collects garbage until at most want of the watched cores are left, and returns
// how many are. zap and this package keep the last entries in pools, which takes two
// rounds to empty.
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

func TestADerivedCoreDiesWithItsScope(t *testing.T) {
	c, children := newNode()
	l := zap.New(zaph.New(c, nil))
	const scopes = 200
	for i := range scopes {
		scope.New("i", i, "k", 1).Run(func() {
			l.Info("m")
			l.Info("m", zap.Int("k", 2))
			l.Check(zap.InfoLevel, "never written")
		})
	}
	if len(*children) < scopes {
		t.Fatalf("%d cores were derived: the test watches the wrong thing", len(*children))
	}
	if n := alive(*children, 0); n > 0 {
		t.Errorf("%d of %d derived cores are alive after their scopes", n, len(*children))
	}
	runtime.KeepAlive(l)
}

func TestADerivedCoreIsRemembered(t *testing.T) {
	c, children := newNode()
	l := zap.New(zaph.New(c, nil))
	scope.New("k", 1).Run(func() {
		for range 100 {
			l.Info("m")
		}
	})
	if n := len(*children); n != 1 {
		t.Errorf("%d cores were derived for one scope", n)
	}
}

func TestALongLivedScopeDoesNotCollectCores(t *testing.T) {
	c, children := newNode()
	s := scope.New("k", 1)
	s.Run(func() {
		l := zap.New(zaph.New(c, nil))
		for i := range 1000 {
			l.With(zap.Int("i", i)).Info("m")
		}
	})
	// How many a scope remembers is its own affair; that it is few is the rule. Each
	// logger here makes three cores.
	if n := alive(*children, 400); n > 400 {
		t.Errorf("%d of %d derived cores are alive", n, len(*children))
	}
	runtime.KeepAlive(s)
}
