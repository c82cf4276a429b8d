package interop

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// An item is a span, a log record or a data point, as it has arrived.
type item struct {
	name                string // of the span or the metric; a log record's body
	trace, span, parent string // ids in hex, "" for none
	flags               uint32
	attrs               map[string]any
	events              []string // what a span has: "exception: boom"
}

// A receiver is what an OTLP collector is to its clients: it takes what they send over gRPC
// and over HTTP with protobuf.
type receiver struct {
	grpcAddr, httpAddr string
	stop               func() // both servers, with all their connections

	mu                   sync.Mutex
	spans, logs, metrics []item
	stuck                chan struct{} // an export waits until it is closed; nil: none waits
	refuses              bool
	calls                int // exports that have begun
}

func startReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(s, traceService{r: r})
	collogs.RegisterLogsServiceServer(s, logsService{r: r})
	colmetrics.RegisterMetricsServiceServer(s, metricsService{r: r})
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(listener) })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", overHTTP(r.takeSpans, new(coltrace.ExportTraceServiceResponse)))
	mux.HandleFunc("POST /v1/logs", overHTTP(r.takeLogs, new(collogs.ExportLogsServiceResponse)))
	mux.HandleFunc("POST /v1/metrics", overHTTP(r.takeMetrics, new(colmetrics.ExportMetricsServiceResponse)))
	h := httptest.NewServer(mux)
	r.grpcAddr, r.httpAddr = listener.Addr().String(), h.Listener.Addr().String()
	r.stop = sync.OnceFunc(func() {
		r.release()
		s.Stop()
		h.CloseClientConnections()
		h.Close()
		served.Wait()
	})
	t.Cleanup(r.stop)
	return r
}

type traceService struct {
	coltrace.UnimplementedTraceServiceServer
	r *receiver
}

func (s traceService) Export(ctx context.Context, req *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	return new(coltrace.ExportTraceServiceResponse), s.r.takeSpans(ctx, req)
}

type logsService struct {
	collogs.UnimplementedLogsServiceServer
	r *receiver
}

func (s logsService) Export(ctx context.Context, req *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	return new(collogs.ExportLogsServiceResponse), s.r.takeLogs(ctx, req)
}

type metricsService struct {
	colmetrics.UnimplementedMetricsServiceServer
	r *receiver
}

func (s metricsService) Export(ctx context.Context, req *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	return new(colmetrics.ExportMetricsServiceResponse), s.r.takeMetrics(ctx, req)
}

// overHTTP answers a request whose body is an M with response.
func overHTTP[M any, P interface {
	*M
	proto.Message
}](take func(context.Context, P) error, response proto.Message) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		message := P(new(M))
		if err == nil {
			err = proto.Unmarshal(body, message)
		}
		if err == nil && r.Header.Get("Content-Type") != "application/x-protobuf" {
			err = fmt.Errorf("the content type is %q", r.Header.Get("Content-Type"))
		}
		if err == nil {
			err = take(r.Context(), message)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer, _ := proto.Marshal(response)
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(answer)
	}
}

// block makes all exports wait until release is called or their client gives up.
func (r *receiver) block() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stuck = make(chan struct{})
}

// refuse makes all exports fail.
func (r *receiver) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses = true
}

func (r *receiver) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stuck != nil {
		close(r.stuck)
		r.stuck = nil
	}
}

// exports returns how many calls there were.
func (r *receiver) exports() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

func (r *receiver) take(ctx context.Context, keep func()) error {
	r.mu.Lock()
	r.calls++
	stuck := r.stuck
	r.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuses {
		return status.Error(codes.Unavailable, "not now")
	}
	keep()
	return nil
}

func (r *receiver) takeSpans(ctx context.Context, req *coltrace.ExportTraceServiceRequest) error {
	return r.take(ctx, func() {
		for _, resource := range req.ResourceSpans {
			for _, library := range resource.ScopeSpans {
				for _, s := range library.Spans {
					got := item{name: s.Name, trace: hex.EncodeToString(s.TraceId), span: hex.EncodeToString(s.SpanId),
						parent: hex.EncodeToString(s.ParentSpanId), flags: s.Flags, attrs: attributes(s.Attributes)}
					for _, e := range s.Events {
						got.events = append(got.events, fmt.Sprintf("%s: %v", e.Name, attributes(e.Attributes)["exception.message"]))
					}
					r.spans = append(r.spans, got)
				}
			}
		}
	})
}

func (r *receiver) takeLogs(ctx context.Context, req *collogs.ExportLogsServiceRequest) error {
	return r.take(ctx, func() {
		for _, resource := range req.ResourceLogs {
			for _, library := range resource.ScopeLogs {
				for _, l := range library.LogRecords {
					r.logs = append(r.logs, item{name: l.Body.GetStringValue(), trace: hex.EncodeToString(l.TraceId),
						span: hex.EncodeToString(l.SpanId), flags: l.Flags, attrs: attributes(l.Attributes)})
				}
			}
		}
	})
}

func (r *receiver) takeMetrics(ctx context.Context, req *colmetrics.ExportMetricsServiceRequest) error {
	return r.take(ctx, func() {
		r.metrics = nil // each export has all that was measured so far
		keep := func(name string, attrs []*common.KeyValue) {
			r.metrics = append(r.metrics, item{name: name, attrs: attributes(attrs)})
		}
		for _, resource := range req.ResourceMetrics {
			for _, library := range resource.ScopeMetrics {
				for _, m := range library.Metrics {
					switch data := m.Data.(type) {
					case *metrics.Metric_Sum:
						for _, p := range data.Sum.DataPoints {
							keep(m.Name, p.Attributes)
						}
					case *metrics.Metric_Histogram:
						for _, p := range data.Histogram.DataPoints {
							keep(m.Name, p.Attributes)
						}
					}
				}
			}
		}
	})
}

// attributes returns a key that is there twice with both values, as a twice.
func attributes(list []*common.KeyValue) map[string]any {
	attrs := map[string]any{}
	for _, kv := range list {
		if had, again := attrs[kv.Key]; again {
			attrs[kv.Key] = twice{had, valueOf(kv.Value)}
		} else {
			attrs[kv.Key] = valueOf(kv.Value)
		}
	}
	return attrs
}

type twice [2]any

func valueOf(v *common.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	case *common.AnyValue_BytesValue:
		return v.BytesValue
	case *common.AnyValue_ArrayValue:
		list := []any{}
		for _, e := range v.ArrayValue.GetValues() {
			list = append(list, valueOf(e))
		}
		return list
	case *common.AnyValue_KvlistValue:
		return attributes(v.KvlistValue.GetValues())
	}
	return nil
}

// received returns what has come so far.
func (r *receiver) received() (spans, logs, metrics []item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans), slices.Clone(r.logs), slices.Clone(r.metrics)
}

// named returns the only item of this name.
func named(t testing.TB, items []item, name string) item {
	t.Helper()
	var found []item
	for _, i := range items {
		if i.name == name {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d of %q, want one, in %v", len(found), name, items)
	}
	return found[0]
}

// want compares the attributes that want names; a nil says that there is no such attribute.
func (i item) want(t testing.TB, want map[string]any) {
	t.Helper()
	for key, value := range want {
		if got := i.attrs[key]; got != value {
			t.Errorf("%q: %s is %v, want %v", i.name, key, got, value)
		}
	}
}
