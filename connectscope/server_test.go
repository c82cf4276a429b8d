package connectscope_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID      = "00f067aa0ba902b7"
	traceparent = "00-" + traceID + "-" + spanID + "-01"
)

var systems = map[string]string{
	connect.ProtocolConnect: "connect_rpc", connect.ProtocolGRPC: "grpc", connect.ProtocolGRPCWeb: "grpc_web",
}

// Each call has a scope of its own, which nothing of another call, or of this test, is in, and
// its id is in the answer.
func TestEachCallHasAScopeOfItsOwn(t *testing.T) {
	h, got := noted()
	server := serve(t, h.mux(scoped(nil)))
	scope.Set("of this test", true)
	defer scope.Clear()
	for _, protocol := range protocols {
		conn := dial(t, server, protocol)
		for _, method := range kinds {
			t.Run(protocol+method, func(t *testing.T) {
				ctx := with(t.Context(), "x-request-id", "r-17", "traceparent", traceparent, "tracestate", "a=1", "user-agent", "x")
				a := call(ctx, conn, method, "hello")
				if a.err != nil || a.text != "ok" {
					t.Fatal(a)
				}
				wantFields(t, <-got, map[string]string{
					"request_id": "r-17", "trace_id": traceID, "parent_span_id": spanID, "trace_flags": "01", "trace_state": "a=1",
					"rpc.system": systems[protocol], "rpc.service": "test.v1.Echo", "rpc.method": method[len("/test.v1.Echo/"):],
				})
				if ids(a.header) != "r-17" {
					t.Errorf("the answer has the ids %q", ids(a.header))
				}
				a = call(t.Context(), conn, method, "hello")
				fields := <-got
				wantKeys(t, fields, "request_id", "rpc.system", "rpc.service", "rpc.method")
				if id := fields["request_id"]; len(id) != 36 || ids(a.header) != id {
					t.Errorf("the id is %s, and that of the answer %s", id, ids(a.header))
				}
			})
		}
	}
}

// What is bound where the interceptor is made counts if it is the process's.
func TestFieldsOfTheProcess(t *testing.T) {
	h, got := noted()
	for name, in := range map[string]struct {
		scope scope.Scope
		want  bool
	}{"bare": {scope.Scope{}, true}, "a request's": {scope.New(), false}} {
		t.Run(name, func(t *testing.T) {
			var conn *client
			in.scope.Run(func() {
				scope.Set("service", "shop")
				conn = start(t, h, nil)
			})
			_ = call(t.Context(), conn, unary, "")
			if _, ok := (<-got)["service"]; ok != in.want {
				t.Errorf("the field is there: %v", ok)
			}
		})
	}
}

func TestIDs(t *testing.T) {
	var rejected atomic.Int64
	var inHeader atomic.Value
	h := each(func(ctx context.Context) (string, error) {
		inHeader.Store(ids(must(connect.CallInfoForHandlerContext(ctx)).RequestHeader()))
		return fmt.Sprint(scope.GetOr("request_id", "")), nil
	})
	server := serve(t, h.mux(scoped(&connectscope.Options{
		NewID: func() string { return "made" },
		BadID: func(ctx context.Context, n int) {
			if id := scope.GetOr("request_id", ""); id != "made" || !scope.Current().SameTask(must(scope.FromContext(ctx))) {
				t.Errorf("BadID is called within the scope of %q", id)
			}
			rejected.Store(int64(n))
		},
	})))
	for _, protocol := range protocols {
		conn := dial(t, server, protocol)
		for _, tc := range []struct {
			sent     []string
			want     string
			rejected int64
		}{
			{nil, "made", 0},
			{[]string{"r-17"}, "r-17", 0},
			{[]string{strings.Repeat("x", 128)}, strings.Repeat("x", 128), 0},
			{[]string{strings.Repeat("x", 129)}, "made", 129},
			{[]string{"a b"}, "made", 3},
			{[]string{""}, "made", 0},
			{[]string{"r-1", "r-22"}, "made", 8},
		} {
			for _, method := range kinds {
				rejected.Store(0)
				var sent []string
				for _, id := range tc.sent {
					sent = append(sent, "X-Request-Id", id)
				}
				a := call(with(t.Context(), sent...), conn, method, "")
				if a.err != nil || a.text != tc.want || rejected.Load() != tc.rejected || ids(a.header) != tc.want || inHeader.Load() != tc.want {
					t.Errorf("%s of %q: %v, %d bytes rejected, in the handler's header %v", method, tc.sent, a, rejected.Load(), inHeader.Load())
				}
			}
		}
	}
}

// Others may be reading the header of the request that net/http has made.
func TestTheRequestsHeaderIsLeftAlone(t *testing.T) {
	h, got := noted()
	var left http.Header
	mux := h.mux(scoped(nil))
	conn := dial(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r)
		left = r.Header
	})), connect.ProtocolConnect)
	for _, method := range kinds {
		if a := call(t.Context(), conn, method, ""); a.err != nil || ids(left) != "" {
			t.Errorf("%s: %v, the request has the ids %s", method, a.err, ids(left))
		}
		<-got
	}
}

func TestOtherIDs(t *testing.T) {
	h := each(func(context.Context) (string, error) { return scope.GetOr("id", ""), nil })
	conn := start(t, h, &connectscope.Options{
		Names:   map[connectscope.Field]string{connectscope.RequestID: "id"},
		ValidID: func(id string) bool { return strings.HasPrefix(id, "ok") },
		NewID:   func() string { return "no\nheader" },
	})
	if a := call(with(t.Context(), "x-request-id", "ok/1"), conn, unary, ""); a.text != "ok/1" {
		t.Error(a)
	}
	if a := call(with(t.Context(), "x-request-id", "bad"), conn, unary, ""); len(a.text) != 36 {
		t.Error(a)
	}
}

func TestTwoTraceparentsAreAsGoodAsNone(t *testing.T) {
	h, got := noted()
	conn := start(t, h, nil)
	for _, sent := range [][]string{{traceparent, traceparent}, {"00-" + traceID}, {""}} {
		var header []string
		for _, s := range sent {
			header = append(header, "traceparent", s, "tracestate", "a=1")
		}
		_ = call(with(t.Context(), header...), conn, unary, "")
		wantKeys(t, <-got, "request_id", "rpc.system", "rpc.service", "rpc.method")
	}
}

// What a traceparent says of another trace would be wrong on the call's lines.
func TestFieldsOfAnotherTraceTakeAllOfIt(t *testing.T) {
	h, got := noted()
	for own, want := range map[string][]string{
		traceID: {"request_id", "trace_id", "parent_span_id", "trace_flags", "trace_state", "rpc.system", "rpc.service", "rpc.method"},
		"other": {"request_id", "trace_id", "rpc.system", "rpc.service", "rpc.method"},
	} {
		conn := start(t, h, &connectscope.Options{Fields: func(context.Context, connectscope.Call) []slog.Attr {
			return []slog.Attr{slog.String("trace_id", own)}
		}})
		_ = call(with(t.Context(), "traceparent", traceparent, "tracestate", "a=1"), conn, unary, "")
		fields := <-got
		wantKeys(t, fields, want...)
		if fields["trace_id"] != own {
			t.Errorf("trace_id is %v", fields["trace_id"])
		}
	}
}

var _ = scope.NewKey[string]("test.tenant", scope.Propagated)

func TestBaggageIsTakenOnlyIfItIsTrusted(t *testing.T) {
	h, got := noted()
	for _, trust := range []bool{true, false} {
		conn := start(t, h, &connectscope.Options{TrustBaggage: func(_ context.Context, c connectscope.Call) bool {
			if c.Method != "Say" || c.Header.Get("Baggage") == "" || !strings.HasPrefix(c.Peer.Addr, "127.0.0.1:") {
				t.Errorf("asked about %+v", c)
			}
			return trust
		}})
		_ = call(with(t.Context(), "baggage", "user=eve,test.tenant=a", "baggage", "rpc.method=evil"), conn, unary, "")
		fields := <-got
		if v, ok := fields["test.tenant"]; ok != trust || trust && v != "a" || fields["user"] != "" || fields["rpc.method"] != "Say" {
			t.Errorf("trusted %v: %v", trust, fields)
		}
	}
	conn := start(t, h, nil)
	_ = call(with(t.Context(), "baggage", "test.tenant=a"), conn, unary, "")
	if fields := <-got; fields["test.tenant"] != "" {
		t.Errorf("by default: %v", fields)
	}
}

func TestNames(t *testing.T) {
	h, got := noted()
	names := connectscope.NewerNames()
	names[connectscope.RequestID], names[connectscope.TraceID], names[connectscope.ParentSpanID] = "", "trace", "parent"
	names[connectscope.ClientAddress] = "peer"
	server := serve(t, h.mux(scoped(&connectscope.Options{Names: names})))
	for protocol, system := range map[string]string{"connect": "connectrpc", "grpc": "grpc", "grpcweb": "grpc"} {
		a := call(with(t.Context(), "traceparent", traceparent), dial(t, server, protocol), unary, "")
		wantFields(t, <-got, map[string]string{
			"trace": traceID, "parent": spanID, "trace_flags": "01",
			"rpc.system.name": system, "rpc.method": "test.v1.Echo/Say", "peer": "127.0.0.1",
		})
		if len(ids(a.header)) != 36 {
			t.Error("the answer has no id")
		}
	}
}

// A middleware may have put a header there.
func TestTheClientsAddressHasABoundedSize(t *testing.T) {
	h := each(func(context.Context) (string, error) {
		if got := scope.GetOr("peer", ""); len(got) < 1000 || len(got) > 1030 || !utf8.ValidString(got) {
			t.Errorf("%d bytes: %.20q", len(got), got)
		}
		return "", nil
	})
	mux := h.mux(scoped(&connectscope.Options{Names: map[connectscope.Field]string{connectscope.ClientAddress: "peer"}}))
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "\xff" + strings.Repeat("a", 5000)
		mux.ServeHTTP(w, r)
	}))
	if a := call(t.Context(), dial(t, server, connect.ProtocolConnect), unary, ""); a.err != nil {
		t.Error(a.err)
	}
}

// Fields may replace what the interceptor sets. The id is one: on the lines, in the answer, and
// in the header that the handler sees.
func TestFields(t *testing.T) {
	for _, tc := range []struct {
		id   any
		want string
	}{{"mine", "mine"}, {7, "7"}, {"bad\n", "r-17"}, {slog.StringValue("text"), "text"}} {
		for _, method := range []string{unary, bidirect} {
			var inHeader string
			h := each(func(ctx context.Context) (string, error) {
				inHeader = ids(must(connect.CallInfoForHandlerContext(ctx)).RequestHeader())
				return scope.Current().String(), nil
			})
			conn := start(t, h, &connectscope.Options{Fields: func(_ context.Context, c connectscope.Call) []slog.Attr {
				if c.Spec.Procedure != method || c.Service != "test.v1.Echo" || "/"+c.Service+"/"+c.Method != method || ids(c.Header) != "r-17" {
					t.Errorf("asked about %+v", c)
				}
				if n := scope.Current().Len(); n != 0 {
					t.Errorf("%d fields are bound", n)
				}
				return []slog.Attr{slog.Any("request_id", tc.id), slog.String("rpc.system", "other"), slog.Int("more", 1)}
			}})
			a := call(with(t.Context(), "x-request-id", "r-17"), conn, method, "")
			if want := "request_id=" + tc.want + " rpc.system=other rpc.service=test.v1.Echo rpc.method=" + method[14:] + " more=1"; a.text != want {
				t.Errorf("got  %s\nwant %s", a.text, want)
			}
			if ids(a.header) != tc.want || inHeader != tc.want {
				t.Errorf("the answer's ids are %q, and the header's %q, want %q", ids(a.header), inHeader, tc.want)
			}
		}
	}
}

// The id of Fields counts also where the field has no name of its own.
func TestAnIDWithoutAField(t *testing.T) {
	h := each(func(context.Context) (string, error) { return scope.GetOr("request_id", ""), nil })
	conn := start(t, h, &connectscope.Options{
		Names: map[connectscope.Field]string{connectscope.RequestID: ""},
		Fields: func(context.Context, connectscope.Call) []slog.Attr {
			return []slog.Attr{slog.String("request_id", "mine")}
		},
	})
	if a := call(t.Context(), conn, unary, ""); a.text != "mine" || ids(a.header) != "mine" {
		t.Error(a)
	}
}

// Whatever the handler does, and a proxy sends on what it has got, the answer has one id.
func TestTheAnswerHasOneID(t *testing.T) {
	cached := connect.NewResponse(wrapperspb.String("cached"))
	cached.Header().Set("X-Request-Id", "of another call")
	cached.Header().Set("More", "1")
	cached.Trailer().Set("X-Request-Id", "of another call")
	cached.Trailer().Set("More", "1")
	others := func(trailer http.Header) {
		trailer.Set("X-Request-Id", "another")
		trailer["x-request-id"] = []string{"in lower case"}
	}
	mux := http.NewServeMux()
	mux.Handle(unary, connect.NewUnaryHandler(unary, func(ctx context.Context, req *connect.Request[text]) (*connect.Response[text], error) {
		info := must(connect.CallInfoForHandlerContext(ctx))
		others(info.ResponseHeader())
		others(info.ResponseTrailer())
		if req.Msg.Value == "fails" {
			return nil, connect.NewError(connect.CodeNotFound, errOops)
		}
		return cached, nil
	}, scoped(nil)))
	h := &handler{stream: func(_ context.Context, s stream) error {
		s.ResponseHeader().Add("X-Request-Id", "another")
		s.ResponseHeader().Set("More", "1")
		others(s.ResponseTrailer())
		s.ResponseTrailer().Set("More", "1")
		return s.send("")
	}}
	mux.Handle("/", h.mux(scoped(nil)))
	server := serve(t, mux)
	for _, protocol := range protocols {
		conn := dial(t, server, protocol)
		for _, method := range kinds {
			a := call(with(t.Context(), "x-request-id", "r-1"), conn, method, "")
			if a.err != nil || ids(a.header) != "r-1" || ids(a.trailer) != "" || a.header.Get("More") != "1" || a.trailer.Get("More") != "1" {
				t.Errorf("%s %s: %v", protocol, method, a)
			}
		}
		if a := call(with(t.Context(), "x-request-id", "r-1"), conn, unary, "fails"); a.err == nil || ids(a.header) != "r-1" {
			t.Errorf("%s, an error: %v", protocol, a)
		}
	}
	if ids(cached.Header()) != "of another call" || ids(cached.Trailer()) != "of another call" {
		t.Error("the handler's response is changed")
	}
}

// An error may have an id in its Meta: that of an answer from which it was copied. Others may return
// the same error at the same time. Of a wire error Connect sends no Meta.
func TestAnErrorHandsOnNoID(t *testing.T) {
	handedOn := connect.NewError(connect.CodeNotFound, errOops)
	detail, err := connect.NewErrorDetail(wrapperspb.String("detail"))
	if err != nil {
		t.Fatal(err)
	}
	handedOn.AddDetail(detail)
	handedOn.Meta().Set("X-Request-Id", "of another call")
	handedOn.Meta()["x-request-id"] = []string{"in lower case"}
	handedOn.Meta().Set("More", "1")
	plain := connect.NewError(connect.CodeNotFound, errOops) // without a Meta
	wire := connect.NewWireError(connect.CodeNotFound, errOops)
	wire.Meta().Set("X-Request-Id", "of another call")
	var returned atomic.Pointer[error]
	around := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			resp, err := next(ctx, req)
			returned.Store(&err)
			return resp, err
		}
	})
	for _, err := range []error{handedOn, plain, wire, fmt.Errorf("wrapped: %w", handedOn)} {
		h := each(func(context.Context) (string, error) { return "", err })
		server := serve(t, h.mux(connect.WithInterceptors(around), scoped(nil)))
		for _, protocol := range protocols {
			conn := dial(t, server, protocol)
			for _, method := range kinds {
				var calls sync.WaitGroup
				for range 4 {
					calls.Go(func() {
						a := call(with(t.Context(), "x-request-id", "r-1"), conn, method, "")
						var got *connect.Error
						if !errors.As(a.err, &got) {
							t.Errorf("%s %s: %v", protocol, method, a.err)
							return
						}
						if id := ids(got.Meta()); id != "r-1" || got.Code() != connect.CodeNotFound || got.Message() != "oops" {
							t.Errorf("%s %s: %v, ids %s", protocol, method, got, id)
						}
						if err != plain && err != wire && (got.Meta().Get("More") != "1" || len(got.Details()) != 1) {
							t.Errorf("%s %s: %v, details %v", protocol, method, got.Meta(), got.Details())
						}
					})
				}
				calls.Wait()
			}
		}
		if got := *returned.Load(); !errors.Is(got, err) || !errors.Is(got, errOops) || got.Error() != err.Error() || connect.IsWireError(got) != (err == wire) {
			t.Errorf("an interceptor around gets %v", got)
		}
	}
	if ids(handedOn.Meta()) != "of another call" {
		t.Error("the handler's error is changed")
	}
}

// HTTP/1 serves many calls on one goroutine. What one sets must be gone for the next, skipped
// ones too.
func TestConnectionsKeepNothing(t *testing.T) {
	var left atomic.Int64
	h := each(func(context.Context) (string, error) {
		if scope.Current().Has("mark") {
			left.Add(1)
		}
		scope.Set("mark", true)
		return goroutine(), nil
	})
	for _, skip := range []bool{false, true} {
		opts := &connectscope.Options{Skip: func(context.Context, connectscope.Call) bool {
			if scope.Current().Has("mark") {
				left.Add(1)
			}
			scope.Set("mark", true)
			return skip
		}}
		one := &http.Transport{MaxConnsPerHost: 1}
		t.Cleanup(one.CloseIdleConnections)
		conn := dialBy(&http.Client{Transport: one}, serve(t, h.mux(scoped(opts))), connect.ProtocolConnect)
		served := map[string]int{}
		for range 50 {
			for _, method := range kinds[:3] {
				served[call(t.Context(), conn, method, "").text]++
			}
		}
		most := 0
		for _, n := range served {
			most = max(most, n)
		}
		if left.Load() > 0 || most < 2 {
			t.Errorf("skip %v: %d marks are left; a goroutine serves up to %d calls", skip, left.Load(), most)
		}
	}
}

func goroutine() string {
	b := make([]byte, 64)
	return strings.Fields(string(b[:runtime.Stack(b, false)]))[1]
}

// A call that is skipped has no scope, no line, and no id but what its handler answers.
func TestSkip(t *testing.T) {
	logger, lines := logs()
	skip := &connectscope.Options{Log: logger.LogAttrs, Skip: func(_ context.Context, c connectscope.Call) bool {
		return c.Header.Get("Probe") != ""
	}}
	h, got := noted()
	own := &handler{stream: func(_ context.Context, s stream) error {
		s.ResponseHeader().Set("X-Request-Id", "own")
		return s.send("")
	}}
	mux := own.mux(scoped(skip))
	resp := connect.NewResponse(new(text))
	resp.Header().Set("X-Request-Id", "own")
	respond := http.NewServeMux()
	respond.Handle(unary, connect.NewUnaryHandler(unary, func(context.Context, *connect.Request[text]) (*connect.Response[text], error) {
		return resp, nil
	}, scoped(skip)))
	respond.Handle("/", mux)
	conn := start(t, h, skip)
	ownConn := dial(t, serve(t, respond), connect.ProtocolConnect)
	for _, method := range kinds {
		ctx := with(t.Context(), "probe", "1", "x-request-id", "r-1")
		a := call(ctx, conn, method, "")
		wantKeys(t, <-got)
		if a.err != nil || len(a.header.Values("X-Request-Id")) != 0 {
			t.Error(a)
		}
		if a := call(ctx, ownConn, method, ""); a.err != nil || ids(a.header) != "own" {
			t.Errorf("%s: %v", method, a)
		}
	}
	lines.None(t)
}

// Two interceptors on the way of one call are as one. A call that a handler makes itself, within
// this process and with its context, is another one.
func TestTwoInterceptorsAreAsOne(t *testing.T) {
	logger, lines := logs()
	opts := scoped(&connectscope.Options{Log: logger.LogAttrs})
	inner := each(func(context.Context) (string, error) { return "", nil })
	innerMux := inner.mux(opts)
	h := each(func(ctx context.Context) (string, error) {
		task := scope.Current()
		inner.unary = func(context.Context, string) (string, error) {
			if scope.Current().SameTask(task) {
				t.Error("the call that the handler makes is in its task")
			}
			return "", nil
		}
		inside := dialBy(inProcess{innerMux}, serve(t, innerMux), connect.ProtocolConnect, scoped(nil))
		if a := call(ctx, inside, unary, ""); a.err != nil || ids(a.header) != scope.GetOr("request_id", "") {
			t.Error(a)
		}
		return "", nil
	})
	conn := dial(t, serve(t, h.mux(opts, opts)), connect.ProtocolConnect)
	for _, method := range kinds {
		if a := call(t.Context(), conn, method, ""); a.err != nil || len(ids(a.header)) != 36 {
			t.Error(a)
		}
		id := lines.Next(t)["request_id"]
		lines.Next(t).Want(t, testkit.Line{"rpc.method": method[14:], "request_id": id})
		lines.None(t)
	}
}

// inProcess is a client that calls the handler itself.
type inProcess struct{ http.Handler }

func (h inProcess) Do(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Result(), nil
}

var errOops = errors.New("oops")

// A panic goes on to whoever recovers it, unless Recover ends it.
func TestPanics(t *testing.T) {
	logger, lines := logs()
	outside := connect.WithRecover(func(ctx context.Context, _ connect.Spec, _ http.Header, p any) error {
		if _, ok := scope.FromContext(ctx); ok {
			t.Error("the interceptor outside has the scope")
		}
		return connect.NewError(connect.CodeDataLoss, fmt.Errorf("recovered outside: %v", p))
	})
	h := each(func(context.Context) (string, error) { scope.Set("step", 1); panic(errOops) })
	for _, recovers := range []bool{false, true} {
		for _, log := range []connectscope.LogFunc{nil, logger.LogAttrs} {
			server := serve(t, h.mux(outside, scoped(&connectscope.Options{
				Recover: recovers, Log: log, CodeToLevel: func(connect.Code) slog.Level { return slog.LevelInfo },
			})))
			for _, protocol := range protocols {
				conn := dial(t, server, protocol)
				for _, method := range kinds {
					a := call(with(t.Context(), "x-request-id", "r-1"), conn, method, "")
					want, code := "data_loss: recovered outside: oops", any(nil)
					if recovers {
						want, code = "internal: internal error", "internal"
					}
					if a.err == nil || a.err.Error() != want || ids(a.header) != "r-1" {
						t.Errorf("recovers %v: %v", recovers, a)
					}
					if log == nil {
						continue
					}
					if protocol != connect.ProtocolConnect {
						code = nil
					}
					line := lines.Next(t)
					line.Want(t, testkit.Line{
						"level": "ERROR", "msg": "call", "request_id": "r-1", "step": 1., "exception.message": "oops",
						"rpc.connect_rpc.error_code": code, "error.message": nil, "error.type": nil, "scope_ended": nil,
					})
					if stack, _ := line["exception.stacktrace"].(string); !strings.Contains(stack, "TestPanics") {
						t.Errorf("the stack doesn't show the handler: %s", stack)
					}
					lines.None(t)
				}
			}
		}
	}
}

// A panic whose text is a panic of the same kind doesn't end the program.
func TestAPanicWithoutAText(t *testing.T) {
	logger, lines := logs()
	conn := start(t, each(func(context.Context) (string, error) { panic(testkit.PanickingText{}) }), &connectscope.Options{Log: logger.LogAttrs, Recover: true})
	for _, method := range kinds {
		if a := call(t.Context(), conn, method, ""); connect.CodeOf(a.err) != connect.CodeInternal {
			t.Error(a)
		}
		lines.Next(t).Want(t, testkit.Line{"level": "ERROR", "exception.message": "!PANIC: text of testkit.PanickingText"})
	}
}

// Behind the interceptor connect.WithRecover ends the panic within the scope.
func TestRecoverInside(t *testing.T) {
	logger, lines := logs()
	inside := connect.WithRecover(func(ctx context.Context, _ connect.Spec, _ http.Header, p any) error {
		logger.InfoContext(ctx, "recovered")
		return connect.NewError(connect.CodeAborted, fmt.Errorf("recovered: %v", p))
	})
	h := each(func(context.Context) (string, error) { scope.Set("step", 1); panic(errOops) })
	conn := dial(t, serve(t, h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs}), inside)), connect.ProtocolConnect)
	for _, method := range kinds {
		_ = call(with(t.Context(), "x-request-id", "r-1"), conn, method, "")
		lines.Next(t).Want(t, testkit.Line{"msg": "recovered", "request_id": "r-1", "step": 1.})
		lines.Next(t).Want(t, testkit.Line{"msg": "call", "level": "WARN", "rpc.connect_rpc.error_code": "aborted", "error.message": "recovered: oops", "step": 1.})
	}
}

// With the old meaning of panic(nil) it is a panic, too: it isn't answered as if all were well.
func TestAPanicWithNilGoesOn(t *testing.T) {
	for _, setting := range []string{"panicnil=0", "panicnil=1"} {
		t.Setenv("GODEBUG", setting)
		for _, recovers := range []bool{false, true} {
			logger, lines := logs()
			h := each(func(context.Context) (string, error) { panic(noValue) })
			c := start(t, h, &connectscope.Options{Log: logger.LogAttrs, Recover: recovers})
			err := call(t.Context(), c, unary, "").err
			if err == nil || recovers != (err.Error() == "internal: internal error") {
				t.Errorf("%s, recovers %v: the answer is %v", setting, recovers, err)
			}
			lines.Next(t).Want(t, testkit.Line{"level": "ERROR"})
		}
	}
}

var noValue any // go vet knows panic(nil)

// net/http ends the connection or the stream, and logs the panic, but for ErrAbortHandler.
func TestPanicsThatNobodyEnds(t *testing.T) {
	logger, lines := logs()
	var with any
	h := each(func(context.Context) (string, error) { panic(with) })
	for _, recovers := range []bool{false, true} {
		conn := start(t, h, &connectscope.Options{Log: logger.LogAttrs, Recover: recovers})
		for _, method := range kinds {
			with = http.ErrAbortHandler
			if a := call(t.Context(), conn, method, ""); a.err == nil {
				t.Errorf("%s: no error", method)
			}
			lines.Next(t).Want(t, testkit.Line{
				"level": "WARN", "error.type": "abort", "rpc.connect_rpc.error_code": nil, "exception.message": nil,
			})
			if recovers {
				continue
			}
			with = "oops"
			if a := call(t.Context(), conn, method, ""); a.err == nil {
				t.Errorf("%s: no error", method)
			}
			lines.Next(t).Want(t, testkit.Line{"level": "ERROR", "exception.message": "oops", "rpc.connect_rpc.error_code": nil})
		}
	}
}

// An option that panics is no worse than a handler that does.
func TestOptionsMayPanic(t *testing.T) {
	logger, lines := logs()
	for name, opts := range map[string]connectscope.Options{
		"Fields": {Fields: func(context.Context, connectscope.Call) []slog.Attr { panic("oops") }},
		"NewID":  {NewID: func() string { panic("oops") }},
		"Finish": {Finish: func(context.Context) { panic("oops") }},
	} {
		opts.Recover = true
		opts.Log = func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
			if ctx == nil || !must(scope.FromContext(ctx)).SameTask(scope.Current()) {
				t.Errorf("%s: the line's context is %v", name, ctx)
				ctx = t.Context()
			}
			logger.LogAttrs(ctx, level, msg, attrs...)
		}
		h, _ := noted()
		conn := start(t, h, &opts)
		if a := call(t.Context(), conn, unary, ""); connect.CodeOf(a.err) != connect.CodeInternal {
			t.Errorf("%s: %v", name, a)
		}
		lines.Next(t).Want(t, testkit.Line{"exception.message": "oops", "rpc.connect_rpc.error_code": "internal"})
	}
}

// Who reads the line of a panic must not be sent to what has panicked because of it.
func TestTheHandlersPanicGoesBeforeThatOfAnOption(t *testing.T) {
	for name, opts := range map[string]connectscope.Options{
		"Finish": {Finish: func(context.Context) { panic("Finish's") }},
		"Log":    {Log: func(context.Context, slog.Level, string, ...slog.Attr) { panic("Log's") }},
	} {
		logger, lines := logs()
		if opts.Log == nil {
			opts.Log = logger.LogAttrs
		}
		handle := connectscope.NewInterceptor(&opts).WrapUnary(func(context.Context, connect.AnyRequest) (connect.AnyResponse, error) { panic("oops") })
		func() {
			defer func() {
				if p := recover(); p != "oops" {
					t.Errorf("%s: the panic is %v", name, p)
				}
			}()
			_, _ = handle(t.Context(), connect.NewRequest(new(text)))
		}()
		if name != "Log" {
			lines.Next(t).Want(t, testkit.Line{"exception.message": "oops"})
		}
	}
}

// An error comes without a response, as Connect wants it, also if it comes from behind a handler
// that has one.
func TestAnErrorHasNoResponse(t *testing.T) {
	in := connectscope.NewInterceptor(&connectscope.Options{Recover: true, Finish: func(context.Context) { panic("oops") }})
	handle := in.WrapUnary(func(context.Context, connect.AnyRequest) (connect.AnyResponse, error) {
		return connect.NewResponse(new(text)), nil
	})
	if resp, err := handle(t.Context(), connect.NewRequest(new(text))); resp != nil || connect.CodeOf(err) != connect.CodeInternal {
		t.Errorf("the response is %v, and the error %v", resp, err)
	}
}

// The line says what has happened.
func TestGoexit(t *testing.T) {
	logger, lines := logs()
	h := each(func(context.Context) (string, error) { runtime.Goexit(); return "", nil })
	conn := start(t, h, &connectscope.Options{Log: logger.LogAttrs, Recover: true, Await: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan answer)
	go func() { done <- call(ctx, conn, unary, "") }()
	lines.Next(t).Want(t, testkit.Line{"level": "ERROR", "error.type": "goexit", "rpc.connect_rpc.error_code": nil, "exception.message": nil})
	cancel()
	<-done
}
