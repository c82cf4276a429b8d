package otelscope

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/baggage"
	otelpropagation "go.opentelemetry.io/otel/propagation"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope/propagation"
)

// Propagator returns what stands in for OpenTelemetry's propagation.Baggage, beside its
// TraceContext. It sends the baggage of the context and, of the scope's fields, those whose keys are
// declared scope.Propagated, in one header baggage. The scope is the one that is bound, or that the
// context carries: see [logadapters.Pick]. Of a key in both the context's member is sent; what is
// beyond W3C's limits of 64 members and 8192 bytes is left out, as package propagation has it. What
// it takes from a header becomes baggage of the context, as with propagation.Baggage, and no field:
// whom to trust with that is said by the option TrustBaggage of httpscope.
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
	if ctx != nil {
		if own := baggage.FromContext(ctx).String(); own != "" {
			c = baggageCarrier(own)
		}
	}
	propagation.Inject(logadapters.Pick(ctx), &c)
	if string(c) != had {
		carrier.Set(propagation.BaggageHeader, string(c))
	}
}

// A baggageCarrier is headers of which only baggage counts: its value.
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
