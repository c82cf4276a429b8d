package otelscope

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// Attributes returns the fields of s, and the shared ones of its task, whose keys are declared p,
// in the form that attributes of a span have. [scope.Hidden] ones are left out, and [scope.Redacted]
// ones show [scope.RedactedText]. p is a policy, such as [scope.Traced]. If it is several
// (Traced|Measured), a key must have all of them; if it is 0, the result is nil, as it is for the zero
// Scope. An ended task makes no difference: there is no scope_ended. The caller may change the slice.
func Attributes(s scope.Scope, p scope.KeyOption) []attribute.KeyValue {
	if p == 0 {
		return nil
	}
	c := byPolicy[p].Load()
	if c == nil {
		c = newAttributes(p, logadapters.EndedKey)
		if !byPolicy[p].CompareAndSwap(nil, c) {
			c = byPolicy[p].Load()
		}
	}
	if d := c.Lookup(s); d != nil {
		return slices.Clone(d.Value.list)
	}
	return nil
}

// keyValues is what a span gets of one scope. It must not be changed.
type keyValues struct{ list []attribute.KeyValue }

// byPolicy has the caches of Attributes.
var byPolicy [1 << 8]atomic.Pointer[logadapters.Cache[*keyValues]]

// traced remembers what spans get of a scope.
var traced = newAttributes(scope.Traced)

// newAttributes returns a cache for the attributes whose keys are declared p, without those of
// some keys.
func newAttributes(p scope.KeyOption, without ...string) *logadapters.Cache[*keyValues] {
	return &logadapters.Cache[*keyValues]{
		Options:  &logadapters.Options{Filter: declared(p)},
		Base:     new(keyValues),
		Attach:   attachAttributes,
		Reserved: without,
	}
}

// declared returns a filter for the fields of keys that are declared p, flat, with keys that are UTF-8:
// what has attributes of its own is asked for these.
func declared(p scope.KeyOption) func(slog.Attr) (slog.Attr, bool) {
	return func(a slog.Attr) (slog.Attr, bool) {
		if scope.Policy(a.Key)&p != p || isNil(a.Value) {
			return a, false
		}
		return flat(a), true
	}
}

// flat returns a group's members with names like a.b, as the semantic conventions name attributes.
// They are in a group without a key, which stands for its members. Anything else stays as it is.
func flat(a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindGroup {
		a.Key = valid(a.Key)
		return a
	}
	c := converter{left: maxValues}
	list := c.appendFlat(nil, a, 0)
	if c.left <= 0 {
		return slog.String(valid(a.Key), tooLarge)
	}
	return slog.Attr{Value: slog.GroupValue(list...)}
}

func (c *converter) appendFlat(list []slog.Attr, a slog.Attr, depth int) []slog.Attr {
	if c.spend(depth) {
		return nil
	}
	if a.Value.Kind() == slog.KindGroup {
		for _, m := range a.Value.Group() {
			m.Key = a.Key + "." + m.Key
			list = c.appendFlat(list, m, depth+1)
		}
		return list
	}
	switch p := scope.Policy(a.Key); {
	case p&scope.Hidden != 0 || isNil(a.Value):
		return list
	case p&scope.Redacted != 0:
		a.Value = slog.StringValue(scope.RedactedText)
	}
	a.Key = valid(a.Key)
	return append(list, a)
}

// isNil reports whether v is nil: an attribute without a value says nothing.
func isNil(v slog.Value) bool { return v.Kind() == slog.KindAny && v.Any() == nil }

// attachAttributes returns l with fields added.
func attachAttributes(l *keyValues, fields logadapters.Fields) *keyValues {
	if len(l.list) == 0 && len(fields.Attrs) == 1 && fields.Attrs[0].Key == logadapters.EndedKey {
		return l // there are no fields that could be of an ended task
	}
	return &keyValues{appendAttributes(slices.Clip(l.list), fields.Attrs)}
}

func appendAttributes(list []attribute.KeyValue, attrs []slog.Attr) []attribute.KeyValue {
	list = slices.Grow(list, len(attrs))
	for _, a := range attrs {
		if v := forAttributes.value(a.Value); v.Type() != attribute.EMPTY {
			list = append(list, attribute.KeyValue{Key: keyOf(a.Key), Value: v})
		}
	}
	return list
}

// MetricOption returns the fields of s, and the shared ones of its task, whose keys are declared
// [scope.Measured], for a measurement:
//
//	charged.Add(ctx, 1, otelscope.MetricOption(scope.Current()))
//
// [scope.Hidden] ones are left out, and [scope.Redacted] ones show [scope.RedactedText]. Where the
// measurement has an attribute of the same key, the option that comes last wins: give its own
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

// A measurement is what measurements get of a scope.
type measurement struct {
	list   []attribute.KeyValue
	option metric.MeasurementOption
}

var measured = logadapters.Cache[*measurement]{
	Options:  &logadapters.Options{Filter: declared(scope.Measured)},
	Base:     new(measurement),
	Reserved: []string{logadapters.EndedKey},
	Attach: func(l *measurement, fields logadapters.Fields) *measurement {
		list := appendAttributes(slices.Clip(l.list), fields.Attrs)
		return &measurement{list, fixed{metric.WithAttributes(list...)}}
	},
}

var unmeasured metric.MeasurementOption = fixed{metric.WithAttributeSet(*attribute.EmptySet())}

// A fixed option hides the method Set that OpenTelemetry's options have: all measurements of a scope
// share one option, so nobody may change it.
type fixed struct{ metric.MeasurementOption }

// appendSafely appends a total. A cache that converts fields handles panics of their methods; here
// nothing else does. If a method of the value panics, the attribute shows it.
func appendSafely(list []attribute.KeyValue, a slog.Attr) (added []attribute.KeyValue) {
	defer func() {
		if p := recover(); p != nil {
			added = append(list, attribute.KeyValue{Key: keyOf(a.Key), Value: ofString("!PANIC: " + sprint(p))})
		}
	}()
	return appendAttributes(list, []slog.Attr{a})
}
