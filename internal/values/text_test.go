package values

import (
	"errors"
	"log/slog"
	"testing"
)

func endless() any {
	list := []any{nil}
	list[0] = list
	return list
}

func endlessGroup() slog.Value {
	members := []slog.Attr{slog.Int("a", 1)}
	group := slog.GroupValue(members...)
	members[0].Value = group
	return group
}

// wideGroup has 2^40 members, in 40 groups.
func wideGroup() slog.Value {
	v := slog.IntValue(1)
	for range 40 {
		v = slog.GroupValue(slog.Attr{Key: "a", Value: v}, slog.Attr{Key: "b", Value: v})
	}
	return v
}

type panics struct{ with any }

func (p panics) Error() string { panic(p.with) }

// Of what has no end there is a text that says so: package fmt would end the process.
func TestTextOfWhatHasNoEnd(t *testing.T) {
	loop := map[string]any{}
	loop["a"] = loop
	for name, v := range map[string]any{
		"a slice": endless(), "a map": loop, "in a struct": struct{ v any }{endless()}, "behind a pointer": &struct{ v any }{endless()},
		"in a slog.Attr": []any{slog.Any("a", endless())},
		"a group":        endlessGroup(), "a wide group": wideGroup(), "large": make([]int, 20_000),
	} {
		want, got := tooLarge, slog.AnyValue(v)
		if text := String(got); text != want || !TooLarge(got) {
			t.Errorf("String, %s: %.100s", name, text)
		}
		if _, group := v.(slog.Value); !group {
			if text := Text(v); text != want {
				t.Errorf("Text, %s: %.100s", name, text)
			}
		}
	}
	for _, c := range []struct {
		v    any
		want string
	}{
		{1, "1"}, {nil, "<nil>"}, {errors.New("boom"), "boom"}, {[]any{"a", 2}, "[a 2]"}, {&struct{ A int }{1}, "&{1}"}, {error((*panics)(nil)), "<nil>"},
		{panics{"boom"}, "%!v(PANIC=Error method: boom)"},
		{panics{endless()}, "!PANIC: " + tooLarge},
		{panics{panics{"boom"}}, "!PANIC: values.panics"},
		{panics{panics{endless()}}, "!PANIC: values.panics"},
	} {
		if got := Text(c.v); got != c.want {
			t.Errorf("%T: %q, want %q", c.v, got, c.want)
		}
	}
	if got := Panic(endless()).String(); got != "!PANIC: "+tooLarge {
		t.Error(got)
	}
}

func TestAGroupWithoutAnEnd(t *testing.T) {
	for _, v := range []slog.Value{endlessGroup(), wideGroup(), late(endlessGroup()), slog.GroupValue(slog.Attr{Key: "a", Value: endlessGroup()})} {
		if got := Resolve(v); got.String() != tooLarge {
			t.Errorf("%.100s", got.String())
		}
		HasLogValuer(v)
		IsPlain(v)
	}
}
