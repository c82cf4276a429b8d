package interop

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/slogh"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// check is the service of the tests: one unary call, and one stream that the server sends.
type check struct {
	grpc_health_v1.UnimplementedHealthServer
	handle func(ctx context.Context) error
}

func (c *check) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, c.handle(ctx)
}

func (c *check) Watch(_ *grpc_health_v1.HealthCheckRequest, s grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	if err := c.handle(s.Context()); err != nil {
		return err
	}
	return s.Send(&grpc_health_v1.HealthCheckResponse{})
}

// serve starts a server for handle, and returns how to dial it.
func serve(t *testing.T, handle func(ctx context.Context) error, opts ...grpc.ServerOption) func(...grpc.DialOption) grpc_health_v1.HealthClient {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer(opts...)
	grpc_health_v1.RegisterHealthServer(server, &check{handle: handle})
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return func(opts ...grpc.DialOption) grpc_health_v1.HealthClient {
		conn, err := grpc.NewClient("passthrough:///bufconn", append(opts,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return grpc_health_v1.NewHealthClient(conn)
	}
}

// kinds makes a call of each kind.
var kinds = map[string]func(ctx context.Context, c grpc_health_v1.HealthClient) (metadata.MD, error){
	"unary": func(ctx context.Context, c grpc_health_v1.HealthClient) (header metadata.MD, err error) {
		_, err = c.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header))
		return header, err
	},
	"stream": func(ctx context.Context, c grpc_health_v1.HealthClient) (metadata.MD, error) {
		s, err := c.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			return nil, err
		}
		if _, err = s.Recv(); err == nil {
			_, _ = s.Recv()
		}
		header, _ := s.Header()
		return header, err
	},
}

// logs returns a logger that stamps, and its lines.
func logs() (*slog.Logger, *testkit.Lines) {
	lines := testkit.NewLines()
	return slog.New(slogh.New(slog.NewJSONHandler(lines, nil), nil)), lines
}
