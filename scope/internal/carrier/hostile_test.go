//go:build !purego

package carrier

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"unsafe"
	"weak"

	"github.com/taskscope/taskscope/internal/testkit"
)

// Code that copies, changes and invents labels. At worst it costs the bound object.

// answering is a context that answers with this under each key.
type answering struct {
	context.Context
	with any
}

func (a answering) Value(any) any { return a.with }

func TestAContextMayAnswerWithAnything(t *testing.T) {
	type other struct{ a, b, c uintptr }
	answers := map[string]any{
		"nil": nil, "a string": "a string", "a number": 7, "a func": func() {}, "a map": map[string]string{"k": "v"},
		"a pointer to a struct": &other{1, 2, 3}, "a pointer to its own layout": &labelSet{[]label{{"k", "v"}}},
		"a nil pointer": (*other)(nil), "a channel": make(chan int), "an unsafe pointer": unsafe.Pointer(&other{4, 5, 6}),
	}
	onEachPath(t, func(t *testing.T, c capabilities) {
		for name, answer := range answers {
			for _, bind := range []bool{false, true} {
				bare := answering{context.Background(), answer}
				want := ""
				if bind {
					bindLabelled("a", Label{"zone", "eu"})
					want = "a"
				} else {
					Bind(nil, nil)
				}
				for _, ctx := range []context.Context{live{bare}, live{live{bare}}} {
					pprof.Do(ctx, pprof.Labels("k", "v"), func(context.Context) { wantBound(t, want) })
					wantBound(t, want)
					if labels := visible(); c.labels && bind && labels != Key+"= zone=eu" || c.labels && !bind && labels != "" {
						t.Errorf("a context that answers with %s: the labels are %q", name, labels)
					}
				}
			}
		}
	})
}

// A nil pointer of the right type is no labels, too.
func TestAContextMayAnswerWithANilLabelSet(t *testing.T) {
	onEachPath(t, func(t *testing.T, c capabilities) {
		if !c.labels {
			t.Skip("this path has no access to labels")
		}
		ctx := live{answering{context.Background(), asAny(nil)}}
		pprof.Do(ctx, pprof.Labels("k", "v"), func(context.Context) { wantBound(t, "") })
		defer swapped("a").Restore(nil)
		pprof.Do(ctx, pprof.Labels("k", "v"), func(context.Context) { wantBound(t, "a") })
		wantBound(t, "a")
	})
}

// pairsOf returns the labels of ctx.
func pairsOf(ctx context.Context) (pairs []string) {
	pprof.ForLabels(ctx, func(k, v string) bool {
		pairs = append(pairs, k, v)
		return true
	})
	return pairs
}

// The value of a copied label is replaced by all kinds of strings, and then by a value
// of another object, which is what the goroutine is given.
func TestTheValueOfACopiedLabelMayBeReplacedByAnything(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 64)
	values := []string{"none", "", " ", strings.Clone(""), text, text[16:32], text[5:], Key, string(make([]byte, 4096))}
	for i := range 32 {
		values = append(values, text[i:i], text[16*i:16*i]) // empty, with pointers of all alignments
	}
	type other struct {
		node [12]uintptr
		text [64]byte
	}
	foreign := &other{}
	values = append(values, unsafe.String((*byte)(unsafe.Pointer(foreign)), 0), unsafe.String(&foreign.text[0], 0))
	onEachPath(t, func(t *testing.T, c capabilities) {
		if !c.labels {
			t.Skip("this path has no access to labels")
		}
		Bind(&newObject("a").Header, nil)
		pairs := pairsOf(pprof.WithLabels(live{context.Background()}, pprof.Labels("k", "v")))
		self := 0
		for i := 0; i < len(pairs); i += 2 {
			if isCarrierKey(pairs[i]) {
				self = i + 1
			}
		}
		if self == 0 {
			t.Fatalf("no element of ours among %q", pairs)
		}
		setLabels(pairs...)
		wantBound(t, "a")
		original := pairs[self]
		for _, v := range values {
			pairs[self] = v
			setLabels(pairs...)
			wantBound(t, "")
			Bind(&newObject("b").Header, nil)
			wantBound(t, "b")
			if got := visible(); got != ours(c, "k=v", "") {
				t.Errorf("after a Bind the labels are %q", got)
			}
			Bind(nil, nil)
		}
		pairs[self] = original
		setLabels(pairs...)
		wantBound(t, "a")
		// A part of our key isn't our key.
		setLabels(pairs[self-1][:4], original, pairs[self-1][:0], original)
		wantBound(t, "")
		Bind(nil, nil)
		if got := visible(); got != "= "+Key[:4]+"=" {
			t.Errorf("the labels are %q", got)
		}
	})
}

// A copied label keeps its object. An object that was shown, and of which no label is left,
// goes.
func TestACopiedLabelKeepsItsObject(t *testing.T) {
	onEachPath(t, func(t *testing.T, c capabilities) {
		if !c.labels {
			t.Skip("this path has no access to labels")
		}
		var values []string
		for range 100 {
			Bind(&newObject("a").Header, nil)
			pairs := pairsOf(live{context.Background()})
			values = append(values, pairs[1])
		}
		w := bindFresh("gone")
		pairsOf(live{context.Background()})
		runtime.GC()
		for _, v := range values {
			setLabels(key(), v)
			wantBound(t, "a")
		}
		setLabels()
		testkit.Eventually(t, "an object goes that was shown", func() bool { return w.Value() == nil })
	})
}

// What was shown and is gone doesn't add up.
func TestWhatWasShownIsForgotten(t *testing.T) {
	undo, ok := Force(Labels)
	if !ok {
		t.Skip("this build doesn't have the labels path")
	}
	defer undo()
	count := func() (n int) {
		for i := range exposed {
			exposed[i].mu.RLock()
			n += len(exposed[i].at)
			exposed[i].mu.RUnlock()
		}
		return n
	}
	for range 20 {
		for range 5000 {
			o := newObject("a")
			expose(&o.Header)
		}
		runtime.GC()
	}
	// Half of what has lived at one time, and the least of each shard, may be left.
	if n := count(); n > 2*5000+3*exposedMin*len(exposed) {
		t.Errorf("%d objects are entered", n)
	}
}

// appendInPlace is what a helper does that has the two functions, too.
func appendInPlace(l label) {
	if set := (*labelSet)(getSlot()); set != nil {
		set.list = append(set.list, l)
		return
	}
	setSlot(unsafe.Pointer(&labelSet{[]label{l}}))
}

func onDirect(t *testing.T) {
	t.Helper()
	undo, ok := Force(Direct)
	if !ok {
		t.Skip("this build doesn't have the direct path")
	}
	t.Cleanup(undo)
}

// A helper that appends in place loses the object for its own goroutine. Others that bind
// the same object have it, and none of the labels; so has the end of a Run.
func TestAnAppendInPlaceReachesNoOtherGoroutine(t *testing.T) {
	onDirect(t)
	for _, labels := range [][]Label{nil, {{"zone", "eu"}}} {
		for _, foreign := range [][]string{nil, {"foreign", "1"}} {
			t.Run(fmt.Sprint(labels, foreign), func(t *testing.T) {
				o := newObject("a")
				inGoroutine(func() {
					setLabels(foreign...)
					outer := Swap(&o.Header, labels)
					before := visible()
					inner := Swap(&o.Header, labels)
					appendInPlace(label{"helper", "x"})
					if got := visible(); !strings.Contains(got, "helper=x") {
						t.Errorf("the helper's label is lost: %q", got)
					}
					Bind(&o.Header, labels) // bound anew, it is there, with the label
					wantBound(t, "a")
					if got := visible(); !strings.Contains(got, "helper=x") {
						t.Errorf("the helper's label is lost: %q", got)
					}
					appendInPlace(label{"helper2", "x"})
					inGoroutine(func() {
						setSlot(nil)
						for range 3 {
							s := Swap(&o.Header, labels)
							wantBound(t, "a")
							if got := visible(); strings.Contains(got, "helper") {
								t.Errorf("another goroutine has the labels %q", got)
							}
							inGoroutine(func() { wantBound(t, "a") })
							runtime.GC()
							wantBound(t, "a")
							s.Restore(nil)
						}
					})
					inner.Restore(nil)
					wantBound(t, "a")
					if got := visible(); got != before {
						t.Errorf("after the inner Run the labels are %q, want %q", got, before)
					}
					runtime.GC()
					wantBound(t, "a")
					outer.Restore(nil)
					wantBound(t, "")
				})
			})
		}
	}
}

// A child has its parent's set. What it appends there is gone when a Run of the parent ends, and what
// was there is back.
func TestAnAppendInPlaceToASetThatIsPutBack(t *testing.T) {
	onDirect(t)
	o := newObject("a")
	inGoroutine(func() {
		setLabels("foreign", "1")
		outer := Swap(&o.Header, []Label{{"zone", "eu"}})
		before, appended, run := visible(), make(chan struct{}), make(chan struct{})
		go func() {
			<-run
			appendInPlace(label{"helper", "x"})
			close(appended)
		}()
		inner := Swap(nil, nil)
		close(run)
		<-appended
		inner.Restore(nil)
		wantBound(t, "a")
		if got := visible(); got != before {
			t.Errorf("the labels are %q, want %q", got, before)
		}
		outer.Restore(nil)
		wantBound(t, "")
	})
}

// The set that a context answers with is the asking goroutine's alone.
func TestAnAppendInPlaceToAnAnswerReachesNoOtherAnswer(t *testing.T) {
	onDirect(t)
	o := newObject("a")
	ctx := live{context.Background()}
	defer func() { Bind(nil, nil) }()
	Bind(&o.Header, nil)
	pprof.SetGoroutineLabels(ctx)
	appendInPlace(label{"helper", "x"})
	wantBound(t, "a") // the element is visible, and was copied
	inGoroutine(func() {
		Bind(&o.Header, nil)
		pprof.SetGoroutineLabels(ctx)
		wantBound(t, "a")
		if got := visible(); got != Key+"=" {
			t.Errorf("the labels are %q", got)
		}
	})
}

// No set that the slot gets from us has room behind its labels.
func TestNoSetOfOursHasSpareCapacity(t *testing.T) {
	onDirect(t)
	check := func() {
		t.Helper()
		if set := (*labelSet)(getSlot()); set != nil && len(set.list) != cap(set.list) {
			t.Errorf("a set has %d labels and room for %d", len(set.list), cap(set.list))
		}
	}
	var foreign []string
	for n := range 40 {
		setLabels(foreign...)
		for m := range 5 {
			var labels []Label
			for i := range m {
				labels = append(labels, Label{fmt.Sprint("p", i), "v"})
			}
			o := newObject("a")
			Bind(&o.Header, labels)
			check()
			wantBound(t, "a")
			if got := len(pairsOf(holding(getSlot()))); got != 2*(n+m) {
				t.Errorf("%d strings for %d and %d labels", got, n, m)
			}
			s := Swap(nil, nil)
			check()
			s.Restore(nil)
			runtime.GC()
			wantBound(t, "a")
			if o := Load[object](); o.payload[15] != 15*15 {
				t.Errorf("payload is %v", o.payload)
			}
			pprof.SetGoroutineLabels(live{holding(getSlot())})
			check()
			wantBound(t, "a")
			Bind(nil, nil)
			check()
		}
		foreign = append(foreign, fmt.Sprint("f", n), strings.Repeat("x", n))
	}
}

// What the slot points at keeps alive the object and the labels, and nothing else.
func TestTheSlotKeepsNoContext(t *testing.T) {
	type request struct {
		context.Context
		_ [1 << 16]byte
	}
	start := func(foreign context.Context) (w weak.Pointer[request]) {
		r := &request{Context: foreign}
		ctx := live{r}
		pprof.Do(ctx, pprof.Labels("k", "v"), func(inner context.Context) {})
		pprof.SetGoroutineLabels(ctx)
		return weak.Make(r)
	}
	onEachPath(t, func(t *testing.T, c capabilities) {
		for _, foreign := range []context.Context{
			context.Background(),
			pprof.WithLabels(context.Background(), pprof.Labels("foreign", "x")),
		} {
			Bind(&newObject("a").Header, nil)
			w := start(foreign)
			testkit.Eventually(t, "the context goes that the labels were set with", func() bool { return w.Value() == nil })
			if c.labels { // on the portable path labels of other code take a bare Bind away
				wantBound(t, "a")
			}
		}
	})
}

// ownerOf returns the owner of a set as it is now.
func ownerOf(set unsafe.Pointer) *Header { return owner(set, *(*unsafe.Pointer)(set)) }

// Only the beginning of a Header or a box is taken for one: not a copy of it, nor a set that
// refers to it, nor sets of other code, whatever lies behind them.
func TestOnlyTheBeginningOfAHeaderOrABoxHasAnOwner(t *testing.T) {
	onDirect(t)
	o := newObject("a")
	for _, n := range []int{0, 1, 2, 3, 8, 9, 16, 17, 100} {
		set := newBox(&o.Header, make([]label, n))
		if ownerOf(set) != &o.Header || find(set) != &o.Header {
			t.Errorf("a box with %d labels isn't taken for one", n)
		}
		copied := *(*labelSet)(set)
		if ownerOf(unsafe.Pointer(&copied)) != nil {
			t.Errorf("a copy of a set with %d labels is taken for ours", n)
		}
		(*labelSet)(set).list = append((*labelSet)(set).list, label{"k", "v"})
		if ownerOf(set) != nil {
			t.Errorf("a box with %d labels is taken for ours after other code has written to it", n)
		}
	}
	if ownerOf(unsafe.Pointer(&o.Header)) != &o.Header || find(unsafe.Pointer(&o.Header)) != &o.Header {
		t.Error("a Header isn't taken for one")
	}
	copied := &struct {
		set    labelSet
		behind *byte
		h      *Header
	}{*(*labelSet)(unsafe.Pointer(&o.Header)), &mark, &o.Header}
	near := &struct {
		set  labelSet
		list [2]label
	}{list: [2]label{{"k", "v"}, {key(), ""}}}
	near.set.list = near.list[:1:1]
	empty := &struct {
		set  labelSet
		list [1]label
	}{}
	empty.set.list = empty.list[:0]
	far := &struct {
		set  labelSet
		more [2]uintptr
		list [1]label
	}{list: [1]label{{"k", "v"}}}
	far.set.list = far.list[:]
	for name, set := range map[string]*labelSet{
		"a copy": &copied.set, "a zero set": {}, "an empty list": {list: []label{}}, "a set in front of its list": &near.set,
		"an empty set in front of its list": &empty.set, "a set at a box's distance from its list": &far.set,
	} {
		if ownerOf(unsafe.Pointer(set)) != nil {
			t.Errorf("%s is taken for ours", name)
		}
	}
	if got := unsafe.Offsetof(boxOf[[1]label]{}.labels); got != unsafe.Sizeof(box{}) {
		t.Errorf("the labels of a box begin at %d, not at %d", got, unsafe.Sizeof(box{}))
	}
}

// Labels that we show are changed or left out when Restore is told so. Those of other code
// are not asked about.
func TestRestoreChangesOurLabelsAsItIsTold(t *testing.T) {
	now := func(l Label) (Label, bool) {
		switch l.Key {
		case "secret":
			l.Value = "masked"
		case "gone":
			return l, false
		case "foreign":
			t.Error("Restore asks about a label of other code")
		}
		return l, true
	}
	onEachPath(t, func(t *testing.T, c capabilities) {
		if !c.labels {
			t.Skip("this path has no access to labels")
		}
		setLabels("foreign", "1")
		for _, shown := range []bool{false, true} {
			for _, tc := range []struct {
				labels []Label
				want   [2]string
			}{
				{nil, [2]string{"foreign=1", ""}},
				{[]Label{{"zone", "eu"}}, [2]string{"foreign=1", "zone=eu"}},
				{[]Label{{"secret", "pan"}, {"zone", "eu"}}, [2]string{"foreign=1 secret=masked", "zone=eu"}},
				{[]Label{{"gone", "pan"}}, [2]string{"foreign=1", ""}},
				{[]Label{{"gone", "pan"}, {"secret", "pan"}}, [2]string{"foreign=1 secret=masked", ""}},
			} {
				bindLabelled("a", tc.labels...)
				want := ours(c, tc.want[0], tc.want[1])
				if shown {
					pprof.SetGoroutineLabels(live{pprof.WithLabels(context.Background(), pprof.Labels("foreign", "1"))})
					want = ours(capabilities{}, tc.want[0], tc.want[1])
				}
				s := Swap(&newObject("b").Header, nil)
				s.Restore(now)
				wantBound(t, "a")
				if got := visible(); got != want {
					t.Errorf("the labels are %q, want %q", got, want)
				}
			}
		}
		setLabels()
		bindLabelled("a", Label{"gone", "pan"})
		s := Swap(nil, nil)
		s.Restore(now)
		wantBound(t, "a")
		if got := visible(); got != ours(c, "", "") {
			t.Errorf("the labels are %q", got)
		}
	})
}
