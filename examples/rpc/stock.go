package main

import (
	"context"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/scope"
)

// serveStock serves gRPC.
func serveStock(l net.Listener, _ []string) (stop func(), err error) {
	server := grpc.NewServer(grpcscope.ServerOptions(&grpcscope.Options{ // before other interceptors
		Log: slog.LogAttrs,
		// Only services of ours can reach this one, so it believes what they say. The shop,
		// which anyone can call, doesn't.
		TrustBaggage: func(context.Context, grpcscope.Call) bool { return true },
	})...)
	server.RegisterService(&stockService, nil)
	go server.Serve(l)
	return server.GracefulStop, nil
}

// takeOne serves one call. It knows nothing of ids and metadata.
func takeOne(_ context.Context, item *text) (*text, error) {
	scope.Set("item", item.Value)
	slog.Info("reserved", "for", Tenant.GetOr("nobody"))
	return wrapperspb.String("one " + item.Value), nil
}

// What follows stands for the code that protoc generates.

const reserve = "/example.Stock/Reserve"

var stockService = grpc.ServiceDesc{
	ServiceName: "example.Stock",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Reserve",
		Handler: func(_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			req := new(text)
			if err := decode(req); err != nil {
				return nil, err
			}
			handle := func(ctx context.Context, req any) (any, error) { return takeOne(ctx, req.(*text)) }
			return interceptor(ctx, req, &grpc.UnaryServerInfo{FullMethod: reserve}, handle)
		},
	}},
}
