//go:build !purego

package carrier

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
)

func TestDefaultPathIsDirect(t *testing.T) {
	if asked := os.Getenv(EnvPath); asked != "" {
		t.Skipf("%s=%s asks for a path", EnvPath, asked)
	}
	if Active() != Direct {
		t.Errorf("active is %v, want %v", Active(), Direct)
	}
}

// visible returns the labels of the running goroutine as runtime/pprof reads them.
func visible() string {
	var list []string
	pprof.ForLabels(holding(getSlot()), func(k, v string) bool {
		list = append(list, k+"="+v)
		return true
	})
	return strings.Join(list, " ")
}

// bindLabelled binds an object of this name and shows labels.
func bindLabelled(name string, labels ...Label) {
	o := newObject(name)
	o.labels = labels
	Bind(&o.Header, labels)
}

func setLabels(pairs ...string) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(pairs...)))
}

// ours is how a bound object shows where it has to: an empty label, which no profile
// has. before and after are the labels on either side of it.
func ours(c capabilities, before, after string) string {
	if c.hidden {
		return strings.TrimSpace(before + " " + after)
	}
	return strings.TrimSpace(before + " " + Key + "= " + after)
}

// The part of the contract that is about labels, for the paths that live in the slot.
func TestContractLabels(t *testing.T) {
	cases := []struct {
		rule string
		test func(t *testing.T, c capabilities, want func(labels string))
	}{
		{"a bound object is hidden, or has no text", func(t *testing.T, c capabilities, want func(string)) {
			want("")
			Bind(&newObject("a").Header, nil)
			want(ours(c, "", ""))
			Bind(nil, nil)
			want("")
		}},
		{"labels of other code survive bind and unbind", func(t *testing.T, c capabilities, want func(string)) {
			setLabels("z", "1", "a", "2")
			Bind(&newObject("a").Header, nil)
			wantBound(t, "a")
			want(ours(c, "a=2", "z=1"))
			Bind(&newObject("b").Header, nil)
			wantBound(t, "b")
			want(ours(c, "a=2", "z=1"))
			inGoroutine(func() {
				wantBound(t, "b")
				if got := visible(); got != ours(c, "a=2", "z=1") {
					t.Errorf("the child's labels are %q", got)
				}
			})
			Bind(nil, nil)
			wantBound(t, "")
			want("a=2 z=1")
		}},
		{"restore puts the labels back", func(t *testing.T, c capabilities, want func(string)) {
			setLabels("k", "before")
			s := Swap(&newObject("a").Header, nil)
			setLabels("k", "changed", "more", "x")
			s.Restore(nil)
			want("k=before")

			bindLabelled("outer", Label{"p", "1"})
			s1 := Swap(&newObject("a").Header, []Label{{"p", "2"}})
			want(ours(c, "k=before p=2", ""))
			setLabels("k", "changed")
			s2 := Swap(&newObject("b").Header, nil)
			want(ours(c, "k=changed", ""))
			pprof.SetGoroutineLabels(context.Background())
			s2.Restore(nil)
			want("k=changed")
			s1.Restore(nil)
			wantBound(t, "outer")
			want(ours(c, "k=before p=1", ""))
		}},
		{"labels to be shown are shown, and go with the object", func(t *testing.T, c capabilities, want func(string)) {
			setLabels("m", "foreign")
			bindLabelled("a", Label{"zone", "eu"}, Label{"app", "shop"})
			want(ours(c, "app=shop m=foreign", "zone=eu"))
			bindLabelled("b", Label{"zone", "us"})
			want(ours(c, "m=foreign", "zone=us"))
			Bind(&newObject("c").Header, nil)
			want(ours(c, "m=foreign", ""))
			bindLabelled("d", Label{"zone", "us"})
			Bind(nil, nil)
			want("m=foreign")
			wantBound(t, "")
		}},
		{"labels to be shown need no other label", func(t *testing.T, c capabilities, want func(string)) {
			bindLabelled("a", Label{"zone", "eu"})
			want(ours(c, "", "zone=eu"))
			wantBound(t, "a")
			Bind(&newObject("b").Header, nil)
			want(ours(c, "", ""))
			wantBound(t, "b")
			Bind(nil, nil)
			want("")
		}},
		{"a label of other code with the same name stays", func(t *testing.T, c capabilities, want func(string)) {
			setLabels("zone", "foreign")
			bindLabelled("a", Label{"zone", "eu"})
			want(ours(c, "", "zone=foreign"))
			bindLabelled("b", Label{"zone", "us"})
			want(ours(c, "", "zone=foreign"))
			Bind(nil, nil)
			want("zone=foreign")
		}},
		{"other code's labels with the text of our key stay", func(t *testing.T, c capabilities, want func(string)) {
			if !c.hidden {
				t.Skip("on this path our element has the same key and takes its place")
			}
			setLabels(strings.Clone(Key), "forged")
			Bind(&newObject("a").Header, nil)
			wantBound(t, "a")
			want(Key + "=forged")
			Bind(nil, nil)
			wantBound(t, "")
			want(Key + "=forged")
		}},
		{"a live context answers with its own labels and what is bound", func(t *testing.T, c capabilities, want func(string)) {
			own := pprof.WithLabels(context.Background(), pprof.Labels("own", "1"))
			setLabels("foreign", "of the goroutine")
			bindLabelled("a", Label{"zone", "eu"})
			pprof.SetGoroutineLabels(live{own})
			wantBound(t, "a")
			want("own=1 " + Key + "= zone=eu") // needs its text here, to survive a merge
			pprof.Do(live{live{own}}, pprof.Labels("inner", "2"), func(context.Context) {
				wantBound(t, "a")
				want("inner=2 own=1 " + Key + "= zone=eu")
				bindLabelled("b", Label{"zone", "us"})
				want(ours(c, "inner=2 own=1", "zone=us"))
			})
			wantBound(t, "b")
			want("own=1 " + Key + "= zone=us")
			Bind(&newObject("c").Header, nil)
			want(ours(c, "own=1", ""))
		}},
		{"what a live context shows of an object goes with the object", func(t *testing.T, c capabilities, want func(string)) {
			own := pprof.WithLabels(context.Background(), pprof.Labels("own", "1"))
			bindLabelled("a", Label{"zone", "eu"})
			stale := pprof.WithLabels(live{own}, pprof.Labels("copy", "2"))
			Bind(nil, nil)
			pprof.SetGoroutineLabels(live{stale})
			wantBound(t, "")
			want("copy=2 own=1")

			Bind(&newObject("b").Header, nil)
			pprof.SetGoroutineLabels(live{stale})
			wantBound(t, "b") // the live one beats the copy
			want("copy=2 own=1 " + Key + "=")
		}},
		{"a live context with nothing to say leaves the slot empty", func(t *testing.T, c capabilities, want func(string)) {
			if got := Answer(nil, nil, nil); got != nil {
				t.Errorf("Answer(nil, nil) = %v", got)
			}
			setLabels("foreign", "1")
			pprof.SetGoroutineLabels(live{context.Background()})
			want("")
			own := pprof.WithLabels(context.Background(), pprof.Labels("own", "1"))
			pprof.SetGoroutineLabels(live{own})
			want("own=1")
		}},
		{"a label that is shown comes back after Do has covered it", func(t *testing.T, c capabilities, want func(string)) {
			bindLabelled("a", Label{"zone", "eu"})
			pprof.Do(live{context.Background()}, pprof.Labels("zone", "covered"), func(context.Context) {
				want(Key + "= zone=covered")
			})
			wantBound(t, "a")
			want(Key + "= zone=eu")
		}},
		{"what is in the slot is a label set that runtime/pprof can merge", func(t *testing.T, c capabilities, want func(string)) {
			setLabels("b", "1", "y", "1")
			bindLabelled("a", Label{"z", "2"}, Label{"a", "2"})
			pprof.Do(holding(getSlot()), pprof.Labels("b", "3", "m", "3", "z", "3"), func(context.Context) {
				want(ours(c, "a=2 b=3 m=3", "y=1 z=3"))
			})
		}},
	}
	for _, tc := range cases {
		t.Run(tc.rule, func(t *testing.T) {
			onEachPath(t, func(t *testing.T, c capabilities) {
				if !c.labels {
					t.Skip("this path has no access to labels")
				}
				tc.test(t, c, func(labels string) {
					t.Helper()
					if got := visible(); got != labels {
						t.Errorf("the labels are %q, want %q", got, labels)
					}
				})
			})
		})
	}
}

// Labels of a path without access to them stay as they are, except under a bare Bind,
// which needs the slot to learn when the goroutine ends.
func TestPortableSwapLeavesLabelsAlone(t *testing.T) {
	undo, _ := Force(Portable)
	defer undo()
	setLabels("k", "v")
	s := Swap(&newObject("a").Header, []Label{{"zone", "eu"}})
	bindLabelled("b", Label{"zone", "us"})
	if got := visible(); got != "k=v" {
		t.Errorf("the labels are %q", got)
	}
	s.Restore(nil)
	if got := visible(); got != "k=v" {
		t.Errorf("after Restore the labels are %q", got)
	}
}

func TestDirectBindAllocatesNothing(t *testing.T) {
	testkit.SkipUnderRace(t)
	undo, ok := Force(Direct)
	if !ok {
		t.Skip("this Go version doesn't have the direct path")
	}
	defer undo()
	o := newObject("a")
	n := testing.AllocsPerRun(100, func() {
		s := Swap(&o.Header, nil)
		if Load[object]() != o {
			t.Error("not bound")
		}
		s.Restore(nil)
	})
	if n != 0 {
		t.Errorf("Swap, Load and Restore: %v allocations", n)
	}
}

// Garbage collections while goroutines bind, fork and end must find no bad pointer.
func TestSlotUnderGarbageCollection(t *testing.T) {
	onEachPath(t, func(t *testing.T, c capabilities) {
		stop := make(chan struct{})
		var collector sync.WaitGroup
		collector.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.GC()
				}
			}
		})
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 50 {
					name := fmt.Sprint(g, "-", i)
					s := Swap(&newObject(name).Header, []Label{{"n", name}})
					pprof.Do(live{context.Background()}, pprof.Labels("k", name), func(context.Context) {
						wantBound(t, name)
						churnALittle()
						wantBound(t, name)
						if o := Load[object](); o == nil || o.payload[3] != 9 {
							t.Errorf("payload of %s is lost", name)
						}
					})
					if c.inherits {
						inGoroutine(func() { wantBound(t, name) })
					}
					s.Restore(nil)
				}
			})
		}
		wg.Wait()
		close(stop)
		collector.Wait()
	})
}

//go:noinline
func churnALittle() {
	for range 20 {
		runtime.KeepAlive(&object{name: "overwritten", payload: new([16]int)})
	}
}

func TestCheckAcceptsTheLayoutOfThisGoVersion(t *testing.T) {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("k1", "v1", "k2", "v2"))
	set := ctx.Value(LabelKey)
	if !checkSlot(ctx, set) {
		t.Fatalf("the slot is refused; a context holds a %T", set)
	}
	if !checkLayout(reflect.TypeOf(set).Elem()) {
		t.Fatalf("the layout of %T is refused", set)
	}
	if !checkContent(set) {
		t.Errorf("the content is refused: %v", set)
	}
}

func TestCheckLayoutRefusesOthers(t *testing.T) {
	type wrapped struct{ Inner struct{ List []label } }
	for _, good := range []any{labelSet{}, wrapped{}, []label(nil), struct{ L []struct{ K, V string } }{}} {
		if !checkLayout(reflect.TypeOf(good)) {
			t.Errorf("%T was refused", good)
		}
	}
	type text string
	for _, bad := range []any{
		map[string]string{},
		struct{ m map[string]string }{},
		struct{ m *map[string]string }{},
		struct{}{},
		struct{ empty struct{} }{},
		"",
		0,
		[3]uintptr{},
		struct{ a [3]uintptr }{},
		func() {},
		make(chan label),
		new(labelSet),
		struct{ p *labelSet }{},
		// more than the list
		struct {
			list []label
			n    int
		}{},
		struct {
			n    int
			list []label
		}{},
		struct {
			inner struct {
				list []label
				_    bool
			}
		}{},
		struct {
			none struct{}
			list []label
		}{},
		// other elements
		struct{ list []string }{},
		struct{ list []*label }{},
		struct{ list [][2]string }{},
		struct{ list []any }{},
		struct{ list []struct{ key string } }{},
		struct{ list []struct{} }{},
		struct {
			list []struct{ key, value, more string }
		}{},
		struct {
			list []struct {
				key   string
				value []byte
			}
		}{},
		struct {
			list []struct {
				key   string
				value any
			}
		}{},
		struct {
			list []struct {
				value int
				key   string
			}
		}{},
		struct {
			list []struct {
				hash       uintptr
				key, value string
			}
		}{},
		struct {
			list []struct{ key, value *string }
		}{},
	} {
		if checkLayout(reflect.TypeOf(bad)) {
			t.Errorf("%T was taken for a label set", bad)
		}
	}
	// A string type of another name has the memory of a string.
	if !checkLayout(reflect.TypeFor[struct{ list []struct{ key, value text } }]()) {
		t.Error("a string type of another name was refused")
	}
}

// The layout can't tell which of the two strings is the key.
func TestCheckContentRefusesOthers(t *testing.T) {
	for _, list := range [][]label{
		nil,
		{},
		{{"k1", "v1"}},
		{{"v1", "k1"}, {"v2", "k2"}},
		{{"k2", "v2"}, {"k1", "v1"}},
		{{"k1", "v1"}, {"k2", "v2"}, {"k3", "v3"}},
	} {
		if checkContent(&labelSet{list}) {
			t.Errorf("%v was taken for k1=v1, k2=v2", list)
		}
	}
}

func TestCheckSlotRefusesOthers(t *testing.T) {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("k1", "v1", "k2", "v2"))
	for _, set := range []any{
		nil,
		map[string]string{"k1": "v1"},
		labelSet{},
		(*labelSet)(nil),
		&labelSet{}, // a pointer, but not the one that is in the slot
	} {
		if checkSlot(ctx, set) {
			t.Errorf("%T was taken for what the slot holds", set)
		}
	}
}
