package interop

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// A healthServer calls fn for each call of either kind.
type healthServer struct {
	health.UnimplementedHealthServer
	fn func(context.Context)
}

func (s healthServer) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	s.fn(ctx)
	return &health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING}, nil
}

func (s healthServer) Watch(_ *health.HealthCheckRequest, stream grpc.ServerStreamingServer[health.HealthCheckResponse]) error {
	s.fn(stream.Context())
	return stream.Send(&health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING})
}

// Two ways to begin a task for a call.
var interceptors = map[string]func(ctx context.Context, method string, call func(context.Context) error) error{
	"scope.New": func(ctx context.Context, _ string, call func(context.Context) error) (err error) {
		s := scope.New(slog.String("request_id", "r-17"))
		for _, a := range otelscope.SpanFields(ctx) {
			s = s.With(a)
		}
		s.Run(func() { err = call(scope.NewContext(ctx, s)) })
		return err
	},
	"jobscope.Run": func(ctx context.Context, method string, call func(context.Context) error) error {
		return jobscope.Run(ctx, method, call, &jobscope.Options{
			Fields: otelscope.SpanFields,
			ID:     func() string { return "r-17" },
		})
	},
}

type serverStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s serverStream) Context() context.Context { return s.ctx }

// dial serves fn over gRPC with otelgrpc on both sides.
func (tel *telemetry) dial(fn func(context.Context), enter func(ctx context.Context, method string, call func(context.Context) error) error) health.HealthClient {
	tel.t.Helper()
	options := []otelgrpc.Option{otelgrpc.WithTracerProvider(tel.tracers), otelgrpc.WithMeterProvider(tel.meters), otelgrpc.WithPropagators(propagator)}
	s := grpc.NewServer(
		grpc.StatsHandler(otelgrpc.NewServerHandler(options...)),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
			err = enter(ctx, info.FullMethod, func(ctx context.Context) (err error) {
				resp, err = handler(ctx, req)
				return err
			})
			return resp, err
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return enter(stream.Context(), info.FullMethod, func(ctx context.Context) error { return handler(srv, serverStream{stream, ctx}) })
		}))
	health.RegisterHealthServer(s, healthServer{fn: fn})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(tel.t, err)
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(listener) })
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(otelgrpc.NewClientHandler(options...)))
	must(tel.t, err)
	tel.t.Cleanup(func() {
		conn.Close()
		s.Stop()
		served.Wait()
	})
	return health.NewHealthClient(conn)
}

func TestUnderAServerSpanOfOtelgrpc(t *testing.T) {
	for name, enter := range interceptors {
		for _, kind := range []string{"unary", "stream"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				tel := start(t, overGRPC)
				var sent metadata.MD
				client := tel.dial(func(ctx context.Context) {
					sent, _ = metadata.FromIncomingContext(ctx)
					work(ctx, tel)
				}, enter)
				// The client has a span of its own, and a field that may go along.
				_ = otelscope.Run(t.Context(), tel.tracer, "caller", func(ctx context.Context) error {
					plan.Set("gold")
					tenant.Set("acme")
					return callHealth(ctx, client, kind)
				})

				caller := tel.serverSpan(func(i item) bool { return i.name == "caller" })
				outgoing := tel.serverSpan(func(i item) bool { return i.parent == caller.span })
				server := tel.serverSpan(func(i item) bool { return i.parent == outgoing.span })
				if server.trace != caller.trace || outgoing.trace != caller.trace {
					t.Errorf("not one trace: %+v, %+v, %+v", caller, outgoing, server)
				}
				tel.wantWork(server.trace, server.span)
				tel.wantSaid("outer", testkit.Line{"request_id": "r-17", "plan": nil})
				if want := []string{"00-" + caller.trace + "-" + outgoing.span + "-01"}; !slices.Equal(sent["traceparent"], want) {
					t.Errorf("traceparent is sent as %q, want %q", sent["traceparent"], want)
				}
				if want := []string{"tenant=acme"}; !slices.Equal(sent["baggage"], want) {
					t.Errorf("baggage is sent as %q, want %q", sent["baggage"], want)
				}
				outgoing.want(t, map[string]any{"tenant": "acme"})
			})
		}
	}
}

func callHealth(ctx context.Context, client health.HealthClient, kind string) error {
	if kind == "unary" {
		_, err := client.Check(ctx, &health.HealthCheckRequest{})
		return err
	}
	stream, err := client.Watch(ctx, &health.HealthCheckRequest{})
	if err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return nil // its end
		}
	}
}
