package logadapters_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/testkit"
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

// attach is the Attach of a logger that has no fields but the scope's.
func attach(l *text, f logadapters.Fields) *text {
	t := render(f)
	if l != nil && l.s != "" && t.s != "" {
		t.s = l.s + " " + t.s
	} else if l != nil {
		t.s = l.s + t.s
	}
	return t
}

// newCache returns a Cache for a logger that has no keys of its own.
func newCache(opts *logadapters.Options, attach func(*text, logadapters.Fields) *text) *logadapters.Cache[*text] {
	return &logadapters.Cache[*text]{Options: opts, Base: new(text), Attach: attach}
}

// stamped returns what opts make of s.
func stamped(opts *logadapters.Options, s scope.Scope) string {
	d := newCache(opts, attach).Lookup(s)
	if d == nil {
		return ""
	}
	return d.Value.s
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
	var attached atomic.Int64
	c := newCache(nil, func(l *text, f logadapters.Fields) *text { attached.Add(1); return attach(l, f) })
	s := scope.New("a", 1)
	first := c.Lookup(s)
	for range 10 {
		if c.Lookup(s) != first {
			t.Fatal("something else for the same scope")
		}
	}
	if n := attached.Load(); n != 1 {
		t.Errorf("attached %d times", n)
	}
	if other := scope.New("a", 1); c.Lookup(other) == first {
		t.Error("two scopes share a value")
	}
}

// A scope that was made by adding gets only what is new attached.
func TestAScopeIsDerivedFromItsNearestRememberedAncestor(t *testing.T) {
	var attached []string
	c := newCache(nil, func(l *text, f logadapters.Fields) *text {
		attached = append(attached, render(f).s)
		return attach(l, f)
	})
	a := scope.New("a", 1)
	b := a.With("b", 2)
	d := b.With("c", 3).With("d", 4)
	check := func(s scope.Scope, value string, newly ...string) {
		t.Helper()
		attached = nil
		expect(t, c.Lookup(s).Value.s, value)
		if !slices.Equal(attached, newly) {
			t.Errorf("attached %q, want %q", attached, newly)
		}
	}
	check(a, "a=1", "a=1")
	check(d, "a=1 b=2 c=3 d=4", "b=2 c=3 d=4") // b is not remembered
	check(b, "a=1 b=2", "b=2")
	check(b.With("e", 5), "a=1 b=2 e=5", "e=5")
	check(d, "a=1 b=2 c=3 d=4")
	check(d.With("a", 9), "a=9 b=2 c=3 d=4", "a=9 b=2 c=3 d=4")
	check(d.Without("b"), "a=1 c=3 d=4", "a=1 c=3 d=4")
	d.With("x", new(testkit.Counter)).Run(func() {
		check(scope.Current(), "a=1 b=2 c=3 d=4 x=1", "x=1")
		check(scope.With("y", 6), "a=1 b=2 c=3 d=4 x=2 y=6", "x=2 y=6")
	})
}

// What a Cache answers doesn't depend on what it was asked before.
func TestAGrownScopeGetsTheSameWhateverIsRemembered(t *testing.T) {
	for name, opts := range map[string]*logadapters.Options{
		"defaults": nil,
		"filtered": {Filter: func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "k3" {
				a.Key = "k0" // takes the older one's place
			}
			return a, a.Key != "k2"
		}},
		"limited":    {MaxFields: 3},
		"in a group": {Group: "g"},
	} {
		for asked := range 1 << 5 {
			c := newCache(opts, attach)
			s := scope.New("n", 0)
			for i := range 5 {
				s = s.With(fmt.Sprint("k", i), i)
				if asked>>i&1 == 1 {
					c.Lookup(s)
				}
			}
			if got, want := c.Lookup(s).Value.s, stamped(opts, s); got != want {
				t.Errorf("%s, asked %b: got %s, want %s", name, asked, got, want)
			}
		}
	}
}

func TestFinishComesBehindTheFields(t *testing.T) {
	c := newCache(nil, attach)
	c.Base = &text{"base"}
	c.Finish = func(l *text) *text { return &text{l.s + " finish"} }
	s := scope.New("a", 1)
	expect(t, c.Lookup(s).Value.s, "base a=1 finish")
	d := c.Lookup(s.With("b", 2))
	expect(t, d.Value.s, "base a=1 b=2 finish")
	expect(t, d.Without(is("a")).s, "base b=2 finish")
	expect(t, d.Without(is("a", "b")).s, "base finish")
}

func TestExpandSplitsAField(t *testing.T) {
	c := newCache(nil, attach)
	c.Reserved = []string{"err_code"}
	c.Expand = func(a slog.Attr) []slog.Attr {
		err, ok := a.Value.Any().(error)
		if !ok {
			return nil
		}
		return []slog.Attr{slog.String(a.Key, err.Error()), slog.Int(a.Key+"_code", 5), slog.Bool(a.Key+"_more", true)}
	}
	d := c.Lookup(scope.New("a", 1, "err", errors.New("bad"), "z", 2))
	expect(t, d.Value.s, "a=1 err=bad err_more=true z=2")
	expect(t, d.Without(is("err_more")).s, "a=1 err=bad z=2")
	if d.Has("err_code") || !d.Has("err_more") {
		t.Error("Has doesn't go by the keys that are written")
	}
	expect(t, c.Lookup(scope.New("err_more", "x").With("err", errors.New("bad"))).Value.s, "err_more=true err=bad")
}

// What a value's method logs is stamped with fields that need no method.
func TestAMethodThatLogsGetsPlainFields(t *testing.T) {
	c := newCache(nil, attach)
	var inner []string
	lookup := func() {
		if d := c.Lookup(scope.Current()); d != nil {
			inner = append(inner, d.Value.s)
		} else {
			inner = append(inner, "nothing")
		}
	}
	s := scope.New("n", 1, "v", valuerFunc(func() slog.Value {
		lookup()
		scope.Set("set", true)
		lookup()
		scope.Run(lookup)
		return slog.StringValue("v")
	}), "e", errors.New("bad"), slog.Group("g", slog.Int("a", 1)), slog.Group("h", slog.Any("e", errors.New("bad"))))
	s.Run(func() {
		expect(t, c.Lookup(s).Value.s, "n=1 v=v e=bad g=[a=1] h=[e=bad]")
		if scope.Current() != s {
			t.Error("what the method has set is there afterwards")
		}
	})
	want := []string{"n=1 g=[a=1]", "n=1 g=[a=1] set=true", "n=1 g=[a=1] set=true"}
	if !slices.Equal(inner, want) {
		t.Errorf("got %q, want %q", inner, want)
	}
}

// Code that is called for plain fields, as a ReplaceAttr, may log as well: that ends with the
// second line.
func TestAnAttachThatLogsEnds(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		var c *logadapters.Cache[*text]
		var lines []string
		c = newCache(nil, func(l *text, f logadapters.Fields) *text {
			if d := c.Lookup(scope.Current()); d != nil {
				lines = append(lines, d.Value.s)
			} else {
				lines = append(lines, "nothing")
			}
			return attach(l, f)
		})
		c.Quiet = quiet
		scope.New("a", 1.5).Run(func() { c.Lookup(scope.Current()) }) // a float isn't quiet
		if want := []string{"nothing", "a=1.5"}; !slices.Equal(lines, want) {
			t.Errorf("got %q, want %q", lines, want)
		}
	}
}

// When code runs away, no line has what may call user code, be it in a field that the scope had before. It
// has the other fields.
func TestNothingLoudWhenCodeRunsAway(t *testing.T) {
	c := newCache(nil, attach)
	c.Quiet = true
	quiet := scope.New("n", 1)
	loud := scope.New("v", []int{1})
	grown := loud.With("n", 1)
	has := func(want ...string) {
		t.Helper()
		for i, s := range []scope.Scope{quiet, loud, grown, grown} {
			got := ""
			if d := c.Lookup(s); d != nil {
				got = d.Value.s
			}
			expect(t, got, want[i])
		}
	}
	has("n=1", "v=[1]", "v=[1] n=1", "v=[1] n=1")
	calls := 0
	for ; !memo.RunsAway(); calls++ {
		memo.BeginEncode()
	}
	has("n=1", "", "n=1", "n=1")
	new := loud.With("id", "r-2") // what has no result yet gets a whole one later
	expect(t, c.Lookup(new).Value.s, "id=r-2")
	filtering := newCache(&logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, true }}, attach)
	filtering.Quiet = true
	if filtering.Lookup(quiet) != nil {
		t.Error("a Filter was called")
	}
	for range calls {
		memo.EndEncode()
	}
	has("n=1", "v=[1]", "v=[1] n=1", "v=[1] n=1")
	expect(t, c.Lookup(new).Value.s, "v=[1] id=r-2")
}

// What the logger has attached inside a group may have methods that log, too.
func TestAFinishThatLogsEnds(t *testing.T) {
	var c *logadapters.Cache[*text]
	lines := 0
	c = newCache(nil, attach)
	c.Quiet = true
	c.Finish = func(l *text) *text {
		if lines++; lines > 100 {
			t.Fatal("it has no end")
		}
		c.Lookup(scope.Current())
		return &text{l.s + " finished"}
	}
	scope.New("a", "quiet").Run(func() {
		expect(t, c.Lookup(scope.Current()).Value.s, "a=quiet finished")
		expect(t, c.Lookup(scope.Current()).Without(is("a")).s, " finished")
	})
}

// A field that Expand gives the key of an older one has all fields attached anew: those with methods that
// log as well.
func TestAnExpandThatLogsEnds(t *testing.T) {
	var c *logadapters.Cache[*text]
	lines := 0
	c = newCache(nil, attach)
	c.Quiet = true
	c.Expand = func(a slog.Attr) []slog.Attr {
		if lines++; lines > 100 {
			t.Fatal("it has no end")
		}
		c.Lookup(scope.Current())
		return []slog.Attr{a, slog.String(a.Key+"Verbose", "very")}
	}
	scope.New("err", errors.New("oops")).Run(func() {
		expect(t, c.Lookup(scope.Current()).Value.s, "err=oops errVerbose=very")
		scope.Set("errVerbose", "x")
		expect(t, c.Lookup(scope.Current()).Value.s, "err=oops errVerbose=x")
	})
}

// User code that loses the goroutine's scope, by other labels or on another goroutine, and logs with a context
// of the scope as it was, ends all the same. The lines that are too many have plain fields only, or none.
func TestUserCodeThatRunsAwayEnds(t *testing.T) {
	for name, lose := range map[string]func(log func()){
		"other labels": func(log func()) {
			pprof.Do(context.Background(), pprof.Labels("a", "b"), func(context.Context) { log() })
		},
		"another goroutine": func(log func()) {
			done := make(chan struct{})
			scope.Outside(func() { go func() { defer close(done); log() }() })
			<-done
		},
	} {
		c := newCache(nil, attach)
		var ctx context.Context
		asked := 0
		s := scope.New("request_id", "r-1", "v", valuerFunc(func() slog.Value {
			asked++
			for range 2 { // each of them would lead to two more
				lose(func() { c.Lookup(logadapters.Pick(ctx)) })
			}
			return slog.StringValue("resolved")
		}))
		ctx = scope.NewContext(t.Context(), s)
		s.Run(func() {
			expect(t, c.Lookup(scope.Current()).Value.s, "request_id=r-1 v=resolved")
			expect(t, c.Lookup(scope.Current()).Value.s, "request_id=r-1 v=resolved")
		})
		if asked < 2 || asked > 10_000 {
			t.Errorf("%s: the value was asked %d times", name, asked)
		}
	}
}

func TestEncodeIsForLaterValues(t *testing.T) {
	c := newCache(nil, attach)
	s := scope.New("n", 1, "e", errors.New("bad"))
	s.Run(func() {
		for range 3 {
			logadapters.Encode(s, func() {
				expect(t, c.Lookup(scope.Current()).Value.s, "n=1")
				if v, _ := scope.Get("e"); v == nil {
					t.Error("the scope's own fields aren't all there")
				}
				logadapters.Encode(s, func() {
					if c.Lookup(scope.Current()) != nil {
						t.Error("a line in a line in a line is stamped")
					}
				})
				scope.Set("lost", 1)
				expect(t, c.Lookup(scope.Current()).Value.s, "n=1 lost=1")
			})
			expect(t, c.Lookup(scope.Current()).Value.s, "n=1 e=bad")
		}
		func() {
			defer func() { _ = recover() }()
			logadapters.Encode(s, func() { panic("user's") })
		}()
		if scope.Current() != s {
			t.Error("after a panic another scope is bound")
		}
	})
}

// A context that was made under the scope means the same in a method that it calls.
func TestAContextWithinEncode(t *testing.T) {
	s := scope.New("n", 1)
	s.Run(func() {
		logadapters.Encode(s, func() {}) // what it makes is remembered
		ctx := scope.NewContext(context.Background(), scope.With("user", "ann"))
		logadapters.Encode(s, func() {
			scope.Set("later", 2)
			got := logadapters.Pick(ctx)
			shown := ""
			for key, value := range got.All() {
				shown += fmt.Sprintf("%s=%s ", key, value)
			}
			expect(t, shown, "n=1 later=2 user=ann ")
			if in := newCache(nil, attach); in.Lookup(got) == nil {
				t.Error("not stamped")
			}
		})
	})
}

type valuerFunc func() slog.Value

func (v valuerFunc) LogValue() slog.Value { return v() }

// is returns a func for Without.
func is(keys ...string) func(string) bool {
	return func(k string) bool { return slices.Contains(keys, k) }
}

func TestAScopeWithoutVisibleFieldsIsFilteredOnce(t *testing.T) {
	calls := 0
	opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { calls++; return a, false }}
	c := newCache(opts, func(*text, logadapters.Fields) *text {
		t.Error("attached no fields")
		return nil
	})
	s := scope.New("a", 1)
	for range 3 {
		if c.Lookup(s) != nil {
			t.Fatal("something without fields")
		}
	}
	if calls != 1 {
		t.Errorf("Filter was called %d times", calls)
	}
	if c.Lookup(scope.Scope{}) != nil {
		t.Error("the zero Scope gets something")
	}
}

func TestALogValuerIsResolvedForEachLookup(t *testing.T) {
	for name, wrap := range map[string]func(slog.LogValuer) any{
		"by itself":  func(v slog.LogValuer) any { return v },
		"in a group": func(v slog.LogValuer) any { return slog.GroupValue(slog.Any("n", v)) },
		"deep": func(v slog.LogValuer) any {
			return slog.GroupValue(slog.Group("g", slog.Any("n", v)))
		},
	} {
		s := scope.New(slog.Any("v", wrap(new(testkit.Counter))), "k", 1)
		c := newCache(nil, attach)
		first, second := c.Lookup(s).Value.s, c.Lookup(s).Value.s
		if first == second || strings.Replace(first, "1", "2", 1) != second {
			t.Errorf("%s: the first line has %s, the second %s", name, first, second)
		}
	}
}

// policyTests makes a new key for each run: a policy lasts as long as the process.
var policyTests atomic.Int64

func TestANewPolicyChangesWhatIsRemembered(t *testing.T) {
	c := newCache(nil, attach)
	key := fmt.Sprint("late_secret", policyTests.Add(1))
	s := scope.New(key, "s3cr3t", "k", 1)
	expect(t, c.Lookup(s).Value.s, key+"=s3cr3t k=1")
	scope.NewKey[string](key, scope.Redacted)
	expect(t, c.Lookup(s).Value.s, key+"=[REDACTED] k=1")
	scope.NewKey[string](key, scope.Hidden)
	expect(t, c.Lookup(s).Value.s, "k=1")
}

// A Cache of declared fields sees no others, as the policies of their keys are at that moment.
func TestDeclared(t *testing.T) {
	var (
		traced  = scope.NewKey[string](testkit.NewName("traced"), scope.Traced)
		both    = scope.NewKey[string](testkit.NewName("both"), scope.Traced|scope.Measured)
		secret  = scope.NewKey[string](testkit.NewName("secret"), scope.Traced|scope.Redacted)
		hidden  = scope.NewKey[string](testkit.NewName("hidden"), scope.Traced|scope.Hidden)
		later   = testkit.NewName("later")
		ofValue = func(p scope.KeyOption) *logadapters.Cache[*text] {
			c := newCache(nil, attach)
			c.Declared = p
			return c
		}
		c, measured = ofValue(scope.Traced), ofValue(scope.Traced | scope.Measured)
	)
	values := func(c *logadapters.Cache[*text]) string {
		d := c.Lookup(scope.Current())
		if d == nil {
			return ""
		}
		var values []string
		for _, part := range strings.Fields(d.Value.s) {
			values = append(values, part[strings.Index(part, "=")+1:])
		}
		return strings.Join(values, " ")
	}
	scope.New("request_id", "r-1", later, "l").Run(func() {
		expect(t, values(c), "")
		traced.Set("t")
		scope.Set("user", "u1")
		expect(t, values(c), "t")
		both.Set("b")
		secret.Set("s")
		hidden.Set("h")
		expect(t, values(c), "t b [REDACTED]")
		expect(t, values(measured), "b")
		both.Set("b2")
		scope.Share(traced.Name(), "shared, and not shown")
		expect(t, values(c), "t b2 [REDACTED]")
		scope.NewKey[string](later, scope.Traced)
		expect(t, values(c), "l t b2 [REDACTED]")
		expect(t, values(newCache(nil, attach)), "r-1 l t u1 b2 [REDACTED]")
	})
}

func TestAnEndedTaskIsMarkedFromThenOn(t *testing.T) {
	c := newCache(&logadapters.Options{MaxFields: 1}, attach)
	s := scope.New("k", 1)
	expect(t, c.Lookup(s).Value.s, "k=1")
	s.Run(func() { expect(t, c.Lookup(s).Value.s, "k=1") })
	expect(t, c.Lookup(s).Value.s, "k=1 scope_ended=true")
	s.Run(func() { expect(t, c.Lookup(s).Value.s, "k=1") })
}

// What is remembered of an ended task is of no use to a scope that is live again.
func TestAScopeThatIsLiveAgainIsNotDerivedFromAnEndedOne(t *testing.T) {
	c := newCache(nil, attach)
	s := scope.New("k", 1)
	s.Run(func() {})
	expect(t, c.Lookup(s).Value.s, "k=1 scope_ended=true")
	s.With("n", 2).Run(func() {
		expect(t, c.Lookup(scope.Current()).Value.s, "k=1 n=2")
	})
}

// A task that ends must be seen to end also where it never showed a field.
func TestAnEndedTaskWithoutFieldsIsMarked(t *testing.T) {
	c := newCache(nil, attach)
	s := scope.New()
	s.Run(func() {
		if c.Lookup(s) != nil {
			t.Error("something without fields")
		}
	})
	d := c.Lookup(s)
	if d == nil {
		t.Fatal("nothing")
	}
	expect(t, d.Value.s, "scope_ended=true")
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
		{"answers with a LogValuer", func(a slog.Attr) (slog.Attr, bool) { return slog.Any(a.Key, new(testkit.Counter)), true }, "a=1 b=1 c=1"},
		{"panics for one field", func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "b" {
				panic("not b")
			}
			return a, true
		}, "a=1 b=!PANIC: not b c=3"},
		{"panics with an error", func(slog.Attr) (slog.Attr, bool) { panic(errors.New("bad")) }, "a=!PANIC: bad b=!PANIC: bad c=!PANIC: bad"},
		{"answers with the zero Attr for one", func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "b" {
				return slog.Attr{}, true
			}
			return a, true
		}, "a=1 c=3"},
		{"answers with an empty group for one", func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "b" {
				return slog.Group("b"), true
			}
			return a, true
		}, "a=1 c=3"},
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
	renaming := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
		a.Key = "filter_" + a.Key
		return a, true
	}}
	expect(t, stamped(renaming, scope.New("hidden", "x", "redacted", "x", "k", 1)), "filter_redacted=[REDACTED] filter_k=1")
	inlining := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
		a.Key = "filter_" + a.Key
		return slog.Group("", slog.Group("", a), slog.Int("n", 2)), true
	}}
	expect(t, stamped(inlining, scope.New("hidden", "x", "redacted", "x")), "n=2 filter_redacted=[REDACTED]")
}

// What scope.Error has made is written as the error that it was given, also as a field of the scope.
func TestAnErrorInTheScopeIsBare(t *testing.T) {
	var marked error
	scope.New("k", 1).Run(func() { marked = scope.Error(errors.ErrUnsupported) })
	var got any
	newCache(nil, func(l *text, f logadapters.Fields) *text {
		got = f.Any(0)
		return attach(l, f)
	}).Lookup(scope.New("err", marked))
	if got != errors.ErrUnsupported {
		t.Errorf("the logger is given %#v", got)
	}
}

// The first error that shows fields gets the group.
func TestAnErrorWithNothingToShowTakesNoGroup(t *testing.T) {
	hidden := testkit.NewName("hidden")
	scope.NewKey[string](hidden, scope.Hidden)
	s := logadapters.WithErrors(scope.New("k", 1), func(string) bool { return false }, scope.New(hidden, "x"), scope.New("n", 2), scope.New("n", 3))
	expect(t, stamped(nil, s), "k=1 error_scope=[n=2]")
}

// The fields of another task's error are filtered and policed as any others.
func TestFilterOfAnErrorsFields(t *testing.T) {
	hidden, redacted := testkit.NewName("hidden"), testkit.NewName("redacted")
	scope.NewKey[string](hidden, scope.Hidden)
	scope.NewKey[string](redacted, scope.Redacted)
	renaming := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
		switch a.Key {
		case "h":
			a.Key = hidden
		case "r", "s":
			a.Key = redacted
		}
		return a, true
	}}
	s := logadapters.WithErrors(scope.New("k", 1), func(string) bool { return false }, scope.New("h", "x", "r", "x", "s", "x", "n", 2))
	expect(t, stamped(renaming, s), "k=1 error_scope=["+redacted+"=[REDACTED] n=2]")
}

// Some values can't be compared with what Filter returns.
func TestFilterOfAnIncomparableValue(t *testing.T) {
	keeping := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, true }}
	expect(t, stamped(keeping, scope.New("list", []int{1, 2}, "k", 1)), "list=[1 2] k=1")
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

func TestABadLogValuerCostsItsOwnField(t *testing.T) {
	var nilCounter *testkit.Counter
	got := stamped(nil, scope.New("a", 1, "endless", testkit.Endless{}, "panics", testkit.PanickingLogValue{}, "nil", nilCounter,
		slog.Group("g", slog.Int("b", 2), slog.Any("panics", testkit.PanickingLogValue{})), "z", 26))
	for _, want := range []string{
		"a=1 endless=!PANIC: LogValue of testkit.Endless never ends panics=!PANIC: no value nil=!PANIC: ",
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

func TestFieldsKeepTheirTypes(t *testing.T) {
	when := time.Date(1, 2, 3, 4, 5, 6, 7, time.FixedZone("x", 3600))
	var got []any
	see := func(l *text, f logadapters.Fields) *text {
		got = got[:0]
		for i := range f.Attrs {
			got = append(got, f.Any(i))
		}
		return attach(l, f)
	}
	check := func(want ...any) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("got %#v, want %#v", got, want)
		}
	}
	s := scope.New("single", float32(0.1), "double", 0.1, "when", when, "n", 1)
	c := newCache(nil, see)
	d := c.Lookup(s)
	check(float32(0.1), 0.1, when, int64(1))
	d.Without(is("double"))
	check(float32(0.1), when, int64(1))
	c.Lookup(s.With("other", float32(0.2)))
	check(float32(0.2))
	newCache(&logadapters.Options{MaxFields: 2}, see).Lookup(s.Without("n"))
	check(0.1, when, int64(1)) // the last is scope_dropped
	swapped := func(a slog.Attr) (slog.Attr, bool) {
		switch a.Key {
		case "double":
			a.Key = "single"
		case "single":
			a.Key = "was_single"
		}
		return a, true
	}
	newCache(&logadapters.Options{Filter: swapped}, see).Lookup(s)
	check(float64(float32(0.1)), 0.1, when, int64(1)) // a renamed field is what the filter has returned
	newCache(nil, see).Lookup(logadapters.WithErrors(s.Without("single"), func(string) bool { return false }, s))
	check(0.1, when, int64(1), float32(0.1))
}

func TestFieldsOfALineAreResolved(t *testing.T) {
	f := logadapters.FieldsOf(slog.Int("a", 1), slog.Attr{}, slog.Group("", slog.Int("b", 2), slog.Any("c", new(testkit.Counter))),
		slog.Group("empty"), slog.Any("none", valuerFunc(func() slog.Value { return slog.GroupValue() })), slog.Int("a", 3))
	expect(t, render(f).s, "a=3 b=2 c=1")
}

// As log/slog has it.
func TestConventionsForAttributesThatShowNothing(t *testing.T) {
	s := scope.New("a", 1, slog.Attr{}, slog.Group("", slog.Int("b", 2)), slog.Group("empty"),
		slog.Group("g", slog.Attr{}, slog.Group("", slog.Int("c", 3)), slog.Group("e", slog.Group("f"))),
		"v", valuerFunc(func() slog.Value { return slog.GroupValue(slog.Group("x")) }))
	expect(t, stamped(nil, s), "a=1 b=2 g=[c=3]")
	d := newCache(nil, attach).Lookup(s)
	if d.Has("empty") || d.Has("v") || d.Has("!BADKEY") || !d.Has("b") {
		t.Error("Has doesn't go by what is shown")
	}
	if d := newCache(nil, attach).Lookup(scope.New(slog.Group("empty"))); d != nil {
		t.Errorf("an empty group is stamped: %s", d.Value.s)
	}
}

func TestAFilterMayChangeWhatItIsGiven(t *testing.T) {
	s := scope.New(slog.Group("g", slog.String("card", "4111"), slog.Group("h", slog.String("pin", "1234"))))
	mask := func(a slog.Attr) (slog.Attr, bool) {
		members := a.Value.Group()
		members[0] = slog.String("card", "*")
		members[1].Value.Group()[0] = slog.String("pin", "*")
		return a, true
	}
	expect(t, stamped(&logadapters.Options{Filter: mask}, s), "g=[card=* h=[pin=*]]")
	expect(t, stamped(nil, s), "g=[card=4111 h=[pin=1234]]")
}

func TestMarksRepeatNoReservedKey(t *testing.T) {
	ended := scope.New("a", 1, "b", 2)
	ended.Run(func() {})
	for _, tc := range []struct {
		opts     logadapters.Options
		reserved string
		want     string
	}{
		{logadapters.Options{Group: "g"}, "g", ""},
		{logadapters.Options{Group: "g", Ended: logadapters.DropEnded}, "g", ""},
		{logadapters.Options{Group: "g", Duplicates: logadapters.KeepBoth}, "g", "g{a=1 b=2 scope_ended=true}"},
		{logadapters.Options{Group: "g"}, logadapters.EndedKey, "g{a=1 b=2 scope_ended=true}"},
		{logadapters.Options{}, logadapters.EndedKey, "a=1 b=2"},
		{logadapters.Options{Ended: logadapters.DropEnded}, logadapters.EndedKey, ""},
		{logadapters.Options{MaxFields: 1}, logadapters.DroppedKey, "b=2 scope_ended=true"},
	} {
		c := newCache(&tc.opts, attach)
		c.Reserved = []string{tc.reserved}
		got := ""
		if d := c.Lookup(ended); d != nil {
			got = d.Value.s
		}
		expect(t, got, tc.want)
	}
}

// What a line gets may be the scope's own list.
func TestMarksLeaveTheScopeAsItIs(t *testing.T) {
	s := scope.New(slog.Int("a", 1), slog.String("scope_dropped", "mine"), slog.String("scope_ended", "mine"), slog.Int("b", 2))
	s.Run(func() {})
	if got, want := stamped(&logadapters.Options{MaxFields: 3}, s), "scope_dropped=1 scope_ended=true b=2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, key := range []string{"scope_dropped", "scope_ended"} {
		if v, _ := s.Get(key); v != "mine" {
			t.Errorf("%s of the scope has become %v", key, v)
		}
	}
	if got, want := s.String(), "a=1 scope_dropped=mine scope_ended=mine b=2"; got != want {
		t.Errorf("the scope has become %q", got)
	}
}

func TestDropEnded(t *testing.T) {
	for _, opts := range []logadapters.Options{
		{Ended: logadapters.DropEnded},
		{Ended: logadapters.DropEnded, MaxFields: 1},
		{Ended: logadapters.DropEnded, Filter: func(a slog.Attr) (slog.Attr, bool) { return a, true }},
	} {
		c := newCache(&opts, attach)
		s := scope.New("k", 1, logadapters.EndedKey, "own")
		s.Run(func() { c.Lookup(s) })
		grown := s.With("more", 2)
		expect(t, c.Lookup(s).Value.s, "scope_ended=true")
		expect(t, c.Lookup(grown).Value.s, "scope_ended=true")
		if c.Lookup(s).Has("k") {
			t.Error("Has knows a field that isn't shown")
		}
		s.Run(func() {
			if got := c.Lookup(s).Value.s; got == "scope_ended=true" {
				t.Errorf("in a Run again: %s", got)
			}
		})
	}
	expect(t, func() string {
		c := newCache(&logadapters.Options{Ended: logadapters.DropEnded, Group: "g"}, attach)
		s := scope.New("k", 1)
		s.Run(func() {})
		return c.Lookup(s).Value.s
	}(), "g{scope_ended=true}")
}

func TestHasIsAboutTheRoot(t *testing.T) {
	c := newCache(nil, attach)
	var args []any
	for i := range 100 {
		args = append(args, fmt.Sprint("key", i), i)
	}
	d := c.Lookup(scope.New(append(args, slog.Group("g", slog.Int("inner", 1)))...))
	for i := range 100 {
		if !d.Has(fmt.Sprint("key", i)) {
			t.Errorf("key%d is denied", i)
		}
		if d.Has(fmt.Sprint("yek", i)) {
			t.Errorf("yek%d is made up", i)
		}
	}
	if !d.Has("g") || d.Has("inner") || d.Has("") {
		t.Error("a group's name is at the root, its members aren't")
	}

	c = newCache(&logadapters.Options{Group: "all"}, attach)
	d = c.Lookup(scope.New("a", 1))
	if !d.Has("all") || d.Has("a") {
		t.Error("with Options.Group its name is at the root, the fields aren't")
	}
}

func TestReservedKeysAreLeftOutUnlessBothAreKept(t *testing.T) {
	lookup := func(opts logadapters.Options, s scope.Scope) *logadapters.Derived[*text] {
		c := newCache(&opts, attach)
		c.Reserved = []string{"msg", "all"}
		return c.Lookup(s)
	}
	s := scope.New("a", 1, "msg", 2)
	for _, c := range []struct {
		opts logadapters.Options
		want string
	}{
		{logadapters.Options{}, "a=1"},
		{logadapters.Options{Duplicates: logadapters.ScopeWins}, "a=1"},
		{logadapters.Options{Duplicates: logadapters.KeepBoth}, "a=1 msg=2"},
		{logadapters.Options{Group: "g"}, "g{a=1 msg=2}"},
		{logadapters.Options{MaxFields: 1}, "a=1"},
	} {
		d := lookup(c.opts, s)
		expect(t, d.Value.s, c.want)
		if kept := c.opts.Duplicates == logadapters.KeepBoth; d.Has("msg") != kept {
			t.Errorf("%+v: Has(msg) = %t", c.opts, d.Has("msg"))
		}
	}
	if lookup(logadapters.Options{Group: "all"}, s) != nil {
		t.Error("the group's name is reserved, and yet there is something")
	}
}

func TestWithoutLeavesOutWhatTheLineHas(t *testing.T) {
	c := newCache(nil, attach)
	d := c.Lookup(scope.New("a", 1, "b", 2, "c", 3))
	if d.Without(is("x")) != d.Value {
		t.Error("nothing to leave out, and yet another logger")
	}
	expect(t, d.Without(is("b")).s, "a=1 c=3")
	expect(t, d.Without(is("a", "c")).s, "b=2")
	expect(t, d.Without(is("a", "b", "c")).s, "")
	expect(t, d.Value.s, "a=1 b=2 c=3")
	if first := d.Without(is("b")); d.Without(is("b")) != first {
		t.Error("a variant wasn't remembered")
	}
}

func TestWithoutIsRightForAnyNumberOfFieldsAndVariants(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 200} {
		var args []any
		for i := range n {
			args = append(args, fmt.Sprint("k", i), i)
		}
		c := newCache(nil, attach)
		d := c.Lookup(scope.New(args...))
		for range 2 {
			for i := range n {
				got := d.Without(func(k string) bool { return k == fmt.Sprint("k", i) }).s
				if strings.Contains(" "+got+" ", fmt.Sprintf(" k%d=", i)) || strings.Count(got, "=") != n-1 {
					t.Fatalf("%d fields without k%d: %s", n, i, got)
				}
			}
		}
	}
}

func TestAPanicInAttachCostsTheFieldsAtFault(t *testing.T) {
	s := scope.New("a", 1, "b", "bad", "c", "bad", "d", 4)
	c := newCache(nil, func(l *text, f logadapters.Fields) *text {
		for _, a := range f.Attrs {
			if a.Value.String() == "bad" {
				panic("With failed")
			}
		}
		return attach(l, f)
	})
	d := c.Lookup(s)
	expect(t, d.Value.s, "a=1 b=!PANIC: With failed c=!PANIC: With failed d=4")
	expect(t, d.Without(is("a")).s, "b=!PANIC: With failed c=!PANIC: With failed d=4")
	expect(t, c.Lookup(s.With("e", "bad", "f", 6)).Value.s, "a=1 b=!PANIC: With failed c=!PANIC: With failed d=4 e=!PANIC: With failed f=6")
	expect(t, stamped(nil, s), "a=1 b=bad c=bad d=4")
	expect(t, c.Lookup(scope.New("a", float32(0.1), "b", "bad")).Value.s, "a=0.1 b=!PANIC: With failed") // as it was set
}

func TestAPanicOfNilInAttachCostsItsField(t *testing.T) {
	for _, setting := range []string{"panicnil=0", "panicnil=1"} {
		t.Setenv("GODEBUG", setting)
		c := newCache(nil, func(l *text, f logadapters.Fields) *text {
			for _, a := range f.Attrs {
				if a.Value.String() == "bad" {
					panic(nil)
				}
			}
			return attach(l, f)
		})
		expect(t, c.Lookup(scope.New("a", 1, "b", "bad", "c", 3)).Value.s, "a=1 b=!PANIC: "+new(runtime.PanicNilError).Error()+" c=3")
	}
}

// A method that panics with all fields, and not alone, costs its own field.
func TestAPanicInAttachNowAndThenCostsItsField(t *testing.T) {
	for _, group := range []string{"", "g"} {
		calls := 0
		c := newCache(&logadapters.Options{Group: group}, func(l *text, f logadapters.Fields) *text {
			for _, a := range f.Attrs {
				if a.Value.Kind() == slog.KindAny {
					if calls++; calls%2 == 1 {
						panic("now and then")
					}
				}
			}
			return attach(l, f)
		})
		want := "request_id=r-1 err=!PANIC: now and then user=u1"
		if group != "" {
			want = "g{" + want + "}"
		}
		expect(t, c.Lookup(scope.New("request_id", "r-1", "err", errors.New("oops"), "user", "u1")).Value.s, want)
	}
}

func TestAPanicInAttachOfAllFieldsTogetherIsWritten(t *testing.T) {
	c := newCache(nil, func(l *text, f logadapters.Fields) *text {
		if len(f.Attrs) > 1 {
			panic("too many")
		}
		return attach(l, f)
	})
	d := c.Lookup(scope.New("a", 1, "b", 2))
	expect(t, d.Value.s, "!PANIC=!PANIC: too many")
	if d.Has("a") || !d.Has("!PANIC") {
		t.Error("Has doesn't go by what is shown")
	}
}

// What is left then is the line as it was: an adapter that used the zero L would crash in
// the middle of a log call.
func TestAnAttachThatAlwaysPanicsLeavesTheBase(t *testing.T) {
	c := newCache(nil, func(*text, logadapters.Fields) *text { panic("never") })
	c.Base = &text{"base"}
	if d := c.Lookup(scope.New("a", 1)); d != nil && (d.Value.s != "base" || d.Has("a")) {
		t.Errorf("got %v", d.Value)
	}
}

func TestGoroutinesMayLookUpOneScopeAtOnce(t *testing.T) {
	c := newCache(nil, attach)
	for range 20 {
		s := scope.New("a", 1, "b", 2)
		var start, done sync.WaitGroup
		start.Add(1)
		for i := range 8 {
			done.Go(func() {
				start.Wait()
				d := c.Lookup(s)
				if d.Value.s != "a=1 b=2" {
					t.Errorf("got %s", d.Value.s)
				}
				drop, want := "a", "b=2"
				if i%2 == 0 {
					drop, want = "b", "a=1"
				}
				if got := d.Without(is(drop)).s; got != want {
					t.Errorf("without %s: %s", drop, got)
				}
			})
		}
		start.Done()
		done.Wait()
	}
}

func TestADerivedValueDiesWithItsScope(t *testing.T) {
	c := newCache(nil, attach)
	var watched testkit.Probe[text]
	for i := range 1000 {
		d := c.Lookup(scope.New("i", i, "b", 2))
		watched.Watch(d.Value)
		watched.Watch(d.Without(is("b")))
	}
	if n := watched.Left(0); n > 0 {
		t.Errorf("%d of %d are alive after their scopes", n, watched.Len())
	}
	runtime.KeepAlive(c)
}

func TestALongLivedScopeDoesNotCollectLoggers(t *testing.T) {
	s := scope.New("a", 1)
	var watched testkit.Probe[text]
	for range 1000 {
		c := newCache(nil, attach)
		watched.Watch(c.Lookup(s).Value)
	}
	// How many it remembers is the store's affair; that it is few is the rule.
	if n := watched.Left(100); n > 100 {
		t.Errorf("a scope keeps what %d of %d loggers made of it", n, watched.Len())
	}
	runtime.KeepAlive(s)
}

func TestADerivedValueDoesNotCollectVariants(t *testing.T) {
	var args []any
	for i := range 60 {
		args = append(args, fmt.Sprint("k", i), i)
	}
	c := newCache(nil, attach)
	d := c.Lookup(scope.New(args...))
	var watched testkit.Probe[text]
	for i := range 60 {
		for j := range i {
			watched.Watch(d.Without(func(k string) bool { return k == fmt.Sprint("k", i) || k == fmt.Sprint("k", j) }))
		}
	}
	if n := watched.Left(20); n > 20 {
		t.Errorf("%d of %d variants are kept", n, watched.Len())
	}
	runtime.KeepAlive(d)
}
