// Greeter answers: how does each gRPC call get an id, its fields and a line at its end, and how
// does the id of a request get from a client to a server? See serve and ask.
//
//	go -C grpcscope run ./examples/greeter
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/grpcscope"
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
	defer server.GracefulStop()
	return ask(l.Addr().String())
}

// serve starts the server. Its interceptors are the first ones.
func serve(l net.Listener) *grpc.Server {
	server := grpc.NewServer(grpcscope.ServerOptions(&grpcscope.Options{Log: slog.LogAttrs})...)
	registerGreeter(server, greet)
	go server.Serve(l)
	return server
}

// greet serves one call. It knows nothing of ids and metadata.
func greet(_ context.Context, name string) (string, error) {
	scope.Set("name", name) // on all lines that follow, the last one too
	defer scope.Timing("db")()
	if name == "" {
		return "", status.Error(codes.InvalidArgument, "a name is needed")
	}
	slog.Info("greeting") // from wherever the handler leads, without a context
	return "Hello " + name, nil
}

// ask makes two calls, each within the scope of a request. The client sends its id.
func ask(addr string) error {
	options := append(grpcscope.DialOptions(nil), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(addr, options...) // in main, or inside of scope.Outside
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, request := range []struct{ id, name string }{{"req-1", "Ada"}, {"req-2", ""}} {
		scope.New("request_id", request.id).Run(func() {
			answer, err := sayHello(context.Background(), conn, request.name)
			slog.Info("answered", "answer", answer, "code", status.Code(err).String())
		})
	}
	return nil
}

// withoutVarying makes the output the same each time.
func withoutVarying(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "rpc.server.call.duration", "db":
		return slog.Attr{}
	}
	return a
}
