package frameworks

import (
	"context"
	"errors"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/examples/frameworks/userspb"
)

//go:generate protoc -I userspb --go-grpc_out=userspb --go-grpc_opt=paths=source_relative --grpc-gateway_out=userspb --grpc-gateway_opt=paths=source_relative,grpc_api_configuration=userspb/users.yaml users.proto

// Gateway is a server with github.com/grpc-ecosystem/grpc-gateway/v2 in front of the service
// that conn leads to.
func Gateway(conn *grpc.ClientConn) (http.Handler, error) {
	gw := runtime.NewServeMux(
		runtime.WithMiddlewares(func(next runtime.HandlerFunc) runtime.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
				if pattern, ok := runtime.HTTPPattern(r.Context()); ok {
					setRoute(pattern.String())
				}
				next(w, r, params)
			}
		}),
		runtime.WithMetadata(sent),
		runtime.WithErrorHandler(teapots),
	)
	if err := userspb.RegisterUsersHandler(context.Background(), gw, conn); err != nil {
		return nil, err
	}
	// What isn't gRPC gets plain handlers.
	plain := func(handler http.HandlerFunc) runtime.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request, _ map[string]string) { handler(w, r) }
	}
	err := errors.Join(
		gw.HandlePath("POST", "/upload", plain(upload)),
		gw.HandlePath("GET", "/events", plain(events)),
		gw.HandlePath("GET", "/echo", plain(echo)))
	return wrap(gw), err
}

// teapots answers with the one status that no code of gRPC stands for.
func teapots(ctx context.Context, gw *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if status.Code(err) == codes.FailedPrecondition {
		err = &runtime.HTTPStatusError{HTTPStatus: http.StatusTeapot, Err: err}
	}
	runtime.DefaultHTTPErrorHandler(ctx, gw, m, w, r, err)
}
