package connectscope_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// BenchmarkUnary is a call over a connection kept alive on loopback: to a server that answers with
// its id, as it is without this package, and with its interceptor.
func BenchmarkUnary(b *testing.B) {
	discard := slog.New(slogh.New(slog.NewJSONHandler(discarded{}, nil), nil)).LogAttrs
	const id = "0198c0de-7a11-7bcd-8def-0123456789ab"
	bare := connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
				info.ResponseHeader()["X-Request-Id"] = req.Header()["X-Request-Id"]
			}
			return next(ctx, req)
		}
	}))
	for _, c := range []struct {
		name           string
		server, client connect.Option
	}{
		{"bare", bare, nil},
		{"server", scoped(nil), nil},
		{"server with Log", scoped(&connectscope.Options{Log: discard}), nil},
		{"client", bare, scoped(nil)},
		{"client with Log", bare, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: discard}})},
	} {
		b.Run(c.name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			server := &http.Server{Handler: each(func(context.Context) (string, error) { return "ok", nil }).mux(c.server)}
			done := make(chan struct{})
			go func() { defer close(done); _ = server.Serve(l) }()
			defer func() { _ = server.Close(); <-done }()
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			var opts []connect.ClientOption
			if c.client != nil {
				opts = append(opts, c.client)
			}
			conn := connect.NewClient[text, text](&http.Client{Transport: tr}, "http://"+l.Addr().String()+unary, opts...)
			b.ReportAllocs()
			scope.New("request_id", id).Run(func() {
				for b.Loop() {
					req := connect.NewRequest(new(text))
					if c.client == nil {
						req.Header()["X-Request-Id"] = []string{id}
					}
					if _, err := conn.CallUnary(context.Background(), req); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

type discarded struct{}

func (discarded) Write(p []byte) (int, error) { return len(p), nil }
