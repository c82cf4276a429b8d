package carrier

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"weak"

	"github.com/taskscope/taskscope/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// An object is what the tests bind.
type object struct {
	Header
	name    string
	labels  []Label // that it was bound with
	payload *[16]int
}

func newObject(name string) *object {
	o := &object{name: name, payload: new([16]int)}
	o.Init(o)
	for i := range o.payload {
		o.payload[i] = i * i
	}
	return o
}

// bound returns the name of the object that is bound to the running goroutine.
func bound() string {
	if o := Load[object](); o != nil {
		return o.name
	}
	return ""
}

func wantBound(t *testing.T, want string) {
	t.Helper()
	if got := bound(); got != want {
		t.Errorf("bound is %q, want %q", got, want)
	}
}

// inGoroutine runs fn in a goroutine of its own and waits for it.
func inGoroutine(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

// live is a context that answers as those of package scope do.
type live struct{ context.Context }

func (c live) Value(key any) any {
	if key == LabelKey {
		var h *Header
		var labels []Label
		if o := Load[object](); o != nil {
			h, labels = &o.Header, o.labels
		}
		return Answer(c.Context.Value(key), h, labels)
	}
	return c.Context.Value(key)
}

// A capability is what not every path has. What isn't listed, all have.
type capabilities struct {
	path     Path
	inherits bool // a plain go statement passes on what is bound
	labels   bool // labels given to Bind are seen; those of other code survive Bind, and Restore puts them back
	hidden   bool // a bound object shows in no label set
}

var capabilitiesOf = []capabilities{
	{path: Direct, inherits: true, labels: true, hidden: true},
	{path: Labels, inherits: true, labels: true},
	{path: Portable},
}

// onEachPath runs fn on each path that this build has, in a goroutine of its own with
// nothing bound. testkit can't have it: it would import this package, and tests in this
// package would import themselves.
func onEachPath(t *testing.T, fn func(t *testing.T, c capabilities)) {
	for _, c := range capabilitiesOf {
		t.Run(c.path.String(), func(t *testing.T) {
			undo, ok := Force(c.path)
			if !ok {
				t.Skip("this build doesn't have this path")
			}
			defer undo()
			fn(t, c)
		})
	}
}

func TestContract(t *testing.T) {
	cases := []struct {
		rule string
		test func(t *testing.T, c capabilities)
	}{
		{"nothing is bound at first", func(t *testing.T, c capabilities) {
			if o := Load[object](); o != nil {
				t.Errorf("bound is %v", o)
			}
		}},
		{"load gives the object that was bound last", func(t *testing.T, c capabilities) {
			for _, name := range []string{"a", "b", "a"} {
				o := newObject(name)
				Bind(&o.Header, nil)
				if got := Load[object](); got != o {
					t.Fatalf("bound is %p, want %p", got, o)
				}
			}
		}},
		{"binding nil unbinds", func(t *testing.T, c capabilities) {
			Bind(nil, nil)
			wantBound(t, "")
			Bind(&newObject("a").Header, nil)
			Bind(nil, nil)
			wantBound(t, "")
			Bind(&newObject("b").Header, nil)
			wantBound(t, "b")
		}},
		{"a new goroutine has its parent's object as of the go statement", func(t *testing.T, c capabilities) {
			want := ""
			if c.inherits {
				want = "a"
			}
			Bind(&newObject("a").Header, nil)
			start, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				<-start
				wantBound(t, want)
				inGoroutine(func() { wantBound(t, want) })
			}()
			Bind(&newObject("b").Header, nil)
			close(start)
			<-done
		}},
		{"a goroutine doesn't see what another binds", func(t *testing.T, c capabilities) {
			Bind(&newObject("parent").Header, nil)
			inGoroutine(func() {
				Bind(&newObject("child").Header, nil)
				wantBound(t, "child")
			})
			wantBound(t, "parent")
			inGoroutine(func() {
				Bind(nil, nil)
				wantBound(t, "")
			})
			wantBound(t, "parent")
		}},
		{"restore puts back what swap found, nested", func(t *testing.T, c capabilities) {
			Bind(&newObject("a").Header, nil)
			s1 := Swap(&newObject("b").Header, nil)
			wantBound(t, "b")
			s2 := Swap(nil, nil)
			wantBound(t, "")
			s3 := Swap(&newObject("c").Header, nil)
			Bind(&newObject("d").Header, nil)
			wantBound(t, "d")
			s3.Restore(nil)
			wantBound(t, "")
			s2.Restore(nil)
			wantBound(t, "b")
			s1.Restore(nil)
			wantBound(t, "a")
		}},
		{"restore puts back nothing where nothing was", func(t *testing.T, c capabilities) {
			s := Swap(&newObject("a").Header, nil)
			Bind(&newObject("b").Header, nil)
			s.Restore(nil)
			wantBound(t, "")
		}},
		{"restore puts back what was bound when other code has replaced the labels", func(t *testing.T, c capabilities) {
			outer := Swap(&newObject("a").Header, nil)
			s := Swap(&newObject("b").Header, nil)
			pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("foreign", "x")))
			s.Restore(nil)
			wantBound(t, "a")
			s = Swap(&newObject("b").Header, nil)
			pprof.SetGoroutineLabels(context.Background())
			s.Restore(nil)
			wantBound(t, "a")
			outer.Restore(nil)
			wantBound(t, "")
		}},
		{"what is bound survives labels that a live context sets", func(t *testing.T, c capabilities) {
			defer swapped("a").Restore(nil)
			pprof.SetGoroutineLabels(live{context.Background()})
			wantBound(t, "a")
			pprof.Do(live{context.Background()}, pprof.Labels("k", "v"), func(context.Context) {
				wantBound(t, "a")
				inner := newObject("b")
				Bind(&inner.Header, nil)
				wantBound(t, "b")
				pprof.Do(live{live{context.Background()}}, pprof.Labels("k2", "v"), func(context.Context) {
					wantBound(t, "b")
				})
				wantBound(t, "b")
			})
			wantBound(t, "b") // live, not a copy of the moment when Do began
		}},
		{"a live context binds nothing by itself", func(t *testing.T, c capabilities) {
			ctx := live{context.Background()}
			func() {
				defer swapped("a").Restore(nil)
				ctx.Value(LabelKey)
			}()
			pprof.SetGoroutineLabels(ctx)
			wantBound(t, "")
		}},
		{"a label with the text of our key is not taken for ours", func(t *testing.T, c capabilities) {
			forged := strings.Clone(Key)
			for _, value := range []string{"", "x", strings.Repeat("x", 100)} {
				pprof.Do(context.Background(), pprof.Labels(forged, value, "taskscopf", value), func(context.Context) {
					wantBound(t, "")
				})
				pprof.Do(context.Background(), pprof.Labels(Key, value), func(context.Context) {
					wantBound(t, "")
					defer swapped("a").Restore(nil)
					wantBound(t, "a")
				})
			}
		}},
		{"the slot alone keeps the object", func(t *testing.T, c capabilities) {
			for _, foreign := range []context.Context{
				context.Background(),
				pprof.WithLabels(context.Background(), pprof.Labels("foreign", "x")),
			} {
				inGoroutine(func() {
					pprof.SetGoroutineLabels(foreign)
					bindFresh("kept")
					for range 5 {
						churn()
						runtime.GC()
					}
					o := Load[object]()
					if o == nil || o.name != "kept" {
						t.Errorf("bound is %v", o)
						return
					}
					for i, v := range o.payload {
						if v != i*i {
							t.Errorf("payload is %v", *o.payload)
							return
						}
					}
				})
			}
		}},
		{"a saved slot keeps the object", func(t *testing.T, c capabilities) {
			bindFresh("kept")
			s := Swap(nil, nil)
			for range 5 {
				churn()
				runtime.GC()
			}
			s.Restore(nil)
			if o := Load[object](); o == nil || o.name != "kept" || o.payload[15] != 15*15 {
				t.Fatalf("bound is %v", o)
			}
		}},
		{"an unbound object is collected", func(t *testing.T, c capabilities) {
			w := bindFresh("a")
			if w.Value() == nil {
				t.Fatal("the object is gone while it is bound")
			}
			Bind(nil, nil)
			testkit.Eventually(t, "an object goes that was unbound", func() bool { return w.Value() == nil })

			w = bindFresh("b")
			bindFresh("c")
			testkit.Eventually(t, "an object goes that was replaced", func() bool { return w.Value() == nil })

			func() {
				s := Swap(nil, nil)
				defer s.Restore(nil)
				w = bindFresh("d")
			}()
			testkit.Eventually(t, "an object goes that Restore has replaced", func() bool { return w.Value() == nil })
		}},
		{"the object goes when its goroutine ends", func(t *testing.T, c capabilities) {
			var w weak.Pointer[object]
			inGoroutine(func() { w = bindFresh("a") })
			testkit.Eventually(t, "an object goes with its goroutine", func() bool { return w.Value() == nil })
		}},
		{"goroutines bind at the same time", func(t *testing.T, c capabilities) {
			var wg sync.WaitGroup
			for g := range 50 {
				wg.Go(func() {
					name := string(rune('A' + g))
					for range 20 {
						Bind(&newObject(name).Header, []Label{{"profiled" + name, "v"}})
						wantBound(t, name)
						s := Swap(&newObject(name+"2").Header, []Label{{"profiled" + name, "v2"}})
						runtime.Gosched()
						wantBound(t, name+"2")
						s.Restore(nil)
						wantBound(t, name)
					}
				})
			}
			wg.Wait()
		}},
	}
	for _, tc := range cases {
		t.Run(tc.rule, func(t *testing.T) {
			onEachPath(t, tc.test)
		})
	}
}

// swapped binds an object of this name. What it returns takes it back.
func swapped(name string) *Saved {
	s := Swap(&newObject(name).Header, nil)
	return &s
}

// bindFresh binds an object that nothing else refers to.
//
//go:noinline
func bindFresh(name string) weak.Pointer[object] {
	o := newObject(name)
	Bind(&o.Header, nil)
	return weak.Make(o)
}

// churn overwrites memory that was freed by mistake.
//
//go:noinline
func churn() {
	var keep []*object
	for range 1000 {
		o := &object{name: "overwritten", payload: new([16]int)}
		keep = append(keep, o)
	}
	runtime.KeepAlive(keep)
}

func TestPortableEntriesGoWhenTheirGoroutinesEnd(t *testing.T) {
	undo, _ := Force(Portable)
	defer undo()
	testkit.Eventually(t, "what earlier tests left is gone", func() bool { return portableLen() == 0 })

	const n = 100
	var wg sync.WaitGroup
	var ready sync.WaitGroup
	stop := make(chan struct{})
	ready.Add(n)
	for range n {
		wg.Go(func() {
			Bind(&newObject("a").Header, nil)
			s := Swap(&newObject("b").Header, nil)
			s.Restore(nil)
			ready.Done()
			<-stop
			wantBound(t, "a")
		})
	}
	ready.Wait()
	for range 3 {
		runtime.GC()
	}
	if got := portableLen(); got != n {
		t.Errorf("%d entries for %d goroutines", got, n)
	}
	close(stop)
	wg.Wait()
	testkit.Eventually(t, "the entries of ended goroutines are removed", func() bool { return portableLen() == 0 })
}

func TestPortableRestoreLeavesNoEntry(t *testing.T) {
	undo, _ := Force(Portable)
	defer undo()
	testkit.Eventually(t, "what earlier tests left is gone", func() bool { return portableLen() == 0 })
	s := Swap(&newObject("a").Header, nil)
	Bind(&newObject("b").Header, nil)
	if got := portableLen(); got != 1 {
		t.Errorf("%d entries while something is bound, want 1", got)
	}
	s.Restore(nil)
	if got := portableLen(); got != 0 {
		t.Errorf("%d entries after Restore, want 0", got)
	}
}

// A goroutine's own entry must outlive labels that other code sets while a Run has
// taken its place, or go with them: never come back to be kept for ever.
func TestPortableEntryWhoseAnchorIsGoneIsNotPutBackForEver(t *testing.T) {
	undo, _ := Force(Portable)
	defer undo()
	testkit.Eventually(t, "what earlier tests left is gone", func() bool { return portableLen() == 0 })
	inGoroutine(func() {
		Bind(&newObject("a").Header, nil)
		anchor := portableAnchor()
		s := Swap(&newObject("b").Header, nil)
		pprof.SetGoroutineLabels(context.Background())
		testkit.Eventually(t, "the anchor is gone", anchor)
		s.Restore(nil)
	})
	testkit.Eventually(t, "the entry of an ended goroutine is removed", func() bool { return portableLen() == 0 })
}

// portableAnchor returns a function that reports whether the anchor of the running
// goroutine is gone.
func portableAnchor() func() bool {
	return entryOf(goid()).gone.Load
}

// The portable path is also for a Go whose contexts answer with something else than a pointer. A
// finalizer on that would end the process.
func TestPortableBindsNothingWhereItCanNotCleanUp(t *testing.T) {
	undo, _ := Force(Portable)
	defer undo()
	defer func(key any) { LabelKey = key }(LabelKey)
	LabelKey = "none"
	done := make(chan bool)
	go func() {
		defer close(done)
		o := newObject("o")
		Bind(&o.Header, nil)
		if Load[object]() != nil {
			t.Error("something is bound, and stays when the goroutine has ended")
		}
		saved := Swap(&o.Header, nil)
		if Load[object]() != o {
			t.Error("Swap hasn't bound its object")
		}
		saved.Restore(nil)
	}()
	<-done
}

func TestForceRefusesAPathThatIsNotThere(t *testing.T) {
	was := Active()
	undo, ok := Force(best + 1)
	if ok {
		t.Errorf("Force took a path above the best one, %v", best)
	}
	undo()
	for p := Portable; p <= best; p++ {
		undo, ok := Force(p)
		if !ok || Active() != p {
			t.Errorf("Force(%v) = %v, active is %v", p, ok, Active())
		}
		undo()
		if Active() != was {
			t.Errorf("undo left %v, want %v", Active(), was)
		}
	}
}

// The environment can ask for a path below the best one, and for nothing else.
func TestEnvironmentAsksForAPath(t *testing.T) {
	const report = "TASKSCOPE_TEST_REPORT_PATH"
	if os.Getenv(report) != "" {
		os.Stdout.WriteString("active=" + Active().String() + "\nwhy=" + Why() + "\n")
		return
	}
	for _, asked := range []string{"", "direct", "labels", "portable", "Portable", "rubbish"} {
		want := best
		switch asked {
		case "labels":
			want = min(best, Labels)
		case "portable":
			want = Portable
		}
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), report+"=1", EnvPath+"="+asked,
			"GORACE=atexit_sleep_ms=0") // by default a second per process
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "active="+want.String()+"\n") {
			t.Errorf("%s=%q: want %v, got %v\n%s", EnvPath, asked, want, err, out)
		}
		if says := strings.Contains(string(out), "why=the environment variable "+EnvPath); says != (want < best) {
			t.Errorf("%s=%q: the reason for %v is wrong:\n%s", EnvPath, asked, want, out)
		}
	}
}

func TestLabelKeyIsTheOneThatContextsUse(t *testing.T) {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("k", "v"))
	if LabelKey == nil || ctx.Value(LabelKey) == nil {
		t.Errorf("a context with labels has nothing under %#v", LabelKey)
	}
}

// The entry of a bare Set is kept by its anchor. A Set inside a Run that binds nothing must
// not drop another in its place, also after a Run inside that one.
func TestPortableEntryOutlivesASetInsideSwapsThatBindNothing(t *testing.T) {
	undo, _ := Force(Portable)
	defer undo()
	inGoroutine(func() {
		Bind(&newObject("a").Header, nil)
		gone := portableAnchor()
		outer := Swap(nil, nil)
		inner := Swap(nil, nil)
		inner.Restore(nil)
		Bind(&newObject("b").Header, nil)
		for range 5 {
			runtime.GC()
			runtime.Gosched()
		}
		wantBound(t, "b")
		outer.Restore(nil)
		wantBound(t, "a")
		if gone() {
			t.Error("the anchor is gone while its goroutine runs")
		}
	})
	testkit.Eventually(t, "the entries are removed", func() bool { return portableLen() == 0 })
}

// portableLen returns how many goroutines have something bound.
func portableLen() (n int) {
	portable.Range(func(any, any) bool {
		n++
		return true
	})
	return n
}

func TestSameIsEquality(t *testing.T) {
	texts := []string{"", "a", "b", "ab", string([]byte("ab")), "abc"[:2], "abc"}
	for _, a := range texts {
		for _, b := range texts {
			if Same(a, b) != (a == b) {
				t.Errorf("Same(%q, %q) is %v", a, b, !(a == b))
			}
		}
	}
}
