package otelscope

import (
	"context"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/baggage"
	otelpropagation "go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// Propagator returns a propagator to use beside OpenTelemetry's TraceContext, in place of its Baggage.
// In one header baggage it sends the baggage of the context and the scope's fields whose keys are
// declared scope.Propagated, Hidden and Redacted ones too, with their values. The scope is the one
// that is bound, or that the context carries: see [logadapters.Pick]. If a key is in both, the
// context's member is sent, unless it came in the header baggage of a request or call, and the entry's
// option TrustBaggage doesn't trust that: then the field is. Baggage that another propagator, such as
// contrib's for OpenTracing, has taken from headers of its own is the program's for otelscope. Fields
// that don't fit into W3C's limits of 64 members and 8192 bytes are left out. Inject also empties a
// header tracestate that the client of an entry, such as httpscope's Transport, has written for the
// scope's trace, if the span of the context is of another one.
//
// What it extracts from a header becomes baggage of the context, as with OpenTelemetry's Baggage,
// and no field. Fields of a header are taken by the option TrustBaggage of httpscope. As with
// Baggage, Extract needs a context that isn't nil.
func Propagator() otelpropagation.TextMapPropagator { return propagator{} }

type propagator struct{ otelpropagation.Baggage }

// Inject sets the header baggage of carrier, if there is something to add. As with
// propagation.Baggage, the context's members replace what the header has; without any it is kept.
func (propagator) Inject(ctx context.Context, carrier otelpropagation.TextMapCarrier) {
	had := carrier.Get(propagation.BaggageHeader)
	if several, ok := carrier.(otelpropagation.ValuesGetter); ok {
		had = strings.Join(several.Values(propagation.BaggageHeader), ",")
	}
	c := baggageCarrier(had)
	s := logadapters.Pick(ctx)
	dropState(ctx, s, carrier)
	if ctx != nil {
		if own := baggage.FromContext(ctx).String(); own != "" {
			c = baggageCarrier(own)
		}
		c = baggageCarrier(trusted(ctx, s, string(c)))
	}
	propagation.Inject(s, &c)
	if string(c) != had {
		carrier.Set(propagation.BaggageHeader, string(c))
	}
}

// dropState empties the header tracestate that an entry's client has written for the trace of s, if the
// span of ctx is of another trace: TraceContext replaces traceparent alone for a span that has no state.
func dropState(ctx context.Context, s scope.Scope, carrier otelpropagation.TextMapCarrier) {
	text := func(key string) string {
		if v, _ := s.Internal().Value(key); v.Kind() == slog.KindString {
			return v.String()
		}
		return ""
	}
	span, state := trace.SpanContextFromContext(ctx), text(propagation.TraceStateKey)
	if state != "" && span.IsValid() && span.TraceState().Len() == 0 && text(propagation.TraceIDKey) != span.TraceID().String() &&
		carrier.Get(propagation.TracestateHeader) == propagation.ParseTracestate(state) {
		carrier.Set(propagation.TracestateHeader, "")
	}
}

// trusted returns header without the members that aren't trusted, came in with the request or call of
// ctx, and have the key of a field of s that is sent: a client must not override the program.
func trusted(ctx context.Context, s scope.Scope, header string) string {
	isUntrusted := entry.IsUntrusted(ctx)
	if isUntrusted == nil {
		return header
	}
	var kept []string
	for member := range strings.SplitSeq(header, ",") {
		key, _, _ := strings.Cut(member, "=")
		key = strings.TrimSpace(key)
		if !s.Has(key) || scope.Policy(key)&scope.Propagated == 0 || !isUntrusted(member) {
			kept = append(kept, member)
		}
	}
	return strings.Join(kept, ",")
}

// A baggageCarrier is the value of the header baggage, for package propagation to add to. It has no
// other header.
type baggageCarrier string

func (c *baggageCarrier) Get(key string) string {
	if strings.EqualFold(key, propagation.BaggageHeader) {
		return string(*c)
	}
	return ""
}

func (c *baggageCarrier) Set(key, value string) {
	if key == propagation.BaggageHeader {
		*c = baggageCarrier(value)
	}
}

func (c *baggageCarrier) Keys() []string { return []string{propagation.BaggageHeader} }
