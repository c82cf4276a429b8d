package otelscope_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

type keep struct{ records []sdklog.Record }

func (k *keep) Export(_ context.Context, records []sdklog.Record) error {
	for _, r := range records {
		k.records = append(k.records, r.Clone())
	}
	return nil
}
func (k *keep) Shutdown(context.Context) error   { return nil }
func (k *keep) ForceFlush(context.Context) error { return nil }

var _ = scope.NewKey[string]("user", scope.Traced)

func TestSmoke(t *testing.T) {
	k := new(keep)
	lp := sdklog.NewLoggerProvider(sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), sdklog.WithProcessor(sdklog.NewSimpleProcessor(k)))
	l := lp.Logger("x")
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(otelscope.NewSpanProcessor(nil)), sdktrace.WithSyncer(spans))
	scope.New("request_id", "r-1", "user", "ann").Run(func() {
		_ = otelscope.Run(context.Background(), tp.Tracer("t"), "work", func(ctx context.Context) error {
			var r otellog.Record
			r.AddAttributes(attribute.Int("own", 1))
			l.Emit(context.Background(), r)
			scope.Add("db", 3)
			otelscope.Finish(ctx)
			return scope.Error(errors.New("boom"))
		})
	})
	k.records[0].WalkAttributes(func(a attribute.KeyValue) bool { t.Log(a); return true })
	t.Log(k.records[0].TraceID(), k.records[0].SpanID(), k.records[0].TraceFlags())
	for _, s := range spans.GetSpans() {
		t.Log(s.Name, s.Attributes, s.Status, s.Events)
	}
	_ = slog.Attr{}
}
