package frameworks

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/examples/frameworks/userspb"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// Users is the gRPC server behind Gateway.
func Users() *grpc.Server {
	s := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
			err = serve(ctx, func() error { resp, err = handler(ctx, req); return err })
			return resp, err
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return serve(stream.Context(), func() error { return handler(srv, stream) })
		}))
	userspb.RegisterUsersServer(s, users{})
	return s
}

// serve makes a task of a call, from what the gateway has sent with it. A panic, which would
// end the process, is an error.
func serve(ctx context.Context, handle func() error) (err error) {
	received(ctx).Run(func() {
		defer func() {
			if p := recover(); p != nil {
				slog.Error("panic", "value", p)
				err = status.Error(codes.Internal, "internal error")
			}
		}()
		err = handle()
	})
	return err
}

// sent returns what the gateway sends with a call: the id, the trace, propagated fields.
func sent(context.Context, *http.Request) metadata.MD {
	md := metadata.MD{}
	propagation.Inject(scope.Current(), grpcHeaders{md})
	return md
}

// received returns the scope that has come with a call.
func received(ctx context.Context) scope.Scope {
	md, _ := metadata.FromIncomingContext(ctx)
	return propagation.Extract(grpcHeaders{md})
}

// grpcHeaders are metadata for package propagation.
type grpcHeaders struct{ metadata.MD }

func (h grpcHeaders) Keys() []string        { return slices.Collect(maps.Keys(h.MD)) }
func (h grpcHeaders) Set(key, value string) { h.MD.Set(key, value) }
func (h grpcHeaders) Get(key string) string {
	if values := h.MD.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}
