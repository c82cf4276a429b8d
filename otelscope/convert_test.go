package otelscope_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

var update = flag.Bool("update", false, "write the table of README.md anew")

type point struct{ X, Y int }

type secret struct{ text string }

func (secret) MarshalJSON() ([]byte, error) { return []byte(`"***"`), nil }

type failing struct{}

func (failing) MarshalText() ([]byte, error) { return nil, errors.New("no text") }

type celsius float64

// conversions are the rows of the table in README.md.
var conversions = []struct {
	what, code string
	value      any
}{
	{"a bool", "true", true},
	{"an int of any width", "int8(7)", int8(7)},
	{"a uint", "uint(7)", uint(7)},
	{"a uint beyond int64: its digits", "uint64(math.MaxUint64)", uint64(math.MaxUint64)},
	{"a float", "1.5", 1.5},
	{"a string", `"x"`, "x"},
	{"a string that isn't UTF-8", `"\xff"`, "\xff"},
	{"a number or string of a type of its own", "celsius(21.5)", celsius(21.5)},
	{"a duration", "1500*time.Millisecond", 1500 * time.Millisecond},
	{"a time", "time.Unix(1, 5)", time.Unix(1, 5)},
	{"a time outside of 1678 to 2262", "time.Time{}", time.Time{}},
	{"bytes", `[]byte("x")`, []byte("x")},
	{"a slice of one kind", `[]string{"a", "b"}`, []string{"a", "b"}},
	{"a mixed slice", `[]any{1, "b", nil}`, []any{1, "b", nil}},
	{"a map", `map[string]int{"a": 1}`, map[string]int{"a": 1}},
	{"a group", `slog.Group("k", "a", 1)`, slog.GroupValue(slog.Int("a", 1))},
	{"an error", `errors.New("boom")`, errors.New("boom")},
	{"a Stringer", `netip.MustParseAddr("::1")`, netip.MustParseAddr("::1")},
	{"a TextMarshaler, a json.Marshaler", `secret{"x"}`, secret{"x"}},
	{"any other struct", "point{1, 2}", point{1, 2}},
	{"a pointer: what it points at", "&point{1, 2}", &point{1, 2}},
	{"nil, and a nil pointer", "nil", nil},
	{"a LogValuer: what it resolves to", "", testkit.Resolved("x")},
	{"a LogValuer that panics", "", testkit.PanickingLogValue{}},
	{"a method that panics", "", testkit.PanickingString{}},
	{"a method that fails", "", failing{}},
	{"a chan, a func", "make(chan int)", make(chan int)},
	{"a value that contains itself", "", endless()},
}

func endless() any {
	list := []any{nil, nil}
	list[0], list[1] = list, list
	return list
}

// show returns attributes as the table has them.
func show(attrs []attribute.KeyValue) string {
	if len(attrs) == 0 {
		return "none"
	}
	var cells []string
	for _, a := range attrs {
		name := ""
		if a.Key != "k" {
			name = string(a.Key) + ": "
		}
		value := a.Value.String()
		if a.Value.Type() == attribute.STRING {
			value = fmt.Sprintf("%q", value)
		}
		cell := fmt.Sprintf("%s`%s` %s", name, value, strings.ToLower(a.Value.Type().String()))
		if a.Value.Type() == attribute.EMPTY {
			cell = "empty"
		}
		cells = append(cells, cell)
	}
	return strings.Join(cells, ", ")
}

// What a field becomes, seen from outside: on a record, and as an attribute of a span.
func converted(value any) (log, span []attribute.KeyValue) {
	l, k := newLogger(nil)
	tracer, spans := newTracer()
	s := scope.New("k", value)
	if group, ok := value.(slog.Value); ok {
		s = scope.New(slog.Attr{Key: "k", Value: group})
	}
	s.Run(func() {
		emit(l, background)
		_, span := tracer.Start(background, "work")
		span.End()
	})
	k.all[0].WalkAttributes(func(a attribute.KeyValue) bool { log = append(log, a); return true })
	return log, spans.Ended()[0].Attributes()
}

func TestTheTableOfConversions(t *testing.T) {
	_ = scope.NewKey[any]("k", scope.Traced)
	var table strings.Builder
	table.WriteString("\n| a field's value | for example | on a log record | on a span or a measurement |\n|---|---|---|---|\n")
	for _, c := range conversions {
		log, span := converted(c.value)
		code := ""
		if c.code != "" {
			code = "`" + c.code + "`"
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", c.what, code, show(log), show(span))
	}
	table.WriteString("\n")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- conversions -->\n", "<!-- end -->"
	before, rest, found := strings.Cut(strings.ReplaceAll(string(readme), "\r\n", "\n"), begin)
	old, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("README.md has no place for the table")
	}
	if old == table.String() {
		return
	}
	if !*update {
		t.Fatalf("README.md says\n%s\nand this is so:\n%s\nIf that is right: go test . -run TestTheTableOfConversions -update", old, &table)
	}
	if err := os.WriteFile("README.md", []byte(before+begin+table.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What the table doesn't show.
func TestOtherConversions(t *testing.T) {
	text := "x"
	var nowhere *net.IPNet
	for _, c := range []struct {
		value     any
		log, span attribute.Value
	}{
		{[]int{1, 2}, attribute.SliceValue(attribute.IntValue(1), attribute.IntValue(2)), attribute.Int64SliceValue([]int64{1, 2})},
		{[2]float32{1, 2}, attribute.SliceValue(attribute.Float64Value(1), attribute.Float64Value(2)), attribute.Float64SliceValue([]float64{1, 2})},
		{[]bool{true}, attribute.SliceValue(attribute.BoolValue(true)), attribute.BoolSliceValue([]bool{true})},
		{[]string{}, attribute.SliceValue(), attribute.SliceValue()},
		{[]time.Duration{time.Second}, attribute.SliceValue(attribute.Int64Value(1e9)), attribute.Float64SliceValue([]float64{1})},
		{[]error{errors.New("a")}, attribute.SliceValue(attribute.StringValue("a")), attribute.StringSliceValue([]string{"a"})},
		{[]*string{&text, nil}, attribute.SliceValue(attribute.StringValue("x"), attribute.Value{}), attribute.SliceValue(attribute.StringValue("x"), attribute.Value{})},
		{time.Date(2300, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)), attribute.StringValue("2300-01-02T02:04:05.000000006Z"), attribute.StringValue("2300-01-02T02:04:05.000000006Z")},
		{map[string]any{"\xff": 1}, attribute.MapValue(attribute.Int("\uFFFD", 1)), attribute.MapValue(attribute.Int("\uFFFD", 1))},
		{[3]byte{1, 2, 3}, attribute.ByteSliceValue([]byte{1, 2, 3}), attribute.ByteSliceValue([]byte{1, 2, 3})},
		{json.RawMessage(`{"a":1}`), attribute.StringValue(`{"a":1}`), attribute.StringValue(`{"a":1}`)},
		{json.RawMessage(nil), attribute.Value{}, attribute.Value{}},
		{[]any{json.RawMessage("null"), json.RawMessage(`"null"`)}, attribute.SliceValue(attribute.Value{}, attribute.StringValue("null")), attribute.SliceValue(attribute.Value{}, attribute.StringValue("null"))},
		{net.IPv4(127, 0, 0, 1), attribute.StringValue("127.0.0.1"), attribute.StringValue("127.0.0.1")},
		{map[int]any{1: slog.IntValue(2), 2: testkit.Resolved("x")}, attribute.MapValue(attribute.Int("1", 2), attribute.String("2", "resolved x")), attribute.MapValue(attribute.Int("1", 2), attribute.String("2", "resolved x"))},
		{complex(1, 2), attribute.MapValue(attribute.Float64("r", 1), attribute.Float64("i", 2)), attribute.MapValue(attribute.Float64("r", 1), attribute.Float64("i", 2))},
		{attribute.StringValue("own"), attribute.StringValue("own"), attribute.StringValue("own")},
		{nowhere, attribute.Value{}, attribute.Value{}},
		{func() {}, attribute.StringValue("!BADVALUE: func()"), attribute.StringValue("!BADVALUE: func()")},
		{[]any{slog.GroupValue(slog.Int("a", 1))}, attribute.SliceValue(attribute.MapValue(attribute.Int("a", 1))), attribute.SliceValue(attribute.MapValue(attribute.Int("a", 1)))},
		{uintptr(1), attribute.IntValue(1), attribute.IntValue(1)},
		{[]any{slog.Int("a", 1)}, attribute.SliceValue(attribute.StringValue("a=1")), attribute.StringSliceValue([]string{"a=1"})},
		{map[point]int{{1, 2}: 3}, attribute.MapValue(attribute.Int("{1 2}", 3)), attribute.MapValue(attribute.Int("{1 2}", 3))},
		{attribute.StringValue("\xff"), attribute.StringValue("\uFFFD"), attribute.StringValue("\uFFFD")},
		{attribute.StringSliceValue([]string{"\xff"}), attribute.StringSliceValue([]string{"\uFFFD"}), attribute.StringSliceValue([]string{"\uFFFD"})},
		{attribute.SliceValue(attribute.MapValue(attribute.String("\xff", "\xff"), attribute.Int("a", 1))),
			attribute.SliceValue(attribute.MapValue(attribute.String("\uFFFD", "\uFFFD"), attribute.Int("a", 1))),
			attribute.SliceValue(attribute.MapValue(attribute.String("\uFFFD", "\uFFFD"), attribute.Int("a", 1)))},
	} {
		log, span := otelscope.LogValueOf(slog.AnyValue(c.value)), otelscope.AttributeValueOf(slog.AnyValue(c.value))
		if !reflect.DeepEqual(log, c.log) || !reflect.DeepEqual(span, c.span) {
			t.Errorf("%T %v: %v and %v, want %v and %v", c.value, c.value, log, span, c.log, c.span)
		}
	}
}

// However deep or large a value is, or though it leads back to itself, its conversion ends.
func TestNoValueIsTooLarge(t *testing.T) {
	var deep any
	for range 1000 {
		deep = []any{deep}
	}
	var self any
	self = &self
	loop := map[string]any{}
	loop["self"] = loop
	own := attribute.IntValue(1)
	for range 100 {
		own = attribute.SliceValue(own)
	}
	for name, value := range map[string]any{
		"deep": deep, "wide": make([]any, 1_000_000), "a slice in itself": endless(), "a pointer to itself": self, "a map in itself": loop,
		"in a struct":       struct{ V any }{endless()},
		"a map in a struct": struct{ v map[string]any }{loop},
		"LogValuers":        []any{testkit.Endless{}},
		"in a map's key":    map[any]int{&struct{ V any }{endless()}: 1},
		"in a slog.Attr":    []any{slog.Any("a", endless())},
		"an attribute":      own,
	} {
		testkit.InTime(t, func() {
			got := otelscope.LogValueOf(slog.AnyValue(value)).String()
			if !strings.HasPrefix(got, "!BADVALUE: ") {
				t.Errorf("%s: %.100s", name, got)
			}
		})
	}
	if got := otelscope.AttributeValueOf(slog.AnyValue(make([]int, 9000))); len(got.AsInt64Slice()) != 9000 {
		t.Errorf("a slice of 9000: %.100s", got)
	}
}

// One panics with what package fmt has no end for.
type panicsEndlessly struct{}

func (panicsEndlessly) String() string { panic(endless()) }

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

// What package slog, or fmt, has no end for shows that it is so, on records, spans and in baggage.
func TestAFieldWithoutAnEnd(t *testing.T) {
	loop := endlessGroup()
	attr := slog.Attr{Key: "a", Value: loop}
	wide := slog.IntValue(1)
	for range 40 {
		wide = slog.GroupValue(slog.Attr{Key: "a", Value: wide}, slog.Attr{Key: "b", Value: wide})
	}
	for _, v := range []slog.Value{loop, wide, slog.AnyValue(endless()), slog.AnyValue([]any{&loop}), slog.AnyValue([]any{&attr}), slog.AnyValue(valueInItself()), slog.AnyValue(struct{ V any }{panicsEndlessly{}}), slog.AnyValue(map[any]int{panicsEndlessly{}: 1})} {
		testkit.InTime(t, func() {
			l, k := newLogger(nil)
			tracer, spans := newTracer()
			carrier := propagation.MapCarrier{}
			scope.New(slog.Attr{Key: "t.user", Value: v}, slog.Attr{Key: "t.region", Value: v}).Run(func() {
				emit(l, background)
				_, span := tracer.Start(background, "work")
				span.End()
				otelscope.Propagator().Inject(background, carrier)
			})
			const says = "!BADVALUE: nested too deep, or too large"
			wantLines(t, k, "hello t.user="+says+" t.region="+says)
			want(t, "span", text(spans.Ended()[0].Attributes()), "t.user="+says)
			want(t, "baggage", carrier["baggage"], "")
		})
	}
	l, k := newLogger(nil)
	scope.New("k", panicsEndlessly{}).Run(func() { emit(l, background) })
	wantLines(t, k, "hello k=!PANIC: !BADVALUE: nested too deep, or too large")
}
