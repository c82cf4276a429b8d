package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// Lines of go-grpc-middleware have the scope: what the handler has set, too, on the one at the
// end of the call.
func TestLogging(t *testing.T) {
	logger, lines := logs()
	theirs := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		logger.Log(ctx, slog.Level(level), msg, fields...)
	})
	events := logging.WithLogOnEvents(logging.StartCall, logging.FinishCall)
	levels := logging.WithLevels(logging.DefaultServerCodeToLevel) // a client's lines are at Debug otherwise
	dial := serve(t, func(context.Context) error { scope.Set("user", "u1"); return nil }, append(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs}),
		grpc.ChainUnaryInterceptor(logging.UnaryServerInterceptor(theirs, events)),
		grpc.ChainStreamInterceptor(logging.StreamServerInterceptor(theirs, events)))...)
	client := dial(append([]grpc.DialOption{
		grpc.WithChainUnaryInterceptor(logging.UnaryClientInterceptor(theirs, events, levels)),
		grpc.WithChainStreamInterceptor(logging.StreamClientInterceptor(theirs, events, levels)),
	}, grpcscope.DialOptions(nil)...)...)
	for kind, call := range kinds {
		scope.New("request_id", "r-17", "client", true).Run(func() {
			if _, err := call(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
		seen := map[string]int{}
		for range 5 {
			line := lines.Next(t)
			line.Want(t, testkit.Line{"request_id": "r-17"})
			msg := fmt.Sprint(line["msg"], " ", line["grpc.component"])
			seen[msg]++
			switch msg {
			case "finished call server", "call <nil>":
				line.Want(t, testkit.Line{"user": "u1", "client": nil})
			case "started call client", "finished call client":
				line.Want(t, testkit.Line{"user": nil, "client": true})
			}
		}
		if len(seen) != 5 {
			t.Errorf("%s: the lines are %v", kind, seen)
		}
	}
	lines.None(t)
}

// The level of each code is theirs.
func TestLevels(t *testing.T) {
	for code := range codes.Code(20) {
		if got, want := grpcscope.CodeLevel(code), slog.Level(logging.DefaultServerCodeToLevel(code)); got != want {
			t.Errorf("%v is at %v, not %v", code, got, want)
		}
	}
}

// Whoever recovers inside has made an error of the panic; whoever does so outside sees it pass.
func TestRecovery(t *testing.T) {
	recover := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		return status.Errorf(codes.DataLoss, "theirs, with %v: %v", scope.GetOr("request_id", "no id"), p)
	})
	recovers := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(recovery.UnaryServerInterceptor(recover)),
		grpc.ChainStreamInterceptor(recovery.StreamServerInterceptor(recover)),
	}
	for name, want := range map[string]struct {
		message string
		line    testkit.Line
	}{
		"inside":  {"theirs, with r-1: oops", testkit.Line{"rpc.grpc.status_code": 15., "exception.message": nil, "error.message": "theirs, with r-1: oops"}},
		"outside": {"theirs, with no id: oops", testkit.Line{"rpc.grpc.status_code": nil, "exception.message": "oops"}},
	} {
		logger, lines := logs()
		ours := grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs})
		opts := append(ours, recovers...)
		if name == "outside" {
			opts = append(recovers, ours...)
		}
		client := serve(t, func(context.Context) error { panic("oops") }, opts...)(grpcscope.DialOptions(nil)...)
		for kind, call := range kinds {
			scope.New("request_id", "r-1").Run(func() {
				if _, err := call(t.Context(), client); status.Convert(err).Message() != want.message || status.Code(err) != codes.DataLoss {
					t.Errorf("%s, %s: %v", name, kind, err)
				}
			})
			line := lines.Next(t)
			line.Want(t, want.line)
			line.Want(t, testkit.Line{"level": "ERROR", "request_id": "r-1"})
		}
	}
}

// A selector may choose the calls that have a scope.
func TestSelector(t *testing.T) {
	only := selector.MatchFunc(func(_ context.Context, c interceptors.CallMeta) bool { return c.Method == "Watch" })
	opts := &grpcscope.Options{}
	dial := serve(t, func(ctx context.Context) error {
		if m, _ := grpc.Method(ctx); (scope.Current().Len() > 0) != (m == "/grpc.health.v1.Health/Watch") {
			return errors.New("the scope is " + scope.Current().String())
		}
		return nil
	},
		grpc.ChainUnaryInterceptor(selector.UnaryServerInterceptor(grpcscope.UnaryServerInterceptor(opts), only)),
		grpc.ChainStreamInterceptor(selector.StreamServerInterceptor(grpcscope.StreamServerInterceptor(opts), only)))
	for kind, call := range kinds {
		if _, err := call(t.Context(), dial()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A call that is tried again has one line, behind the last attempt.
func TestRetry(t *testing.T) {
	logger, lines := logs()
	var attempts atomic.Int64
	dial := serve(t, func(context.Context) error {
		if attempts.Add(1)%3 != 0 {
			return status.Error(codes.Unavailable, "not yet")
		}
		return nil
	})
	client := dial(append(grpcscope.DialOptions(&grpcscope.ClientOptions{Log: logger.LogAttrs}),
		grpc.WithChainUnaryInterceptor(retry.UnaryClientInterceptor(retry.WithMax(5))),
		grpc.WithChainStreamInterceptor(retry.StreamClientInterceptor(retry.WithMax(5))))...)
	for _, kind := range []string{"unary", "stream"} {
		if _, err := kinds[kind](t.Context(), client); err != nil && err != io.EOF {
			t.Error(kind, err)
		}
		lines.Next(t).Want(t, testkit.Line{"msg": "outgoing call", "rpc.grpc.status_code": 0., "error.message": nil})
		lines.None(t)
	}
	if n := attempts.Load(); n != 6 {
		t.Errorf("%d attempts", n)
	}
}
