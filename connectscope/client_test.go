package connectscope_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// received returns a server that notes the header of each call.
func received(t *testing.T) (server *httptest.Server, got func() http.Header) {
	c := make(chan http.Header, 10)
	server = serve(t, each(func(ctx context.Context) (string, error) {
		c <- must(connect.CallInfoForHandlerContext(ctx)).RequestHeader().Clone()
		return "ok", nil
	}).mux())
	return server, func() http.Header { return testkit.Receive(t, c, "call") }
}

func wantHeader(t *testing.T, got http.Header, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if v := strings.Join(got.Values(key), "|"); v != value {
			t.Errorf("%s is %q, want %q", key, v, value)
		}
	}
}

// The scope goes along: that of the goroutine, or of the context.
func TestWhatIsSent(t *testing.T) {
	server, got := received(t)
	s := scope.New("request_id", "r-17", "trace_id", traceID, "trace_flags", "01", "trace_state", "a=1", "test.tenant", "acme", "user", "eve")
	for _, protocol := range protocols {
		conn := dial(t, server, protocol, scoped(nil))
		for _, method := range kinds {
			for name, send := range map[string]func(){
				"goroutine": func() { s.Run(func() { _ = call(t.Context(), conn, method, "") }) },
				"context":   func() { _ = call(scope.NewContext(t.Context(), s), conn, method, "") },
				"another task's context": func() {
					scope.New("request_id", "other").Run(func() { _ = call(scope.NewContext(t.Context(), s), conn, method, "") })
				},
			} {
				send()
				header := got()
				wantHeader(t, header, map[string]string{"x-request-id": "r-17", "tracestate": "a=1", "baggage": "test.tenant=acme"})
				if tp := strings.Join(header.Values("traceparent"), "|"); !strings.HasPrefix(tp, "00-"+traceID+"-") || strings.Contains(tp, spanID) || !strings.HasSuffix(tp, "-01") {
					t.Errorf("%s by %s: traceparent %s", method, name, tp)
				}
			}
		}
		_ = call(t.Context(), conn, unary, "")
		wantHeader(t, got(), map[string]string{"x-request-id": "", "traceparent": "", "baggage": ""})
	}
}

// What the call's header has already stays, unless it isn't valid.
func TestHeadersThatAreThereStay(t *testing.T) {
	server, got := received(t)
	conn := dial(t, server, connect.ProtocolConnect, scoped(nil))
	s := scope.New("request_id", "r-17", "trace_id", traceID, "test.tenant", "acme")
	for _, tc := range []struct {
		had  []string
		want map[string]string
	}{
		{[]string{"X-Request-Id", "theirs"}, map[string]string{"x-request-id": "theirs"}},
		{[]string{"X-Request-Id", "not valid"}, map[string]string{"x-request-id": "r-17"}},
		{[]string{"X-Request-Id", "a", "X-Request-Id", "b"}, map[string]string{"x-request-id": "r-17"}},
		{[]string{"Traceparent", traceparent}, map[string]string{"traceparent": traceparent, "tracestate": ""}},
		{[]string{"Baggage", "a=1"}, map[string]string{"baggage": "a=1,test.tenant=acme"}},
		{[]string{"Baggage", "a=1", "Baggage", "test.tenant=x", "Other", "1"}, map[string]string{"baggage": "a=1|test.tenant=x", "other": "1"}},
	} {
		for _, method := range kinds {
			s.Run(func() { _ = call(with(t.Context(), tc.had...), conn, method, "") })
			wantHeader(t, got(), tc.want)
		}
		// The same with the header of a request, and of a stream.
		add := func(h http.Header) {
			for i := 0; i < len(tc.had); i += 2 {
				h.Add(tc.had[i], tc.had[i+1])
			}
		}
		s.Run(func() {
			req := connect.NewRequest(wrapperspb.String(""))
			add(req.Header())
			if _, err := conn.of[unary].CallUnary(t.Context(), req); err != nil {
				t.Error(err)
			}
			wantHeader(t, got(), tc.want)
			stream := conn.of[clientStream].CallClientStream(t.Context())
			add(stream.RequestHeader())
			if _, err := stream.CloseAndReceive(); err != nil { // sends nothing before
				t.Error(err)
			}
			wantHeader(t, got(), tc.want)
		})
	}
}

// A request may be used for several calls, by several tasks.
func TestTheProgramsRequestIsLeftAlone(t *testing.T) {
	server, got := received(t)
	conn := dial(t, server, connect.ProtocolConnect, scoped(nil))
	req := connect.NewRequest(wrapperspb.String(""))
	req.Header().Set("Own", "1")
	for _, id := range []string{"r-1", "r-2"} {
		scope.New("request_id", id).Run(func() {
			if _, err := conn.of[unary].CallUnary(t.Context(), req); err != nil {
				t.Error(err)
			}
		})
		wantHeader(t, got(), map[string]string{"x-request-id": id, "own": "1"})
	}
	if ids(req.Header()) != "" || req.HTTPMethod() != "POST" || req.Spec().Procedure != unary {
		t.Errorf("the request is %v", req)
	}
}

func TestClientNames(t *testing.T) {
	server, got := received(t)
	names := map[connectscope.Field]string{connectscope.RequestID: "id", connectscope.TraceID: "trace"}
	valid := func(id string) bool { scope.Set("seen", id); return strings.HasSuffix(id, "!") }
	for _, opts := range []*connectscope.Options{
		{Names: names, Client: &connectscope.ClientOptions{ValidID: valid}},
		{Client: &connectscope.ClientOptions{ValidID: valid, Names: names}},
	} {
		conn := dial(t, server, connect.ProtocolConnect, scoped(opts))
		scope.New("id", "r 17!", "request_id", "no", "trace", traceID).Run(func() {
			if _ = call(t.Context(), conn, unary, ""); scope.Current().Has("seen") {
				t.Error("what ValidID sets stays")
			}
		})
		header := got()
		wantHeader(t, header, map[string]string{"x-request-id": "r 17!"})
		if tp := header.Values("traceparent"); len(tp) != 1 {
			t.Errorf("traceparent %q", tp)
		}
		scope.New("id", "r-17").Run(func() { _ = call(t.Context(), conn, unary, "") })
		wantHeader(t, got(), map[string]string{"x-request-id": ""})
	}
}

// One service after the other has one id, and one trace. Baggage that a proxy hasn't trusted
// stays there.
func TestOneIDThroughAProxy(t *testing.T) {
	server, got := received(t)
	{
		back := dial(t, server, connect.ProtocolGRPC, scoped(nil))
		conn := start(t, each(func(ctx context.Context) (string, error) {
			return "", call(with(ctx, "baggage", "user=eve"), back, unary, "").err
		}), nil)
		_ = call(with(t.Context(), "baggage", "user=eve"), conn, unary, "")
		if baggage, ok := got()["Baggage"]; ok {
			t.Errorf("the proxy sends the baggage %q", baggage)
		}
	}
	for _, trust := range []bool{false, true} {
		back := dial(t, server, connect.ProtocolGRPC, scoped(nil))
		proxy := each(func(ctx context.Context) (string, error) {
			in := must(connect.CallInfoForHandlerContext(ctx)).RequestHeader()
			ctx, out := connect.NewClientContext(ctx)
			for _, key := range []string{"X-Request-Id", "Traceparent", "Tracestate", "Baggage"} {
				out.RequestHeader()[key] = in[key]
			}
			out.RequestHeader().Add("Baggage", "own=1")
			return "", call(ctx, back, bidirect, "").err
		})
		conn := start(t, proxy, &connectscope.Options{TrustBaggage: func(context.Context, connectscope.Call) bool { return trust }})
		for _, method := range kinds {
			a := call(with(t.Context(), "baggage", "user=eve,test.tenant=a", "traceparent", traceparent), conn, method, "")
			if a.err != nil {
				t.Fatal(a.err)
			}
			want := map[string]string{"baggage": "own=1", "x-request-id": ids(a.header), "traceparent": traceparent}
			if trust {
				want["baggage"] = "user=eve,test.tenant=a|own=1"
			}
			wantHeader(t, got(), want)
		}
	}
}

// The same from HTTP to Connect, and the reverse: the entries know of one another.
func TestUntrustedBaggageStaysOut(t *testing.T) {
	server, got := received(t)
	conn := dial(t, server, connect.ProtocolConnect, scoped(nil))
	front := serve(t, httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = call(with(r.Context(), "baggage", r.Header.Get("Baggage")+",own=1"), conn, unary, "")
	}), nil))
	req, err := http.NewRequest(http.MethodGet, front.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Baggage", "user=eve")
	resp, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	wantHeader(t, got(), map[string]string{"baggage": "own=1"})

	var baggage string
	plain := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { baggage = r.Header.Get("Baggage") }))
	by := &http.Client{Transport: httpscope.Transport(transport(t), nil)}
	proxy := start(t, each(func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, plain.URL, nil)
		if err != nil {
			return "", err
		}
		req.Header.Set("Baggage", "user=eve,own=1")
		resp, err := by.Do(req)
		if err != nil {
			return "", err
		}
		return "", resp.Body.Close()
	}), nil)
	for _, method := range kinds {
		if a := call(with(t.Context(), "baggage", "user=eve"), proxy, method, ""); a.err != nil || baggage != "own=1" {
			t.Errorf("%v: %s", a, baggage)
		}
	}
}

func TestClientSkip(t *testing.T) {
	server, got := received(t)
	logger, lines := logs()
	conn := dial(t, server, connect.ProtocolConnect, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{
		Log: logger.LogAttrs, Skip: func(_ context.Context, c connectscope.Call) bool {
			scope.Set("set by Skip", true)
			if c.Peer.Addr == "" {
				t.Errorf("%s: the host isn't known", c.Method)
			}
			return c.Method == "Say" || c.Method == "Chat"
		},
	}}))
	scope.New("request_id", "r-17").Run(func() {
		for _, method := range []string{unary, bidirect} {
			_ = call(t.Context(), conn, method, "")
			wantHeader(t, got(), map[string]string{"x-request-id": ""})
			lines.None(t)
		}
		_ = call(t.Context(), conn, clientStream, "")
		wantHeader(t, got(), map[string]string{"x-request-id": "r-17"})
		lines.Next(t).Want(t, testkit.Line{"rpc.method": "Collect"})
		if scope.Current().Has("set by Skip") {
			t.Error("what Skip sets stays")
		}
	})
}

// A call's own line says what has become of it, within the scope of whoever made it.
func TestTheLineOfAnOutgoingCall(t *testing.T) {
	logger, lines := logs()
	var fail error
	server := serve(t, each(func(context.Context) (string, error) { return "answer", fail }).mux())
	hello, ok := float64(proto.Size(wrapperspb.String("hello"))), float64(proto.Size(wrapperspb.String("answer")))
	for _, protocol := range protocols {
		conn := dial(t, server, protocol, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: logger.LogAttrs, Sizes: true}}))
		scope.New("request_id", "r-17", "rpc.service", "outer.Service", "rpc.method", "Serve").Run(func() {
			scope.Add("rows", 1) // not for this line
			for _, method := range kinds {
				fail = nil
				_ = call(t.Context(), conn, method, "hello")
				want := testkit.Line{
					"level": "INFO", "msg": "outgoing call", "request_id": "r-17", "rows": nil, "scope_ended": nil,
					"rpc.system": systems[protocol], "rpc.service": "test.v1.Echo", "rpc.method": method[len("/test.v1.Echo/"):],
					"rpc.client.request.size": hello, "rpc.client.response.size": ok, "error.message": nil,
				}
				if protocol != connect.ProtocolConnect {
					want["rpc.grpc.status_code"] = 0.
				}
				if method != unary {
					want["rpc.client.requests_per_rpc"], want["rpc.client.responses_per_rpc"] = 1., 1.
				}
				line := lines.Next(t)
				line.Want(t, want)
				if d, _ := line["rpc.client.call.duration"].(float64); d <= 0 {
					t.Errorf("no duration: %v", line)
				}
				fail = connect.NewError(connect.CodeNotFound, errors.New("no such user"))
				_ = call(t.Context(), conn, method, "hello")
				want = testkit.Line{"error.message": "no such user", "rpc.client.response.size": nil}
				if protocol == connect.ProtocolConnect {
					want["rpc.connect_rpc.error_code"] = "not_found"
				} else {
					want["rpc.grpc.status_code"] = 5.
				}
				lines.Next(t).Want(t, want)
			}
			if v := scope.GetOr("rpc.method", ""); v != "Serve" {
				t.Errorf("the scope has the method %s now", v)
			}
		})
		lines.None(t)
		// A call outside of any task.
		fail = nil
		_ = call(t.Context(), conn, unary, "")
		lines.Next(t).Want(t, testkit.Line{"rpc.method": "Say", "request_id": nil})
	}
}

// Connect knows neither the service nor the method of a short path: "/" is its procedure. Those of
// the call that is being served would be wrong.
func TestTheLineOfAnOutgoingCallWithoutAName(t *testing.T) {
	logger, lines := logs()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	opts := scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: logger.LogAttrs}})
	client := connect.NewClient[text, text](&http.Client{Transport: transport(t)}, server.URL+"/Short", opts)
	scope.New("request_id", "r-1", "rpc.service", "outer.Service", "rpc.method", "Serve").Run(func() {
		if _, err := client.CallUnary(t.Context(), connect.NewRequest(new(text))); err == nil {
			t.Error("there is an answer")
		}
		lines.Next(t).Want(t, testkit.Line{
			"msg": "outgoing call", "request_id": "r-1", "rpc.system": "connect_rpc", "rpc.service": nil, "rpc.method": nil,
		})
		if got := scope.GetOr("rpc.service", ""); got != "outer.Service" {
			t.Errorf("the scope has the service %q now", got)
		}
	})
}

// The line of a stream comes however it ends, and once.
func TestTheLineOfAStreamThatIsLeft(t *testing.T) {
	logger, lines := logs()
	server := serve(t, (&handler{stream: func(ctx context.Context, s stream) error { <-ctx.Done(); return nil }}).mux())
	opts := scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: logger.LogAttrs}})
	for _, protocol := range protocols {
		conn := dial(t, server, protocol, opts)
		for name, leave := range map[string]func(s *connect.BidiStreamForClient[text, text], cancel func()){
			"canceled": func(_ *connect.BidiStreamForClient[text, text], cancel func()) { cancel() },
			"while it receives": func(s *connect.BidiStreamForClient[text, text], cancel func()) {
				time.AfterFunc(10*time.Millisecond, cancel)
				_, _ = s.Receive()
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			scope.New("request_id", "r-1").Run(func() {
				s := conn.of[bidirect].CallBidiStream(ctx)
				if err := s.Send(wrapperspb.String("")); err != nil {
					t.Error(err)
				}
				leave(s, cancel)
				_, _ = s.Receive()
				_ = s.CloseResponse()
			})
			line := lines.Next(t)
			line.Want(t, testkit.Line{
				"msg": "outgoing call", "level": "INFO", "request_id": "r-1", "rpc.client.requests_per_rpc": 1., "rpc.client.responses_per_rpc": 0.,
			})
			if line["rpc.connect_rpc.error_code"] != "canceled" && line["rpc.grpc.status_code"] != 1. {
				t.Errorf("%s: %v", name, line)
			}
			cancel()
			lines.None(t)
		}
	}
	// Closed before its end, in the middle of which there may be a message.
	endless := serve(t, (&handler{stream: func(ctx context.Context, s stream) error { _ = s.send("1"); <-ctx.Done(); return nil }}).mux())
	conn := dial(t, endless, connect.ProtocolConnect, opts)
	s, err := conn.of[serverStream].CallServerStream(t.Context(), connect.NewRequest(new(text)))
	if err != nil || !s.Receive() {
		t.Fatal(err)
	}
	_ = s.Close()
	_ = s.Close()
	lines.Next(t).Want(t, testkit.Line{"rpc.connect_rpc.error_code": "canceled", "error.message": "the stream was closed before its end", "rpc.client.responses_per_rpc": 1.})
	// One that can't be opened.
	nobody := dialBy(&http.Client{Transport: transport(t)}, &httptest.Server{URL: "http://127.0.0.1:1"}, connect.ProtocolGRPC, opts)
	for _, method := range kinds {
		if a := call(t.Context(), nobody, method, ""); connect.CodeOf(a.err) != connect.CodeUnavailable {
			t.Error(a.err)
		}
		lines.Next(t).Want(t, testkit.Line{"level": "WARN", "rpc.grpc.status_code": 14.})
	}
	// A message that can't be sent.
	limited := dial(t, endless, connect.ProtocolConnect, opts, connect.WithSendMaxBytes(10))
	for _, method := range kinds {
		_ = call(t.Context(), limited, method, strings.Repeat("x", 100))
		if method == bidirect || method == clientStream {
			continue // call leaves the stream
		}
		lines.Next(t).Want(t, testkit.Line{"level": "WARN", "rpc.connect_rpc.error_code": "resource_exhausted"})
	}
	long := limited.of[bidirect].CallBidiStream(t.Context())
	for _, msg := range []string{"short", strings.Repeat("x", 100)} {
		_ = long.Send(wrapperspb.String(msg))
	}
	_ = long.CloseResponse()
	lines.Next(t).Want(t, testkit.Line{"level": "WARN", "rpc.connect_rpc.error_code": "resource_exhausted", "rpc.client.requests_per_rpc": 1.})
	lines.None(t)
}

// Nobody has to look at a stream whose context has ended: it has its line.
func TestTheLineOfAStreamThatNobodyLooksAt(t *testing.T) {
	logger, lines := logs()
	server := serve(t, (&handler{stream: func(ctx context.Context, s stream) error { <-ctx.Done(); return nil }}).mux())
	conn := dial(t, server, connect.ProtocolConnect, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: logger.LogAttrs}}))
	ctx, cancel := context.WithCancel(t.Context())
	scope.New("request_id", "r-1").Run(func() {
		if err := conn.of[bidirect].CallBidiStream(ctx).Send(new(text)); err != nil {
			t.Error(err)
		}
	})
	lines.None(t)
	scope.New("request_id", "another").Run(cancel)
	lines.Next(t).Want(t, testkit.Line{"request_id": "r-1", "rpc.connect_rpc.error_code": "canceled"})
}

// A slow is a stream whose message arrives when it is told so.
type slow struct {
	connect.StreamingClientConn
	receiving, goOn chan struct{}
}

func (s slow) Receive(any) error {
	close(s.receiving)
	<-s.goOn
	return nil
}

// The line waits for a message that is being received.
func TestTheLineCountsTheLastMessage(t *testing.T) {
	logger, lines := logs()
	in := connectscope.NewInterceptor(&connectscope.Options{Client: &connectscope.ClientOptions{Log: logger.LogAttrs}})
	s := slow{receiving: make(chan struct{}), goOn: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	conn := in.WrapStreamingClient(func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		s.StreamingClientConn = never{spec}
		return s
	})(ctx, connect.Spec{Procedure: bidirect, StreamType: connect.StreamTypeBidi, IsClient: true})
	done := make(chan error)
	go func() { done <- conn.Receive(new(text)) }()
	<-s.receiving
	cancel()
	time.Sleep(20 * time.Millisecond)
	lines.None(t)
	close(s.goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	lines.Next(t).Want(t, testkit.Line{"rpc.client.responses_per_rpc": 1.})
}

// never is a stream that was never opened.
type never struct{ spec connect.Spec }

func (n never) Spec() connect.Spec         { return n.spec }
func (never) Peer() connect.Peer           { return connect.Peer{Protocol: connect.ProtocolConnect} }
func (never) Send(any) error               { return nil }
func (never) RequestHeader() http.Header   { return http.Header{} }
func (never) CloseRequest() error          { return nil }
func (never) Receive(any) error            { return nil }
func (never) ResponseHeader() http.Header  { return nil }
func (never) ResponseTrailer() http.Header { return nil }
func (never) CloseResponse() error         { return nil }

// A context that lives on keeps none of the calls that were made with it.
func TestAContextKeepsNoCall(t *testing.T) {
	server := serve(t, each(func(context.Context) (string, error) { return "", nil }).mux())
	conn := dial(t, server, connect.ProtocolConnect, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: slog.New(slog.DiscardHandler).LogAttrs}}))
	ctx, cancel := context.WithCancel(t.Context())
	var probe testkit.Probe[big]
	for _, method := range kinds {
		v := &big{}
		v.self = v
		scope.New("big", probe.Watch(v)).Run(func() {
			if a := call(ctx, conn, method, ""); a.err != nil {
				t.Error(a)
			}
		})
	}
	probe.WantFreed(t, "while the context lives")
	cancel()
}

// The program's own functions for a call find its scope in their context.
func TestWhatIsCalledForACall(t *testing.T) {
	logger, lines := logs()
	server := serve(t, each(func(context.Context) (string, error) { return "", nil }).mux())
	by := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		logger.InfoContext(req.Context(), "transport")
		return transport(t).RoundTrip(req)
	})}
	conn := dialBy(by, server, connect.ProtocolConnect, scoped(nil), connect.WithInterceptors(inner{logger}))
	scope.New("request_id", "r-1").Run(func() {
		scope.Set("user", "u1")
		for _, method := range kinds {
			if a := call(t.Context(), conn, method, ""); a.err != nil {
				t.Error(a)
			}
		}
	})
	n := 0
	for _, line := range lines.All() {
		line.Want(t, testkit.Line{"request_id": "r-1", "user": "u1"})
		n++
	}
	if n != 2*len(kinds) {
		t.Errorf("%d lines", n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// An inner interceptor logs.
type inner struct{ log *slog.Logger }

func (i inner) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		i.log.InfoContext(ctx, "inner")
		return next(ctx, req)
	}
}

func (i inner) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		i.log.InfoContext(ctx, "inner")
		return next(ctx, spec)
	}
}

func (i inner) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// Connect does nothing with a scope bound: whatever it does may find no connection, and make one.
// Its caller has the scope back afterwards.
func TestConnectIsCalledWithNothingBound(t *testing.T) {
	server := serve(t, each(func(context.Context) (string, error) { return "", nil }).mux())
	codec := &boundCodec{}
	var bound atomic.Int64
	by := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		if scope.Current().Len() > 0 {
			bound.Add(1)
		}
		return transport(t).RoundTrip(req)
	})}
	conn := dialBy(by, server, connect.ProtocolConnect, scoped(nil), connect.WithCodec(codec))
	scope.New("request_id", "r-1").Run(func() {
		for _, method := range kinds {
			if a := call(t.Context(), conn, method, ""); a.err != nil {
				t.Error(a)
			}
			s := conn.of[bidirect].CallBidiStream(t.Context())
			_ = s.CloseRequest() // makes the request
			_, _ = s.ResponseHeader(), s.ResponseTrailer()
			_, _ = s.Receive()
			_ = s.CloseResponse()
		}
		if scope.GetOr("request_id", "") != "r-1" {
			t.Error("the scope is gone")
		}
	})
	if calls := codec.calls.Load(); calls < 8 || codec.bound.Load()+bound.Load() > 0 {
		t.Errorf("of %d calls %d with a scope, and %d of the transport", calls, codec.bound.Load(), bound.Load())
	}
}

// boundCodec notes when it is called with a scope bound.
type boundCodec struct{ calls, bound atomic.Int64 }

func (c *boundCodec) note() {
	c.calls.Add(1)
	if scope.Current().Len() > 0 {
		c.bound.Add(1)
	}
}

func (*boundCodec) Name() string { return "proto" }
func (c *boundCodec) Marshal(v any) ([]byte, error) {
	c.note()
	return proto.Marshal(v.(proto.Message))
}
func (c *boundCodec) Unmarshal(b []byte, v any) error {
	c.note()
	return proto.Unmarshal(b, v.(proto.Message))
}

// A big value that a scope keeps in memory.
type big struct {
	self *big
	_    [1 << 10]byte
}

// A connection that is made, or made again, for a call keeps nothing of it: neither one of the
// first call, nor one after the connection was lost.
func TestAConnectionKeepsNoRequestAlive(t *testing.T) {
	ok := each(func(context.Context) (string, error) { return "", nil })
	for _, protocol := range protocols {
		for _, method := range kinds {
			for _, ours := range []bool{true, false} {
				if !ours && (!inherits || method == serverStream) {
					continue
				}
				var probe testkit.Probe[big]
				l := &lossy{}
				tr := transport(t)
				tr.DialContext = l.dial
				var opts []connect.ClientOption
				if ours {
					opts = append(opts, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: slog.New(slog.DiscardHandler).LogAttrs}}))
				}
				conn := dialBy(&http.Client{Transport: tr}, serve(t, ok.mux()), protocol, opts...)
				ask := func() {
					v := &big{}
					v.self = v
					s := scope.New("request_id", "r-1", "big", probe.Watch(v))
					s.Run(func() {
						ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
						defer cancel()
						for call(ctx, conn, method, "").err != nil && ctx.Err() == nil { // the first one after a loss may fail
						}
					})
				}
				ask()
				for range 3 {
					l.lose()
					ask()
				}
				if n := l.dials.Load(); n < 4 {
					t.Errorf("%d connections", n)
				}
				if ours {
					probe.WantFreed(t, "while the client is open: "+method)
				} else if probe.LeftWithin(0, 0) == 0 {
					t.Errorf("without the interceptor, %s keeps none either: does this test see anything?", method)
				}
			}
		}
	}
}

// lossy dials connections that it can lose.
type lossy struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
	dials atomic.Int64
}

func (l *lossy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		l.mu.Lock()
		if l.conns == nil {
			l.conns = map[net.Conn]bool{}
		}
		l.conns[conn] = true
		l.mu.Unlock()
		l.dials.Add(1)
	}
	return conn, err
}

func (l *lossy) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range maps.Keys(l.conns) {
		_ = c.Close()
	}
	clear(l.conns)
}

// What an interceptor inside answers with is passed on as it is: a nil response, too.
func TestNoResponse(t *testing.T) {
	logger, lines := logs()
	for _, log := range []connectscope.LogFunc{nil, logger.LogAttrs} {
		for _, want := range []connect.AnyResponse{nil, (*connect.Response[text])(nil)} {
			in := connectscope.NewInterceptor(&connectscope.Options{Client: &connectscope.ClientOptions{Log: log}})
			inside := connect.UnaryInterceptorFunc(func(connect.UnaryFunc) connect.UnaryFunc {
				return func(context.Context, connect.AnyRequest) (connect.AnyResponse, error) { return want, nil }
			})
			var got connect.AnyResponse
			outside := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
				return func(ctx context.Context, req connect.AnyRequest) (_ connect.AnyResponse, err error) {
					got, err = next(ctx, req)
					return got, err
				}
			})
			conn := dialBy(http.DefaultClient, &httptest.Server{URL: "http://127.0.0.1:1"}, connect.ProtocolConnect, connect.WithInterceptors(outside, in, inside))
			if _, _ = conn.of[unary].CallUnary(t.Context(), connect.NewRequest(new(text))); got != want {
				t.Errorf("%v (%T), want %v", got, got, want)
			}
			if log != nil {
				lines.Next(t).Want(t, testkit.Line{"rpc.connect_rpc.error_code": nil, "level": "INFO"})
			}
		}
	}
}
