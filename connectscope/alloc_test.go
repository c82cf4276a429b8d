package connectscope_test

import (
	"context"
	"log/slog"
	"testing"

	"connectrpc.com/connect"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

// Of the allocations that a call costs anyway, which are some 120 over a connection, these are
// what the interceptor adds for its scope, its context and its id.
func TestAllocations(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	nop := func(context.Context, slog.Level, string, ...slog.Attr) {}
	answer := func(context.Context, connect.AnyRequest) (connect.AnyResponse, error) {
		return connect.NewResponse(new(text)), nil
	}
	call := func(opts *connectscope.Options, client bool) func() {
		h := connectscope.NewInterceptor(opts).WrapUnary(answer)
		req := connect.AnyRequest(connect.NewRequest(new(text)))
		if client {
			req = ofClient{req}
		} else {
			req.Header()["X-Request-Id"] = []string{"r-1"}
		}
		return func() { _, _ = h(t.Context(), req) }
	}
	for _, c := range []struct {
		name string
		call func()
		max  float64
	}{
		{"server", call(nil, false), 11},
		{"server, log", call(&connectscope.Options{Log: nop}, false), 12},
		{"client", call(nil, true), 14},
		{"client, log", call(&connectscope.Options{Client: &connectscope.ClientOptions{Log: nop}}, true), 22},
	} {
		scope.New("request_id", "r-1").Run(func() {
			bare := testing.AllocsPerRun(1000, func() { _, _ = answer(t.Context(), nil) })
			if got := testing.AllocsPerRun(1000, c.call) - bare; got > c.max {
				t.Errorf("%s: %v allocations, want %v at the most", c.name, got, c.max)
			} else {
				t.Logf("%s: %v allocations", c.name, got)
			}
		})
	}
}

// ofClient is a request of a client.
type ofClient struct{ connect.AnyRequest }

func (r ofClient) Spec() connect.Spec { return connect.Spec{IsClient: true, Procedure: unary} }
