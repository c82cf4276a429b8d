package values

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
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

func valueInItself() *slog.Value {
	v := new(slog.Value)
	*v = slog.AnyValue(v)
	return v
}

func attrInItself() *slog.Attr {
	a := new(slog.Attr)
	a.Value = slog.AnyValue(a)
	return a
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

// What these have a method panic with isn't in them.
type (
	endlessText   struct{}
	endlessFormat struct{}
	wrapping      struct{ error } // as scope.Error does it
)

func (endlessText) String() string               { panic(endless()) }
func (endlessFormat) Format(fmt.State, rune)     { panic(endlessGroup()) }
func (w wrapping) Bare() error                   { return w.error }
func (w wrapping) Format(f fmt.State, verb rune) { fmt.Fprintf(f, fmt.FormatString(f, verb), w.error) }

// Package fmt prints what a method panics with, and so a text of that must have an end, too.
func TestTextOfWhatPanicsWithWhatHasNoEnd(t *testing.T) {
	group := endlessGroup()
	attr := slog.Attr{Key: "a", Value: group}
	panicked := "!PANIC: " + tooLarge
	for name, c := range map[string]struct {
		v    any
		want string
	}{
		"a slog.Value": {group, tooLarge}, "a slog.Attr": {attr, tooLarge}, "a *slog.Value": {&group, tooLarge}, "a *slog.Attr": {&attr, tooLarge},
		"a list of *slog.Attr":              {[]*slog.Attr{&attr}, tooLarge},
		"an error that panics with a group": {panics{group}, panicked}, "with a pointer to one": {panics{&attr}, panicked},
		"with a reflect.Value":                  {panics{reflect.ValueOf(endless())}, panicked},
		"with a group in which a method panics": {panics{slog.GroupValue(slog.Any("a", endlessText{}))}, panicked},
		"one that is wrapped":                   {wrapping{panics{endless()}}, panicked},
		"one that is wrapped in a list":         {[]error{wrapping{panics{endless()}}}, tooLarge},
		"a String":                              {endlessText{}, panicked},
		"a String in a list":                    {[]any{endlessText{}}, tooLarge},
		"a String in a struct":                  {struct{ V endlessText }{}, tooLarge},
		"a String in a map":                     {map[any]int{endlessText{}: 1}, tooLarge},
		"a Format":                              {endlessFormat{}, "%!v(PANIC=Format method: " + tooLarge + ")"},
		"no pointer":                            {(*endlessFormat)(nil), "<nil>"},
		"harmless ones":                         {[]any{slog.IntValue(1), panics{"boom"}, wrapping{io.EOF}, reflect.ValueOf(2)}, "[1 %!v(PANIC=Error method: boom) EOF <int Value>]"},
	} {
		if got := Text(c.v); got != c.want {
			t.Errorf("Text, %s: %.100s, want %s", name, got, c.want)
		}
		if _, pointer := c.v.(*slog.Value); !pointer {
			if got, _ := String(slog.AnyValue(c.v)); got != strings.TrimPrefix(c.want, "!PANIC: ") {
				t.Errorf("String, %s: %.100s", name, got)
			}
		}
	}
	if got := Panic(group).String(); got != panicked {
		t.Error(got)
	}
}

// Of what has no end there is a text that says so: package fmt would end the process.
func TestTextOfWhatHasNoEnd(t *testing.T) {
	loop := map[string]any{}
	loop["a"] = loop
	for name, v := range map[string]any{
		"a slice": endless(), "a map": loop, "in a struct": struct{ v any }{endless()}, "behind a pointer": &struct{ v any }{endless()},
		"in a slog.Attr": []any{slog.Any("a", endless())},
		"a *slog.Value":  valueInItself(), "a *slog.Attr": attrInItself(),
		"a group": endlessGroup(), "a wide group": wideGroup(), "large": make([]int, 20_000),
	} {
		want, got := tooLarge, slog.AnyValue(v)
		if text, ok := String(got); text != want || ok || !TooLarge(got) {
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
		{panics{panics{"boom"}}, "!PANIC: text of values.panics"},
		{panics{panics{endless()}}, "!PANIC: text of values.panics"},
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
