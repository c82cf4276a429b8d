package otelscope

import (
	"context"
	"log/slog"
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
// attribute that the record has itself always wins.
type LogOptions struct {
	// Group is the name of a map attribute that all scope fields are put into. If it is empty,
	// each is an attribute of its own.
	Group string

	// Filter is called with each field, resolved, and returns the field to put on the record in
	// its place and whether to put it there at all. nil keeps all fields as they are. Filter must
	// be safe for concurrent use and deterministic: its results are remembered. It doesn't see
	// hidden fields, nor ids that the record gets as its trace and span, nor scope_ended and
	// scope_dropped.
	Filter func(slog.Attr) (slog.Attr, bool)

	// MaxFields limits the number of scope fields on a record. Beyond it the oldest are left out,
	// and scope_dropped tells how many. The trace and span of the record don't count. 0 means no
	// limit.
	MaxFields int

	// Ended says what a record shows that comes after its task has ended.
	Ended logadapters.Ended
}

// NewLogProcessor returns a processor that gives each log record the fields of the scope that is
// bound where it is emitted, or that its context carries: see [logadapters.Pick]. A record without
// a trace gets that of the fields trace_id, span_id and trace_flags. nil opts are the defaults.
//
// Register it before the processor that exports: the SDK calls them in this order.
func NewLogProcessor(opts *LogOptions) sdklog.Processor {
	if opts == nil {
		opts = new(LogOptions)
	}
	p := new(logProcessor)
	p.fields.Base, p.fields.Attach = new(keyValues), attachLog
	p.fields.Options = &logadapters.Options{
		Group:     opts.Group,
		Filter:    withoutIDs(opts.Filter),
		MaxFields: opts.MaxFields,
		Ended:     opts.Ended,
	}
	p.ids.Attach = attachIDs
	p.ids.Options = &logadapters.Options{Filter: onlyIDs, Ended: opts.Ended}
	return p
}

// A logProcessor stamps records. What a scope's records get is remembered with the scope.
type logProcessor struct {
	fields logadapters.Cache[*keyValues]
	ids    logadapters.Cache[ids]
	over   atomic.Bool
}

// keyValues is what records of one scope get. It must not be changed.
type keyValues struct{ list []attribute.KeyValue }

// ids are those of a span; zero where they aren't known.
type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

// Enabled reports false: the processor exports nothing, so it is no reason to make a record.
func (p *logProcessor) Enabled(context.Context, sdklog.EnabledParameters) bool { return false }

// OnEmit stamps record.
func (p *logProcessor) OnEmit(ctx context.Context, record *sdklog.Record) error {
	if record == nil || p.over.Load() {
		return nil
	}
	s := logadapters.Pick(ctx)
	if s == (scope.Scope{}) {
		return nil
	}
	if !record.TraceID().IsValid() {
		p.setIDs(s, record)
	}
	d := p.fields.Lookup(s)
	if d == nil {
		return nil
	}
	repeats := false
	record.WalkAttributes(func(a attribute.KeyValue) bool {
		repeats = d.Has(string(a.Key))
		return !repeats
	})
	add := d.Value
	if repeats {
		add = d.Without(func(key string) bool { return hasKey(record, key) })
	}
	record.AddAttributes(add.list...)
	return nil
}

func hasKey(record *sdklog.Record, key string) (has bool) {
	record.WalkAttributes(func(a attribute.KeyValue) bool {
		has = string(a.Key) == key
		return !has
	})
	return has
}

// setIDs gives record, which has no trace, that of s.
func (p *logProcessor) setIDs(s scope.Scope, record *sdklog.Record) {
	d := p.ids.Lookup(s)
	if d == nil || !d.Value.trace.IsValid() || hasKey(record, propagation.TraceIDKey) {
		return
	}
	record.SetTraceID(d.Value.trace)
	if d.Value.span.IsValid() {
		record.SetSpanID(d.Value.span)
	}
	if text, ok := s.Get(propagation.TraceFlagsKey); ok {
		if flags, ok := text.(string); ok {
			record.SetTraceFlags(parseFlags(flags))
		}
	}
}

// Shutdown ends the stamping.
func (p *logProcessor) Shutdown(context.Context) error {
	p.over.Store(true)
	return nil
}

// ForceFlush has nothing to do.
func (p *logProcessor) ForceFlush(context.Context) error { return nil }

// attachLog returns what records get that have l and fields.
func attachLog(l *keyValues, fields logadapters.Fields) *keyValues {
	list := make([]attribute.KeyValue, 0, len(l.list)+len(fields.Attrs))
	if fields.Group == "" {
		list = append(list, l.list...)
	}
	for i := range fields.Attrs {
		a := &fields.Attrs[i]
		list = append(list, attribute.KeyValue{Key: attribute.Key(a.Key), Value: forLogs.value(a.Value)})
	}
	if fields.Group != "" {
		list = append(slices.Clip(l.list), attribute.Map(fields.Group, list...))
	}
	return &keyValues{list}
}

// attachIDs returns l with the ids among fields.
func attachIDs(l ids, fields logadapters.Fields) ids {
	for _, a := range fields.Attrs {
		switch a.Key {
		case propagation.TraceIDKey:
			l.trace, _ = trace.TraceIDFromHex(a.Value.String())
		case spanIDKey:
			l.span, _ = trace.SpanIDFromHex(a.Value.String())
		}
	}
	return l
}
