package otelscope

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// spanIDKey is the field with the id of the current span.
const spanIDKey = entry.SpanIDKey

// SpanOptions says how spans get their attributes. There are no options yet; nil means the zero
// SpanOptions.
type SpanOptions struct{ _ struct{} }

// NewSpanProcessor returns a processor that gives each span, when it starts, the fields whose keys
// are declared [scope.Traced] as attributes. The scope is the one that is bound there, or that the
// span's context carries: see [logadapters.Pick]. If its task has ended, scope_ended comes with the
// fields. An attribute that the span has already stays. The processor binds nothing: [Run] and
// [Fields] do that for spans that enclose the work. nil opts are the defaults.
func NewSpanProcessor(opts *SpanOptions) sdktrace.SpanProcessor { return spanProcessor{} }

type spanProcessor struct{}

// OnStart gives span its attributes.
func (spanProcessor) OnStart(parent context.Context, span sdktrace.ReadWriteSpan) {
	if list := traced(logadapters.Pick(parent)); len(list) > 0 {
		span.SetAttributes(missing(list, span.Attributes())...)
	}
}

// traced returns what spans get from s. It is shared, so it must not be changed.
func traced(s scope.Scope) []attribute.KeyValue {
	list := declared(s, scope.Traced)
	if len(list) > 0 && s.Ended() {
		// In front: the SDK's limit leaves out what comes last.
		list = append([]attribute.KeyValue{attribute.Bool(logadapters.EndedKey, true)}, list...)
	}
	return list
}

// tracedOnce is traced for the last look at a scope. It doesn't remember the result, which is faster;
// but user code is called only by traced, which has a guard for that. The result isn't shared: a span
// that isn't the SDK's may sort it.
func tracedOnce(s scope.Scope) []attribute.KeyValue {
	attrs := s.Internal().Declared(nil, uint8(scope.Traced))
	if s.Ended() || !values.AreScalars(attrs) {
		return slices.Clone(traced(s))
	}
	return appendFlat(nil, slices.DeleteFunc(attrs, func(a slog.Attr) bool { return a.Key == logadapters.EndedKey }))
}

// missing returns the attributes of list, from traced, whose keys own doesn't have. The result may be
// list itself. The mark scope_ended is about fields: without any it is left out.
func missing(list, own []attribute.KeyValue) []attribute.KeyValue {
	left := 0
	for _, a := range list {
		if a.Key != logadapters.EndedKey && !has(own, string(a.Key)) {
			left++
		}
	}
	switch left {
	case 0:
		return nil
	case len(list):
		return list
	}
	rest := make([]attribute.KeyValue, 0, left+1)
	for _, a := range list {
		if !has(own, string(a.Key)) {
			rest = append(rest, a)
		}
	}
	return rest
}

func has(attrs []attribute.KeyValue, key string) bool {
	return slices.ContainsFunc(attrs, func(a attribute.KeyValue) bool { return string(a.Key) == key })
}

// OnEnd does nothing: nothing was bound.
func (spanProcessor) OnEnd(sdktrace.ReadOnlySpan) {}

// Shutdown has nothing to do.
func (spanProcessor) Shutdown(context.Context) error { return nil }

// ForceFlush has nothing to do.
func (spanProcessor) ForceFlush(context.Context) error { return nil }

// Fields returns the ids of the current span of r's context, for the option Fields of httpscope:
// trace_id, span_id and trace_flags. There are none if the context has no valid span, and if r is
// nil. A span of the caller that a propagator has extracted is the current one until another starts,
// as for OpenTelemetry's own bridges: its span_id is the caller's.
func Fields(r *http.Request) []slog.Attr {
	if r == nil {
		return nil
	}
	return SpanFields(r.Context())
}

// SpanFields is [Fields] for a context. It is for the option Fields of jobscope, where the span starts
// around the job. With grpcscope and connectscope, let a func of your own return it.
func SpanFields(ctx context.Context) []slog.Attr {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return nil
	}
	traceID, spanID, flags := idsOf(sc)
	return []slog.Attr{
		slog.String(propagation.TraceIDKey, traceID),
		slog.String(spanIDKey, spanID),
		slog.String(propagation.TraceFlagsKey, flags),
	}
}

// idsOf returns what sc.TraceID().String() and so on do, as parts of one string: one allocation, as
// they live equally long.
func idsOf(sc trace.SpanContext) (traceID, spanID, flags string) {
	t, s := sc.TraceID(), sc.SpanID()
	all := hex.AppendEncode(make([]byte, 0, 2*(len(t)+len(s)+1)), t[:])
	all = hex.AppendEncode(all, s[:])
	all = hex.AppendEncode(all, []byte{byte(sc.TraceFlags())})
	text := string(all)
	return text[:2*len(t)], text[2*len(t) : 2*(len(t)+len(s))], text[2*(len(t)+len(s)):]
}

// parseFlags returns the trace flags that a field stands for: 0 if it isn't two hex digits.
func parseFlags(v slog.Value) trace.TraceFlags {
	if v.Kind() == slog.KindAny {
		flags, _ := v.Any().(trace.TraceFlags)
		return flags
	}
	if v.Kind() != slog.KindString || len(v.String()) != 2 {
		return 0
	}
	flags, _ := strconv.ParseUint(v.String(), 16, 8)
	return trace.TraceFlags(flags)
}

// Finish gives the current span of ctx what is known at its end: the fields declared [scope.Traced]
// that have come since it started, shared ones too, and the totals of the task so far, which need no
// declaration. What the span has already stays as it is, if it has a method Attributes as the SDK's
// have. Finish is for the option Finish of httpscope. It does nothing if the span isn't recording, or
// if ctx is nil or has no span.
func Finish(ctx context.Context) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	s := logadapters.Pick(ctx)
	list, totals := tracedOnce(s), s.Totals()
	if len(list)+len(totals) == 0 {
		return // before attributesOf, which makes the span copy its attributes
	}
	own := attributesOf(span)
	list = missing(list, own)
	for _, total := range totals {
		switch key := valid(total.Key); {
		case has(own, key) || has(list, key):
		case values.IsPlain(total.Value):
			list = appendSafely(list, total)
		default: // a method of a value in it may lead here again
			s.Internal().Ask(func() { list = appendSafely(list, total) })
		}
	}
	span.SetAttributes(list...)
}

// attributesOf returns the attributes of span, or nothing if it can't be asked for them.
func attributesOf(span trace.Span) []attribute.KeyValue {
	if readable, ok := span.(interface{ Attributes() []attribute.KeyValue }); ok {
		return readable.Attributes()
	}
	return nil
}
