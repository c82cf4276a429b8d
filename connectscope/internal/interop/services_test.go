package interop

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/internal/testkit"
)

// Health checks and reflection have a scope, or none on request.
func TestHealthAndReflection(t *testing.T) {
	for _, skip := range []bool{true, false} {
		logger, lines := logs()
		opts := &connectscope.Options{Log: logger.LogAttrs}
		if skip {
			opts.Skip = connectscope.HealthOrReflection
		}
		ours := connect.WithInterceptors(connectscope.NewInterceptor(opts))
		mux := http.NewServeMux()
		mux.Handle(grpchealth.NewHandler(grpchealth.NewStaticChecker("test.v1.Echo"), ours))
		reflector := grpcreflect.NewStaticReflector("test.v1.Echo")
		mux.Handle(grpcreflect.NewHandlerV1(reflector, ours))
		mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, ours))
		mux.Handle("/", echo(func(context.Context) error { return nil }, ours))
		by, url := serve(t, mux)

		health := grpchealth.NewClient(by, url)
		if got, err := health.Check(t.Context(), &grpchealth.CheckRequest{Service: "test.v1.Echo"}); err != nil || got.Status != grpchealth.StatusServing {
			t.Errorf("%v, %v", got, err)
		}
		reflection := grpcreflect.NewClient(by, url, connect.WithGRPC()).NewStream(t.Context())
		if names, err := reflection.ListServices(); err != nil || len(names) != 1 {
			t.Errorf("%v, %v", names, err)
		}
		_, _ = reflection.Close()
		if skip {
			_ = kinds["unary"](t.Context(), by, url)
			lines.Next(t).Want(t, testkit.Line{"rpc.method": "Say"})
			lines.None(t)
			continue
		}
		lines.Next(t).Want(t, testkit.Line{"rpc.service": "grpc.health.v1.Health"})
		lines.Next(t).Want(t, testkit.Line{"rpc.service": "grpc.reflection.v1.ServerReflection"})
	}
}

// A validator rejects each message, as an interceptor inside ours.
type validator struct{ log func(string) }

var errInvalid = connect.NewError(connect.CodeInvalidArgument, errors.New("value is required"))

func (v validator) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		v.log("validate")
		return nil, errInvalid
	}
}

func (v validator) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (v validator) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return next(ctx, &validated{conn, v})
	}
}

type validated struct {
	connect.StreamingHandlerConn
	validator
}

func (c *validated) Receive(m any) error {
	if err := c.StreamingHandlerConn.Receive(m); err != nil {
		return err
	}
	c.log("validate")
	return errInvalid
}

// What an interceptor inside ours answers is on the line, and its own lines have the scope.
func TestAnInterceptorThatValidates(t *testing.T) {
	logger, lines := logs()
	ours := connectscope.NewInterceptor(&connectscope.Options{Log: logger.LogAttrs})
	by, url := serve(t, echo(func(context.Context) error { t.Error("the handler is called"); return nil },
		connect.WithInterceptors(ours, validator{func(msg string) { logger.Info(msg) }})))
	for kind, call := range kinds {
		if err := call(t.Context(), by, url); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", kind, err)
		}
		id := lines.Next(t)["request_id"]
		lines.Next(t).Want(t, testkit.Line{
			"msg": "call", "level": "INFO", "request_id": id, "rpc.connect_rpc.error_code": "invalid_argument", "error.message": "value is required",
		})
	}
}
