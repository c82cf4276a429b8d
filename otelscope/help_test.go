package otelscope_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// Keys of the tests. A policy belongs to the name for the whole process.
var (
	_ = scope.NewKey[string]("t.user", scope.Traced)
	_ = scope.NewKey[string]("t.late", scope.Traced)
	_ = scope.NewKey[string]("t.hidden", scope.Traced, scope.Measured, scope.Hidden)
	_ = scope.NewKey[string]("t.redacted", scope.Traced, scope.Measured, scope.Redacted)
	_ = scope.NewKey[string]("t.tenant", scope.Measured)
	_ = scope.NewKey[string]("t.both", scope.Traced, scope.Measured)
	_ = scope.NewKey[string]("t.region", scope.Propagated)
	_ = scope.NewKey[string]("t.sent", scope.Propagated, scope.Hidden)
	_ = scope.NewKey[string]("t.shown", scope.Propagated, scope.Redacted)
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
)

// noContext is nil.
var noContext context.Context

// remote is the context of a server that was sent traceID and spanID.
func remote() context.Context {
	trace16, _ := trace.TraceIDFromHex(traceID)
	span8, _ := trace.SpanIDFromHex(spanID)
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace16, SpanID: span8, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}

// records takes the records of a logger: a processor that keeps them.
type records struct {
	mu  sync.Mutex
	all []sdklog.Record
}

func (k *records) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (k *records) OnEmit(_ context.Context, r *sdklog.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, r.Clone())
	return nil
}

func (k *records) Shutdown(context.Context) error   { return nil }
func (k *records) ForceFlush(context.Context) error { return nil }

// take returns what has come since the last call, each as text.
func (k *records) take() (lines []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.all {
		lines = append(lines, describe(r))
	}
	k.all = nil
	return lines
}

// describe returns the body, the attributes and the ids of r: "hello a=1 [trace/span/01]".
func describe(r sdklog.Record) string {
	words := []string{r.Body().AsString()}
	r.WalkAttributes(func(a attribute.KeyValue) bool {
		words = append(words, fmt.Sprintf("%s=%s", a.Key, a.Value))
		return true
	})
	if r.TraceID().IsValid() || r.SpanID().IsValid() {
		words = append(words, fmt.Sprintf("[%s/%s/%s]", r.TraceID(), r.SpanID(), r.TraceFlags()))
	}
	return strings.Join(words, " ")
}

// newLogger returns a logger whose records are stamped, and where they go.
func newLogger(opts *otelscope.LogOptions) (otellog.Logger, *records) {
	k := new(records)
	return sdklog.NewLoggerProvider(sdklog.WithProcessor(otelscope.NewLogProcessor(opts)), sdklog.WithProcessor(k)).Logger("test"), k
}

// emit logs "hello" with attributes, as a bridge does it.
func emit(l otellog.Logger, ctx context.Context, attrs ...attribute.KeyValue) {
	var r otellog.Record
	r.SetBody(attribute.StringValue("hello"))
	r.AddAttributes(attrs...)
	l.Emit(ctx, r)
}

func wantLines(t *testing.T, k *records, want ...string) {
	t.Helper()
	if got := k.take(); !slices.Equal(got, want) {
		t.Errorf("records\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// newTracer returns a tracer whose spans have a span processor of otelscope, and where they go.
func newTracer(opts ...sdktrace.TracerProviderOption) (trace.Tracer, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(append([]sdktrace.TracerProviderOption{
		sdktrace.WithSpanProcessor(otelscope.NewSpanProcessor(nil)), sdktrace.WithSpanProcessor(spans)}, opts...)...)
	return tp.Tracer("test"), spans
}

// text returns attributes as "a=1 b=x", in their order.
func text(attrs []attribute.KeyValue) string {
	var words []string
	for _, a := range attrs {
		words = append(words, fmt.Sprintf("%s=%s", a.Key, a.Value))
	}
	return strings.Join(words, " ")
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// bound returns the ids that are bound here: "trace/span/01", or "" if there are none.
func bound() string {
	id := scope.GetOr("trace_id", "")
	if id == "" {
		return ""
	}
	return id + "/" + scope.GetOr("span_id", "") + "/" + scope.GetOr("trace_flags", "")
}

// idsOf returns what bound does inside of the span of sc.
func idsOf(sc trace.SpanContext) string {
	return sc.TraceID().String() + "/" + sc.SpanID().String() + "/" + sc.TraceFlags().String()
}
