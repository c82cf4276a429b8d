package grpcscope_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// BenchmarkUnary is a call over bufconn: to a server that answers with its id, as it is without
// this package, and with its interceptors.
func BenchmarkUnary(b *testing.B) {
	discard := slog.New(slogh.New(slog.NewJSONHandler(discarded{}, nil), nil)).LogAttrs
	bare := grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		_ = grpc.SetHeader(ctx, metadata.MD{"x-request-id": metadata.ValueFromIncomingContext(ctx, "x-request-id")})
		return h(ctx, req)
	})
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-request-id", "0198c0de-7a11-7bcd-8def-0123456789ab")
	s := scope.New("request_id", "0198c0de-7a11-7bcd-8def-0123456789ab")
	for _, c := range []struct {
		name   string
		server []grpc.ServerOption
		client []grpc.DialOption
		ctx    context.Context
	}{
		{"bare", []grpc.ServerOption{bare}, nil, ctx},
		{"server", grpcscope.ServerOptions(nil), nil, ctx},
		{"server with Log", grpcscope.ServerOptions(&grpcscope.Options{Log: discard}), nil, ctx},
		{"client", []grpc.ServerOption{bare}, grpcscope.DialOptions(nil), context.Background()},
		{"client with Log", []grpc.ServerOption{bare}, grpcscope.DialOptions(&grpcscope.ClientOptions{Log: discard}), context.Background()},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := bufconn.Listen(1 << 20)
			server := grpc.NewServer(c.server...)
			server.RegisterService(&echo, each(func(context.Context) (string, error) { return "ok", nil }))
			done := make(chan struct{})
			go func() { defer close(done); _ = server.Serve(l) }()
			defer func() { server.Stop(); <-done }()
			conn := dial(b, "bufconn", append(c.client, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))...)
			b.ReportAllocs()
			s.Run(func() {
				req, reply := new(text), new(text)
				for b.Loop() {
					if err := conn.Invoke(c.ctx, unary, req, reply); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

type discarded struct{}

func (discarded) Write(p []byte) (int, error) { return len(p), nil }
