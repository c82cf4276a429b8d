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

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A text is the simplest logger there is: the fields as "k=v k=v". It is a struct, so
// that weak pointers can watch it.
type text struct{ s string }

// attach is the text logger's With.
func attach(l *text, f logadapters.Fields) *text {
	var parts []string
	for i, a := range f.Attrs {
		parts = append(parts, fmt.Sprintf("%s=%v", a.Key, f.Any(i)))
	}
	s := strings.Join(parts, " ")
	if f.Group != "" {
		s = f.Group + "{" + s + "}"
	}
	return &text{strings.TrimSpace(l.s + " " + s)}
}

// newCache returns a Cache for the text logger.
func newCache(opts *logadapters.Options) *logadapters.Cache[*text] {
	return &logadapters.Cache[*text]{Options: opts, Base: &text{}, Attach: attach}
}

// line returns what c makes of s.
func line(c *logadapters.Cache[*text], s scope.Scope) string {
	if d := c.Lookup(s); d != nil {
		return d.Value.s
	}
	return ""
}

// stamped returns what opts make of s.
func stamped(opts *logadapters.Options, s scope.Scope) string { return line(newCache(opts), s) }

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

// recording returns a Cache, and a list of the fields that each call of its Attach was given.
func recording(opts *logadapters.Options) (*logadapters.Cache[*text], *[]string) {
	c, calls := newCache(opts), new([]string)
	c.Attach = func(l *text, f logadapters.Fields) *text {
		*calls = append(*calls, attach(&text{}, f).s)
		return attach(l, f)
	}
	return c, calls
}

func TestAScopeIsDerivedOnce(t *testing.T) {
	c, calls := recording(nil)
	s := scope.New("a", 1)
	first := c.Lookup(s)
	for range 10 {
		if c.Lookup(s) != first {
			t.Fatal("a second derived logger for the same scope")
		}
	}
	if n := len(*calls); n != 1 {
		t.Errorf("derived %d times", n)
	}
	if other := scope.New("a", 1); c.Lookup(other) == first {
		t.Error("two scopes share a derived logger")
	}
}

func TestAScopeIsDerivedFromTheNearestOneItWasAddedTo(t *testing.T) {
	c, calls := recording(nil)
	s := scope.New("a", 1)
	far := s.With("b", 2).With("c", 3)
	for _, step := range []struct {
		s        scope.Scope
		attached string
		line     string
	}{
		{s, "a=1", "a=1"},
		{far, "b=2 c=3", "a=1 b=2 c=3"},
		{far.With("d", 4), "d=4", "a=1 b=2 c=3 d=4"},
		{s.With("e", 5), "e=5", "a=1 e=5"},
		{far.With("a", 0), "a=0 b=2 c=3", "a=0 b=2 c=3"},
		{far.Without("b"), "a=1 c=3", "a=1 c=3"},
	} {
		*calls = nil
		expect(t, line(c, step.s), step.line)
		if got := strings.Join(*calls, ", then "); got != step.attached {
			t.Errorf("for %s attached %s, want %s", step.line, got, step.attached)
		}
	}
}

func TestWhatDependsOnAllFieldsIsNotDerivedFromAnotherScope(t *testing.T) {
	for name, opts := range map[string]*logadapters.Options{"in a group": {Group: "g"}, "limited": {MaxFields: 2}} {
		c, warm := newCache(opts), scope.New("a", 1)
		line(c, warm)
		s := warm.With("b", 2).With("c", 3)
		if got, want := line(c, s), stamped(opts, s); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return slog.Attr{Key: "x", Value: a.Value}, true }}
	c, s := newCache(opts), scope.New("a", 1)
	expect(t, line(c, s), "x=1")
	expect(t, line(c, s.With("b", 2)), "x=2")
}

// What a logger has derived must not depend on the scopes that it has met before.
func TestALogValuerOfABaseIsResolvedForItsOwnLinesOnly(t *testing.T) {
	c, n := newCache(nil), new(counter)
	s := scope.New("n", n)
	for i := range int64(3) {
		if got, want := line(c, s.With("item", 1)), fmt.Sprintf("n=%d item=1", i+1); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestFinishComesBehindTheScopesFields(t *testing.T) {
	c := newCache(nil)
	c.Base = &text{"own=0"}
	c.Finish = func(l *text) *text { return &text{l.s + " {"} }
	s := scope.New("a", 1)
	expect(t, line(c, s), "own=0 a=1 {")
	d := c.Lookup(s.With("b", 2))
	expect(t, d.Value.s, "own=0 a=1 b=2 {")
	expect(t, d.Without(func(key string) bool { return key == "a" }).s, "own=0 b=2 {")
}

func TestExpandSplitsAField(t *testing.T) {
	c := newCache(nil)
	c.Reserved = []string{"err_kind"}
	c.Expand = func(a slog.Attr) []slog.Attr {
		if err, ok := a.Value.Any().(error); ok {
			return []slog.Attr{slog.String(a.Key, err.Error()), slog.Int(a.Key+"_len", len(err.Error())), slog.Int(a.Key+"_kind", 1)}
		}
		return nil
	}
	d := c.Lookup(scope.New("a", 1, "err", errors.New("boom"), "list", []int{1}))
	expect(t, d.Value.s, "a=1 err=boom err_len=4 list=[1]")
	if !d.Has("err_len") {
		t.Error("a key that Expand made is denied")
	}
}

// logging calls fn when it is asked for its value.
type logging func()

func (l logging) LogValue() slog.Value { l(); return slog.IntValue(1) }

func TestAValueThatLogsSeesPlainFieldsOnItsLine(t *testing.T) {
	c := newCache(nil)
	var inner []string
	s := scope.New("a", 1, "bytes", []byte("x"), "g", slog.GroupValue(slog.Bool("b", true)))
	s = s.With("v", logging(func() {
		inner = append(inner, line(c, scope.Current()))
		if _, ok := scope.Get("bytes"); !ok {
			t.Error("Get doesn't see all fields in there")
		}
	}))
	s.Run(func() { expect(t, line(c, s), "a=1 bytes=[120] g=[b=true] v=1") })
	if want := []string{"a=1 g=[b=true]"}; !slices.Equal(inner, want) {
		t.Errorf("inside: %q, want %q", inner, want)
	}
}

func TestValuesThatAreEncodedLaterMayLog(t *testing.T) {
	c := newCache(nil)
	s := scope.New("a", 1, "list", []int{1})
	logadapters.Encode(s, func() {
		expect(t, line(c, scope.Current()), "a=1")
		logadapters.Encode(scope.Current(), func() { expect(t, line(c, scope.Current()), "") })
	})
	expect(t, line(c, s), "a=1 list=[1]")
}

func TestAScopeWithoutVisibleFieldsIsFilteredOnce(t *testing.T) {
	calls := 0
	opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { calls++; return a, false }}
	c := newCache(opts)
	c.Attach = func(*text, logadapters.Fields) *text {
		t.Error("derived a logger for no fields")
		return nil
	}
	s := scope.New("a", 1)
	for range 3 {
		if c.Lookup(s) != nil {
			t.Fatal("something was derived of no fields")
		}
	}
	if calls != 1 {
		t.Errorf("Filter was called %d times", calls)
	}
	if c.Lookup(scope.Scope{}) != nil {
		t.Error("something was derived of the zero Scope")
	}
}

type counter struct{ n atomic.Int64 }

func (c *counter) LogValue() slog.Value { return slog.Int64Value(c.n.Add(1)) }

func TestALogValuerIsResolvedForEachLine(t *testing.T) {
	for name, wrap := range map[string]func(slog.LogValuer) any{
		"by itself":  func(v slog.LogValuer) any { return v },
		"in a group": func(v slog.LogValuer) any { return slog.GroupValue(slog.Any("n", v)) },
		"deep": func(v slog.LogValuer) any {
			return slog.GroupValue(slog.Group("g", slog.Any("n", v)))
		},
	} {
		s := scope.New(slog.Any("v", wrap(new(counter))), "k", 1)
		c := newCache(nil)
		first, second := line(c, s), line(c, s)
		if first == second || strings.Replace(first, "1", "2", 1) != second {
			t.Errorf("%s: the first line has %s, the second %s", name, first, second)
		}
	}
}

// policyTests makes a new key for each run: a policy lasts as long as the process.
var policyTests atomic.Int64

func TestANewPolicyChangesWhatIsRemembered(t *testing.T) {
	c := newCache(nil)
	key := fmt.Sprint("late_secret", policyTests.Add(1))
	s := scope.New(key, "s3cr3t", "k", 1)
	expect(t, line(c, s), key+"=s3cr3t k=1")
	scope.NewKey[string](key, scope.Redacted)
	expect(t, line(c, s), key+"=[REDACTED] k=1")
	scope.NewKey[string](key, scope.Hidden)
	expect(t, line(c, s), "k=1")
}

func TestAnEndedTaskIsMarkedFromThenOn(t *testing.T) {
	c := newCache(&logadapters.Options{MaxFields: 1})
	s := scope.New("k", 1)
	expect(t, line(c, s), "k=1")
	s.Run(func() { expect(t, line(c, s), "k=1") })
	expect(t, line(c, s), "k=1 scope_ended=true")
	s.Run(func() { expect(t, line(c, s), "k=1") })
}

// A task that ends must be seen to end also where it never showed a field.
func TestAnEndedTaskWithoutFieldsIsMarked(t *testing.T) {
	c := newCache(nil)
	s := scope.New()
	s.Run(func() {
		if c.Lookup(s) != nil {
			t.Error("something was derived of no fields")
		}
	})
	d := c.Lookup(s)
	if d == nil {
		t.Fatal("nothing was derived")
	}
	expect(t, d.Value.s, "scope_ended=true")
}

func TestDropEndedShowsThatAndNothingElse(t *testing.T) {
	c := newCache(&logadapters.Options{Ended: logadapters.DropEnded, Duplicates: logadapters.ScopeWins})
	s := scope.New("k", 1, "l", 2)
	s.Run(func() { expect(t, line(c, s), "k=1 l=2") })
	expect(t, line(c, s), "scope_ended=true")
	expect(t, line(c, s.With("m", 3)), "scope_ended=true")
	s.Run(func() { expect(t, line(c, s.With("m", 3)), "k=1 l=2 m=3") })
	expect(t, line(c, s.Detach()), "k=1 l=2")
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
		{"answers with the zero Attr", func(slog.Attr) (slog.Attr, bool) { return slog.Attr{}, true }, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			expect(t, stamped(&logadapters.Options{Filter: c.filter}, s), c.want)
		})
	}
}

func TestAFilterThatChangesAMemberInPlaceDoesNotChangeTheScope(t *testing.T) {
	card := slog.Group("card", slog.String("number", "4111"), slog.Group("owner", slog.String("name", "Ann")))
	s := scope.New(card)
	mask := func(a slog.Attr) (slog.Attr, bool) {
		members := a.Value.Group()
		members[0].Value = slog.StringValue("****")
		members[1].Value.Group()[0].Value = slog.StringValue("?")
		return a, true
	}
	expect(t, stamped(&logadapters.Options{Filter: mask}, s), "card=[number=**** owner=[name=?]]")
	expect(t, stamped(nil, s), "card=[number=4111 owner=[name=Ann]]")
	if !card.Equal(slog.Group("card", slog.String("number", "4111"), slog.Group("owner", slog.String("name", "Ann")))) {
		t.Errorf("the caller's attribute became %v", card)
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
	c := newCache(nil)
	c.Attach = func(l *text, f logadapters.Fields) *text {
		if v, ok := f.Any(0).(float32); !ok || v != 0.1 {
			t.Errorf("the float32 became %T %v", f.Any(0), f.Any(0))
		}
		if v, ok := f.Any(1).(float64); !ok || v != 0.1 {
			t.Errorf("the float64 became %T %v", f.Any(1), f.Any(1))
		}
		return l
	}
	c.Lookup(scope.New("single", float32(0.1), "double", 0.1, slog.Any("attr", float32(0.1))))
}

func TestFieldsOfResolvesWhatALineHas(t *testing.T) {
	f := logadapters.FieldsOf(slog.Int("a", 1), slog.Attr{}, slog.Group("", slog.Int("b", 2), slog.Any("v", new(counter))), slog.Group("empty"), slog.Int("a", 3))
	expect(t, attach(&text{}, f).s, "a=3 b=2 v=1")
}

func TestHasIsAboutTheRoot(t *testing.T) {
	c := newCache(nil)
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

	c = newCache(&logadapters.Options{Group: "all"})
	d = c.Lookup(scope.New("a", 1))
	if !d.Has("all") || d.Has("a") {
		t.Error("with Options.Group its name is at the root, the fields aren't")
	}
}

func TestReservedKeysAreLeftOutUnlessBothAreKept(t *testing.T) {
	s := scope.New("a", 1, "msg", 2)
	for _, test := range []struct {
		opts logadapters.Options
		want string
	}{
		{logadapters.Options{}, "a=1"},
		{logadapters.Options{Duplicates: logadapters.ScopeWins}, "a=1"},
		{logadapters.Options{Duplicates: logadapters.KeepBoth}, "a=1 msg=2"},
		{logadapters.Options{Group: "g"}, "g{a=1 msg=2}"},
		{logadapters.Options{Group: "all"}, ""},
	} {
		c := newCache(&test.opts)
		c.Reserved = []string{"msg", "all"}
		expect(t, line(c, s), test.want)
	}
}

func TestWithoutLeavesOutWhatTheLineHas(t *testing.T) {
	c := newCache(nil)
	d := c.Lookup(scope.New("a", 1, "b", 2, "c", 3))
	key := func(keys ...string) func(string) bool {
		return func(k string) bool { return slices.Contains(keys, k) }
	}
	if d.Without(key("x")) != d.Value {
		t.Error("nothing to leave out, and yet another logger")
	}
	expect(t, d.Without(key("b")).s, "a=1 c=3")
	expect(t, d.Without(key("a", "c")).s, "b=2")
	expect(t, d.Without(key("a", "b", "c")).s, "")
	expect(t, d.Value.s, "a=1 b=2 c=3")
	if first := d.Without(key("b")); d.Without(key("b")) != first {
		t.Error("a variant wasn't remembered")
	}
}

func TestWithoutIsRightForAnyNumberOfFieldsAndVariants(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 200} {
		var args []any
		for i := range n {
			args = append(args, fmt.Sprint("k", i), i)
		}
		c := newCache(nil)
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

// failing fails as a logger does that calls a method of a bad value in its With.
func failing(bad string) *logadapters.Cache[*text] {
	c := newCache(nil)
	c.Attach = func(l *text, f logadapters.Fields) *text {
		for _, a := range f.Attrs {
			if a.Value.String() == bad {
				panic("With failed")
			}
		}
		return attach(l, f)
	}
	return c
}

func TestAPanicInAttachCostsTheFieldsAtFault(t *testing.T) {
	s := scope.New("a", 1, "b", "bad", "c", "bad", "d", 4)
	c := failing("bad")
	d := c.Lookup(s)
	expect(t, d.Value.s, "a=1 b=!PANIC: With failed c=!PANIC: With failed d=4")
	expect(t, d.Without(func(k string) bool { return k == "a" }).s, "b=!PANIC: With failed c=!PANIC: With failed d=4")
	expect(t, line(c, s.With("e", 5)), "a=1 b=!PANIC: With failed c=!PANIC: With failed d=4 e=5")
	expect(t, stamped(nil, s), "a=1 b=bad c=bad d=4")
}

func TestAPanicInAttachOfAllFieldsTogetherIsSaid(t *testing.T) {
	c := newCache(nil)
	c.Attach = func(l *text, f logadapters.Fields) *text {
		if len(f.Attrs) > 1 {
			panic("too many")
		}
		return attach(l, f)
	}
	expect(t, line(c, scope.New("a", 1, "b", 2)), "!PANIC=!PANIC: too many")
}

// What is left then is the line as it was: an adapter that used the zero L would
// crash in the middle of a log call.
func TestAnAttachThatAlwaysPanicsLeavesTheLoggerAsItWas(t *testing.T) {
	c := newCache(nil)
	c.Base = &text{"own=1"}
	c.Attach = func(*text, logadapters.Fields) *text { panic("never") }
	if d := c.Lookup(scope.New("a", 1)); d != nil && d.Value != c.Base {
		t.Errorf("got %v", d.Value)
	}
}

func TestGoroutinesMayLookUpOneScopeAtOnce(t *testing.T) {
	c := newCache(nil)
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
				if got := d.Without(func(k string) bool { return k == drop }).s; got != want {
					t.Errorf("without %s: %s", drop, got)
				}
			})
		}
		start.Done()
		done.Wait()
	}
}

func TestWhatWasDerivedDiesWithItsScope(t *testing.T) {
	c := newCache(nil)
	var derived testkit.Probe[text]
	for i := range 1000 {
		d := c.Lookup(scope.New("i", i, "b", 2))
		derived.Watch(d.Value)
		derived.Watch(d.Without(func(k string) bool { return k == "b" }))
	}
	if n := derived.Left(0); n > 0 {
		t.Errorf("%d of %d are alive after their scopes", n, derived.Len())
	}
	runtime.KeepAlive(c)
}

func TestALongLivedScopeDoesNotCollectLoggers(t *testing.T) {
	s := scope.New("a", 1)
	var derived testkit.Probe[text]
	for range 1000 {
		derived.Watch(newCache(nil).Lookup(s).Value)
	}
	// How many it remembers is the scope's affair; that it is few is the rule.
	if n := derived.Left(100); n > 100 {
		t.Errorf("a scope keeps what %d of %d loggers made of it", n, derived.Len())
	}
	runtime.KeepAlive(s)
}

func TestVariantsAreBounded(t *testing.T) {
	var args []any
	for i := range 60 {
		args = append(args, fmt.Sprint("k", i), i)
	}
	c, s := newCache(nil), scope.New(args...)
	d := c.Lookup(s)
	var variants testkit.Probe[text]
	for i := range 60 {
		for j := range i {
			variants.Watch(d.Without(func(k string) bool { return k == fmt.Sprint("k", i) || k == fmt.Sprint("k", j) }))
		}
	}
	if n := variants.Left(20); n > 20 {
		t.Errorf("%d of %d variants are kept", n, variants.Len())
	}
	runtime.KeepAlive(d)
}
