package logadapters_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A text is the simplest logger there is: the fields as "k=v k=v". It is a struct, so
// that weak pointers can watch it.
type text struct{ s string }

func render(f logadapters.Fields) *text {
	var parts []string
	for i, a := range f.Attrs {
		parts = append(parts, fmt.Sprintf("%s=%v", a.Key, f.Any(i)))
	}
	s := strings.Join(parts, " ")
	if f.Group != "" {
		s = f.Group + "{" + s + "}"
	}
	return &text{s}
}

// funcs is a logger made of functions. A nil taken means that it takes nothing.
type funcs struct {
	derive func(logadapters.Fields) *text
	taken  func(key string) bool
}

func (f funcs) Derive(fields logadapters.Fields) *text { return f.derive(fields) }

func (f funcs) Taken(key string) bool { return f.taken != nil && f.taken(key) }

// newStamper returns a Stamper for a logger that takes nothing.
func newStamper(opts *logadapters.Options, derive func(logadapters.Fields) *text) *logadapters.Stamper[*text] {
	return logadapters.NewStamper[*text](opts, funcs{derive: derive})
}

// stamped returns what opts make of s.
func stamped(opts *logadapters.Options, s scope.Scope) string {
	stamp := newStamper(opts, render).Stamp(s)
	if stamp == nil {
		return ""
	}
	return stamp.Logger.s
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

type hostileContext struct{ context.Context }

func (hostileContext) Value(any) any { panic("no values today") }

func TestPickPrefersTheContextOfAnotherTask(t *testing.T) {
	mine, other := scope.New("who", "mine"), scope.New("who", "other")
	ctx := scope.NewContext(context.Background(), other)
	mine.Run(func() {
		if got := logadapters.Pick(ctx); got != other {
			t.Errorf("with a context of another task: picked %v", got)
		}
		if got := logadapters.Pick(context.WithValue(ctx, hostileContext{}, 1)); got != other {
			t.Errorf("with a context derived from one of another task: picked %v", got)
		}
	})
	if got := logadapters.Pick(ctx); got != other {
		t.Errorf("with nothing bound: picked %v", got)
	}
}

func TestPickPrefersTheGoroutineWithinOneTask(t *testing.T) {
	s := scope.New("who", "mine")
	ctx := scope.NewContext(context.Background(), s)
	s.Run(func() {
		scope.Set("step", 2)
		if got, _ := logadapters.Pick(ctx).Get("step"); got != 2 {
			t.Errorf("step is %v: the context's older scope was picked", got)
		}
	})
	scope.Run(func() { // a task begun by a bare Set, likewise
		scope.Clear()
		scope.Set("who", "mine")
		ctx := scope.NewContext(context.Background(), scope.Current())
		scope.Set("step", 2)
		if got, _ := logadapters.Pick(ctx).Get("step"); got != 2 {
			t.Errorf("unnamed task: step is %v", got)
		}
	})
}

func TestPickTakesNoScopeFromAContextThatHasNone(t *testing.T) {
	var nilContext *hostileContext
	scope.New("who", "mine").Run(func() {
		for name, ctx := range map[string]context.Context{
			"nil":                 nil,
			"Background":          context.Background(),
			"TODO":                context.TODO(),
			"without a scope":     context.WithValue(context.Background(), text{}, 1),
			"with the zero Scope": scope.NewContext(context.Background(), scope.Scope{}),
			"whose Value panics":  hostileContext{},
			"a nil pointer":       nilContext,
		} {
			if got := logadapters.Pick(ctx); got != scope.Current() {
				t.Errorf("context %s: picked %v", name, got)
			}
		}
	})
}

func TestAScopeIsDerivedOnce(t *testing.T) {
	var derived atomic.Int64
	st := newStamper(nil, func(f logadapters.Fields) *text { derived.Add(1); return render(f) })
	s := scope.New("a", 1)
	first := st.Stamp(s)
	for range 10 {
		if st.Stamp(s) != first {
			t.Fatal("a second stamp for the same scope")
		}
	}
	if n := derived.Load(); n != 1 {
		t.Errorf("derived %d times", n)
	}
	if other := scope.New("a", 1); st.Stamp(other) == first {
		t.Error("two scopes share a stamp")
	}
}

// line has st do what an adapter does for a line of s, and reports whether it is made of the
// fields of s alone.
func line(st *logadapters.Stamper[*text], s scope.Scope) (alone bool) {
	if _, made := st.Made(s); made {
		return false
	}
	part, _, ok := st.First(s, 8)
	if !ok {
		st.Stamp(s)
	}
	return ok && part == nil
}

// logs has st log with 10000 scopes of their own, each so many lines. It returns how many of the
// first lines were made of the fields alone.
func logs(st *logadapters.Stamper[*text], lines int) (alone int) {
	for i := range 10000 {
		s := scope.New("n", i)
		for range lines {
			if line(st, s) {
				alone++
			}
		}
	}
	return alone
}

func TestWhetherScopesHaveOneLineIsLearned(t *testing.T) {
	st := newStamper(nil, render).Extending(func(_ *text, added logadapters.Fields) *text { return render(added) })
	oneLineEach := func() {
		t.Helper()
		for range 4 {
			logs(st, 1)
		}
		if n := logs(st, 1); n != 10000 {
			t.Errorf("%d of 10000 scopes with a line each had it made of their fields", n)
		}
	}
	few := func(n int) {
		t.Helper()
		if n == 0 || n > 5000 {
			t.Errorf("%d of 10000 scopes with more lines had the first made of their fields, want few, but some", n)
		}
	}
	oneLineEach()
	few(logs(st, 2))
	few(logs(st, 3))
	oneLineEach()
	grown := 0
	for i := range 10000 { // a line, one field more, a line, and so on
		s := scope.New("n", i)
		for j := range 4 {
			if line(st, s) {
				grown++
			}
			s = s.With(fmt.Sprint("k", j), j)
		}
	}
	few(grown)
}

func TestWhetherScopesHaveOneLineIsLearnedBesideAnotherLogger(t *testing.T) {
	a, b := newStamper(nil, render), newStamper(nil, render)
	both := func(lines int) (alone int) {
		for i := range 20000 {
			s := scope.New("n", i)
			for range lines {
				if line(a, s) {
					alone++
				}
				line(b, s)
			}
		}
		return alone
	}
	both(1)
	both(5)
	if n := both(5); n > 5000 {
		t.Errorf("%d of 20000 scopes with more lines had the first made of their fields", n)
	}
}

func TestTheFirstLineOfAScopeIsMadeOfItsFields(t *testing.T) {
	derived := 0
	derive := func(f logadapters.Fields) *text { derived++; return render(f) }
	taught := func(opts *logadapters.Options) *logadapters.Stamper[*text] {
		st := newStamper(opts, derive).Extending(func(l *text, added logadapters.Fields) *text { return render(added) })
		logs(st, 1)
		derived = 0
		return st
	}
	check := func(when string, st *logadapters.Stamper[*text], s scope.Scope, want bool, part string, added ...slog.Attr) {
		t.Helper()
		p, f, ok := st.First(s, 2)
		got := ""
		if p != nil {
			got = p.Logger.s
		}
		if ok != want || ok && (got != part || !slices.EqualFunc(f.Attrs, added, slog.Attr.Equal)) {
			t.Errorf("%s: got %q, %v and %v, want %q, %v and %v", when, got, f.Attrs, ok, part, added, want)
		}
	}
	key := scope.NewKey[string]("first_hidden", scope.Hidden)
	a, b := slog.Int("a", 1), slog.String("b", "x")

	st := taught(nil)
	s := scope.New(a)
	check("alone", st, s, true, "", a)
	check("alone, the second time", st, s, false, "")
	if derived != 0 {
		t.Errorf("the first line derived something")
	}
	check("on top of one that has had its first line", st, s.With(b), true, "a=1", b)
	check("on top of one with a stamp", st, s.With(b), true, "a=1", b)
	if derived != 1 {
		t.Errorf("derived %d times for two lines on top of a scope", derived)
	}
	check("on top, too far", st, s.With("x", 1, "y", 2, "z", 3), true, "", a, slog.Int("x", 1), slog.Int("y", 2), slog.Int("z", 3))
	check("too many fields", st, scope.New("1", 1, "2", 2, "3", 3, "4", 4, "5", 5, "6", 6, "7", 7, "8", 8, "9", 9), false, "")
	check("no scope", st, scope.Scope{}, false, "")
	check("no fields", st, scope.New(), false, "")

	for _, value := range []any{1.5, float32(1), time.Now(), time.Second, errors.New("e"), new(counter), slog.GroupValue(a), nil, []int{1}} {
		check(fmt.Sprintf("a %T", value), st, scope.New("v", value), false, "")
		check(fmt.Sprintf("a %T on top", value), st, s.With("v", value), false, "")
	}
	check("a hidden field", st, scope.New(key.Attr("x")), false, "")
	check("a field on top of a hidden one", st, scope.New(key.Attr("x")).With(b), false, "")

	var over scope.Scope
	scope.New(a).Run(func() { over = scope.Current(); st.Stamp(over) })
	check("an ended task", st, over, false, "")
	check("an ended task, on top", st, over.With(b), false, "")
	check("a live one on top of an ended task", st, over.Detach().With(b), true, "", a, b)

	for name, opts := range map[string]*logadapters.Options{
		"in a group":  {Group: "g"},
		"filtered":    {Filter: func(a slog.Attr) (slog.Attr, bool) { return a, true }},
		"limited":     {MaxFields: 9},
		"scope first": {Duplicates: logadapters.ScopeWins},
	} {
		check(name, taught(opts), scope.New(a), false, "")
	}
	check("keep both", taught(&logadapters.Options{Duplicates: logadapters.KeepBoth}), scope.New(a), true, "", a)
}

// The scope below is asked for nothing that isn't used.
func TestTheFirstLineResolvesNoLogValuerOfTheScopeBelow(t *testing.T) {
	st := newStamper(nil, func(f logadapters.Fields) *text { return render(f) }).
		Extending(func(l *text, added logadapters.Fields) *text { return render(added) })
	n := new(counter)
	s := scope.New("n", n)
	for range 3 {
		if _, _, ok := st.First(s.With("item", 1), 2); ok {
			t.Error("a line without the value of this moment")
		}
	}
	if calls := n.n.Load(); calls != 0 {
		t.Errorf("resolved %d times", calls)
	}
}

func TestAScopeWithoutVisibleFieldsIsFilteredOnce(t *testing.T) {
	calls := 0
	opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { calls++; return a, false }}
	st := newStamper(opts, func(logadapters.Fields) *text {
		t.Error("derived a logger for no fields")
		return nil
	})
	s := scope.New("a", 1)
	for range 3 {
		if st.Stamp(s) != nil {
			t.Fatal("a stamp without fields")
		}
	}
	if calls != 1 {
		t.Errorf("Filter was called %d times", calls)
	}
	if st.Stamp(scope.Scope{}) != nil {
		t.Error("the zero Scope has a stamp")
	}
}

type counter struct{ n atomic.Int64 }

func (c *counter) LogValue() slog.Value { return slog.Int64Value(c.n.Add(1)) }

func TestALogValuerIsResolvedForEachStamp(t *testing.T) {
	for name, wrap := range map[string]func(slog.LogValuer) any{
		"by itself":  func(v slog.LogValuer) any { return v },
		"in a group": func(v slog.LogValuer) any { return slog.GroupValue(slog.Any("n", v)) },
		"deep": func(v slog.LogValuer) any {
			return slog.GroupValue(slog.Group("g", slog.Any("n", v)))
		},
	} {
		s := scope.New(slog.Any("v", wrap(new(counter))), "k", 1)
		st := newStamper(nil, render)
		first, second := st.Stamp(s).Logger.s, st.Stamp(s).Logger.s
		if first == second || strings.Replace(first, "1", "2", 1) != second {
			t.Errorf("%s: the first line has %s, the second %s", name, first, second)
		}
	}
}

// policyTests makes a new key for each run: a policy lasts as long as the process.
var policyTests atomic.Int64

func TestANewPolicyChangesWhatIsRemembered(t *testing.T) {
	st := newStamper(nil, render)
	key := fmt.Sprint("late_secret", policyTests.Add(1))
	s := scope.New(key, "s3cr3t", "k", 1)
	expect(t, st.Stamp(s).Logger.s, key+"=s3cr3t k=1")
	scope.NewKey[string](key, scope.Redacted)
	expect(t, st.Stamp(s).Logger.s, key+"=[REDACTED] k=1")
	scope.NewKey[string](key, scope.Hidden)
	expect(t, st.Stamp(s).Logger.s, "k=1")
}

func TestAnEndedTaskIsMarkedFromThenOn(t *testing.T) {
	st := newStamper(&logadapters.Options{MaxFields: 1}, render)
	s := scope.New("k", 1)
	expect(t, st.Stamp(s).Logger.s, "k=1")
	s.Run(func() { expect(t, st.Stamp(s).Logger.s, "k=1") })
	expect(t, st.Stamp(s).Logger.s, "k=1 scope_ended=true")
	s.Run(func() { expect(t, st.Stamp(s).Logger.s, "k=1") })
}

// A task that ends must be seen to end also where it never showed a field.
func TestAnEndedTaskWithoutFieldsIsMarked(t *testing.T) {
	st := newStamper(nil, render)
	s := scope.New()
	s.Run(func() {
		if st.Stamp(s) != nil {
			t.Error("a stamp without fields")
		}
	})
	stamp := st.Stamp(s)
	if stamp == nil {
		t.Fatal("no stamp")
	}
	expect(t, stamp.Logger.s, "scope_ended=true")
}

func TestFilter(t *testing.T) {
	s := scope.New("a", 1, "b", 2, "c", 3)
	for _, c := range []struct {
		rule   string
		filter func(slog.Attr) (slog.Attr, bool)
		want   string
	}{
		{"drops", func(a slog.Attr) (slog.Attr, bool) { return a, a.Key != "b" }, "a=1 c=3"},
		{"renames", func(a slog.Attr) (slog.Attr, bool) { a.Key = "x_" + a.Key; return a, true }, "x_a=1 x_b=2 x_c=3"},
		{"changes the value", func(a slog.Attr) (slog.Attr, bool) { return slog.Int64(a.Key, -a.Value.Int64()), true }, "a=-1 b=-2 c=-3"},
		{"renames all to one key: the last value in the first's place", func(a slog.Attr) (slog.Attr, bool) { a.Key = "x"; return a, true }, "x=3"},
		{"takes the key away", func(a slog.Attr) (slog.Attr, bool) { a.Key = ""; return a, a.Value.Int64() == 2 }, "!BADKEY=2"},
		{"answers with an inlined group", func(a slog.Attr) (slog.Attr, bool) {
			return slog.Group("", slog.Int("n", 0), slog.Any(a.Key, a.Value)), a.Key != "c"
		}, "n=0 a=1 b=2"},
		{"answers with a LogValuer", func(a slog.Attr) (slog.Attr, bool) { return slog.Any(a.Key, new(counter)), true }, "a=1 b=1 c=1"},
		{"panics for one field", func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "b" {
				panic("not b")
			}
			return a, true
		}, "a=1 b=!PANIC: not b c=3"},
		{"panics with an error", func(slog.Attr) (slog.Attr, bool) { panic(errors.New("bad")) }, "a=!PANIC: bad b=!PANIC: bad c=!PANIC: bad"},
		{"answers with the zero Attr", func(slog.Attr) (slog.Attr, bool) { return slog.Attr{}, true }, "!BADKEY=<nil>"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			expect(t, stamped(&logadapters.Options{Filter: c.filter}, s), c.want)
		})
	}
}

func TestFilterSeesNoSecretAndNoMarker(t *testing.T) {
	scope.NewKey[string]("filter_hidden", scope.Hidden)
	scope.NewKey[string]("filter_redacted", scope.Redacted)
	var seen []string
	opts := &logadapters.Options{
		MaxFields: 1,
		Filter: func(a slog.Attr) (slog.Attr, bool) {
			seen = append(seen, a.String())
			return a, true
		},
	}
	s := scope.New("filter_hidden", "x", "filter_redacted", "x", "k", 1)
	s.Run(func() {})
	expect(t, stamped(opts, s), "k=1 scope_dropped=1 scope_ended=true")
	if want := []string{"filter_redacted=[REDACTED]", "k=1"}; !slices.Equal(seen, want) {
		t.Errorf("Filter saw %q, want %q", seen, want)
	}
}

func TestMaxFieldsLeavesOutTheOldest(t *testing.T) {
	scope.NewKey[string]("max_hidden", scope.Hidden)
	s := scope.New("a", 1, "max_hidden", "x", "b", 2, "c", 3)
	for limit, want := range map[int]string{
		0: "a=1 b=2 c=3",
		1: "c=3 scope_dropped=2",
		2: "b=2 c=3 scope_dropped=1",
		3: "a=1 b=2 c=3",
		4: "a=1 b=2 c=3",
	} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			expect(t, stamped(&logadapters.Options{MaxFields: limit}, s), want)
		})
	}
	expect(t, stamped(&logadapters.Options{MaxFields: 2, Group: "g"}, s), "g{b=2 c=3 scope_dropped=1}")
	onlyAB := func(a slog.Attr) (slog.Attr, bool) { return a, a.Key != "c" }
	expect(t, stamped(&logadapters.Options{MaxFields: 2, Filter: onlyAB}, s), "a=1 b=2")
}

type endless struct{}

func (e endless) LogValue() slog.Value { return slog.AnyValue(e) }

type panicking struct{}

func (panicking) LogValue() slog.Value { panic("no value") }

func TestABadLogValuerCostsItsOwnField(t *testing.T) {
	var nilCounter *counter
	got := stamped(nil, scope.New("a", 1, "endless", endless{}, "panics", panicking{}, "nil", nilCounter,
		slog.Group("g", slog.Int("b", 2), slog.Any("panics", panicking{})), "z", 26))
	for _, want := range []string{
		"a=1 endless=!PANIC: LogValue of logadapters_test.endless never ends panics=!PANIC: no value nil=!PANIC: ",
		"g=[b=2 panics=!PANIC: no value] z=26",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nis missing in %s", want, got)
		}
	}
	if strings.ContainsRune(got, '\n') {
		t.Errorf("a stack trace is in the line: %s", got)
	}
}

func TestFieldsKeepTheTypeOfAFloat32(t *testing.T) {
	st := newStamper(nil, render)
	fields := st.Stamp(scope.New("single", float32(0.1), "double", 0.1, slog.Any("attr", float32(0.1)))).Fields()
	if v, ok := fields.Any(0).(float32); !ok || v != 0.1 {
		t.Errorf("the float32 became %T %v", fields.Any(0), fields.Any(0))
	}
	if v, ok := fields.Any(1).(float64); !ok || v != 0.1 {
		t.Errorf("the float64 became %T %v", fields.Any(1), fields.Any(1))
	}
}

func TestHasIsAboutTheRoot(t *testing.T) {
	st := newStamper(nil, render)
	var args []any
	for i := range 100 {
		args = append(args, fmt.Sprint("key", i), i)
	}
	stamp := st.Stamp(scope.New(append(args, slog.Group("g", slog.Int("inner", 1)))...))
	for i := range 100 {
		if !stamp.Has(fmt.Sprint("key", i)) {
			t.Errorf("key%d is denied", i)
		}
		if stamp.Has(fmt.Sprint("yek", i)) {
			t.Errorf("yek%d is made up", i)
		}
	}
	if !stamp.Has("g") || stamp.Has("inner") || stamp.Has("") {
		t.Error("a group's name is at the root, its members aren't")
	}

	st = newStamper(&logadapters.Options{Group: "all"}, render)
	stamp = st.Stamp(scope.New("a", 1))
	if !stamp.Has("all") || stamp.Has("a") {
		t.Error("with Options.Group its name is at the root, the fields aren't")
	}
}

func TestTakenKeysAreLeftOutUnlessBothAreKept(t *testing.T) {
	taken := func(key string) bool { return key == "msg" || key == "all" }
	s := scope.New("a", 1, "msg", 2)
	for _, c := range []struct {
		opts logadapters.Options
		want string
	}{
		{logadapters.Options{}, "a=1"},
		{logadapters.Options{Duplicates: logadapters.ScopeWins}, "a=1"},
		{logadapters.Options{Duplicates: logadapters.KeepBoth}, "a=1 msg=2"},
		{logadapters.Options{Group: "g"}, "g{a=1 msg=2}"},
	} {
		expect(t, logadapters.NewStamper[*text](&c.opts, funcs{render, taken}).Stamp(s).Logger.s, c.want)
	}
	if logadapters.NewStamper[*text](&logadapters.Options{Group: "all"}, funcs{render, taken}).Stamp(s) != nil {
		t.Error("the group's name is taken, and yet there is a stamp")
	}
}

func TestWithoutLeavesOutWhatTheLineHas(t *testing.T) {
	st := newStamper(nil, render)
	stamp := st.Stamp(scope.New("a", 1, "b", 2, "c", 3))
	key := func(keys ...string) func(string) bool {
		return func(k string) bool { return slices.Contains(keys, k) }
	}
	if st.Without(stamp, key("x")) != stamp.Logger {
		t.Error("nothing to leave out, and yet another logger")
	}
	expect(t, st.Without(stamp, key("b")).s, "a=1 c=3")
	expect(t, st.Without(stamp, key("a", "c")).s, "b=2")
	expect(t, st.Without(stamp, key("a", "b", "c")).s, "")
	expect(t, stamp.Logger.s, "a=1 b=2 c=3")
	if first := st.Without(stamp, key("b")); st.Without(stamp, key("b")) != first {
		t.Error("a variant wasn't remembered")
	}
}

func TestWithoutIsRightForAnyNumberOfFieldsAndVariants(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 200} {
		var args []any
		for i := range n {
			args = append(args, fmt.Sprint("k", i), i)
		}
		st := newStamper(nil, render)
		stamp := st.Stamp(scope.New(args...))
		for range 2 {
			for i := range n {
				got := st.Without(stamp, func(k string) bool { return k == fmt.Sprint("k", i) }).s
				if strings.Contains(" "+got+" ", fmt.Sprintf(" k%d=", i)) || strings.Count(got, "=") != n-1 {
					t.Fatalf("%d fields without k%d: %s", n, i, got)
				}
			}
		}
	}
}

// derivePanics fails as a logger does that calls a method of a bad value in its With.
func derivePanics(bad string) func(logadapters.Fields) *text {
	return func(f logadapters.Fields) *text {
		for _, a := range f.Attrs {
			if a.Value.String() == bad {
				panic("With failed")
			}
		}
		return render(f)
	}
}

func TestAPanicInDeriveCostsTheFieldsAtFault(t *testing.T) {
	s := scope.New("a", 1, "b", "bad", "c", "bad", "d", 4)
	st := newStamper(nil, derivePanics("bad"))
	stamp := st.Stamp(s)
	expect(t, stamp.Logger.s, "a=1 b=!PANIC: With failed c=!PANIC: With failed d=4")
	expect(t, st.Without(stamp, func(k string) bool { return k == "a" }).s, "b=!PANIC: With failed c=!PANIC: With failed d=4")
	expect(t, stamped(nil, s), "a=1 b=bad c=bad d=4")
}

func TestAPanicInDeriveOfAllFieldsTogetherIsSaid(t *testing.T) {
	st := newStamper(nil, func(f logadapters.Fields) *text {
		if len(f.Attrs) > 1 {
			panic("too many")
		}
		return render(f)
	})
	stamp := st.Stamp(scope.New("a", 1, "b", 2))
	if stamp == nil {
		t.Fatal("no stamp, and so nothing on the line that tells")
	}
	expect(t, stamp.Logger.s, "!PANIC=!PANIC: too many")
}

// What is left then is the line as it was: an adapter that used the zero L would
// crash in the middle of a log call.
func TestADeriveThatAlwaysPanicsMeansNoStamp(t *testing.T) {
	st := newStamper(nil, func(logadapters.Fields) *text { panic("never") })
	if stamp := st.Stamp(scope.New("a", 1)); stamp != nil {
		t.Errorf("a stamp with Logger %v", stamp.Logger)
	}
}

func TestGoroutinesMayStampOneScopeAtOnce(t *testing.T) {
	st := newStamper(nil, render)
	for range 20 {
		s := scope.New("a", 1, "b", 2)
		var start, done sync.WaitGroup
		start.Add(1)
		for i := range 8 {
			done.Go(func() {
				start.Wait()
				stamp := st.Stamp(s)
				if stamp.Logger.s != "a=1 b=2" {
					t.Errorf("got %s", stamp.Logger.s)
				}
				drop, want := "a", "b=2"
				if i%2 == 0 {
					drop, want = "b", "a=1"
				}
				if got := st.Without(stamp, func(k string) bool { return k == drop }).s; got != want {
					t.Errorf("without %s: %s", drop, got)
				}
			})
		}
		start.Done()
		done.Wait()
	}
}

// alive collects garbage until at most want of the watched objects are left, and
// returns how many are.
func alive[T any](watched []weak.Pointer[T], want int) (n int) {
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

func TestAStampDiesWithItsScope(t *testing.T) {
	st := newStamper(nil, render)
	var watched []weak.Pointer[text]
	for i := range 1000 {
		stamp := st.Stamp(scope.New("i", i, "b", 2))
		watched = append(watched, weak.Make(stamp.Logger), weak.Make(st.Without(stamp, func(k string) bool { return k == "b" })))
	}
	if n := alive(watched, 0); n > 0 {
		t.Errorf("%d of %d are alive after their scopes", n, len(watched))
	}
	runtime.KeepAlive(st)
}

func TestALongLivedScopeDoesNotCollectLoggers(t *testing.T) {
	s := scope.New("a", 1)
	var watched []weak.Pointer[text]
	for range 1000 {
		st := newStamper(nil, render)
		watched = append(watched, weak.Make(st.Stamp(s).Logger))
	}
	// How many it remembers is the store's affair; that it is few is the rule.
	if n := alive(watched, 100); n > 100 {
		t.Errorf("a scope keeps what %d of %d loggers made of it", n, len(watched))
	}
	runtime.KeepAlive(s)
}

func TestAStampDoesNotCollectVariants(t *testing.T) {
	var args []any
	for i := range 60 {
		args = append(args, fmt.Sprint("k", i), i)
	}
	st := newStamper(nil, render)
	stamp := st.Stamp(scope.New(args...))
	var watched []weak.Pointer[text]
	for i := range 60 {
		for j := range i {
			v := st.Without(stamp, func(k string) bool { return k == fmt.Sprint("k", i) || k == fmt.Sprint("k", j) })
			watched = append(watched, weak.Make(v))
		}
	}
	if n := alive(watched, 20); n > 20 {
		t.Errorf("a stamp keeps %d of %d variants", n, len(watched))
	}
	runtime.KeepAlive(stamp)
}
