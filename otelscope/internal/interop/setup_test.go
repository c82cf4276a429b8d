package interop

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	zerologlog "github.com/rs/zerolog/log"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/bridges/otelzap"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// The keys that may become attributes of spans and metrics, and leave the process.
var (
	_      = scope.NewKey[string]("request_id", scope.Traced, scope.Measured) // Measured for the tests' sake: programs measure by what has few values
	tenant = scope.NewKey[string]("tenant", scope.Propagated, scope.Traced)
	plan   = scope.NewKey[string]("plan", scope.Measured)
	_      = scope.NewKey[string]("card", scope.Redacted, scope.Traced)
	_      = scope.NewKey[string]("token", scope.Hidden, scope.Traced, scope.Measured)
)

func TestMain(m *testing.M) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) // exporters fail on purpose
	testkit.Main(m)
}

// An exporting is one of the ways to an OTLP receiver.
type exporting struct {
	name      string
	queue     int // how many spans, and how many records, may wait; 0 means many
	exporters func(t testing.TB, r *receiver) (sdktrace.SpanExporter, sdklog.Exporter, sdkmetric.Exporter)
}

// attempt bounds one export: a receiver that doesn't answer must not hold up a test.
const attempt = 2 * time.Second

var overGRPC = exporting{name: "gRPC", exporters: func(t testing.TB, r *receiver) (sdktrace.SpanExporter, sdklog.Exporter, sdkmetric.Exporter) {
	ctx := context.Background()
	spans, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(r.grpcAddr), otlptracegrpc.WithInsecure(), otlptracegrpc.WithTimeout(attempt),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
	must(t, err)
	logs, err := otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(r.grpcAddr), otlploggrpc.WithInsecure(), otlploggrpc.WithTimeout(attempt),
		otlploggrpc.WithRetry(otlploggrpc.RetryConfig{}))
	must(t, err)
	metrics, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(r.grpcAddr), otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithTimeout(attempt),
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{}))
	must(t, err)
	return spans, logs, metrics
}}

var exportings = []exporting{overGRPC, {name: "HTTP", exporters: func(t testing.TB, r *receiver) (sdktrace.SpanExporter, sdklog.Exporter, sdkmetric.Exporter) {
	ctx := context.Background()
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(r.httpAddr), otlptracehttp.WithInsecure(), otlptracehttp.WithTimeout(attempt),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	must(t, err)
	logs, err := otlploghttp.New(ctx, otlploghttp.WithEndpoint(r.httpAddr), otlploghttp.WithInsecure(), otlploghttp.WithTimeout(attempt),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{}))
	must(t, err)
	metrics, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(r.httpAddr), otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithTimeout(attempt),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{}))
	must(t, err)
	return spans, logs, metrics
}}}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A telemetry is what a program sets up: the providers with otelscope's processors and batches
// behind them, loggers that write lines, and bridges. The loggers are the process's own, too,
// as long as the test runs.
type telemetry struct {
	t        testing.TB
	receiver *receiver
	lines    *testkit.Buffer // what slog, zap and zerolog write
	tracers  *sdktrace.TracerProvider
	loggers  *sdklog.LoggerProvider
	meters   *sdkmetric.MeterProvider
	tracer   trace.Tracer
	// The bridges, which write no lines.
	otelslog *slog.Logger
	otelzap  *zap.Logger
}

// propagator is what a program gives to otelhttp and otelgrpc.
var propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, otelscope.Propagator())

func start(t testing.TB, e exporting, opts ...sdktrace.TracerProviderOption) *telemetry {
	t.Helper()
	r := startReceiver(t)
	spans, logs, metrics := e.exporters(t, r)
	if e.queue == 0 {
		e.queue = 1 << 16
	}
	tel := &telemetry{t: t, receiver: r, lines: new(testkit.Buffer)}
	tel.tracers = sdktrace.NewTracerProvider(append([]sdktrace.TracerProviderOption{
		sdktrace.WithSpanProcessor(otelscope.NewSpanProcessor(nil)),
		sdktrace.WithSpanProcessor(sdktrace.NewBatchSpanProcessor(spans, sdktrace.WithMaxQueueSize(e.queue))),
	}, opts...)...)
	tel.loggers = sdklog.NewLoggerProvider(
		sdklog.WithProcessor(otelscope.NewLogProcessor(nil)),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(logs, sdklog.WithMaxQueueSize(e.queue))))
	tel.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics, sdkmetric.WithInterval(time.Hour))))
	tel.tracer = tel.tracers.Tracer("interop")
	tel.otelslog = slog.New(otelslog.NewHandler("interop", otelslog.WithLoggerProvider(tel.loggers)))
	tel.otelzap = zap.New(otelzap.NewCore("interop", otelzap.WithLoggerProvider(tel.loggers)))

	oldSlog, oldZerolog := slog.Default(), zerologlog.Logger
	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(tel.lines, nil), nil)))
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
	restoreZap := zap.ReplaceGlobals(zap.New(zaph.New(zapcore.NewCore(encoder, tel.lines, zap.InfoLevel), nil)))
	zerologlog.Logger = zerolog.New(tel.lines).Hook(zeroh.New(nil))
	zerolog.MessageFieldName = "msg"
	t.Cleanup(func() {
		slog.SetDefault(oldSlog)
		restoreZap()
		zerologlog.Logger = oldZerolog
		r.stop()
		tel.shutdown()
		// If a Shutdown of the test has failed, its exporter still has connections.
		_, _, _ = spans.Shutdown(context.Background()), logs.Shutdown(context.Background()), metrics.Shutdown(context.Background())
	})
	return tel
}

// say writes a line with each of the loggers and a record with each of the bridges, as code
// does that knows nothing of contexts and spans.
func (tel *telemetry) say(msg string) {
	slog.Info(msg, "by", "slog")
	zap.L().Info(msg, zap.String("by", "zap"))
	zerologlog.Info().Str("by", "zerolog").Msg(msg)
	tel.otelslog.Info(msg, "by", "otelslog")
	tel.otelzap.Info(msg, zap.String("by", "otelzap"))
}

// flush has all that was recorded so far at the receiver when it returns.
func (tel *telemetry) flush() (spans, logs, metrics []item) {
	tel.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	for _, err := range []error{tel.tracers.ForceFlush(ctx), tel.loggers.ForceFlush(ctx), tel.meters.ForceFlush(ctx)} {
		must(tel.t, err)
	}
	return tel.receiver.received()
}

// shutdown ends what the providers have going on, whether the receiver answers or not.
func (tel *telemetry) shutdown() {
	var all sync.WaitGroup
	for _, end := range []func(context.Context) error{tel.tracers.Shutdown, tel.loggers.Shutdown, tel.meters.Shutdown} {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), attempt)
			defer cancel()
			_ = end(ctx)
		})
	}
	all.Wait()
}

// written returns the lines so far whose message is msg, by the logger that has written them.
// There must be one of each.
func (tel *telemetry) written(msg string) map[string]testkit.Line {
	tel.t.Helper()
	found := map[string]testkit.Line{}
	for _, text := range tel.lines.Lines() {
		line := parse(tel.t, text)
		if line["msg"] != msg {
			continue
		}
		by, _ := line["by"].(string)
		if found[by] != nil {
			tel.t.Errorf("%s has written %q twice", by, msg)
		}
		for _, key := range []string{"trace_id", "span_id", "request_id"} {
			if strings.Count(text, `"`+key+`"`) > 1 {
				tel.t.Errorf("%s is twice on the line %s", key, text)
			}
		}
		found[by] = line
	}
	return found
}

// wantSaid checks what has become of the calls of say with msg: each line has these fields; each
// record has them too, but for trace_id and span_id, which are its own. A nil says that there is no
// such field.
func (tel *telemetry) wantSaid(msg string, want testkit.Line) {
	tel.t.Helper()
	lines := tel.written(msg)
	for _, by := range []string{"slog", "zap", "zerolog"} {
		if lines[by] == nil {
			tel.t.Errorf("%s has written no line %q", by, msg)
			continue
		}
		lines[by].Want(tel.t, want)
	}
	_, logs, _ := tel.flush()
	for _, by := range []string{"otelslog", "otelzap"} {
		var found []item
		for _, l := range logs {
			if l.name == msg && l.attrs["by"] == by {
				found = append(found, l)
			}
		}
		if len(found) != 1 {
			tel.t.Errorf("%d records %q of %s have arrived, want one", len(found), msg, by)
			continue
		}
		record := found[0]
		for key, value := range want {
			got := record.attrs[key]
			switch key {
			case "trace_id":
				got = orNil(record.trace)
			case "span_id":
				got = orNil(record.span)
			}
			if got != value {
				tel.t.Errorf("a record of %s: %s is %v, want %v\nin %+v", by, key, got, value, record)
			}
		}
	}
}

func parse(t testing.TB, text string) testkit.Line {
	t.Helper()
	line := testkit.Line{}
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return line
}

func orNil(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// otelhttp returns h behind otelhttp's handler.
func (tel *telemetry) otelhttp(h http.Handler) http.Handler {
	return otelhttp.NewHandler(h, "server", otelhttp.WithTracerProvider(tel.tracers), otelhttp.WithMeterProvider(tel.meters), otelhttp.WithPropagators(propagator))
}

// serve serves h on the loopback interface until the test ends.
func serve(t testing.TB, h http.Handler) (url string, client *http.Client) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL, s.Client()
}

// get sends a request with these headers, and reads its answer.
func get(t testing.TB, client *http.Client, url string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	must(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	must(t, err)
	resp.Body.Close()
	return resp
}
