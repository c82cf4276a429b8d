package otelscope_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// A nowhere is a processor that exports nothing but looks as if.
type nowhere struct{ sdklog.Processor }

func (nowhere) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (nowhere) OnEmit(context.Context, *sdklog.Record) error           { return nil }

// A record that is stamped allocates what it does with the same attributes of its own: nothing for
// up to five in all, of which the SDK has room.
func TestAStampedRecordAllocatesWhatTheBareOneDoes(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	bare := sdklog.NewLoggerProvider(sdklog.WithProcessor(nowhere{})).Logger("test")
	stamping := sdklog.NewLoggerProvider(sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), sdklog.WithProcessor(nowhere{})).Logger("test")
	log := func(l otellog.Logger, ctx context.Context, own, attrs []attribute.KeyValue) float64 {
		return testing.AllocsPerRun(100, func() {
			var r otellog.Record
			r.AddAttributes(own...)
			r.AddAttributes(attrs...)
			l.Emit(ctx, r)
		})
	}
	own := []attribute.KeyValue{attribute.Int("own", 1)}
	for _, fields := range []int{0, 1, 4, 12} {
		s := scopekit.Of(fields)
		var attrs []attribute.KeyValue
		for key, value := range s.All() {
			attrs = append(attrs, attribute.String(key, value.String()))
		}
		budget := log(bare, background, own, attrs)
		other := scope.NewContext(background, s)
		if got := log(stamping, other, own, nil); got > budget {
			t.Errorf("%d fields of another task: %v allocations, as its own %v", fields, got, budget)
		}
		s.With("trace_id", traceID, "span_id", spanID, "trace_flags", "01").Run(func() {
			if got := log(stamping, background, own, nil); got > budget {
				t.Errorf("%d fields and ids: %v allocations, as its own %v", fields, got, budget)
			}
			if got := log(stamping, background, []attribute.KeyValue{attribute.Int("key0", 1)}, nil); got > budget+1 { // a func that knows the record
				t.Errorf("%d fields, one on the record already: %v allocations, as its own %v", fields, got, budget)
			}
		})
		s.With("trace_id", traceID, "span_id", "0000000000000007", "parent_span_id", "p").Run(func() {
			if got := log(stamping, remote(), own, nil); got > budget+1 { // the same
				t.Errorf("%d fields and a parent, of another span: %v allocations, as its own %v", fields, got, budget)
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	check := func(what string, budget float64, fn func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, fn); got > budget {
			t.Errorf("%s: %v allocations, want %v", what, got, budget)
		}
	}
	s := scope.New("request_id", "r-1", "t.user", "ann", "t.tenant", "acme")
	check("MetricOption", 0, func() { otelscope.MetricOption(s) })
	check("MetricOption of nothing", 0, func() { otelscope.MetricOption(scope.Scope{}) })
	check("Attributes", 1, func() { otelscope.Attributes(s, scope.Traced) })

	p := otelscope.NewSpanProcessor(nil)
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p)).Tracer("test")
	ctx, span := tracer.Start(background, "work")
	defer span.End()
	scope.New("request_id", "r-1").Run(func() {
		check("OnStart without a Traced key", 0, func() { p.OnStart(ctx, span.(sdktrace.ReadWriteSpan)) })
	})
	s.Run(func() {
		check("OnStart with keys that the span has", 0, func() { p.OnStart(ctx, span.(sdktrace.ReadWriteSpan)) })
	})
	check("SpanFields", 2, func() { otelscope.SpanFields(ctx) }) // one for the ids, which are parts of one string, and the slice
	scope.New("request_id", "r-1").Run(func() {
		check("Finish with nothing to add", 0, func() { otelscope.Finish(ctx) })
		_, a := tracer.Start(background, "work")
		_, b := tracer.Start(background, "work")
		ctx, more := trace.ContextWithSpan(background, b), []attribute.KeyValue{attribute.Int("own", 1)}
		bare := testing.AllocsPerRun(100, func() { a.SetAttributes(more...) })
		check("SetAttributes after a Finish with nothing to add", bare, func() { otelscope.Finish(ctx); b.SetAttributes(more...) })
	})
	check("Attributes of a scope that is new", 12, func() {
		otelscope.Attributes(s.With("t.user", "joe"), scope.Traced)
	})
	none := func(context.Context) error { return nil }
	run := func(what string, ctx context.Context, budget float64) {
		bare := testing.AllocsPerRun(100, func() { _, span := tracer.Start(ctx, "work"); span.End() })
		check(what, bare+budget, func() { _ = otelscope.Run(ctx, tracer, "work", none) })
	}
	s.Run(func() { run("Run where no ids are bound", background, 9) })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("traceparent", "00-"+traceID+"-"+spanID+"-01")
	handler := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		scope.Set("t.user", "ann")
		run("Run in a request", r.Context(), runInARequest)
		_ = otelscope.Run(r.Context(), tracer, "outer", func(ctx context.Context) error {
			run("Run in another", ctx, runInARequest)
			return nil
		})
	}), &httpscope.Options{Fields: otelscope.Fields})
	handler.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if says := fmt.Sprintf("up to %d allocations more", runInARequest); !strings.Contains(strings.Join(strings.Fields(string(readme)), " "), says) {
		t.Errorf("README.md doesn't say %q", says)
	}
}

// runInARequest is how many allocations README.md says that Run adds.
const runInARequest = 14

// The first record of a scope converts its fields: for that the fields, their attributes and what is
// remembered are allocated.
func TestWhatTheFirstRecordOfAScopeAllocates(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	p, s := otelscope.NewLogProcessor(nil), scope.New("request_id", "r-1")
	var r sdklog.Record
	bare := testing.AllocsPerRun(100, func() { scope.NewContext(background, s.With("order", "o-7")) })
	with := testing.AllocsPerRun(100, func() {
		r.SetAttributes()
		_ = p.OnEmit(scope.NewContext(background, s.With("order", "o-7")), &r)
	})
	if got, budget := with-bare, 3.; got > budget {
		t.Errorf("%v allocations, want %v", got, budget)
	}
}
