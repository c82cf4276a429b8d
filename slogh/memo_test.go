package slogh_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// A node is a handler whose children are watched.
type node struct {
	slog.Handler
	children *testkit.Probe[node]
}

func (n *node) WithAttrs(attrs []slog.Attr) slog.Handler {
	return n.children.Watch(&node{n.Handler.WithAttrs(attrs), n.children})
}

func newNode() (*node, *testkit.Probe[node]) {
	children := new(testkit.Probe[node])
	return &node{slog.NewJSONHandler(io.Discard, nil), children}, children
}

// What is remembered for a scope has the scope's values in it.
func TestADerivedHandlerDiesWithItsScope(t *testing.T) {
	foreign, _ := newNode()
	for name, h := range map[string]slog.Handler{"log/slog's": slog.NewJSONHandler(io.Discard, nil), "foreign": foreign} {
		l := slog.New(slogh.New(h, nil))
		child := l.With("a", 1).WithGroup("g").With("b", 2)
		const scopes = 200
		var watched testkit.Probe[[4]int]
		for i := range scopes {
			v := watched.Watch(new([4]int)) // too large to share memory with another
			scope.New("i", i, "v", v, "k", 1).Run(func() {
				l.Info("m")
				l.Info("m", "k", 2)
				child.Info("m")
			})
		}
		if n := watched.Left(2); n > 2 { // stacks and pools may keep the last
			t.Errorf("%s handler: the values of %d of %d scopes are alive after their scopes", name, n, scopes)
		}
		runtime.KeepAlive(l)
		runtime.KeepAlive(child)
	}
}

// ReplaceAttr is called when a field is encoded.
func TestADerivedHandlerIsRemembered(t *testing.T) {
	encoded := 0
	l := slog.New(slogh.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "k" {
			encoded++
		}
		return a
	}}), nil))
	scope.New("k", 1).Run(func() {
		for range 100 {
			l.Info("m")
		}
		scope.Set("more", 2)
		for range 100 {
			l.Info("m")
		}
	})
	if encoded != 1 {
		t.Errorf("a field was encoded %d times for one scope and what was made of it", encoded)
	}
}

func TestAForeignHandlerHasNoChildrenButThoseOfTheProgram(t *testing.T) {
	h, children := newNode()
	var out bytes.Buffer
	h.Handler = slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime})
	l := slog.New(slogh.New(h, nil))
	child := l.With("a", 1)
	scope.New("k", 1).Run(func() {
		l.Info("m", "b", 2)
		child.Info("m", "b", 2)
		child.WithGroup("g").Info("m", "b", 2)
	})
	want := "level=INFO msg=m k=1 b=2\nlevel=INFO msg=m a=1 k=1 b=2\nlevel=INFO msg=m a=1 k=1 g.b=2\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	if n := children.Len(); n != 1 {
		t.Errorf("%d children, the program made 1", n)
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
	// A scope may remember any number, as long as it is small.
	if n := children.Left(200); n > 200 {
		t.Errorf("%d of %d handlers are alive", n, children.Len())
	}
	runtime.KeepAlive(s)
}

func TestAPanicOfTheWriterComesOutAndNoLineIsWrittenTwice(t *testing.T) {
	foreign, _ := newNode()
	for name, build := range map[string]func(io.Writer) slog.Handler{
		"log/slog's": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"foreign": func(w io.Writer) slog.Handler {
			h := *foreign
			h.Handler = slog.NewTextHandler(w, nil)
			return &h
		},
	} {
		w := new(testkit.PanickingWriter)
		l := slog.New(slogh.New(build(w), nil))
		for i := range 3000 {
			scope.New("i", i).Run(func() { l.Info("before") })
		}
		w.Armed = true
		func() {
			defer func() {
				if p := recover(); p != "broken" {
					t.Errorf("%s: the panic that came out is %v", name, p)
				}
			}()
			scope.New("i", -1).Run(func() { l.Info("the line") })
			t.Errorf("%s: no panic", name)
		}()
		if n := strings.Count(w.String(), "the line"); n != 1 {
			t.Errorf("%s: the line was written %d times", name, n)
		}
	}
}
