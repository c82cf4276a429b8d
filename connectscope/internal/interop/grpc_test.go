package interop

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit"
)

// A check handles health checks, on whichever server.
type check func(ctx context.Context, baggage string) error

func (c check) Check(ctx context.Context, _ *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	info, _ := connect.CallInfoForHandlerContext(ctx)
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, c(ctx, strings.Join(info.RequestHeader().Values("Baggage"), ","))
}

type grpcCheck struct {
	grpc_health_v1.UnimplementedHealthServer
	check
}

func (c grpcCheck) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	baggage := strings.Join(metadata.ValueFromIncomingContext(ctx, "baggage"), ",")
	return &grpc_health_v1.HealthCheckResponse{}, c.check(ctx, baggage)
}

// Calls go from gRPC's own clients and servers to those of Connect and back, with one id. Baggage that the
// service between them hands on stays out: it wasn't trusted.
func TestBesideGRPC(t *testing.T) {
	logger, lines := logs()
	ours := connect.WithInterceptors(connectscope.NewInterceptor(&connectscope.Options{Log: logger.LogAttrs}))
	servers := map[string]func(c check) (addr string){
		"grpc": func(c check) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs})...)
			grpc_health_v1.RegisterHealthServer(server, grpcCheck{check: c})
			done := make(chan struct{})
			go func() { defer close(done); _ = server.Serve(l) }()
			t.Cleanup(func() { server.Stop(); <-done })
			return l.Addr().String()
		},
		"connect": func(c check) string {
			mux := http.NewServeMux()
			mux.Handle(grpchealth.NewHandler(c, ours))
			_, url := serve(t, mux)
			return strings.TrimPrefix(url, "http://")
		},
	}
	clients := map[string]func(ctx context.Context, addr, baggage string) error{
		"grpc": func(ctx context.Context, addr, baggage string) error {
			conn, err := grpc.NewClient(addr, append(grpcscope.DialOptions(nil), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
			if err != nil {
				return err
			}
			defer conn.Close()
			ctx = metadata.AppendToOutgoingContext(ctx, "baggage", baggage)
			_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			return err
		},
		"connect": func(ctx context.Context, addr, baggage string) error {
			tr := &http.Transport{Protocols: new(http.Protocols)}
			tr.Protocols.SetUnencryptedHTTP2(true)
			defer tr.CloseIdleConnections()
			ctx, info := connect.NewClientContext(ctx)
			info.RequestHeader().Set("Baggage", baggage)
			const path = "http://%/grpc.health.v1.Health/Check"
			_, err := connect.NewClient[grpc_health_v1.HealthCheckRequest, grpc_health_v1.HealthCheckResponse](&http.Client{Transport: tr},
				strings.Replace(path, "%", addr, 1), connect.WithGRPC(), ours).CallUnary(ctx, connect.NewRequest(&grpc_health_v1.HealthCheckRequest{}))
			return err
		},
	}
	for front, back := range map[string]string{"grpc": "connect", "connect": "grpc"} {
		got := make(chan string, 1)
		backAddr := servers[back](func(_ context.Context, baggage string) error { got <- baggage; return nil })
		frontAddr := servers[front](func(ctx context.Context, baggage string) error {
			return clients[back](ctx, backAddr, baggage+",own=1")
		})
		if err := clients[back](t.Context(), frontAddr, "user=eve"); err != nil {
			t.Error(err)
		}
		if baggage := <-got; baggage != "own=1" {
			t.Errorf("from %s to %s: the baggage is %q", front, back, baggage)
		}
		inner := lines.Next(t)
		if id, _ := inner["request_id"].(string); len(id) != 36 {
			t.Errorf("from %s to %s: the id is %q", front, back, id)
		}
		lines.Next(t).Want(t, testkit.Line{"msg": "call", "request_id": inner["request_id"], "rpc.grpc.status_code": 0.})
		lines.None(t)
	}
}
