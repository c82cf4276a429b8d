package values

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
)

type valuer struct{ v slog.Value }

func (v valuer) LogValue() slog.Value { return v.v }

// A nesting one answers with a group that has it twice.
type nesting struct{}

func (v nesting) LogValue() slog.Value { return slog.GroupValue(slog.Any("a", v), slog.Any("b", v)) }

func nested(times int) (v slog.Value) {
	v = slog.IntValue(1)
	for range times {
		v = late(slog.GroupValue(slog.Attr{Key: "a", Value: v}))
	}
	return v
}

func late(v any) slog.Value { return slog.AnyValue(valuer{slog.AnyValue(v)}) }

func TestResolveIsWhatSlogShows(t *testing.T) {
	group := func(attrs ...slog.Attr) slog.Value { return slog.GroupValue(attrs...) }
	never := "!PANIC: LogValue of testkit.Endless never ends"
	for _, tc := range []struct {
		name    string
		v, want slog.Value
	}{
		{"a plain value", slog.IntValue(1), slog.IntValue(1)},
		{"a LogValuer", late("x"), slog.StringValue("x")},
		{"one that answers with one", late(valuer{slog.IntValue(2)}), slog.IntValue(2)},
		{"a panic", slog.AnyValue(testkit.PanickingLogValue{}), slog.StringValue("!PANIC: no value")},
		{"one without an end", slog.AnyValue(testkit.Endless{}), slog.StringValue(never)},
		{"one in its own group", slog.AnyValue(nesting{}), slog.StringValue("!PANIC: LogValue of values.nesting never ends")},
		{"in a group beside others", group(slog.Int("a", 1), slog.Any("b", nesting{}), slog.Int("c", 2)),
			group(slog.Int("a", 1), slog.String("b", "!PANIC: LogValue of values.nesting never ends"), slog.Int("c", 2))},
		{"in a group", group(slog.Any("a", valuer{slog.IntValue(1)})), group(slog.Int("a", 1))},
		{"that gives a group", late(group(slog.Any("a", valuer{slog.IntValue(1)}))), group(slog.Int("a", 1))},
		{"groups without members", group(slog.Group("a"), slog.Group("b", slog.Group("c")), slog.Int("d", 1)), group(slog.Int("d", 1))},
		{"only such", group(slog.Group("a")), group()},
		{"one that answers with such", group(slog.Any("a", valuer{group()}), slog.Int("b", 1)), group(slog.Int("b", 1))},
		{"groups without a key", group(slog.Group("", slog.Int("a", 1), slog.Group("", slog.Int("b", 2)))), group(slog.Int("a", 1), slog.Int("b", 2))},
		{"the zero Attr", group(slog.Attr{}, slog.Int("a", 1), slog.Attr{}), group(slog.Int("a", 1))},
		{"an empty key with a value", group(slog.Int("", 1)), group(slog.Int("", 1))},
	} {
		got := Resolve(tc.v)
		if got.Kind() != tc.want.Kind() || !got.Equal(tc.want) {
			t.Errorf("%s: got %v %v, want %v %v", tc.name, got.Kind(), got, tc.want.Kind(), tc.want)
		}
	}
}

func TestResolveFollowsNestedGroupsFar(t *testing.T) {
	v := Resolve(nested(500))
	for range 500 {
		v = v.Group()[0].Value
	}
	if !v.Equal(slog.IntValue(1)) {
		t.Errorf("got %v, want 1", v)
	}
}

// What Resolve leaves has the text that log/slog's own handler makes of what it was given.
func TestResolvedValuesLookAsSlogShowsThem(t *testing.T) {
	write := func(a slog.Attr) string {
		var b strings.Builder
		slog.New(slog.NewJSONHandler(&b, nil)).LogAttrs(t.Context(), slog.LevelInfo, "m", a)
		return b.String()[strings.Index(b.String(), `"m"`):]
	}
	for _, v := range []slog.Value{
		slog.GroupValue(slog.Group("", slog.Int("a", 1)), slog.Group("b"), slog.Attr{}, slog.Any("c", valuer{slog.GroupValue(slog.Any("", valuer{slog.GroupValue(slog.Int("d", 1))}))})),
		slog.GroupValue(slog.Group("a", slog.Group("b", slog.Group("c")))),
		late(slog.GroupValue()),
	} {
		if got, want := write(slog.Attr{Key: "k", Value: Resolve(v)}), write(slog.Attr{Key: "k", Value: v}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A group's members may be a scope's own: they are not changed, and a group that shows as it
// is isn't copied.
func TestResolveLeavesItsArgumentAsItIs(t *testing.T) {
	members := []slog.Attr{slog.Any("a", valuer{slog.IntValue(1)}), slog.Group("b", slog.Any("c", valuer{slog.IntValue(2)}))}
	Resolve(slog.GroupValue(members...))
	if members[0].Value.Kind() != slog.KindLogValuer || members[1].Value.Group()[0].Value.Kind() != slog.KindLogValuer {
		t.Errorf("members have become %v", members)
	}
	plain := []slog.Attr{slog.Int("a", 1), slog.Group("b", slog.Int("c", 2))}
	if got := Resolve(slog.GroupValue(plain...)).Group(); &got[0] != &plain[0] {
		t.Error("a plain group was copied")
	}
}

func TestWhatAValueIs(t *testing.T) {
	for _, tc := range []struct {
		name          string
		a             slog.Attr
		zero          bool
		plain, valuer bool
	}{
		{name: "the zero Attr", zero: true},
		{name: "nil with a key", a: slog.Any("k", nil)},
		{name: "a number without a key", a: slog.Int("", 0), plain: true},
		{name: "a string", a: slog.String("k", ""), plain: true},
		{name: "a time", a: slog.Time("k", time.Time{}), plain: true},
		{name: "a LogValuer", a: slog.Any("k", testkit.PanickingLogValue{}), valuer: true},
		{name: "a slice", a: slog.Any("k", []int{1})},
		{name: "a group of plain values", a: slog.Group("k", slog.Int("a", 1), slog.Group("b", slog.Bool("c", true))), plain: true},
		{name: "a group with a slice", a: slog.Group("k", slog.Any("a", []int{}))},
		{name: "a group with a LogValuer far down", a: slog.Group("k", slog.Group("b", slog.Any("c", testkit.Endless{}))), valuer: true},
		{name: "an empty group without a key", a: slog.Group(""), plain: true},
	} {
		if got := IsZero(tc.a); got != tc.zero {
			t.Errorf("IsZero of %s: %v", tc.name, got)
		}
		if got := IsPlain(tc.a.Value); got != tc.plain {
			t.Errorf("IsPlain of %s: %v", tc.name, got)
		}
		if got := HasLogValuer(tc.a.Value); got != tc.valuer {
			t.Errorf("HasLogValuer of %s: %v", tc.name, got)
		}
	}
}

func TestClonedGroupsShareNothing(t *testing.T) {
	a := slog.Group("a", slog.Int("b", 1), slog.Group("c", slog.Int("d", 2)))
	clone := CloneGroups(a)
	if !clone.Equal(a) {
		t.Errorf("the clone is %v", clone)
	}
	clone.Value.Group()[0] = slog.Attr{}
	clone.Value.Group()[1].Value.Group()[0] = slog.Attr{}
	if a.String() != "a=[b=1 c=[d=2]]" {
		t.Errorf("the original has become %v", a)
	}
}

type panicsTwice struct{}

func (panicsTwice) Error() string { panic("again") }

func TestPanicSaysWhatItWas(t *testing.T) {
	if got := Panic("boom").String(); got != "!PANIC: boom" {
		t.Error(got)
	}
	if got := Panic(panicsTwice{}).String(); !strings.HasPrefix(got, "!PANIC: ") {
		t.Error(got)
	}
	if got := Panic(testkit.PanickingText{}).String(); got != "!PANIC: !PANIC: text of testkit.PanickingText" {
		t.Error(got)
	}
}

func TestTextSurvivesAnyMethod(t *testing.T) {
	if got := Text(1) + Text("x") + Text(panicsTwice{}); got != "1x%!v(PANIC=Error method: again)" {
		t.Error(got)
	}
	if got := Text(testkit.PanickingText{}); got != "!PANIC: text of testkit.PanickingText" {
		t.Error(got)
	}
}
