package otelscope

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/taskscope/taskscope/internal/values"
)

// A target is what values are converted for.
type target uint8

const (
	forLogs       target = iota // as the bridge otelslog does it, where that makes sense
	forAttributes               // of spans, span events and metrics, as the semantic conventions want it
)

// The limits of a value that has others in it. A value may contain itself.
const (
	maxNested = 32
	maxValues = 10_000
)

const tooLarge = "!BADVALUE: nested too deep, or too large"

// value returns v, which is resolved, as an attribute's value. It calls methods of v: if one
// panics, so does value.
func (t target) value(v slog.Value) attribute.Value {
	switch v.Kind() {
	case slog.KindString:
		return ofString(v.String())
	case slog.KindInt64:
		return attribute.Int64Value(v.Int64())
	case slog.KindBool:
		return attribute.BoolValue(v.Bool())
	case slog.KindFloat64:
		return attribute.Float64Value(v.Float64())
	case slog.KindUint64:
		return ofUint(v.Uint64())
	case slog.KindDuration:
		return t.ofDuration(v.Duration())
	case slog.KindTime:
		return t.ofTime(v.Time())
	}
	c := converter{target: t, left: maxValues}
	converted := c.nested(v, 0)
	if c.left <= 0 {
		return attribute.StringValue(tooLarge)
	}
	return converted
}

// ofString makes text UTF-8: an OTLP exporter can't encode anything else, and would lose the batch.
func ofString(text string) attribute.Value { return attribute.StringValue(valid(text)) }

func keyOf(name string) attribute.Key { return attribute.Key(valid(name)) }

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// ofUint returns a number as text if an int64 can't hold it. A float64 would round it.
func ofUint(n uint64) attribute.Value {
	if n > math.MaxInt64 {
		return attribute.StringValue(strconv.FormatUint(n, 10))
	}
	return attribute.Int64Value(int64(n))
}

func (t target) ofDuration(d time.Duration) attribute.Value {
	if t == forLogs {
		return attribute.Int64Value(d.Nanoseconds())
	}
	return attribute.Float64Value(d.Seconds())
}

func (t target) ofTime(at time.Time) attribute.Value {
	if year := at.Year(); t == forLogs && year >= 1678 && year < 2262 { // the range of UnixNano, in whole years
		return attribute.Int64Value(at.UnixNano())
	}
	return attribute.StringValue(at.UTC().Format(time.RFC3339Nano))
}

// A converter converts one value and those in it.
type converter struct {
	target
	left int // how many more values there may be; 0 or less once there were too many
}

func (c *converter) nested(v slog.Value, depth int) attribute.Value {
	switch v.Kind() {
	case slog.KindAny:
		return c.any(v.Any(), depth)
	case slog.KindLogValuer:
		return c.nested(c.resolve(v), depth+1)
	case slog.KindGroup:
		if c.spend(depth) {
			return attribute.Value{}
		}
		members := make([]attribute.KeyValue, 0, len(v.Group()))
		for _, a := range v.Group() {
			members = append(members, attribute.KeyValue{Key: keyOf(a.Key), Value: c.nested(a.Value, depth+1)})
		}
		return attribute.MapValue(members...)
	}
	return c.value(v)
}

// resolve resolves a LogValuer in a slice or a map.
func (c *converter) resolve(v slog.Value) slog.Value {
	for i := 0; v.Kind() == slog.KindLogValuer; i++ {
		if c.spend(i) {
			return slog.Value{}
		}
		v = v.LogValuer().LogValue()
	}
	return v
}

// spend counts a value, and reports whether it is one too many.
func (c *converter) spend(depth int) (over bool) {
	if c.left--; depth > maxNested {
		c.left = 0
	}
	return c.left <= 0
}

// any returns v, which isn't of a kind that slog knows, as an attribute's value.
func (c *converter) any(v any, depth int) attribute.Value {
	r := reflect.ValueOf(v)
	if c.spend(depth) || !r.IsValid() {
		return attribute.Value{}
	}
	if r.Kind() == reflect.Pointer && r.IsNil() {
		return attribute.Value{}
	}
	switch v := v.(type) {
	case attribute.Value:
		return c.own(v, depth)
	case slog.Value:
		return c.nested(v, depth+1)
	case *slog.Value:
		return c.nested(*v, depth+1)
	case *slog.Attr:
		return c.any(*v, depth+1)
	case slog.Attr: // its String has no end for a value that contains itself
		return ofString(v.Key + "=" + c.nested(v.Value, depth+1).String())
	case slog.LogValuer:
		return c.nested(slog.AnyValue(v), depth)
	case []byte:
		return attribute.ByteSliceValue(v)
	case time.Time:
		return c.ofTime(v)
	case time.Duration:
		return c.ofDuration(v)
	case error:
		return ofString(v.Error())
	case json.RawMessage: // since Go 1.27 it is a Stringer, too
		return ofJSON(v)
	case fmt.Stringer:
		return ofString(v.String())
	case encoding.TextMarshaler:
		return ofText(v.MarshalText())
	case json.Marshaler: // it may leave out what fmt would show
		return ofJSON(v)
	}
	return c.reflected(r, depth)
}

func ofJSON(v json.Marshaler) attribute.Value {
	text, err := json.Marshal(v)
	if string(text) == "null" {
		return attribute.Value{}
	}
	var unquoted string
	if json.Unmarshal(text, &unquoted) == nil {
		text = []byte(unquoted)
	}
	return ofText(text, err)
}

func ofText(text []byte, err error) attribute.Value {
	if err != nil {
		return ofString("!ERROR:" + err.Error()) // as log/slog has it
	}
	return ofString(string(text))
}

// reflected converts a value by its kind.
func (c *converter) reflected(r reflect.Value, depth int) attribute.Value {
	switch r.Kind() {
	case reflect.Bool:
		return attribute.BoolValue(r.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return attribute.Int64Value(r.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return ofUint(r.Uint())
	case reflect.Float32, reflect.Float64:
		return attribute.Float64Value(r.Float())
	case reflect.Complex64, reflect.Complex128:
		return attribute.MapValue(attribute.Float64("r", real(r.Complex())), attribute.Float64("i", imag(r.Complex())))
	case reflect.String:
		return ofString(r.String())
	case reflect.Pointer:
		return c.any(r.Elem().Interface(), depth+1)
	case reflect.Slice, reflect.Array:
		return c.list(r, depth)
	case reflect.Map:
		members := make([]attribute.KeyValue, 0, min(r.Len(), maxValues))
		for entries := r.MapRange(); entries.Next() && c.left > 0; {
			key := c.mapKey(entries.Key())
			members = append(members, attribute.KeyValue{Key: keyOf(key), Value: c.any(entries.Value().Interface(), depth+1)})
		}
		return attribute.MapValue(members...)
	case reflect.Struct:
		return ofString(c.print("%+v", r.Interface()))
	}
	return attribute.StringValue("!BADVALUE: " + r.Type().String()) // a chan, a func
}

// mapKey returns the text of a map's key.
func (c *converter) mapKey(key reflect.Value) string {
	if key.Kind() == reflect.String {
		return key.String()
	}
	return c.print("%v", key.Interface())
}

// print returns what fmt makes of v, or "" if v has too much in it.
func (c *converter) print(format string, v any) string {
	if c.left = values.Left(c.left, v); c.left <= 0 {
		return ""
	}
	return fmt.Sprintf(format, values.Printable(v))
}

// own returns v, which is an attribute's value already, with its text made UTF-8.
func (c *converter) own(v attribute.Value, depth int) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		return ofString(v.AsString())
	case attribute.STRINGSLICE:
		return attribute.StringSliceValue(each(v.AsStringSlice(), valid))
	case attribute.SLICE:
		if c.spend(depth) {
			return attribute.Value{}
		}
		return attribute.SliceValue(each(v.AsSlice(), func(item attribute.Value) attribute.Value { return c.own(item, depth+1) })...)
	case attribute.MAP:
		if c.spend(depth) {
			return attribute.Value{}
		}
		return attribute.MapValue(each(v.AsMap(), func(member attribute.KeyValue) attribute.KeyValue {
			return attribute.KeyValue{Key: keyOf(string(member.Key)), Value: c.own(member.Value, depth+1)}
		})...)
	}
	return v
}

// list returns a slice or an array.
func (c *converter) list(r reflect.Value, depth int) attribute.Value {
	if r.Type().Elem().Kind() == reflect.Uint8 {
		b := make([]byte, r.Len())
		for i := range b {
			b[i] = byte(r.Index(i).Uint())
		}
		return attribute.ByteSliceValue(b)
	}
	items := make([]attribute.Value, 0, min(r.Len(), maxValues))
	for i := 0; i < r.Len() && c.left > 0; i++ {
		items = append(items, c.any(r.Index(i).Interface(), depth+1))
	}
	if c.target == forAttributes {
		return homogeneous(items)
	}
	return attribute.SliceValue(items...)
}

// homogeneous returns items as a slice of their type, if that is one of bools, numbers or strings.
func homogeneous(items []attribute.Value) attribute.Value {
	for _, item := range items {
		if item.Type() != items[0].Type() {
			return attribute.SliceValue(items...)
		}
	}
	switch {
	case len(items) == 0:
	case items[0].Type() == attribute.STRING:
		return attribute.StringSliceValue(each(items, attribute.Value.AsString))
	case items[0].Type() == attribute.INT64:
		return attribute.Int64SliceValue(each(items, attribute.Value.AsInt64))
	case items[0].Type() == attribute.FLOAT64:
		return attribute.Float64SliceValue(each(items, attribute.Value.AsFloat64))
	case items[0].Type() == attribute.BOOL:
		return attribute.BoolSliceValue(each(items, attribute.Value.AsBool))
	}
	return attribute.SliceValue(items...)
}

func each[V, T any](items []V, as func(V) T) []T {
	list := make([]T, len(items))
	for i, item := range items {
		list[i] = as(item)
	}
	return list
}
