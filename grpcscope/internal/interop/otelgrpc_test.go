package interop

import (
	"context"
	"log/slog"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// order is a field of spans.
var order = scope.NewKey[string]("test.order", scope.Traced)

// spanFields has the ids of the span that a stats handler has started.
func spanFields(ctx context.Context, _ grpcscope.Call) []slog.Attr { return otelscope.SpanFields(ctx) }

// The trace on our lines is that of OpenTelemetry's spans: through a client and a server that
// both have its stats handler, and where only one of them has.
func TestTraceIDsAgreeWithOtelgrpc(t *testing.T) {
	for kind, call := range kinds {
		for _, side := range []string{"both", "server", "client"} {
			spans := tracetest.NewSpanRecorder()
			opts := []otelgrpc.Option{
				otelgrpc.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))),
				otelgrpc.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
			}
			logger, lines := logs()
			serverOpts := grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs})
			clientOpts := grpcscope.DialOptions(nil)
			if side != "client" {
				serverOpts = append(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs, Fields: spanFields, Finish: otelscope.Finish}),
					grpc.StatsHandler(otelgrpc.NewServerHandler(opts...)))
			}
			if side != "server" {
				clientOpts = append(clientOpts, grpc.WithStatsHandler(otelgrpc.NewClientHandler(opts...)))
			}
			client := serve(t, func(context.Context) error {
				order.Set("o-7")
				scope.Add("test.rows", 3)
				logger.Info("in the handler")
				return nil
			}, serverOpts...)(clientOpts...)
			const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
			scope.New("request_id", "r-17", "trace_id", traceID, "trace_flags", "01").Run(func() {
				if _, err := call(t.Context(), client); err != nil {
					t.Error(err)
				}
			})
			testkit.Eventually(t, "the spans have ended", func() bool {
				return len(spans.Ended()) == map[string]int{"both": 2}[side]+map[string]int{"server": 1, "client": 1}[side]
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
