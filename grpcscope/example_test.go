package grpcscope_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// exampleLogger writes what the examples can show: no times and durations.
func exampleLogger() *slog.Logger {
	return slog.New(slogh.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "rpc.server.call.duration", "rpc.client.call.duration":
				return slog.Attr{}
			}
			return a
		},
	}), nil))
}

// run starts server with the handler h, calls fn with its address, and stops it.
func run(server *grpc.Server, h *handler, fn func(addr string)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server.RegisterService(&echo, h)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	fn(l.Addr().String())
	server.GracefulStop()
	<-done
}

var plaintext = grpc.WithTransportCredentials(insecure.NewCredentials())

// say makes a unary call, with an id in its metadata.
func say(addr, name string) {
	conn, err := grpc.NewClient(addr, plaintext)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-request-id", "r-1")
	answer, err := sayVia(ctx, conn, name)
	fmt.Printf("%s, %v\n", answer, err)
}

func sayVia(ctx context.Context, conn *grpc.ClientConn, name string) (string, error) {
	answer := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, unary, wrapperspb.String(name), answer)
	return answer.Value, err
}

func ExampleServerOptions() {
	logger := exampleLogger()
	server := grpc.NewServer(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs})...)
	greeter := &handler{unary: func(_ context.Context, name string) (string, error) {
		scope.Set("name", name)
		logger.Info("greeting") // from wherever the handler leads, without a context
		scope.Add("db.queries", 2)
		return "Hello " + name, nil
	}}
	run(server, greeter, func(addr string) { say(addr, "Ada") })
	// Output:
	// level=INFO msg=greeting request_id=r-1 rpc.system=grpc rpc.service=test.v1.Echo rpc.method=Say name=Ada
	// level=INFO msg=call request_id=r-1 rpc.system=grpc rpc.service=test.v1.Echo rpc.method=Say name=Ada rpc.grpc.status_code=0 rpc.server.request.size=5 rpc.server.response.size=11 db.queries=2
	// Hello Ada, <nil>
}

func ExampleDialOptions() {
	logger := exampleLogger()
	server := grpc.NewServer(grpcscope.ServerOptions(nil)...)
	greeter := &handler{unary: func(_ context.Context, name string) (string, error) {
		return fmt.Sprintf("Hello %s, says %v", name, scope.GetOr("request_id", "nobody")), nil
	}}
	run(server, greeter, func(addr string) {
		options := append(grpcscope.DialOptions(&grpcscope.ClientOptions{Log: logger.LogAttrs}), plaintext)
		conn, err := grpc.NewClient(addr, options...) // in main, or in scope.Outside
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		scope.New("request_id", "r-17").Run(func() {
			fmt.Println(sayVia(context.Background(), conn, "Ada"))
		})
	})
	// Output:
	// level=INFO msg="outgoing call" request_id=r-17 rpc.system=grpc rpc.service=test.v1.Echo rpc.method=Say rpc.grpc.status_code=0 rpc.client.request.size=5 rpc.client.response.size=22
	// Hello Ada, says r-17 <nil>
}

// Names of newer conventions, no lines for health checks, and a level of one's own.
func ExampleOptions() {
	logger := exampleLogger()
	server := grpc.NewServer(grpcscope.ServerOptions(&grpcscope.Options{
		Log:   logger.LogAttrs,
		Names: grpcscope.NewerNames(),
		Skip:  grpcscope.HealthOrReflection,
		CodeToLevel: func(code codes.Code) slog.Level {
			if code == codes.NotFound {
				return slog.LevelWarn
			}
			return grpcscope.CodeLevel(code)
		},
	})...)
	greeter := &handler{unary: func(context.Context, string) (string, error) {
		return "", status.Error(codes.NotFound, "nobody of this name")
	}}
	run(server, greeter, func(addr string) { say(addr, "Ada") })
	// Output:
	// level=WARN msg=call request_id=r-1 rpc.system.name=grpc rpc.method=test.v1.Echo/Say rpc.response.status_code=NOT_FOUND rpc.server.request.size=5 error.message="nobody of this name"
	// , rpc error: code = NotFound desc = nobody of this name
}

// A panic is answered with an internal error, and the line says what it was.
func ExampleOptions_recover() {
	logger := slog.New(slogh.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.LevelKey, slog.MessageKey, "request_id", "rpc.grpc.status_code", "exception.message":
				return a
			}
			return slog.Attr{}
		},
	}), nil))
	server := grpc.NewServer(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs, Recover: true})...)
	greeter := &handler{unary: func(context.Context, string) (string, error) { panic("out of cards") }}
	run(server, greeter, func(addr string) { say(addr, "Ada") })
	// Output:
	// level=ERROR msg=call request_id=r-1 rpc.grpc.status_code=13 exception.message="out of cards"
	// , rpc error: code = Internal desc = internal error
}

// Each message of a stream has a scope of its own.
func ExampleOptions_perMessage() {
	logger := exampleLogger()
	server := grpc.NewServer(grpcscope.ServerOptions(&grpcscope.Options{
		PerMessage: true,
		Names:      map[grpcscope.Field]string{grpcscope.System: "", grpcscope.Service: "", grpcscope.Method: ""},
	})...)
	collector := &handler{stream: func(s grpc.ServerStream) error {
		for {
			order := new(wrapperspb.StringValue)
			if err := s.RecvMsg(order); errors.Is(err, io.EOF) {
				logger.Info("that's all")
				return s.SendMsg(wrapperspb.String("thanks"))
			} else if err != nil {
				return err
			}
			scope.Set("order", order.Value)
			logger.Info("collecting")
		}
	}}
	run(server, collector, func(addr string) {
		conn, err := grpc.NewClient(addr, plaintext)
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		ctx := metadata.AppendToOutgoingContext(context.Background(), "x-request-id", "r-1")
		s, err := conn.NewStream(ctx, descs[clientStream], clientStream)
		if err != nil {
			panic(err)
		}
		_ = s.SendMsg(wrapperspb.String("o-1"))
		_ = s.SendMsg(wrapperspb.String("o-2"))
		_ = s.CloseSend()
		fmt.Println(receive(s))
	})
	// Output:
	// level=INFO msg=collecting request_id=r-1 rpc.message.id=1 order=o-1
	// level=INFO msg=collecting request_id=r-1 rpc.message.id=2 order=o-2
	// level=INFO msg="that's all" request_id=r-1
	// thanks <nil>
}
