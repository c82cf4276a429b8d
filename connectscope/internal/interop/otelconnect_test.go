package interop

import (
	"context"
	"log/slog"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// order is a field of spans.
var order = scope.NewKey[string]("test.order", scope.Traced)

// spanFields has the ids of the span that an interceptor around ours has started.
func spanFields(ctx context.Context, _ connectscope.Call) []slog.Attr {
	return otelscope.SpanFields(ctx)
}

// The trace on our lines is that of OpenTelemetry's spans: through a client and a server that
// both have its interceptor, and where only one of them has. On a server it stands in front of
// ours, so that Fields finds its span, and on a client too, so that what it sends stays.
func TestTraceIDsAgreeWithOtelconnect(t *testing.T) {
	for kind, call := range kinds {
		for _, side := range []string{"both", "server", "client"} {
			spans := tracetest.NewSpanRecorder()
			otel, err := otelconnect.NewInterceptor(otelconnect.WithTrustRemote(),
				otelconnect.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))),
				otelconnect.WithMeterProvider(sdkmetric.NewMeterProvider()),
				otelconnect.WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})))
			if err != nil {
				t.Fatal(err)
			}
			logger, lines := logs()
			ours := connectscope.NewInterceptor(&connectscope.Options{Log: logger.LogAttrs, Fields: spanFields, Finish: otelscope.Finish})
			onServer, onClient := []connect.Interceptor{ours}, []connect.Interceptor{ours}
			if side != "client" {
				onServer = []connect.Interceptor{otel, ours}
			}
			if side != "server" {
				onClient = []connect.Interceptor{otel, ours}
			}
			by, url := serve(t, echo(func(context.Context) error {
				order.Set("o-7")
				scope.Add("test.rows", 3)
				logger.Info("in the handler")
				return nil
			}, connect.WithInterceptors(onServer...)))
			const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
			scope.New("request_id", "r-17", "trace_id", traceID, "trace_flags", "01").Run(func() {
				if err := call(t.Context(), by, url, connect.WithInterceptors(onClient...)); err != nil {
					t.Error(err)
				}
			})
			testkit.Eventually(t, "the spans have ended", func() bool {
				return len(spans.Ended()) == map[string]int{"both": 2, "server": 1, "client": 1}[side]
			})
			byKind := map[trace.SpanKind]sdktrace.ReadOnlySpan{}
			for _, s := range spans.Ended() {
				byKind[s.SpanKind()] = s
			}
			for range 2 {
				line := lines.Next(t)
				want := testkit.Line{"request_id": "r-17", "trace_id": traceID}
				if s := byKind[trace.SpanKindServer]; s != nil {
					want["trace_id"], want["span_id"] = s.SpanContext().TraceID().String(), s.SpanContext().SpanID().String()
				}
				if s := byKind[trace.SpanKindClient]; s != nil {
					want["trace_id"], want["parent_span_id"] = s.SpanContext().TraceID().String(), s.SpanContext().SpanID().String()
				}
				line.Want(t, want)
			}
			if s := byKind[trace.SpanKindServer]; s != nil {
				attrs := attribute.NewSet(s.Attributes()...)
				for key, want := range map[attribute.Key]attribute.Value{"test.order": attribute.StringValue("o-7"), "test.rows": attribute.Int64Value(3)} {
					if got, _ := attrs.Value(key); got != want {
						t.Errorf("%s: the span of the server has %s=%v, not %v", kind, key, got, want)
					}
				}
			}
			if s := byKind[trace.SpanKindServer]; side == "server" && s.Parent().TraceID().String() != traceID {
				t.Errorf("%s: the span of the server has the trace %s", kind, s.Parent().TraceID())
			}
		}
	}
}
