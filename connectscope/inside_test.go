package connectscope_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// Inside an httpscope.Handler the call is in the request's task: one id, and one last line with
// the totals.
func TestInsideAnHTTPHandler(t *testing.T) {
	logger, lines := logs()
	var task scope.Scope
	h := each(func(ctx context.Context) (string, error) {
		if !scope.Current().SameTask(task) || !must(scope.FromContext(ctx)).SameTask(task) {
			t.Error("the call has a task of its own")
		}
		scope.Set("user", "u1")
		scope.Share("shared", true)
		scope.Add("rows", 2)
		logger.Info("handler")
		if id := must(connect.CallInfoForHandlerContext(ctx)).RequestHeader().Get("X-Request-Id"); id != scope.GetOr("request_id", "") {
			t.Errorf("the handler sees the id %s", id)
		}
		return "ok", nil
	})
	for _, tc := range []struct{ outer, inner bool }{{true, true}, {true, false}, {false, true}} {
		var outer httpscope.Options
		var inner connectscope.Options
		if tc.outer {
			outer.Log = logger.LogAttrs
		}
		if tc.inner {
			inner.Log, inner.Await = logger.LogAttrs, true
		}
		mux := h.mux(scoped(&inner))
		server := serve(t, httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			task = scope.Current()
			mux.ServeHTTP(w, r)
		}), &outer))
		for _, protocol := range protocols {
			conn := dial(t, server, protocol)
			for _, method := range kinds {
				for _, sent := range []string{"r-1", ""} {
					var header []string
					if sent != "" {
						header = []string{"X-Request-Id", sent}
					}
					a := call(with(t.Context(), header...), conn, method, "")
					id := ids(a.header)
					if a.err != nil || len(id) != 36 && id != sent {
						t.Fatal(a)
					}
					lines.Next(t).Want(t, testkit.Line{"msg": "handler", "request_id": id, "http.request.method": "POST", "rpc.method": method[14:]})
					if tc.inner {
						rows := any(nil)
						if !tc.outer {
							rows = 2.
						}
						lines.Next(t).Want(t, testkit.Line{"msg": "call", "request_id": id, "user": "u1", "shared": true, "rows": rows, "http.request.method": "POST"})
					}
					if tc.outer {
						lines.Next(t).Want(t, testkit.Line{"msg": "request", "request_id": id, "user": nil, "rows": 2., "shared": true, "http.response.status_code": 200.})
					}
					lines.None(t)
				}
			}
		}
	}
}

// The id is the request's, whatever the options say.
func TestTheIDInsideStays(t *testing.T) {
	logger, lines := logs()
	h := each(func(context.Context) (string, error) {
		return scope.GetOr("request_id", "") + scope.GetOr("id", ""), nil
	})
	for name, opts := range map[string]*connectscope.Options{
		"NewID":   {NewID: func() string { return "made" }},
		"ValidID": {ValidID: func(string) bool { return false }, BadID: func(context.Context, int) { t.Error("the id is rejected") }},
		"Fields":  {Fields: withID},
	} {
		conn := dial(t, serve(t, httpscope.Handler(h.mux(scoped(opts)), &httpscope.Options{Log: logger.LogAttrs})), connect.ProtocolGRPC)
		a := call(with(t.Context(), "x-request-id", "r-1"), conn, unary, "")
		if a.text != "r-1" || ids(a.header) != "r-1" {
			t.Errorf("%s: %v", name, a)
		}
		lines.Next(t).Want(t, testkit.Line{"request_id": "r-1"})
	}
}

// A call that the program makes in this process has a task of its own, also if it comes with
// the id and the context of the request.
func TestACallMadeInsideIsAnotherOne(t *testing.T) {
	logger, lines := logs()
	opts := scoped(&connectscope.Options{Log: logger.LogAttrs})
	back := each(func(context.Context) (string, error) { scope.Add("rows", 1); return "", nil })
	inside := dialBy(inProcess{back.mux(opts)}, serve(t, http.NotFoundHandler()), connect.ProtocolConnect, scoped(nil))
	h := each(func(ctx context.Context) (string, error) {
		scope.Add("rows", 10)
		return "", call(ctx, inside, unary, "").err
	})
	conn := dial(t, serve(t, httpscope.Handler(h.mux(opts), &httpscope.Options{Log: logger.LogAttrs})), connect.ProtocolConnect)
	if a := call(with(t.Context(), "x-request-id", "r-1"), conn, bidirect, ""); a.err != nil {
		t.Error(a)
	}
	lines.Next(t).Want(t, testkit.Line{"msg": "call", "request_id": "r-1", "rpc.method": "Say", "rows": 1., "http.request.method": nil})
	lines.Next(t).Want(t, testkit.Line{"msg": "call", "request_id": "r-1", "rpc.method": "Chat", "rows": nil})
	lines.Next(t).Want(t, testkit.Line{"msg": "request", "request_id": "r-1", "rows": 10.})
}

// A server that is started in a request, with a context of it, serves other requests.
func TestAServerStartedInARequestIsNotInside(t *testing.T) {
	task := make(chan bool, 1)
	h := each(func(context.Context) (string, error) { return scope.GetOr("http.request.method", ""), nil })
	httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		server := serveIn(t, ctx, h.mux(scoped(nil)))
		a := call(with(context.Background(), "x-request-id", r.Header.Get("X-Request-Id")), dial(t, server, connect.ProtocolConnect), unary, "")
		task <- a.err == nil && a.text == ""
	}), nil).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if !<-task {
		t.Error("the call is in the task of the request in which its server was started")
	}
}

// http.TimeoutHandler answers while the handler goes on, which keeps its fields.
func TestBehindATimeoutHandler(t *testing.T) {
	logger, lines := logs()
	goOn := make(chan struct{})
	h := each(func(ctx context.Context) (string, error) {
		<-ctx.Done()
		<-goOn
		logger.InfoContext(ctx, "handler")
		return "", ctx.Err()
	})
	handler := http.TimeoutHandler(h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs})), 20*time.Millisecond, "late")
	conn := dial(t, serve(t, httpscope.Handler(handler, &httpscope.Options{Log: logger.LogAttrs})), connect.ProtocolConnect)
	if a := call(with(t.Context(), "x-request-id", "r-1"), conn, unary, ""); a.err == nil {
		t.Error("there is an answer")
	}
	lines.Next(t).Want(t, testkit.Line{"msg": "request", "request_id": "r-1", "http.response.status_code": 503.})
	close(goOn)
	lines.Next(t).Want(t, testkit.Line{"msg": "handler", "request_id": "r-1", "rpc.method": "Say"})
	lines.Next(t).Want(t, testkit.Line{"msg": "call", "request_id": "r-1", "rpc.canceled_by": "deadline", "rpc.connect_rpc.error_code": "deadline_exceeded"})
}
