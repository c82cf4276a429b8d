package otelscope_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// withBaggage returns a context with these members: "a=1,b=2".
func withBaggage(t testing.TB, members string) context.Context {
	t.Helper()
	bag, err := baggage.Parse(members)
	if err != nil {
		t.Fatal(err)
	}
	return baggage.ContextWithBaggage(background, bag)
}

// sorted returns the members of a header, in their alphabetical order.
func sorted(header string) string {
	members := strings.Split(header, ",")
	slices.Sort(members)
	return strings.Join(members, ",")
}

func TestWhatIsSentAsBaggage(t *testing.T) {
	p := otelscope.Propagator()
	for _, c := range []struct {
		name   string
		fields []any
		ctx    context.Context
		had    []string
		want   []string
	}{
		{"nothing", nil, background, nil, nil},
		{"nothing declared", []any{"request_id", "r-1", "t.user", "ann"}, background, nil, nil},
		{"a field", []any{"request_id", "r-1", "t.region", "eu west"}, background, nil, []string{"t.region=eu%20west"}},
		{"the context's", nil, withBaggage(t, "a=1;p=q"), nil, []string{"a=1;p=q"}},
		{"both", []any{"t.region", "eu"}, withBaggage(t, "a=1,b=2"), nil, []string{"a=1,b=2,t.region=eu"}},
		{"the same key", []any{"t.region", "eu"}, withBaggage(t, "t.region=us"), nil, []string{"t.region=us"}},
		{"another task's context", []any{"t.region", "eu"}, scope.NewContext(background, scope.New("t.region", "us")), nil, []string{"t.region=us"}},
		{"a header", []any{"t.region", "eu"}, background, []string{"x=1", "y=2"}, []string{"x=1,y=2,t.region=eu"}},
		{"a header and no field", nil, background, []string{"x=1", "y=2"}, []string{"x=1", "y=2"}},
		{"a header and the context's", []any{"t.region", "eu"}, withBaggage(t, "a=1"), []string{"x=1"}, []string{"a=1,t.region=eu"}},
		{"a secret that is declared Propagated", []any{"t.sent", "secret", "t.shown", "secret"}, background, nil, []string{"t.sent=secret,t.shown=secret"}},
		{"no context", []any{"t.region", "eu"}, nil, nil, []string{"t.region=eu"}},
	} {
		headers := http.Header{}
		for _, value := range c.had {
			headers.Add("Baggage", value)
		}
		run := func() {
			for range 2 { // once more changes nothing
				p.Inject(c.ctx, propagation.HeaderCarrier(headers))
			}
		}
		if c.fields == nil {
			scope.Outside(run)
		} else {
			scope.New(c.fields...).Run(run)
		}
		got := headers.Values("Baggage")
		if len(got) == 1 {
			got = []string{sorted(got[0])}
		}
		if len(c.want) == 1 {
			c.want = []string{sorted(c.want[0])}
		}
		if !slices.Equal(got, c.want) || len(headers) > 1 {
			t.Errorf("%s: %q, want %q, in %v", c.name, got, c.want, headers)
		}
	}
	if got := p.Fields(); !slices.Equal(got, []string{"baggage"}) {
		t.Errorf("Fields %v", got)
	}
}

// What doesn't fit into W3C's limits is left out, the scope's fields first.
func TestBaggageKeepsToTheLimits(t *testing.T) {
	p := otelscope.Propagator()
	var members []string
	for i := range 64 {
		members = append(members, fmt.Sprintf("k%d=v", i))
	}
	long := strings.Repeat("x", 8180)
	for _, c := range []struct {
		name  string
		ctx   context.Context
		field string
		want  bool
	}{
		{"63 members", withBaggage(t, strings.Join(members[1:], ",")), "eu", true},
		{"64 members", withBaggage(t, strings.Join(members, ",")), "eu", false},
		{"8184 bytes", withBaggage(t, "a="+long[:8170]), "eu", true},
		{"too many", withBaggage(t, "a="+long), "eu", false},
		{"a long field", withBaggage(t, "a=1"), strings.Repeat("x", 9000), false},
	} {
		carrier := propagation.MapCarrier{}
		scope.New("t.region", c.field).Run(func() { p.Inject(c.ctx, carrier) })
		header := carrier["baggage"]
		if got := strings.Contains(header, "t.region="); got != c.want || len(header) > 8192 || strings.Count(header, ",") > 63 {
			t.Errorf("%s: sent %v, want %v; %d bytes", c.name, got, c.want, len(header))
		}
	}
}

// What comes in is the context's baggage, as with OpenTelemetry's own propagator, and no field.
func TestWhatIsTakenFromBaggage(t *testing.T) {
	p := otelscope.Propagator()
	for _, header := range []string{"", "t.region=eu,a=1;p=q", "bad", strings.Repeat("x", 9000)} {
		carrier := propagation.MapCarrier{"baggage": header}
		got := baggage.FromContext(p.Extract(background, carrier))
		want := baggage.FromContext(propagation.Baggage{}.Extract(background, carrier))
		if sorted(got.String()) != sorted(want.String()) {
			t.Errorf("%q becomes %s, want %s", header, got, want)
		}
		if _, ok := scope.FromContext(p.Extract(background, carrier)); ok {
			t.Error("the context has a scope")
		}
	}
}

// Beside TraceContext there is one traceparent, that of the context, and one baggage.
func TestThePropagatorBesideTraceContext(t *testing.T) {
	p := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, otelscope.Propagator())
	headers := http.Header{}
	scope.New("trace_id", "11111111111111111111111111111111", "request_id", "r-1", "t.region", "eu").Run(func() {
		p.Inject(remote(), propagation.HeaderCarrier(headers))
	})
	if got := fmt.Sprint(headers); got != "map[Baggage:[t.region=eu] Traceparent:[00-"+traceID+"-"+spanID+"-01]]" {
		t.Error(got)
	}
}

// A tracestate goes with its own traceparent, or not at all. A call's span that doesn't hang on the request's
// is of another trace, and has none.
func TestATracestateOfAnotherTraceIsNotSent(t *testing.T) {
	const other = "11111111111111111111111111111111"
	long := "a=" + strings.Repeat("x", 256) // two of them are too many
	ours, _ := trace.ParseTraceState("ours=1")
	withState := trace.ContextWithSpanContext(background, trace.SpanContextFromContext(remote()).WithTraceState(ours))
	for _, c := range []struct {
		name   string
		fields []any
		ctx    context.Context
		had    string
		want   string
	}{
		{"another trace", []any{"trace_id", other, "trace_state", "vendor=1"}, remote(), "vendor=1", ""},
		{"a state that is sent in part", []any{"trace_id", other, "trace_state", long + " , b" + long}, remote(), long, ""},
		{"the same trace", []any{"trace_id", traceID, "trace_state", "vendor=1"}, remote(), "vendor=1", "vendor=1"},
		{"no span", []any{"trace_id", other, "trace_state", "vendor=1"}, background, "vendor=1", "vendor=1"},
		{"no context", []any{"trace_id", other, "trace_state", "vendor=1"}, noContext, "vendor=1", "vendor=1"},
		{"a span with the same state", []any{"trace_id", other, "trace_state", "ours=1"}, withState, "", "ours=1"},
		{"a span with a state", []any{"trace_id", other, "trace_state", "vendor=1"}, withState, "vendor=1", "ours=1"},
		{"the program's own header", []any{"trace_id", other, "trace_state", "vendor=1"}, remote(), "own=1", "own=1"},
		{"no header", []any{"trace_id", other, "trace_state", "vendor=1"}, remote(), "", ""},
		{"values without a text", []any{"trace_id", endless(), "trace_state", endless()}, remote(), "vendor=1", "vendor=1"},
		{"no scope", nil, remote(), "vendor=1", "vendor=1"},
	} {
		for name, p := range map[string]propagation.TextMapPropagator{
			"behind TraceContext":      propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, otelscope.Propagator()),
			"in front of TraceContext": propagation.NewCompositeTextMapPropagator(otelscope.Propagator(), propagation.TraceContext{}),
		} {
			carrier := propagation.MapCarrier{"tracestate": c.had}
			s := scope.Scope{}
			if c.fields != nil {
				s = scope.New(c.fields...)
			}
			s.Run(func() { p.Inject(c.ctx, carrier) })
			want(t, c.name+", "+name, carrier["tracestate"], c.want)
		}
	}
}

// A value that looks itself up at another service: its LogValue starts a span, and sends.
func TestAValueThatMakesACall(t *testing.T) {
	tracer, _ := newTracer()
	p := otelscope.Propagator()
	asked := 0
	var inner []string
	v := spanning(func() {
		if asked++; asked > 100 {
			panic("it is asked without an end")
		}
		ctx, span := tracer.Start(background, "look up")
		defer span.End()
		carrier := propagation.MapCarrier{}
		p.Inject(ctx, carrier)
		inner = append(inner, carrier["baggage"])
	})
	scope.New("t.both", "plain", "t.region", v, "t.shown", "eu").Run(func() {
		carrier := propagation.MapCarrier{}
		p.Inject(background, carrier)
		want(t, "sent", carrier["baggage"], "t.region=said,t.shown=eu")
	})
	want(t, "sent by its method", strings.Join(inner, " "), "t.shown=eu")
}

// A client whose baggage isn't trusted doesn't speak for the service: its member gives way to the field.
func TestBaggageThatCameInGivesWay(t *testing.T) {
	p := otelscope.Propagator()
	for _, c := range []struct {
		trust          bool
		came, had, set string // baggage of the request, of the header that is sent on, and of the program's own context
		want           string
	}{
		{false, "t.region=us,x=1", "", "", "t.region=eu,x=1"},
		{false, "t.region=%75s;p=q", "", "", "t.region=eu"},
		{false, "t.region=us", "t.region=us,y=2", "t.region=us", "t.region=eu"},
		{false, "bad", "t.region=us,y=2", "", "t.region=us,y=2"}, // which is another's
		{false, "t.region=us", "", "t.region=own", "t.region=own"},
		{false, "t.sent=us,t.user=eve", "", "", "t.region=eu,t.sent=us,t.user=eve"}, // there is no such field, or none that is sent
		{true, "t.region=us,x=1", "", "", "t.region=us,x=1"},
	} {
		carrier := propagation.MapCarrier{}
		if c.had != "" {
			carrier["baggage"] = c.had
		}
		h := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			scope.Set("t.region", "eu")
			scope.Set("t.user", "ann")
			ctx := r.Context()
			if c.set != "" {
				ctx = baggage.ContextWithBaggage(ctx, baggage.FromContext(withBaggage(t, c.set)))
			}
			p.Inject(ctx, carrier)
		}), &httpscope.Options{TrustBaggage: func(*http.Request) bool { return c.trust }})
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Baggage", c.came)
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(p.Extract(background, propagation.HeaderCarrier(r.Header))))
		want(t, fmt.Sprintf("%+v", c), sorted(carrier["baggage"]), c.want)
	}
}

// So it is with a message that a job is about.
func TestBaggageOfAMessageGivesWay(t *testing.T) {
	p := otelscope.Propagator()
	for trust, region := range map[bool]string{false: "eu", true: "us"} {
		message, sent := propagation.MapCarrier{"baggage": "t.region=us"}, propagation.MapCarrier{}
		_ = jobscope.Run(p.Extract(background, message), "work", func(ctx context.Context) error {
			scope.Set("t.region", "eu")
			p.Inject(ctx, sent)
			return nil
		}, &jobscope.Options{Headers: message, TrustBaggage: trust})
		want(t, fmt.Sprint("trusted ", trust), sent["baggage"], "t.region="+region)
		sent = propagation.MapCarrier{"baggage": "y=2 , t.region=us"} // as the message has it, which is passed on
		_ = jobscope.Run(background, "work", func(ctx context.Context) error {
			scope.Set("t.region", "eu")
			p.Inject(ctx, sent)
			return nil
		}, &jobscope.Options{Headers: message, TrustBaggage: trust})
		want(t, fmt.Sprint("passed on, trusted ", trust), sorted(strings.ReplaceAll(sent["baggage"], " ", "")), "t.region="+region+",y=2")
	}
}
