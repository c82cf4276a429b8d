package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func init() { add(8, "Remote procedure calls", grpcCall, connectCall) }

func discardingJSON() *slog.Logger {
	return slog.New(slogh.New(slog.NewJSONHandler(io.Discard, nil), nil))
}

func aboutCalls(over string) string {
	return "A unary call with an id, over " + over + "; client and server are in this process. The bare server answers with the id that has come. In the rows of clients the interceptor sends that of a scope, and in all others the program sends it by hand."
}

// rpcFloor says why the ratios to reach may not be reached.
const rpcFloor = "The row by hand does what any server with such a scope must: it takes the id as it has come, makes the scope, and has the handler run with it and with its context. " +
	"On top of it grpcscope and connectscope look for other entries around the call, for a traceparent and for baggage, look at the id, and make a task of each call and something that remembers what it is."

const grpcLine = " gRPC serves each call on a new goroutine. Most of the time that its line takes is for one more growth of that goroutine's stack. A handler that does real work has usually made it grow already."

// grpcCall measures a call over bufconn, which has no sockets.
func grpcCall() table {
	bare := grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		_ = grpc.SetHeader(ctx, metadata.MD{"x-request-id": metadata.ValueFromIncomingContext(ctx, "x-request-id")})
		return h(ctx, req)
	})
	byHand := grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (resp any, err error) {
		ids := metadata.ValueFromIncomingContext(ctx, "x-request-id")
		s := scope.New("request_id", ids[0], "rpc.system", "grpc", "rpc.service", "grpc.health.v1.Health", "rpc.method", "Check")
		s.Run(func() {
			_ = grpc.SetHeader(ctx, metadata.MD{"x-request-id": ids})
			resp, err = h(scope.NewContext(ctx, s), req)
		})
		return resp, err
	})
	calls := func(server []grpc.ServerOption, client []grpc.DialOption) func(n int) {
		l := bufconn.Listen(1 << 20)
		s := grpc.NewServer(server...)
		healthpb.RegisterHealthServer(s, health.NewServer())
		go s.Serve(l)
		conn, err := grpc.NewClient("passthrough:bufconn", append(client,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))...)
		if err != nil {
			panic(err)
		}
		c := healthpb.NewHealthClient(conn)
		return func(n int) {
			scope.New("request_id", id).Run(func() {
				for range n {
					ctx := context.Background()
					if client == nil {
						ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", id)
					}
					if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
						panic(err)
					}
				}
			})
		}
	}
	bareServer, log := []grpc.ServerOption{bare}, discardingJSON().LogAttrs
	return table{name: "gRPC call", connection: true, about: aboutCalls("bufconn, which has no sockets"), note: rpcFloor + grpcLine, rows: []row{
		{"bare server that answers with the id", 0, calls(bareServer, nil)},
		{"bare server", 0, calls(nil, nil)},
		{"bare server that answers with the id, a scope by hand", 0, calls([]grpc.ServerOption{byHand}, nil)},
		{"taskscope grpcscope.ServerOptions, no Log", 1.08, calls(grpcscope.ServerOptions(nil), nil)},
		{"taskscope grpcscope.ServerOptions, Log", 0, calls(grpcscope.ServerOptions(&grpcscope.Options{Log: log}), nil)},
		{"taskscope grpcscope.DialOptions, no Log", 0, calls(bareServer, grpcscope.DialOptions(nil))},
		{"taskscope grpcscope.DialOptions, Log", 0, calls(bareServer, grpcscope.DialOptions(&grpcscope.ClientOptions{Log: log}))},
	}}
}

// connectCall measures a call over a connection on loopback.
func connectCall() table {
	bare := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
				info.ResponseHeader()["X-Request-Id"] = req.Header()["X-Request-Id"]
			}
			return next(ctx, req)
		}
	})
	byHand := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (resp connect.AnyResponse, err error) {
			ids := req.Header()["X-Request-Id"]
			s := scope.New("request_id", ids[0], "rpc.system", "connect_rpc", "rpc.service", "bench.v1.Bench", "rpc.method", "Ping")
			s.Run(func() {
				if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
					info.ResponseHeader()["X-Request-Id"] = ids
				}
				resp, err = next(scope.NewContext(ctx, s), req)
			})
			return resp, err
		}
	})
	calls := func(server, client []connect.Interceptor) func(n int) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		const procedure = "/bench.v1.Bench/Ping"
		ping := func(context.Context, *connect.Request[emptypb.Empty]) (*connect.Response[emptypb.Empty], error) {
			return connect.NewResponse(&emptypb.Empty{}), nil
		}
		go http.Serve(l, connect.NewUnaryHandler(procedure, ping, connect.WithInterceptors(server...), connect.WithCompressMinBytes(1024)))
		c := connect.NewClient[emptypb.Empty, emptypb.Empty](&http.Client{Transport: &http.Transport{}},
			"http://"+l.Addr().String()+procedure, connect.WithInterceptors(client...))
		return func(n int) {
			scope.New("request_id", id).Run(func() {
				for range n {
					req := connect.NewRequest(&emptypb.Empty{})
					if client == nil {
						req.Header()["X-Request-Id"] = []string{id}
					}
					if _, err := c.CallUnary(context.Background(), req); err != nil {
						panic(err)
					}
				}
			})
		}
	}
	scoped := func(opts *connectscope.Options) []connect.Interceptor {
		return []connect.Interceptor{connectscope.NewInterceptor(opts)}
	}
	bareServer, log := []connect.Interceptor{bare}, discardingJSON().LogAttrs
	return table{name: "Connect call", connection: true, about: aboutCalls("a loopback connection that is kept alive"), note: rpcFloor, rows: []row{
		{"bare server that answers with the id", 0, calls(bareServer, nil)},
		{"bare server", 0, calls(nil, nil)},
		{"bare server that answers with the id, a scope by hand", 0, calls([]connect.Interceptor{byHand}, nil)},
		{"taskscope connectscope, server, no Log", 1.08, calls(scoped(nil), nil)},
		{"taskscope connectscope, server, Log", 0, calls(scoped(&connectscope.Options{Log: log}), nil)},
		{"taskscope connectscope, client, no Log", 0, calls(bareServer, scoped(nil))},
		{"taskscope connectscope, client, Log", 0, calls(bareServer, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: log}}))},
	}}
}
