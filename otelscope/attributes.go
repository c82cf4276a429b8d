package otelscope

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// Attributes returns the fields of s, and the shared ones of its task, whose keys are declared p,
// in the form that attributes of a span have. [scope.Hidden] ones are left out, and [scope.Redacted]
// ones show [scope.RedactedText]. p is a policy, such as [scope.Traced]. If it has several options
// (Traced|Measured), a key must have all of them; if it is 0, the result is nil, as it is for the zero
// Scope. An ended task makes no difference: there is no scope_ended. The caller may change the slice.
func Attributes(s scope.Scope, p scope.KeyOption) []attribute.KeyValue {
	return slices.Clone(declared(s, p))
}

// declared is Attributes without the copy: its result is shared, so it must not be changed.
func declared(s scope.Scope, p scope.KeyOption) []attribute.KeyValue {
	if p == 0 {
		return nil
	}
	c := byPolicy[p].Load()
	if c == nil {
		c = &logadapters.Cache[[]attribute.KeyValue]{
			Declared: p,
			Reserved: []string{logadapters.EndedKey},
			Quiet:    true,
			Attach: func(list []attribute.KeyValue, fields logadapters.Fields) []attribute.KeyValue {
				return appendFlat(list, fields.Attrs)
			},
		}
		if !byPolicy[p].CompareAndSwap(nil, c) {
			c = byPolicy[p].Load()
		}
	}
	if d := c.Lookup(s); d != nil {
		return d.Value
	}
	return nil
}

// byPolicy has what declared remembers of scopes.
var byPolicy [1 << 8]atomic.Pointer[logadapters.Cache[[]attribute.KeyValue]]

// appendFlat returns a list with the attributes of list, which it doesn't change, and attrs, with
// groups flattened. An attribute replaces one with the same key.
func appendFlat(list []attribute.KeyValue, attrs []slog.Attr) []attribute.KeyValue {
	shared := len(list)
	add := func(a slog.Attr) {
		v := forAttributes.value(a.Value)
		if v.Type() == attribute.EMPTY { // a nil, say
			return
		}
		key := keyOf(a.Key)
		i := slices.IndexFunc(list, func(b attribute.KeyValue) bool { return b.Key == key })
		if i < 0 {
			list = append(list, attribute.KeyValue{Key: key, Value: v})
			return
		}
		if i < shared {
			list, shared = slices.Clone(list), 0
		}
		list[i].Value = v
	}
	for _, a := range attrs {
		if a.Value.Kind() != slog.KindGroup {
			add(a)
			continue
		}
		for _, member := range flat(a) {
			add(member)
		}
	}
	return slices.Clip(list) // it is shared, so whoever appends to it must copy it
}

// flat returns a group's members with names like a.b, as the semantic conventions name attributes.
func flat(a slog.Attr) []slog.Attr {
	c := converter{left: maxValues}
	list := c.flatten(nil, a, 0)
	if c.left <= 0 {
		return []slog.Attr{slog.String(a.Key, tooLarge)}
	}
	return list
}

// flatten appends a, or what is in it if it is a group.
func (c *converter) flatten(list []slog.Attr, a slog.Attr, depth int) []slog.Attr {
	if c.spend(depth) {
		return nil
	}
	if a.Value.Kind() == slog.KindGroup {
		for _, m := range a.Value.Group() {
			m.Key = a.Key + "." + m.Key
			list = c.flatten(list, m, depth+1)
		}
		return list
	}
	switch p := scope.Policy(a.Key); {
	case p&scope.Hidden != 0:
		return list
	case p&scope.Redacted != 0:
		a.Value = slog.StringValue(scope.RedactedText)
	}
	return append(list, a)
}

// MetricOption returns the fields of s, and the shared ones of its task, whose keys are declared
// [scope.Measured], for a measurement:
//
//	charged.Add(ctx, 1, otelscope.MetricOption(scope.Current()))
//
// [scope.Hidden] ones are left out, and [scope.Redacted] ones show [scope.RedactedText]. If the
// measurement has an attribute with the same key, the option that comes last wins: put its own
// behind this one. The option is remembered with the scope, so it costs a look-up. For the zero Scope
// the option adds nothing. An ended task makes no difference.
//
// Don't use it in the callback of an asynchronous instrument: that belongs to no task.
func MetricOption(s scope.Scope) metric.MeasurementOption {
	if d := measured.Lookup(s); d != nil {
		return d.Value.option
	}
	return unmeasured
}

// A measurement is what measurements get from a scope.
type measurement struct {
	list   []attribute.KeyValue
	option metric.MeasurementOption
}

var measured = logadapters.Cache[measurement]{
	Base:     measurement{option: unmeasured},
	Declared: scope.Measured,
	Reserved: []string{logadapters.EndedKey},
	Quiet:    true,
	Attach: func(l measurement, fields logadapters.Fields) measurement {
		list := appendFlat(l.list, fields.Attrs)
		if len(list) == 0 {
			return l
		}
		return measurement{list, fixed{metric.WithAttributes(list...)}}
	},
}

var unmeasured metric.MeasurementOption = fixed{metric.WithAttributeSet(*attribute.EmptySet())}

// A fixed option hides the method Set that OpenTelemetry's options have: all measurements of a scope
// share one option, so nobody may change it.
type fixed struct{ metric.MeasurementOption }

// appendSafely appends a total. If a method of the value panics, the attribute shows that. (For fields
// the Cache does the same.)
func appendSafely(list []attribute.KeyValue, a slog.Attr) (added []attribute.KeyValue) {
	defer func() {
		if p := recover(); p != nil {
			added = append(list, attribute.KeyValue{Key: keyOf(a.Key), Value: ofString(values.Panic(p).String())})
		}
	}()
	return append(list, attribute.KeyValue{Key: keyOf(a.Key), Value: forAttributes.value(a.Value)})
}
