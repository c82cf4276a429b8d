// Greeter answers: how does each Connect call get an id, its fields and a line at its end, and how
// does the id of a request get from a client to a server? See serve and ask.
//
//	go -C connectscope run ./examples/greeter
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "greeter:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	handler := slog.NewJSONHandler(out, &slog.HandlerOptions{ReplaceAttr: withoutVarying})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := serve(l)
	ask("http://" + l.Addr().String())
	return server.Shutdown(context.Background())
}

// Code that protoc generates has this name, and NewGreeterHandler and NewGreeterClient besides.
const sayHello = "/example.Greeter/SayHello"

type text = wrapperspb.StringValue

// serve starts the server. The interceptor is the first one.
func serve(l net.Listener) *http.Server {
	scoped := connect.WithInterceptors(connectscope.NewInterceptor(&connectscope.Options{Log: slog.LogAttrs}))
	mux := http.NewServeMux()
	mux.Handle(sayHello, connect.NewUnaryHandlerSimple(sayHello, greet, scoped))
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	return server
}

// greet serves one call. It knows nothing of ids and headers.
func greet(_ context.Context, name *text) (*text, error) {
	scope.Set("name", name.Value) // on all lines that follow, the last one too
	defer scope.Timing("db")()
	if name.Value == "" {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("a name is needed"))
	}
	slog.Info("greeting")
	return wrapperspb.String("Hello " + name.Value), nil
}

// ask makes two calls, each within the scope of a request. The client sends its id.
func ask(url string) {
	scoped := connect.WithInterceptors(connectscope.NewInterceptor(nil))
	client := connect.NewClient[text, text](http.DefaultClient, url+sayHello, scoped)
	defer http.DefaultClient.CloseIdleConnections()
	for _, request := range []struct{ id, name string }{{"req-1", "Ada"}, {"req-2", ""}} {
		scope.New("request_id", request.id).Run(func() {
			resp, err := client.CallUnary(context.Background(), connect.NewRequest(wrapperspb.String(request.name)))
			if err != nil {
				slog.Error("not answered", "err", err)
				return
			}
			slog.Info("answered", "answer", resp.Msg.Value)
		})
	}
}

// withoutVarying makes the output the same each time.
func withoutVarying(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "rpc.server.call.duration", "db":
		return slog.Attr{}
	}
	return a
}
