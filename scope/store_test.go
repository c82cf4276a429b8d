package scope_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/scope"
)

func TestSetReplacesInPlace(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("a", 1)
		scope.Set("b", 2)
		scope.Set("c", 3)
		scope.Set("b", "two")
		want(t, "a=1 b=two c=3")
		scope.SetAttrs(slog.Int("d", 4), slog.Int("a", 10), slog.Int("d", 40))
		want(t, "a=10 b=two c=3 d=40")
		scope.SetAttrs()
		want(t, "a=10 b=two c=3 d=40")
		scope.Delete("b")
		scope.Set("b", "last")
		want(t, "a=10 c=3 d=40 b=last")
		wantScope(t, scope.With("c", 0, "e", 5, "c", 30), "a=10 c=30 d=40 b=last e=5")
		want(t, "a=10 c=3 d=40 b=last")
	})
}

func TestSetChangesNoScopeThatIsThere(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		var seen []scope.Scope
		var texts []string
		note := func() {
			seen, texts = append(seen, scope.Current()), append(texts, text(scope.Current()))
		}
		note()
		for i := range 12 { // through all sizes of a node
			scope.Set(fmt.Sprint("k", i), i)
			note()
		}
		scope.Set("k0", "changed")
		note()
		scope.SetAttrs(slog.Int("k1", -1), slog.Int("x", 1))
		note()
		scope.Delete("k2", "k3")
		note()
		scope.Clear()
		note()
		for i, s := range seen {
			wantScope(t, s, texts[i])
		}
		// Nor do two scopes made from one share room for their next field.
		base := scope.New("a", 1)
		b, c := base.With("b", 2), base.With("c", 3)
		wantScope(t, b, "a=1 b=2")
		wantScope(t, c, "a=1 c=3")
		d := base.Detach()
		d1, d2 := d.With("x", 1), base.With("y", 1)
		wantScope(t, d, "a=1")
		wantScope(t, d1, "a=1 x=1")
		wantScope(t, d2, "a=1 y=1")
	})
}

func TestDeleteAndClear(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Delete("a")
		scope.Delete()
		scope.Clear()
		if scope.Current() != (scope.Scope{}) {
			t.Error("Delete and Clear bound something where nothing was")
		}
		scope.SetAttrs(slog.Int("a", 1), slog.Int("b", 2), slog.Int("c", 3))
		before := scope.Current()
		scope.Delete("missing")
		if scope.Current() != before {
			t.Error("Delete of a missing key bound another scope")
		}
		scope.Delete("c", "missing", "a", "a")
		want(t, "b=2")
		scope.Delete("b")
		want(t, "")
		if !scope.Current().SameTask(before) {
			t.Error("Delete of the last field left the task")
		}
		scope.SetAttrs(slog.Int("a", 1), slog.Int("b", 2))
		scope.Clear()
		want(t, "")
		if !scope.Current().SameTask(before) {
			t.Error("Clear left the task")
		}
		if _, ok := scope.Get("a"); ok {
			t.Error("Get finds a cleared key")
		}
		scope.Set("c", 3)
		want(t, "c=3")
	})
}

func TestScopeValues(t *testing.T) {
	var zero scope.Scope
	if zero.Len() != 0 || text(zero) != "" || zero.Ended() || zero.SameTask(zero) {
		t.Error("the zero Scope isn't empty, without task and not ended")
	}
	if _, ok := zero.Get("a"); ok {
		t.Error("the zero Scope has a field")
	}
	if zero.With() != zero || zero.Without("a") != zero {
		t.Error("the zero Scope has changed with nothing added or removed")
	}
	s := scope.New("a", 1, slog.Int("b", 2), "c", 3)
	if s.Len() != 3 || s.With() != s || s.Without() != s || s.Without("x") != s {
		t.Errorf("s is %q with %d fields", text(s), s.Len())
	}
	wantScope(t, s.Without("b", "a"), "c=3")
	wantScope(t, s.Without("a", "b", "c"), "")
	wantScope(t, zero.With("a", 1), "a=1")
	wantScope(t, zero.Detach(), "")
	wantScope(t, s.Detach(), "a=1 b=2 c=3")
	scope.Scope{}.Run(func() {
		scope.Set("bound", 1)
		wantScope(t, scope.New("a", 1), "a=1")
		wantScope(t, scope.New(), "")
	})
}

func TestAllIsInOrderAndStopsEarly(t *testing.T) {
	s := scope.New("c", 1, "a", 2, "b", 3)
	var keys []string
	for k := range s.All() {
		keys = append(keys, k)
	}
	if !slices.Equal(keys, []string{"c", "a", "b"}) {
		t.Errorf("keys are %v", keys)
	}
	calls := 0
	for k := range s.All() {
		calls++
		if k == "a" {
			break
		}
	}
	if calls != 2 {
		t.Errorf("the loop that breaks at the second field ran %d times", calls)
	}
	// The body may change what is bound.
	s.Run(func() {
		n := 0
		for k := range scope.Current().All() {
			scope.Delete(k)
			scope.Set("new"+k, n)
			n++
		}
		if n != 3 {
			t.Errorf("saw %d fields, want those of the scope that All was called on", n)
		}
		want(t, "newc=0 newa=1 newb=2")
	})
}

func TestMisuseOfKeysAndArgs(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("", "nameless")
		want(t, "!BADKEY=nameless")
		for _, key := range []string{"", "!BADKEY"} {
			if v, ok := scope.Get(key); v != "nameless" || !ok {
				t.Errorf("Get(%q) = %v, %v", key, v, ok)
			}
		}
		scope.SetAttrs(slog.String("", "other"))
		want(t, "!BADKEY=other")
		scope.Delete("")
		want(t, "")
		scope.Set("", 1)
		wantScope(t, scope.Current().Without(""), "")
		scope.NewKey[int]("").Set(7)
		want(t, "!BADKEY=7")

		for _, tc := range []struct {
			args []any
			want string
		}{
			{nil, ""},
			{[]any{"a"}, "!BADKEY=a"},
			{[]any{"a", 1, "b"}, "a=1 !BADKEY=b"},
			{[]any{1, "a", 2}, "!BADKEY=1 a=2"},
			{[]any{nil, "a", 2}, "!BADKEY=<nil> a=2"},
			{[]any{"a", slog.Int("b", 1)}, "a=b=1"},
			{[]any{slog.Int("b", 1), "a"}, "b=1 !BADKEY=a"},
			{[]any{slog.Attr{}}, ""},
			{[]any{slog.Attr{}, "a", 1, slog.Attr{}}, "a=1"},
			{[]any{"", 1}, "!BADKEY=1"},
			{[]any{"a", nil}, "a=<nil>"},
			{[]any{errors.New("e"), "k", "v"}, "!BADKEY=e k=v"},
		} {
			wantScope(t, scope.New(tc.args...), tc.want)
			wantScope(t, scope.New("z", 0).With(tc.args...), joined("z=0", tc.want))
		}
	})
}

// What log/slog would not show as a field of that key isn't stored as one.
func TestConventionsOfSlog(t *testing.T) {
	inlined, zero := slog.Group("", slog.Int("b", 2), slog.Group("", slog.Int("c", 3))), slog.Attr{}
	onEachPath(t, func(t *testing.T, p path) {
		for _, tc := range []struct {
			args []any
			want string
		}{
			{[]any{"a", 1, zero, inlined}, "a=1 b=2 c=3"},
			{[]any{zero, inlined, zero}, "b=2 c=3"},
			{[]any{inlined, "b", 9}, "b=9 c=3"},
			{[]any{zero, zero}, ""},
			{[]any{slog.Group("")}, ""},
			{[]any{slog.Any("", nil)}, ""},
			{[]any{slog.Group("g", inlined)}, "g=[=[b=2 =[c=3]]]"}, // inside, it is for the handler
			{[]any{slog.Int("", 1)}, "!BADKEY=1"},
			{[]any{"", nil}, "!BADKEY=<nil>"},
			{[]any{"", inlined.Value}, "!BADKEY=[b=2 =[c=3]]"},
		} {
			wantScope(t, scope.New(tc.args...), tc.want)
			wantScope(t, scope.New("z", 0).With(tc.args...), joined("z=0", tc.want))
		}
		scope.Set("", nil)
		want(t, "!BADKEY=<nil>")
		if v, ok := scope.Get(""); v != nil || !ok {
			t.Errorf("Get gives %v, %v", v, ok)
		}
		scope.Clear()
		scope.SetAttrs(zero, slog.Int("a", 1), inlined, slog.Int("b", 9), slog.Group("empty"))
		want(t, "a=1 b=9 c=3 empty=[]")
		if v, ok := scope.Get("empty"); !ok || len(v.([]slog.Attr)) != 0 {
			t.Errorf("the empty group is %v, %v", v, ok)
		}
		if got := scope.Current().String(); got != "a=1 b=9 c=3" {
			t.Errorf("shown is %s", got)
		}
		before := scope.Current()
		scope.SetAttrs(zero, slog.Group(""))
		if scope.Current() != before || before.With(zero) != before || (scope.Scope{}).With(zero) != (scope.Scope{}) {
			t.Error("adding nothing makes another scope")
		}
		scope.Outside(func() {
			scope.SetAttrs(zero)
			if scope.Current() != (scope.Scope{}) {
				t.Error("adding nothing binds a scope")
			}
		})
	})
}

// An args list makes the fields that slog makes of it, except that a key comes once.
func TestArgsAreAsInSlog(t *testing.T) {
	for _, args := range [][]any{
		{"a", 1, "b", "two"},
		{"a", 1, "b"},
		{1, 2, 3},
		{slog.Int("x", 1), "k", slog.Group("g", "i", 1), true},
		{"k", "v", slog.Duration("d", time.Second), []int{1}, "z", nil},
	} {
		var record slog.Record
		record.Add(args...)
		var wantAttrs []slog.Attr
		record.Attrs(func(a slog.Attr) bool {
			i := slices.IndexFunc(wantAttrs, func(b slog.Attr) bool { return a.Key == b.Key })
			if i < 0 {
				wantAttrs = append(wantAttrs, a)
			} else {
				wantAttrs[i] = a
			}
			return true
		})
		equal := func(a, b slog.Attr) bool {
			return a.Key == b.Key && a.Value.Kind() == b.Value.Kind() && reflect.DeepEqual(a.Value.Any(), b.Value.Any())
		}
		if got := attrs(scope.New(args...)); !slices.EqualFunc(got, wantAttrs, equal) {
			t.Errorf("New(%v) has %v, slog makes %v", args, got, wantAttrs)
		}
	}
}

type userID int

type textual struct{ s string }

func (t textual) LogValue() slog.Value { return slog.StringValue(t.s) }

func TestGetGivesWhatWasSet(t *testing.T) {
	pointer, channel := new(int), make(chan int)
	now := time.Now() // with a monotonic clock reading
	values := []any{
		"s", "", true, 1, int8(1), int16(1), int32(1), int64(1), uint(1), uint8(1), uint16(1),
		uint32(1), uint64(1), uintptr(1), float32(1.5), 2.5, complex64(1i), complex(1, 2), 'r',
		math.MinInt, int64(math.MinInt64), uint64(math.MaxUint64), math.Inf(1),
		time.Second, now, now.UTC(), time.Time{}, os.ErrNotExist, fmt.Errorf("w: %w", os.ErrExist),
		userID(7), textual{"x"}, &textual{"y"}, struct{ A, b int }{1, 2}, [2]int{1, 2}, struct{}{},
		pointer, (*int)(nil), channel, (chan int)(nil), error((*os.PathError)(nil)),
		slog.LevelWarn, time.March,
	}
	onEachPath(t, func(t *testing.T, p path) {
		for _, v := range values {
			scope.Set("k", v)
			got, ok := scope.Get("k")
			if !ok || got != v {
				t.Errorf("Set(%T(%v)), Get gives %T(%v), %v", v, v, got, got, ok)
			}
			if got, ok := scope.New("k", v).Get("k"); !ok || got != v {
				t.Errorf("New(%T(%v)), Get gives %T(%v), %v", v, v, got, got, ok)
			}
		}
		// Those that == can't compare.
		for _, v := range []any{
			[]int{1}, []byte("b"), []string(nil), map[string]int{"a": 1}, map[string]int(nil),
			[]slog.Attr{slog.Int("a", 1)}, slog.IntValue(3), slog.Value{}, slog.Int("k", 1), struct{ s []int }{[]int{1}},
		} {
			scope.Set("k", v)
			if got, ok := scope.Get("k"); !ok || !reflect.DeepEqual(got, v) {
				t.Errorf("Set(%T(%v)), Get gives %T(%v), %v", v, v, got, got, ok)
			}
		}
		if v, ok := scope.Get("missing"); v != nil || ok {
			t.Errorf("Get of a missing key gives %v, %v", v, ok)
		}
	})
}

// What is set is taken as it is: no copy is made of what it points at.
func TestValuesAreNotCopied(t *testing.T) {
	list := []int{1}
	s := scope.New("list", list)
	got, _ := s.Get("list")
	if &got.([]int)[0] != &list[0] {
		t.Error("the slice was copied")
	}
}

// A LogValuer is resolved by whoever logs, not when it is set or listed.
func TestLogValuersAreNotResolved(t *testing.T) {
	s := scope.New("v", textual{"a"}, slog.Any("w", textual{"b"}))
	for k, v := range s.All() {
		if v.Kind() != slog.KindLogValuer {
			t.Errorf("%s came as %v", k, v.Kind())
		}
	}
}

type panics struct{}

func (panics) LogValue() slog.Value { panic("LogValue") }
func (panics) String() string       { panic("String") }
func (panics) Error() string        { panic("Error") }

func TestNothingPanicsForAValue(t *testing.T) {
	profiled := scope.NewKey[any](unique("profiled"), scope.Profiled)
	var cyclic []any
	cyclic = append(cyclic, &cyclic)
	values := []any{
		nil, func() {}, (func())(nil), make(chan int), math.NaN(), math.Inf(-1), float32(math.NaN()),
		map[string]any{"a": map[string]any{}}, map[any]any{math.NaN(): 1}, []any{nil, []any{}},
		struct{ f func() }{func() {}}, [1]func(){}, panics{}, &panics{}, (*panics)(nil), (*textual)(nil),
		error(nil), (*os.PathError)(nil), "\xff\xfe", "\x00", string(make([]byte, 1<<16)), cyclic,
		slog.Value{}, slog.AnyValue(panics{}), slog.GroupValue(slog.Any("", panics{})), slog.Attr{},
		reflect.ValueOf(1), reflect.Value{}, sync.OnceFunc(func() {}), complex(math.NaN(), 0),
	}
	onEachPath(t, func(t *testing.T, p path) {
		for _, v := range values {
			for _, key := range []string{"k", "", "\x00", "\xff", profiled.Name()} {
				scope.Set(key, v)
				scope.SetAttrs(slog.Any(key, v))
				scope.Set(key, v)
				scope.Get(key)
				scope.GetOr(key, 0)
				scope.GetOr[error](key, nil)
				scope.New(key, v, v, v).Run(func() {
					for range scope.Current().All() {
					}
				})
				scope.With(v)
			}
			scope.Run(func() { scope.Delete("k", "\x00") })
			scope.Clear()
		}
	})
}

func TestGetOr(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		if got := scope.GetOr("k", "none"); got != "none" {
			t.Errorf("with nothing bound: %q", got)
		}
		scope.Set("k", 7)
		scope.SetAttrs(slog.Int("attr", 7), slog.String("text", "x"), slog.Any("user", userID(5)))
		if got := scope.GetOr("k", 1); got != 7 {
			t.Errorf("int: %v", got)
		}
		if got := scope.GetOr("missing", 1); got != 1 {
			t.Errorf("missing: %v", got)
		}
		if got := scope.GetOr("k", "none"); got != "none" {
			t.Errorf("an int as string: %v", got)
		}
		if got := scope.GetOr("k", int64(1)); got != 1 {
			t.Errorf("an int as int64: %v: Set keeps the type", got)
		}
		if got := scope.GetOr[any]("k", nil); got != 7 {
			t.Errorf("as any: %v", got)
		}
		if got := scope.GetOr("attr", userID(1)); got != 1 {
			t.Errorf("an Attr's int as a type of another name: %v", got)
		}
		if got := scope.GetOr("user", userID(1)); got != 5 {
			t.Errorf("a type of another name through an Attr: %v", got)
		}
		if got := scope.GetOr("text", 1); got != 1 {
			t.Errorf("an Attr's string as int: %v", got)
		}
		if got := scope.GetOr("attr", 1.5); got != 1.5 {
			t.Errorf("an Attr's int as float64: %v", got)
		}
		if got := scope.GetOr[any]("attr", nil); got != int64(7) {
			t.Errorf("an Attr's int as any: %T(%v)", got, got)
		}
	})
}

// What came as an Attr has no width: any number type that holds it will do, and none
// that would change it.
func TestGetOrConvertsAnAttrWithoutLoss(t *testing.T) {
	check := func(a slog.Attr, lossless, got any) {
		t.Helper()
		if lossless != got {
			t.Errorf("%v as %T: %v, want %v", a, got, got, lossless)
		}
	}
	scope.New().Run(func() {
		a := slog.Int("k", 200)
		scope.SetAttrs(a)
		check(a, int8(-1), scope.GetOr("k", int8(-1)))
		check(a, uint8(200), scope.GetOr("k", uint8(1)))
		check(a, int16(200), scope.GetOr("k", int16(1)))
		check(a, uint64(200), scope.GetOr("k", uint64(1)))
		a = slog.Int("k", -1)
		scope.SetAttrs(a)
		check(a, int8(-1), scope.GetOr("k", int8(1)))
		check(a, uint8(1), scope.GetOr("k", uint8(1)))
		check(a, uint64(1), scope.GetOr("k", uint64(1)))
		a = slog.Uint64("k", math.MaxUint64)
		scope.SetAttrs(a)
		check(a, int64(1), scope.GetOr("k", int64(1)))
		check(a, uint32(1), scope.GetOr("k", uint32(1)))
		check(a, uint64(math.MaxUint64), scope.GetOr("k", uint64(1)))
		a = slog.Uint64("k", 127)
		scope.SetAttrs(a)
		check(a, int8(127), scope.GetOr("k", int8(1)))
		a = slog.Float64("k", 0.5)
		scope.SetAttrs(a)
		check(a, float32(0.5), scope.GetOr("k", float32(1)))
		check(a, 0.5, scope.GetOr("k", 1.0))
		check(a, 1, scope.GetOr("k", 1))
		a = slog.Float64("k", 1e300)
		scope.SetAttrs(a)
		check(a, float32(1), scope.GetOr("k", float32(1)))
		a = slog.Float64("k", 0.1)
		scope.SetAttrs(a)
		check(a, float32(1), scope.GetOr("k", float32(1)))
		check(a, 0.1, scope.GetOr("k", 1.0))
		a = slog.Float64("k", math.Inf(-1))
		scope.SetAttrs(a)
		check(a, float32(math.Inf(-1)), scope.GetOr("k", float32(1)))
	})
}

// roundTrip checks that values of a key's type come back, both by Set and as an Attr.
func roundTrip[T any](t *testing.T, equal func(a, b T) bool, values ...T) {
	t.Helper()
	key := scope.NewKey[T]("round_trip")
	for _, v := range values {
		scope.New().Run(func() {
			if _, ok := key.Get(); ok {
				t.Errorf("%T: there before it is set", v)
			}
			var other T
			if got := key.GetOr(v); !equal(got, v) {
				t.Errorf("%T: GetOr without a value gives %v", v, got)
			}
			key.Set(v)
			if got, ok := key.Get(); !ok || !equal(got, v) {
				t.Errorf("%T: Set %v, Get %v, %v", v, v, got, ok)
			}
			if got := key.GetOr(other); !equal(got, v) {
				t.Errorf("%T: Set %v, GetOr %v", v, v, got)
			}
		})
		scope.New(key.Attr(v)).Run(func() {
			if got, ok := key.Get(); !ok || !equal(got, v) {
				t.Errorf("%T: Attr %v, Get %v, %v", v, v, got, ok)
			}
		})
		scope.New().Run(func() {
			scope.SetAttrs(key.Attr(v))
			if got, ok := key.Get(); !ok || !equal(got, v) {
				t.Errorf("%T: SetAttrs %v, Get %v, %v", v, v, got, ok)
			}
		})
	}
}

func eq[T comparable](a, b T) bool { return a == b }

func TestKeyRoundTrip(t *testing.T) {
	roundTrip(t, eq[string], "", "x")
	roundTrip(t, eq[bool], false, true)
	roundTrip(t, eq[int], 0, math.MinInt, math.MaxInt)
	roundTrip(t, eq[int8], 0, math.MinInt8, math.MaxInt8)
	roundTrip(t, eq[int16], 0, math.MinInt16, math.MaxInt16)
	roundTrip(t, eq[int32], 0, math.MinInt32, math.MaxInt32)
	roundTrip(t, eq[int64], 0, math.MinInt64, math.MaxInt64)
	roundTrip(t, eq[uint], 0, math.MaxUint)
	roundTrip(t, eq[uint8], 0, math.MaxUint8)
	roundTrip(t, eq[uint16], 0, math.MaxUint16)
	roundTrip(t, eq[uint32], 0, math.MaxUint32)
	roundTrip(t, eq[uint64], 0, math.MaxUint64)
	roundTrip(t, eq[uintptr], 0, ^uintptr(0))
	roundTrip(t, eq[float32], 0, 0.1, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(1)))
	roundTrip(t, eq[float64], 0, 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(-1))
	roundTrip(t, func(a, b float32) bool { return a != a && b != b }, float32(math.NaN()))
	roundTrip(t, func(a, b float64) bool { return a != a && b != b }, math.NaN())
	roundTrip(t, eq[complex64], 0, 1i)
	roundTrip(t, eq[complex128], 0, 1i)
	roundTrip(t, eq[time.Duration], 0, time.Second)
	roundTrip(t, time.Time.Equal, time.Time{}, time.Now(), time.Unix(0, 0).UTC())
	roundTrip(t, eq[userID], 0, 7)
	roundTrip(t, eq[textual], textual{}, textual{"x"})
	roundTrip(t, eq[*int], nil, new(int))
	roundTrip[error](t, eq[error], nil, os.ErrNotExist)
	roundTrip[fmt.Stringer](t, eq[fmt.Stringer], nil, time.Second, time.March)
	roundTrip[any](t, eq[any], nil, "x", os.ErrExist) // an int would come back from an Attr as int64
	roundTrip(t, eq[slog.Level], 0, slog.LevelWarn)
	roundTrip(t, func(a, b []byte) bool { return string(a) == string(b) }, nil, []byte("x"))
	roundTrip(t, func(a, b []slog.Attr) bool { return slices.EqualFunc(a, b, slog.Attr.Equal) },
		nil, []slog.Attr{slog.Int("a", 1)})
	roundTrip(t, func(a, b map[string]int) bool { return reflect.DeepEqual(a, b) }, nil, map[string]int{"a": 1})
}

func TestKeyOfAnotherTypeHasNoValue(t *testing.T) {
	scope.New("k", 7).Run(func() {
		if got, ok := scope.NewKey[string]("k").Get(); got != "" || ok {
			t.Errorf("an int as string: %q, %v", got, ok)
		}
		if got := scope.NewKey[string]("k").GetOr("none"); got != "none" {
			t.Errorf("an int as string: %q", got)
		}
	})
}

func TestPolicyBelongsToTheNameAndAddsUp(t *testing.T) {
	name := unique("policy")
	if got := scope.Policy(name); got != 0 {
		t.Errorf("before a declaration: %b", got)
	}
	scope.NewKey[int](name)
	if got := scope.Policy(name); got != 0 {
		t.Errorf("after a declaration without options: %b", got)
	}
	k := scope.NewKey[int](name, scope.Redacted)
	if got := scope.Policy(name); got != scope.Redacted {
		t.Errorf("after Redacted: %b", got)
	}
	scope.NewKey[string](name, scope.Propagated, scope.Traced)
	scope.NewKey[string](name)
	if got, want := scope.Policy(name), scope.Redacted|scope.Propagated|scope.Traced; got != want {
		t.Errorf("three declarations give %b, want %b", got, want)
	}
	if got := scope.Policy(unique("other")); got != 0 {
		t.Errorf("another name: %b", got)
	}
	if k.Name() != name || scope.Policy(k.Name()) == 0 {
		t.Errorf("the key's name is %q", k.Name())
	}
	if scope.NewKey[int]("").Name() != "!BADKEY" || scope.Policy("") != scope.Policy("!BADKEY") {
		t.Error("an empty name isn't that of !BADKEY")
	}
	options := []scope.KeyOption{scope.Hidden, scope.Redacted, scope.Profiled, scope.Propagated, scope.Traced, scope.Measured}
	for i, a := range options {
		for _, b := range options[:i] {
			if a&b != 0 || a == 0 {
				t.Errorf("options %b and %b share bits", a, b)
			}
		}
	}
}

// A policy is about logging and leaving the process, never about reading back.
func TestPolicyDoesNotChangeWhatIsStored(t *testing.T) {
	k := scope.NewKey[string](unique("secret"), scope.Hidden, scope.Redacted)
	scope.New(k.Attr("s3cret")).Run(func() {
		if got, ok := k.Get(); got != "s3cret" || !ok {
			t.Errorf("Get gives %q, %v", got, ok)
		}
		want(t, k.Name()+"=s3cret")
	})
}

func TestDeclarationsAtTheSameTime(t *testing.T) {
	names := []string{unique("a"), unique("b"), unique("c"), unique("d")}
	options := []scope.KeyOption{scope.Hidden, scope.Redacted, scope.Propagated, scope.Traced, scope.Measured}
	var all scope.KeyOption
	var wg sync.WaitGroup
	for _, o := range options {
		all |= o
		for _, name := range names {
			wg.Go(func() {
				scope.NewKey[int](name, o)
				if scope.Policy(name)&o == 0 {
					t.Errorf("%s lacks %b right after its declaration", name, o)
				}
			})
		}
	}
	wg.Wait()
	for _, name := range names {
		if got := scope.Policy(name); got != all {
			t.Errorf("%s has %b, want %b", name, got, all)
		}
	}
}

// A scope may be shared by any number of goroutines.
func TestScopesAreSharedWithoutARace(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		s := scope.New("a", 1)
		var cache memo.Cache[int]
		var wg sync.WaitGroup
		for g := range 20 {
			wg.Go(func() {
				s.Run(func() {
					for i := range 10 {
						scope.Set("g", g)
						scope.Set("i", i)
						want(t, fmt.Sprintf("a=1 g=%d i=%d", g, i))
						wantScope(t, s.With("b", g), fmt.Sprintf("a=1 b=%d", g))
						store(&cache, s, g)
						load(&cache, s)
						s.Ended()
					}
				})
			})
		}
		wg.Wait()
		wantScope(t, s, "a=1")
	})
}

// A value of a type that the store uses itself is a value like any other.
func TestValuesOfTheStoresOwnTypes(t *testing.T) {
	list := &[]slog.Attr{slog.Int("x", 1)}
	s := scope.New("list", list)
	if v, ok := s.Get("list"); !ok || v != any(list) || s.Has("x") {
		t.Errorf("Get gives %v, %v", v, ok)
	}
	if attrs := s.Internal().Attrs(nil); len(attrs) != 1 || attrs[0].Key != "list" || attrs[0].Value.Any() != any(list) {
		t.Errorf("Attrs gives %v", attrs)
	}
	for key := range s.With("other", list).All() {
		if key != "list" && key != "other" {
			t.Errorf("All gives %s", key)
		}
	}
}

// A group may be a member of itself, and have no end.
func TestAGroupWithoutAKeyThatIsInItself(t *testing.T) {
	members := []slog.Attr{{}, {}, slog.Int("n", 1)}
	group := slog.GroupValue(members...)
	members[0].Value, members[1].Value = group, group
	s := scope.New("before", 1, slog.Attr{Value: group}, "behind", 2)
	if got := s.String(); got != `before=1 !BADKEY="!BADVALUE: too many members" behind=2` {
		t.Errorf("the scope is %s", got)
	}
}
