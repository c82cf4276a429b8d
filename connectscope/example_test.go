package connectscope_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// exampleLogger writes what the examples can show: no times and durations.
func exampleLogger() *slog.Logger {
	return slog.New(slogh.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "rpc.server.call.duration", "rpc.client.call.duration", "http.server.request.duration", "http.response.body.size":
				return slog.Attr{}
			}
			return a
		},
	}), nil))
}

// run starts a server, calls fn with its URL, and stops it.
func run(h http.Handler, fn func(url string)) {
	server := httptest.NewServer(h)
	defer server.Close()
	fn(server.URL)
}

// say makes a unary call, with an id in its header.
func say(url, name string) {
	client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](http.DefaultClient, url+unary)
	defer http.DefaultClient.CloseIdleConnections()
	req := connect.NewRequest(wrapperspb.String(name))
	req.Header().Set("X-Request-Id", "r-1")
	resp, err := client.CallUnary(context.Background(), req)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Msg.Value)
}

func ExampleNewInterceptor() {
	logger := exampleLogger()
	scoped := connect.WithInterceptors(connectscope.NewInterceptor(&connectscope.Options{Log: logger.LogAttrs}))
	mux := http.NewServeMux()
	mux.Handle(unary, connect.NewUnaryHandlerSimple(unary, func(_ context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		name := req.Value
		scope.Set("name", name)
		logger.Info("greeting") // from wherever the handler leads, without a context
		scope.Add("db.queries", 2)
		return wrapperspb.String("Hello " + name), nil
	}, scoped))
	run(mux, func(url string) { say(url, "Ada") })
	// Output:
	// level=INFO msg=greeting request_id=r-1 rpc.system=connect_rpc rpc.service=test.v1.Echo rpc.method=Say name=Ada
	// level=INFO msg=call request_id=r-1 rpc.system=connect_rpc rpc.service=test.v1.Echo rpc.method=Say name=Ada db.queries=2
	// Hello Ada
}

// The same interceptor is for both sides.
func ExampleNewInterceptor_bothSides() {
	const method = "/example.Greeter/SayHello"
	greet := func(context.Context, *text) (*text, error) {
		return wrapperspb.String(fmt.Sprintf("Hello %v", scope.GetOr("request_id", "nobody"))), nil
	}
	logger := exampleLogger()
	mux := http.NewServeMux()
	run(mux, func(url string) {
		scoped := connect.WithInterceptors(connectscope.NewInterceptor(&connectscope.Options{Log: logger.LogAttrs}))

		// In front of a handler's other interceptors.
		mux.Handle(method, connect.NewUnaryHandlerSimple(method, greet, scoped))

		// Behind a client's other interceptors.
		client := connect.NewClient[text, text](http.DefaultClient, url+method, scoped)

		defer http.DefaultClient.CloseIdleConnections()
		scope.New("request_id", "r-17").Run(func() {
			resp, err := client.CallUnary(context.Background(), connect.NewRequest(new(text)))
			if err != nil {
				panic(err)
			}
			fmt.Println(resp.Msg.Value)
		})
	})
	// Output:
	// level=INFO msg=call request_id=r-17 rpc.system=connect_rpc rpc.service=example.Greeter rpc.method=SayHello
	// Hello r-17
}

// A client sends the scope along.
func ExampleNewInterceptor_client() {
	logger := exampleLogger()
	greeter := &handler{unary: func(_ context.Context, name string) (string, error) {
		return fmt.Sprintf("Hello %s, says %v", name, scope.GetOr("request_id", "nobody")), nil
	}}
	mux := greeter.mux(connect.WithInterceptors(connectscope.NewInterceptor(nil)))
	run(mux, func(url string) {
		interceptor := connectscope.NewInterceptor(&connectscope.Options{Client: &connectscope.ClientOptions{Log: logger.LogAttrs}})
		client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](http.DefaultClient, url+unary, connect.WithInterceptors(interceptor))
		defer http.DefaultClient.CloseIdleConnections()
		scope.New("request_id", "r-17").Run(func() {
			resp, err := client.CallUnary(context.Background(), connect.NewRequest(wrapperspb.String("Ada")))
			if err != nil {
				panic(err)
			}
			fmt.Println(resp.Msg.Value)
		})
	})
	// Output:
	// level=INFO msg="outgoing call" request_id=r-17 rpc.system=connect_rpc rpc.service=test.v1.Echo rpc.method=Say
	// Hello Ada, says r-17
}

// With an httpscope.Handler around it, a call is in the request's task.
func ExampleNewInterceptor_httpscope() {
	logger := exampleLogger()
	greeter := &handler{unary: func(_ context.Context, name string) (string, error) {
		scope.Share("name", name)
		scope.Add("db.queries", 2)
		return "Hello " + name, nil
	}}
	mux := greeter.mux(connect.WithInterceptors(connectscope.NewInterceptor(nil)))
	run(httpscope.Handler(mux, &httpscope.Options{Log: logger.LogAttrs}), func(url string) { say(url, "Ada") })
	// Output:
	// level=INFO msg=request request_id=r-1 http.request.method=POST http.route=/test.v1.Echo/Say name=Ada http.response.status_code=200 db.queries=2
	// Hello Ada
}

// Names of newer conventions, no lines for health checks, and a level of one's own.
func ExampleOptions() {
	logger := exampleLogger()
	interceptor := connectscope.NewInterceptor(&connectscope.Options{
		Log:   logger.LogAttrs,
		Names: connectscope.NewerNames(),
		Skip:  connectscope.HealthOrReflection,
		CodeToLevel: func(code connect.Code) slog.Level {
			if code == connect.CodeNotFound {
				return slog.LevelWarn
			}
			return connectscope.CodeLevel(code)
		},
	})
	greeter := &handler{unary: func(context.Context, string) (string, error) {
		return "", connect.NewError(connect.CodeNotFound, errors.New("nobody of this name"))
	}}
	run(greeter.mux(connect.WithInterceptors(interceptor)), func(url string) { say(url, "Ada") })
	// Output:
	// level=WARN msg=call request_id=r-1 rpc.system.name=connectrpc rpc.method=test.v1.Echo/Say rpc.response.status_code=not_found error.message="nobody of this name"
	// not_found: nobody of this name
}

// A panic is answered with an internal error, and the line says what it was.
func ExampleOptions_recover() {
	logger := slog.New(slogh.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.LevelKey, slog.MessageKey, "request_id", "rpc.connect_rpc.error_code", "exception.message":
				return a
			}
			return slog.Attr{}
		},
	}), nil))
	interceptor := connectscope.NewInterceptor(&connectscope.Options{Log: logger.LogAttrs, Recover: true})
	greeter := &handler{unary: func(context.Context, string) (string, error) { panic("out of cards") }}
	run(greeter.mux(connect.WithInterceptors(interceptor)), func(url string) { say(url, "Ada") })
	// Output:
	// level=ERROR msg=call request_id=r-1 rpc.connect_rpc.error_code=internal exception.message="out of cards"
	// internal: internal error
}

// Each message of a stream has a scope of its own.
func ExampleOptions_perMessage() {
	logger := exampleLogger()
	interceptor := connectscope.NewInterceptor(&connectscope.Options{
		PerMessage: true,
		Names:      map[connectscope.Field]string{connectscope.System: "", connectscope.Service: "", connectscope.Method: ""},
	})
	collect := connect.NewClientStreamHandler(clientStream, func(_ context.Context, s *connect.ClientStream[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
		for s.Receive() {
			scope.Set("order", s.Msg().Value)
			logger.Info("collecting")
		}
		logger.Info("that's all")
		return connect.NewResponse(wrapperspb.String("thanks")), s.Err()
	}, connect.WithInterceptors(interceptor))
	run(collect, func(url string) {
		client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](http.DefaultClient, url+clientStream)
		defer http.DefaultClient.CloseIdleConnections()
		s := client.CallClientStream(context.Background())
		s.RequestHeader().Set("X-Request-Id", "r-1")
		for _, order := range []string{"o-1", "o-2"} {
			if err := s.Send(wrapperspb.String(order)); err != nil && !errors.Is(err, io.EOF) {
				panic(err)
			}
		}
		resp, err := s.CloseAndReceive()
		if err != nil {
			panic(err)
		}
		fmt.Println(resp.Msg.Value)
	})
	// Output:
	// level=INFO msg=collecting request_id=r-1 rpc.message.id=1 order=o-1
	// level=INFO msg=collecting request_id=r-1 rpc.message.id=2 order=o-2
	// level=INFO msg="that's all" request_id=r-1
	// thanks
}
