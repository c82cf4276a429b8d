package grpcscope_test

import (
	"context"
	"log/slog"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

// Of the allocations that a call costs anyway, which are some 150 over a connection, these are
// what the interceptors add for its scope, its context and its id.
func TestAllocations(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	nop := func(context.Context, slog.Level, string, ...slog.Attr) {}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"x-request-id": {"r-1"}})
	ctx = grpc.NewContextWithServerTransportStream(ctx, noAnswer{})
	req, info := any(new(text)), &grpc.UnaryServerInfo{FullMethod: unary}
	server := func(opts *grpcscope.Options) func() {
		in := grpcscope.UnaryServerInterceptor(opts)
		return func() {
			_, _ = in(ctx, req, info, func(context.Context, any) (any, error) { return req, nil })
		}
	}
	client := func(opts *grpcscope.ClientOptions) func() {
		in := grpcscope.UnaryClientInterceptor(opts)
		return func() {
			_ = in(t.Context(), unary, req, req, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return nil })
		}
	}
	for _, c := range []struct {
		name string
		call func()
		max  float64
	}{
		{"server", server(nil), 13},
		{"server, log", server(&grpcscope.Options{Log: nop}), 14},
		{"client", client(nil), 10},
		{"client, log", client(&grpcscope.ClientOptions{Log: nop}), 20},
	} {
		scope.New("request_id", "r-1").Run(func() {
			if got := testing.AllocsPerRun(1000, c.call); got > c.max {
				t.Errorf("%s: %v allocations, want %v at the most", c.name, got, c.max)
			} else {
				t.Logf("%s: %v allocations", c.name, got)
			}
		})
	}
}

// noAnswer is the answer of a call that has no connection.
type noAnswer struct{}

func (noAnswer) Method() string               { return unary }
func (noAnswer) SetHeader(metadata.MD) error  { return nil }
func (noAnswer) SendHeader(metadata.MD) error { return nil }
func (noAnswer) SetTrailer(metadata.MD) error { return nil }
