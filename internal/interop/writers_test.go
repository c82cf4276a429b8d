package interop

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/DataDog/dd-trace-go/v2/ddtrace/ext"
	"github.com/DataDog/dd-trace-go/v2/ddtrace/tracer"
	otelpyroscope "github.com/grafana/otel-profiling-go"
	"github.com/grafana/pyroscope-go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A writer is foreign code that puts labels on the running goroutine.
type writer struct {
	name   string // as the table has it
	module string
	around func(ctx context.Context, span string, fn func(context.Context))
	// The rest is nil where the writer has no such thing.
	start  func(ctx context.Context, span string) (inside context.Context, finish func())
	rename func(ctx context.Context, span string) // the span that is open in ctx
}

var writers = []writer{
	withStart(writer{
		name:   "dd-trace-go",
		module: "github.com/DataDog/dd-trace-go/v2",
		start: func(ctx context.Context, span string) (context.Context, func()) {
			s, ctx := tracer.StartSpanFromContext(ctx, span)
			return ctx, func() { s.Finish() }
		},
		rename: func(ctx context.Context, span string) {
			s, _ := tracer.SpanFromContext(ctx)
			s.SetTag(ext.ResourceName, span)
		},
	}),
	withStart(writer{
		name:   "otel-profiling-go",
		module: "github.com/grafana/otel-profiling-go",
		start: func(ctx context.Context, span string) (context.Context, func()) {
			ctx, s := otelTracer.Start(ctx, span)
			return ctx, func() { s.End() }
		},
	}),
	{
		name:   "pyroscope-go",
		module: "github.com/grafana/pyroscope-go",
		around: func(ctx context.Context, span string, fn func(context.Context)) {
			pyroscope.TagWrapper(ctx, pyroscope.Labels("span", span), fn)
		},
	},
}

func withStart(w writer) writer {
	w.around = func(ctx context.Context, span string, fn func(context.Context)) {
		ctx, finish := w.start(ctx, span)
		defer finish()
		fn(ctx)
	}
	return w
}

var otelTracer = otelpyroscope.NewTracerProvider(sdktrace.NewTracerProvider(),
	otelpyroscope.WithSpanIDLabelScope(otelpyroscope.ScopeAllSpans), // by default the root span's only
	otelpyroscope.WithSpanNameLabelScope(otelpyroscope.ScopeAllSpans)).Tracer("interop")

// received has something to take when the agent stub has got a trace.
var received = make(chan struct{}, 1)

// TestMain runs the tests with dd-trace-go's tracer started as a program starts it, its
// settings for profiler labels untouched, beside a stub of the agent.
func TestMain(m *testing.M) {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, err := strconv.Atoi(r.Header.Get("X-Datadog-Trace-Count")); err == nil && n > 0 {
			select {
			case received <- struct{}{}:
			default:
			}
		}
		fmt.Fprint(w, "{}")
	}))
	for _, v := range []string{"DD_INSTRUMENTATION_TELEMETRY_ENABLED", "DD_REMOTE_CONFIGURATION_ENABLED"} {
		os.Setenv(v, "false") // these have nothing to do with labels
	}
	if err := tracer.Start(tracer.WithAgentURL(agent.URL), tracer.WithLogStartup(false)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	tracer.Stop()
	agent.Close()
	os.Exit(code)
}

// What the tests see of dd-trace-go is the real thing: spans that arrive at an agent.
func TestTracerSendsItsSpans(t *testing.T) {
	writers[0].around(context.Background(), "sent", func(context.Context) {})
	tracer.Flush() // doesn't wait for the agent
	select {
	case <-received:
	case <-time.After(20 * time.Second):
		t.Error("the agent has got no trace")
	}
}
