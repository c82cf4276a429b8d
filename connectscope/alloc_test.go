package connectscope_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
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
	client := func(opts *connectscope.ClientOptions) func() {
		h := connectscope.NewInterceptor(&connectscope.Options{Client: opts}).WrapUnary(answer)
		req := connect.AnyRequest(ofClient{connect.NewRequest(new(text))})
		return func() { _, _ = h(t.Context(), req) }
	}
	server := func(opts ...connect.HandlerOption) func() {
		h := each(func(context.Context) (string, error) { return "", nil }).mux(opts...)
		return func() {
			r := httptest.NewRequest(http.MethodPost, unary, strings.NewReader(`""`))
			r.Header = http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"r-1"}}
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	for _, c := range []struct {
		name       string
		call, bare func()
		max        float64
	}{
		{"server", server(scoped(nil)), server(), 13},
		{"server, log", server(scoped(&connectscope.Options{Log: nop})), server(), 14},
		{"client", client(nil), func() { _, _ = answer(t.Context(), nil) }, 14},
		{"client, log", client(&connectscope.ClientOptions{Log: nop}), func() { _, _ = answer(t.Context(), nil) }, 22},
	} {
		scope.New("request_id", "r-1").Run(func() {
			if got := testing.AllocsPerRun(1000, c.call) - testing.AllocsPerRun(1000, c.bare); got > c.max {
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
