package otelscope_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

var (
	User   = scope.NewKey[string]("enduser.id", scope.Traced)           // on spans
	Tenant = scope.NewKey[string]("tenant", scope.Measured)             // on measurements that are given MetricOption
	Region = scope.NewKey[string]("cloud.region", scope.Propagated)     // in baggage, to the next service
	Card   = scope.NewKey[string]("card", scope.Traced, scope.Redacted) // on spans as [REDACTED]
)

// A printer exports spans and log records to the standard output, without times and ids.
type printer struct{}

func (printer) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		fmt.Println("span", s.Name(), text(s.Attributes()))
		for _, e := range s.Events() {
			fmt.Println("  event", e.Name, text(e.Attributes))
		}
	}
	return nil
}

func (printer) Export(_ context.Context, records []sdklog.Record) error {
	for _, r := range records {
		var attrs []attribute.KeyValue
		r.WalkAttributes(func(a attribute.KeyValue) bool { attrs = append(attrs, a); return true })
		fmt.Println("record", r.Body().AsString(), text(attrs), "in a span:", r.SpanID().IsValid())
	}
	return nil
}

func (printer) Shutdown(context.Context) error   { return nil }
func (printer) ForceFlush(context.Context) error { return nil }

// say logs as code does that has no context, through a bridge such as otelslog.
func say(logs otellog.LoggerProvider, message string) {
	var r otellog.Record
	r.SetBody(attribute.StringValue(message))
	logs.Logger("shop").Emit(context.Background(), r)
}

// What a service does at start-up, and what its signals have then.
func Example() {
	spanExporter, logExporter := printer{}, printer{}

	logs := sdklog.NewLoggerProvider(
		sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), // in front of what exports
		sdklog.WithProcessor(sdklog.NewSimpleProcessor(logExporter)))
	spans := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(otelscope.NewSpanProcessor(nil)),
		sdktrace.WithSyncer(spanExporter))
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, otelscope.Propagator()))

	tracer := spans.Tracer("shop")
	scope.New("request_id", "r-17", User.Attr("u1"), Card.Attr("4111")).Run(func() {
		err := otelscope.Run(context.Background(), tracer, "charge", func(ctx context.Context) error {
			say(logs, "charging card") // has request_id, trace_id and span_id
			_, span := tracer.Start(ctx, "bank")
			span.End()
			return nil
		})
		say(logs, fmt.Sprint("charged, error ", err))
	})
	// Output:
	// record charging card request_id=r-17 enduser.id=u1 card=[REDACTED] in a span: true
	// span bank enduser.id=u1 card=[REDACTED]
	// span charge enduser.id=u1 card=[REDACTED]
	// record charged, error <nil> request_id=r-17 enduser.id=u1 card=[REDACTED] in a span: false
}

// The entry of an HTTP service. otelhttp.NewHandler goes around what Handler returns.
func ExampleFinish() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(http.ResponseWriter, *http.Request) {
		User.Set("u1") // the span has started by now
		scope.Add("db.queries", 2)
	})
	handler := httpscope.Handler(mux, &httpscope.Options{Fields: otelscope.Fields, Finish: otelscope.Finish})

	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(printer{})).Tracer("otelhttp")
	instrumented := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // as otelhttp does it
		ctx, span := tracer.Start(r.Context(), "GET /orders")
		defer span.End()
		handler.ServeHTTP(w, r.WithContext(ctx))
	})
	instrumented.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/orders", nil))
	// Output:
	// span GET /orders enduser.id=u1 db.queries=2
}

// An error that was made with scope.Error brings the fields of where things went wrong.
func ExampleRun() {
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(printer{})).Tracer("shop")
	err := otelscope.Run(context.Background(), tracer, "ship", func(ctx context.Context) (err error) {
		scope.With(User.Attr("u1")).Run(func() { err = scope.Error(errors.New("out of stock")) })
		return err
	})
	fmt.Println(err)
	// Output:
	// span ship error.type=*errors.errorString
	//   event exception exception.type=*errors.errorString exception.message=out of stock enduser.id=u1
	// out of stock
}

// A counter by tenant, where none of the code that counts knows the tenant.
func ExampleMetricOption() {
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("shop")
	charged, _ := meter.Int64Counter("charged")

	scope.New("request_id", "r-17", Tenant.Attr("acme")).Run(func() {
		charged.Add(context.Background(), 1, otelscope.MetricOption(scope.Current()))
	})

	var data metricdata.ResourceMetrics
	_ = reader.Collect(context.Background(), &data)
	for _, p := range data.ScopeMetrics[0].Metrics[0].Data.(metricdata.Sum[int64]).DataPoints {
		fmt.Println(text(p.Attributes.ToSlice()), p.Value)
	}
	// Output:
	// tenant=acme 1
}

func ExamplePropagator() {
	propagator := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, otelscope.Propagator())
	headers := propagation.MapCarrier{}
	scope.New("request_id", "r-17", Region.Attr("eu")).Run(func() {
		propagator.Inject(context.Background(), headers)
	})
	fmt.Println(headers)
	// Output:
	// map[baggage:cloud.region=eu]
}

// A span that isn't otelhttp's: what to give it, if its library takes attributes.
func ExampleAttributes() {
	s := scope.New("request_id", "r-17", User.Attr("u1"), Card.Attr("4111"))
	fmt.Println(text(otelscope.Attributes(s, scope.Traced)))
	// Output:
	// enduser.id=u1 card=[REDACTED]
}

// Code below that logs the ids of the span, without a context.
func ExampleSpanFields() {
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 15: 1}, SpanID: trace.SpanID{7: 1},
	}))
	scope.New().Run(func() {
		scope.SetAttrs(otelscope.SpanFields(ctx)...)
		fmt.Println(scope.Current())
	})
	// Output:
	// trace_id=4b000000000000000000000000000001 span_id=0000000000000001
}
