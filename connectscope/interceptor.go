package connectscope

import (
	"context"

	"connectrpc.com/connect"
)

// NewInterceptor returns an interceptor for handlers and for clients, for unary calls and for
// streams. nil opts are the defaults.
//
// For a handler it calls what is inside with a scope of the call bound to the goroutine, as a
// task of its own, and in the context. It sets the fields of [Field] that are on by default, in
// addition to those of the process: what was bound where NewInterceptor was called, if a bare
// scope.Set had begun its task. It answers with the call's id in the header X-Request-Id. Give
// handlers this interceptor first, before connect.WithRecover and other interceptors, so that
// these run within the scope. A call that comes through two of these interceptors has one task,
// and one last line: those of the first.
//
// Inside an httpscope.Handler that serves the same request the call is in the request's task: it
// has the request's id and adds its fields. If that Handler writes a line, that one is the task's
// last, with its totals. The call has a line of its own too, if Log says so. What the handler sets
// with scope.Set is on the lines of the call alone; what it sets with scope.Share is on the
// request's line too.
//
// For a client it sends the scope along: that of the call's context or of the goroutine, as
// scope.Scope.Pick chooses. It sends X-Request-Id, traceparent (the same trace id, a new span id)
// with its tracestate, and as baggage the fields whose keys are declared scope.Propagated. Headers
// that the call has already stay, unless they aren't valid: so a proxy passes traceparent on as
// it came. The program's own connect.Request isn't changed. Baggage that came in with the
// call or request that is being served, and that its TrustBaggage didn't trust, is removed
// where a proxy sends it on, if the context is derived from the served one's.
//
// What is inside a client's interceptor is called with no scope bound: the goroutines that
// net/http starts for a connection serve other calls later, and would keep this one's scope, and
// log with it, until then. Interceptors inside this one, and the http.Client's Transport, find the
// scope in the context. Give clients this interceptor last.
func NewInterceptor(opts *Options) connect.Interceptor {
	var o Options
	if opts != nil {
		o = *opts
	}
	return &interceptor{newServer(o), newClient(o)}
}

type interceptor struct {
	server *server
	client *client
}

// WrapUnary serves both sides.
func (i *interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if req.Spec().IsClient {
			return i.client.unary(ctx, req, next)
		}
		return i.server.unary(ctx, req, next)
	}
}

func (i *interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return i.client.stream(ctx, spec, next)
	}
}

func (i *interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return i.server.stream(ctx, conn, next)
	}
}
