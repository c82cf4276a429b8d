package otelscope

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// LogOptions says how log records are stamped. nil means the zero LogOptions, which are the
// defaults. The fields mean what those of [logadapters.Options] do. There is no Duplicates: an
// attribute that a record has itself always wins.
type LogOptions struct {
	// Group is the name of a map attribute that all scope fields are put into. If it is empty,
	// each is an attribute of its own.
	Group string

	// Filter is called with each field, resolved, and returns the field to put on the record in
	// its place and whether to put it there at all. nil keeps all fields as they are. Filter must
	// be safe for concurrent use and deterministic: its results are remembered. It doesn't see
	// hidden fields, nor the ids of a span, nor scope_ended and scope_dropped.
	Filter func(slog.Attr) (slog.Attr, bool)

	// MaxFields limits the number of scope fields on a record, the ids of a span not counted.
	// Beyond it the oldest are left out, and scope_dropped tells how many. 0 or less means no
	// limit.
	MaxFields int

	// Ended says what a record shows after its task has ended. The zero value,
	// logadapters.MarkEnded, means its fields and scope_ended.
	Ended logadapters.Ended
}

// NewLogProcessor returns a processor that gives each log record the fields of the scope that is
// bound where it is emitted, or that its context carries: see [logadapters.Pick]. nil opts are the
// defaults.
//
// The fields trace_id, span_id and trace_flags don't become attributes. They become the ids of a
// record that has none because it was logged without a span's context. A trace_id or span_id that
// isn't a valid id is an attribute like any other. A record with another span than that of the scope doesn't
// get the field parent_span_id.
//
// Register the processor before the one that exports: the SDK calls them in this order.
func NewLogProcessor(opts *LogOptions) sdklog.Processor {
	if opts == nil {
		opts = new(LogOptions)
	}
	p := &logProcessor{max: opts.MaxFields}
	p.cache.Attach, p.cache.Quiet = p.attach, true
	p.cache.Options = &logadapters.Options{Group: opts.Group, Ended: opts.Ended}
	if opts.Filter != nil {
		p.cache.Options.Filter = exceptIDs(opts.Filter)
	}
	if p.max > 0 { // attach limits them, since it knows the ids. This makes the cache pass it all fields at once.
		p.cache.Options.MaxFields = math.MaxInt
	}
	return p
}

// A logProcessor stamps records. What the records of a scope get is remembered with the scope.
type logProcessor struct {
	cache logadapters.Cache[stamp]
	max   int
	over  atomic.Bool // Shutdown was called
}

// A stamp is what records of one scope get. Records share it, so it must not be changed.
type stamp struct {
	list    []attribute.KeyValue
	trace   trace.TraceID // zero, as span, if there is none
	span    trace.SpanID
	parent  string // the text of parent_span_id, or ""
	renamed bool   // iff some key on the record differs from its field's, which isn't UTF-8
}

// Enabled reports false: the processor exports nothing, so it is no reason to make a record.
func (p *logProcessor) Enabled(context.Context, sdklog.EnabledParameters) bool { return false }

// OnEmit stamps record.
func (p *logProcessor) OnEmit(ctx context.Context, record *sdklog.Record) error {
	if record == nil || p.over.Load() {
		return nil
	}
	s := logadapters.Pick(ctx)
	d := p.cache.Lookup(s)
	if d == nil {
		return nil
	}
	st, hasSpan := &d.Value, record.TraceID().IsValid()
	if !hasSpan {
		st.setIDs(s, record)
	}
	otherSpan := hasSpan && record.SpanID() != st.span
	// A scope without a span has the parent of all that follows in its trace.
	otherParent := otherSpan && (st.span.IsValid() || st.trace.IsValid() && st.trace != record.TraceID())
	list, repeats := st.list, st.renamed || otherParent && d.Has(propagation.ParentSpanIDKey)
	record.WalkAttributes(func(a attribute.KeyValue) bool {
		repeats = repeats || d.Has(string(a.Key))
		return !repeats
	})
	if repeats {
		list = d.Without(func(key string) bool {
			return otherParent && key == propagation.ParentSpanIDKey || hasKey(record, key)
		}).list
	}
	if len(list) > 0 {
		record.AddAttributes(list...)
	}
	if otherSpan {
		st.dropIDs(record, p.cache.Options.Group, otherParent)
	}
	return nil
}

// hasKey reports whether record has an attribute with this key, both as valid UTF-8.
func hasKey(record *sdklog.Record, key string) (has bool) {
	record.WalkAttributes(func(a attribute.KeyValue) bool {
		has = string(a.Key) == key || valid(string(a.Key)) == valid(key)
		return !has
	})
	return has
}

// setIDs gives the ids of st to a record of s that has none. If other instrumentation has put other
// ids among the record's attributes, it does nothing.
func (st *stamp) setIDs(s scope.Scope, record *sdklog.Record) {
	if !st.trace.IsValid() || st.contradicts(record) {
		return
	}
	record.SetTraceID(st.trace)
	record.SetSpanID(st.span)
	if flags, ok := s.Internal().Value(propagation.TraceFlagsKey); ok { // it is Hidden, so it isn't in st
		record.SetTraceFlags(parseFlags(flags))
	}
}

// dropIDs removes the ids of st from the attributes of a record that has another span, and from the
// group. An adapter around a bridge has put them there: it knows what is bound, and not the span of the
// record's context.
func (st *stamp) dropIDs(record *sdklog.Record, group string, otherParent bool) {
	isOther := func(a attribute.KeyValue) bool {
		switch a.Key {
		case propagation.TraceIDKey:
			return st.trace != record.TraceID() && a.Value.AsString() == st.trace.String()
		case spanIDKey:
			return a.Value.AsString() == st.span.String()
		case propagation.ParentSpanIDKey:
			return otherParent && st.parent != "" && a.Value.AsString() == st.parent
		}
		return false
	}
	hasOther := func(a attribute.KeyValue) bool {
		return string(a.Key) == group && slices.ContainsFunc(a.Value.AsMap(), isOther)
	}
	found := false
	record.WalkAttributes(func(a attribute.KeyValue) bool {
		found = isOther(a) || hasOther(a)
		return !found
	})
	if !found {
		return
	}
	var kept []attribute.KeyValue
	record.WalkAttributes(func(a attribute.KeyValue) bool {
		if hasOther(a) {
			rest := slices.DeleteFunc(a.Value.AsMap(), isOther)
			if len(rest) == 0 {
				return true
			}
			a.Value = attribute.MapValue(rest...)
		}
		if !isOther(a) {
			kept = append(kept, a)
		}
		return true
	})
	record.SetAttributes(kept...)
}

// contradicts reports whether record has an attribute trace_id or span_id with another id.
func (st *stamp) contradicts(record *sdklog.Record) (other bool) {
	record.WalkAttributes(func(a attribute.KeyValue) bool {
		switch a.Key {
		case propagation.TraceIDKey:
			other = a.Value.AsString() != st.trace.String()
		case spanIDKey:
			other = a.Value.AsString() != st.span.String()
		}
		return !other
	})
	return other
}

// Shutdown stops the stamping: later records stay as they are.
func (p *logProcessor) Shutdown(context.Context) error {
	p.over.Store(true)
	return nil
}

// ForceFlush has nothing to do.
func (p *logProcessor) ForceFlush(context.Context) error { return nil }

// attach returns st with fields added.
func (p *logProcessor) attach(st stamp, fields logadapters.Fields) stamp {
	with := st
	with.renamed = st.renamed || valid(fields.Group) != fields.Group
	list := make([]attribute.KeyValue, 0, len(st.list)+len(fields.Attrs))
	list = append(list, st.list...) // none, if there is a group or a limit: then all fields come at once
	for _, a := range fields.Attrs {
		if with.takeID(a) {
			continue
		}
		key, value := keyOf(a.Key), forLogs.value(a.Value)
		if key == propagation.ParentSpanIDKey {
			with.parent = value.AsString()
		}
		with.renamed = with.renamed || string(key) != a.Key
		list = append(list, attribute.KeyValue{Key: key, Value: value})
	}
	if p.max > 0 {
		list = newest(list, p.max)
	}
	switch last := len(list) - 1; {
	case last < 0:
	case fields.Group != "":
		list = []attribute.KeyValue{{Key: keyOf(fields.Group), Value: attribute.MapValue(list...)}}
	case list[last].Key == logadapters.EndedKey: // to the front: the SDK's limit leaves out what comes last
		list = slices.Insert(list[:last], 0, list[last])
	}
	with.list = list
	return with
}

// newest returns the last attributes of list, at most as many as most, and if it leaves some out, also
// scope_dropped with their number. The mark scope_ended isn't counted.
func newest(list []attribute.KeyValue, most int) []attribute.KeyValue {
	fields := len(list)
	if fields > 0 && list[fields-1].Key == logadapters.EndedKey {
		fields--
	}
	left := fields - most
	if left <= 0 {
		return list
	}
	return slices.Insert(list[left:], most, attribute.Int(logadapters.DroppedKey, left))
}

// takeID reports whether a is a valid trace_id or span_id, and if so, sets that of st.
func (st *stamp) takeID(a slog.Attr) (ok bool) {
	switch a.Key {
	case propagation.TraceIDKey:
		id, err := trace.TraceIDFromHex(forLogs.value(a.Value).AsString())
		if ok = err == nil; ok {
			st.trace = id
		}
	case spanIDKey:
		id, err := trace.SpanIDFromHex(forLogs.value(a.Value).AsString())
		if ok = err == nil; ok {
			st.span = id
		}
	}
	return ok
}

// exceptIDs returns a filter that keeps valid ids as they are, and calls filter with other fields.
func exceptIDs(filter func(slog.Attr) (slog.Attr, bool)) func(slog.Attr) (slog.Attr, bool) {
	return func(a slog.Attr) (slog.Attr, bool) {
		if new(stamp).takeID(a) {
			return a, true
		}
		return filter(a)
	}
}
