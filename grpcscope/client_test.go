package grpcscope_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// received returns a server that notes the metadata of each call, and its address.
func received(t *testing.T) (addr string, got func() metadata.MD) {
	c := make(chan metadata.MD, 10)
	_, addr = serve(t, each(func(ctx context.Context) (string, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		c <- md
		return "ok", nil
	}))
	return addr, func() metadata.MD { return testkit.Receive(t, c, "call") }
}

func wantMD(t *testing.T, got metadata.MD, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if v := strings.Join(got.Get(key), "|"); v != value {
			t.Errorf("%s is %q, want %q", key, v, value)
		}
	}
}

// The scope goes along: that of the goroutine, or of the context.
func TestWhatIsSent(t *testing.T) {
	addr, got := received(t)
	conn := dial(t, addr, grpcscope.DialOptions(nil)...)
	s := scope.New("request_id", "r-17", "trace_id", traceID, "trace_flags", "01", "trace_state", "a=1", "test.tenant", "acme", "user", "eve")
	for _, method := range kinds {
		for name, send := range map[string]func(){
			"goroutine": func() { s.Run(func() { _ = call(t.Context(), conn, method, "") }) },
			"context":   func() { _ = call(scope.NewContext(t.Context(), s), conn, method, "") },
			"another task's context": func() {
				scope.New("request_id", "other").Run(func() { _ = call(scope.NewContext(t.Context(), s), conn, method, "") })
			},
		} {
			send()
			md := got()
			wantMD(t, md, map[string]string{"x-request-id": "r-17", "tracestate": "a=1", "baggage": "test.tenant=acme"})
			if tp := strings.Join(md.Get("traceparent"), "|"); !strings.HasPrefix(tp, "00-"+traceID+"-") || strings.Contains(tp, spanID) || !strings.HasSuffix(tp, "-01") {
				t.Errorf("%s by %s: traceparent %s", method, name, tp)
			}
		}
	}
	_ = call(t.Context(), conn, unary, "")
	wantMD(t, got(), map[string]string{"x-request-id": "", "traceparent": "", "baggage": ""})
}

// What the call's metadata has already stays, unless it isn't valid.
func TestMetadataThatIsThereStays(t *testing.T) {
	addr, got := received(t)
	conn := dial(t, addr, grpcscope.DialOptions(nil)...)
	s := scope.New("request_id", "r-17", "trace_id", traceID, "test.tenant", "acme")
	for _, tc := range []struct {
		had  []string
		want map[string]string
	}{
		{[]string{"x-request-id", "theirs"}, map[string]string{"x-request-id": "theirs"}},
		{[]string{"X-Request-Id", "theirs"}, map[string]string{"x-request-id": "theirs"}},
		{[]string{"x-request-id", "not valid"}, map[string]string{"x-request-id": "r-17"}},
		{[]string{"x-request-id", "a", "x-request-id", "b"}, map[string]string{"x-request-id": "r-17"}},
		{[]string{"traceparent", traceparent}, map[string]string{"traceparent": traceparent, "tracestate": ""}},
		{[]string{"baggage", "a=1"}, map[string]string{"baggage": "a=1,test.tenant=acme"}},
		{[]string{"baggage", "a=1", "baggage", "test.tenant=x", "other", "1"}, map[string]string{"baggage": "a=1|test.tenant=x", "other": "1"}},
	} {
		s.Run(func() { _ = call(with(t.Context(), tc.had...), conn, unary, "") })
		wantMD(t, got(), tc.want)
		md := metadata.MD{}
		for i := 0; i < len(tc.had); i += 2 {
			md.Append(tc.had[i], tc.had[i+1])
		}
		s.Run(func() { _ = call(metadata.NewOutgoingContext(t.Context(), md), conn, bidirect, "") })
		wantMD(t, got(), tc.want)
	}
}

func TestClientNames(t *testing.T) {
	addr, got := received(t)
	conn := dial(t, addr, grpcscope.DialOptions(&grpcscope.ClientOptions{
		Names:   map[grpcscope.Field]string{grpcscope.RequestID: "id", grpcscope.TraceID: "trace"},
		ValidID: func(id string) bool { scope.Set("seen", id); return strings.HasSuffix(id, "!") },
	})...)
	scope.New("id", "r 17!", "request_id", "no", "trace", traceID).Run(func() {
		if _ = call(t.Context(), conn, unary, ""); scope.Current().Has("seen") {
			t.Error("what ValidID sets stays")
		}
	})
	md := got()
	wantMD(t, md, map[string]string{"x-request-id": "r 17!"})
	if tp := md.Get("traceparent"); len(tp) != 1 {
		t.Errorf("traceparent %q", tp)
	}
	scope.New("id", "r-17").Run(func() { _ = call(t.Context(), conn, unary, "") })
	wantMD(t, got(), map[string]string{"x-request-id": ""})
}

// One service after the other has one id, and one trace. Baggage that a proxy hasn't trusted
// stays there.
func TestOneIDThroughAProxy(t *testing.T) {
	addr, got := received(t)
	{
		back := dial(t, addr, grpcscope.DialOptions(nil)...)
		conn := start(t, each(func(ctx context.Context) (string, error) {
			return "", call(with(ctx, "baggage", "user=eve"), back, unary, "").err
		}), nil)
		_ = call(with(t.Context(), "baggage", "user=eve"), conn, unary, "")
		if baggage, ok := got()["baggage"]; ok {
			t.Errorf("the proxy sends the baggage %q", baggage)
		}
	}
	for _, trust := range []bool{false, true} {
		back := dial(t, addr, grpcscope.DialOptions(nil)...)
		proxy := each(func(ctx context.Context) (string, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			ctx = metadata.NewOutgoingContext(ctx, md) // all of it, as proxies do
			return "", call(with(ctx, "baggage", "own=1"), back, bidirect, "").err
		})
		conn := start(t, proxy, &grpcscope.Options{TrustBaggage: func(context.Context, grpcscope.Call) bool { return trust }})
		a := call(with(t.Context(), "baggage", "user=eve,test.tenant=a", "traceparent", traceparent), conn, unary, "")
		md := got()
		want := map[string]string{"baggage": "own=1", "x-request-id": a.header.Get("x-request-id")[0], "traceparent": traceparent}
		if trust {
			want["baggage"] = "user=eve,test.tenant=a|own=1"
		}
		wantMD(t, md, want)
	}
}

// The same from HTTP to gRPC: the entries know of one another.
func TestUntrustedBaggageStaysOutOfGRPC(t *testing.T) {
	addr, got := received(t)
	conn := dial(t, addr, grpcscope.DialOptions(nil)...)
	h := httpscope.Handler(handlerFunc(func(ctx context.Context, baggage string) {
		_ = call(with(ctx, "baggage", baggage+",own=1"), conn, unary, "")
	}), nil)
	h.ServeHTTP(request("baggage", "user=eve"))
	wantMD(t, got(), map[string]string{"baggage": "own=1"})
}

func TestClientSkip(t *testing.T) {
	addr, got := received(t)
	logger, lines := logs()
	conn := dial(t, addr, grpcscope.DialOptions(&grpcscope.ClientOptions{
		Log: logger.LogAttrs, Skip: func(ctx context.Context, c grpcscope.Call) bool {
			scope.Set("set by Skip", true)
			return c.ServerStream
		},
	})...)
	scope.New("request_id", "r-17").Run(func() {
		_ = call(t.Context(), conn, bidirect, "")
		wantMD(t, got(), map[string]string{"x-request-id": ""})
		lines.None(t)
		_ = call(t.Context(), conn, clientStream, "")
		wantMD(t, got(), map[string]string{"x-request-id": "r-17"})
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
	_, addr := serve(t, each(func(context.Context) (string, error) { return "answer", fail }))
	conn := dial(t, addr, grpcscope.DialOptions(&grpcscope.ClientOptions{Log: logger.LogAttrs})...)
	hello, ok := float64(proto.Size(wrapperspb.String("hello"))), float64(proto.Size(wrapperspb.String("answer")))
	scope.New("request_id", "r-17", "rpc.service", "outer.Service", "rpc.method", "Serve").Run(func() {
		scope.Add("rows", 1) // not for this line
		for _, method := range kinds {
			fail = nil
			_ = call(t.Context(), conn, method, "hello")
			want := testkit.Line{
				"level": "INFO", "msg": "outgoing call", "request_id": "r-17", "rows": nil, "scope_ended": nil,
				"rpc.system": "grpc", "rpc.service": "test.v1.Echo", "rpc.method": method[len("/test.v1.Echo/"):],
				"rpc.grpc.status_code": 0., "rpc.client.request.size": hello, "rpc.client.response.size": ok,
			}
			if method != unary {
				want["rpc.client.requests_per_rpc"], want["rpc.client.responses_per_rpc"] = 1., 1.
			}
			line := lines.Next(t)
			line.Want(t, want)
			if d, _ := line["rpc.client.call.duration"].(float64); d <= 0 {
				t.Errorf("no duration: %v", line)
			}
			fail = status.Error(codes.NotFound, "no such user")
			_ = call(t.Context(), conn, method, "hello")
			lines.Next(t).Want(t, testkit.Line{"rpc.grpc.status_code": 5., "error.message": "no such user", "rpc.client.response.size": nil})
		}
		if v := scope.GetOr("rpc.method", ""); v != "Serve" {
			t.Errorf("the scope has the method %s now", v)
		}
	})
	lines.None(t)
	// A call outside of any task.
	_ = call(t.Context(), conn, unary, "")
	lines.Next(t).Want(t, testkit.Line{"rpc.method": "Say", "request_id": nil})
}

// A name that a call hasn't got isn't that of the call being served; and any text may be one.
func TestTheLineOfAnOutgoingCallWithoutAName(t *testing.T) {
	logger, lines := logs()
	_, addr := serve(t, each(func(context.Context) (string, error) { return "", nil }))
	conn := dial(t, addr, grpcscope.DialOptions(&grpcscope.ClientOptions{Log: logger.LogAttrs})...)
	long := strings.Repeat("x", 2000)
	scope.New("rpc.service", "outer.Service", "rpc.method", "Serve").Run(func() {
		for method, want := range map[string]testkit.Line{
			"/Ping":        {"rpc.service": nil, "rpc.method": "Ping"},
			"/s/":          {"rpc.service": "s", "rpc.method": nil},
			"/s/" + long:   {"rpc.service": "s", "rpc.method": long[:1024] + "…"},
			"/s/\xff evil": {"rpc.service": "s", "rpc.method": "\uFFFD evil"},
		} {
			if err := conn.Invoke(t.Context(), method, new(text), new(text)); err == nil {
				t.Errorf("%q has an answer", method)
			}
			lines.Next(t).Want(t, want)
		}
	})
	lines.None(t)
}

// The line of a stream comes however it ends, and once.
func TestTheLineOfAStreamThatIsLeft(t *testing.T) {
	logger, lines := logs()
	_, addr := serve(t, &handler{stream: func(s grpc.ServerStream) error { <-s.Context().Done(); return nil }})
	opts := grpcscope.DialOptions(&grpcscope.ClientOptions{Log: logger.LogAttrs})
	for name, leave := range map[string]func(s grpc.ClientStream, cancel func(), conn *grpc.ClientConn){
		"canceled": func(_ grpc.ClientStream, cancel func(), _ *grpc.ClientConn) { cancel() },
		"closed":   func(_ grpc.ClientStream, _ func(), conn *grpc.ClientConn) { _ = conn.Close() },
		"while it receives": func(s grpc.ClientStream, cancel func(), _ *grpc.ClientConn) {
			time.AfterFunc(10*time.Millisecond, cancel)
			_, _ = receive(s)
		},
	} {
		conn := dial(t, addr, opts...)
		ctx, cancel := context.WithCancel(t.Context())
		scope.New("request_id", "r-1").Run(func() {
			s, err := conn.NewStream(ctx, descs[bidirect], bidirect)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SendMsg(wrapperspb.String("")); err != nil {
				t.Error(err)
			}
			leave(s, cancel, conn)
			_, _ = receive(s)
		})
		lines.Next(t).Want(t, testkit.Line{
			"msg": "outgoing call", "request_id": "r-1", "rpc.grpc.status_code": 1.,
			"rpc.client.requests_per_rpc": 1., "rpc.client.responses_per_rpc": 0.,
		})
		cancel()
		_ = conn.Close()
		lines.None(t)
		_ = name
	}
	// One that an interceptor inside doesn't open.
	refuse := grpc.WithChainStreamInterceptor(func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, grpc.Streamer, ...grpc.CallOption) (grpc.ClientStream, error) {
		return nil, status.Error(codes.PermissionDenied, "no")
	})
	if _, err := dial(t, addr, append(opts, refuse)...).NewStream(t.Context(), descs[bidirect], bidirect); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	lines.Next(t).Want(t, testkit.Line{"rpc.grpc.status_code": 7., "error.message": "no"})
	// One that can't be opened.
	nobody := dial(t, "127.0.0.1:1", opts...)
	if _, err := nobody.NewStream(t.Context(), descs[bidirect], bidirect); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	lines.Next(t).Want(t, testkit.Line{"level": "WARN", "rpc.grpc.status_code": 14.})
	// A message that can't be sent isn't counted.
	limited := dial(t, addr, append(opts, grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(10)))...)
	s, err := limited.NewStream(t.Context(), descs[bidirect], bidirect)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(wrapperspb.String("short")); err != nil {
		t.Error(err)
	}
	if err := s.SendMsg(wrapperspb.String(strings.Repeat("x", 100))); status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
	lines.Next(t).Want(t, testkit.Line{
		"level": "WARN", "rpc.grpc.status_code": 8., "rpc.client.requests_per_rpc": 1.,
		"rpc.client.request.size": float64(proto.Size(wrapperspb.String("short"))),
	})
	lines.None(t)
}

// The program's own functions for a call have its scope: those of call options are called with
// it, and the others find it in their context.
func TestWhatGRPCCallsForACall(t *testing.T) {
	logger, lines := logs()
	_, addr := serve(t, each(func(context.Context) (string, error) { return "", nil }))
	inner := func(ctx context.Context, m string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		logger.InfoContext(ctx, "inner interceptor")
		return invoke(ctx, m, req, reply, conn, opts...)
	}
	conn := dial(t, addr, append(grpcscope.DialOptions(nil), grpc.WithChainUnaryInterceptor(inner), grpc.WithStatsHandler(&statsLogger{log: logger}),
		grpc.WithPerRPCCredentials(credsLogger{logger}))...)
	opt := grpc.OnFinish(func(error) { logger.Info("on finish") })
	scope.New("request_id", "r-1").Run(func() {
		scope.Set("user", "u1")
		if err := conn.Invoke(t.Context(), unary, new(text), new(text), opt); err != nil {
			t.Error(err)
		}
	})
	seen := map[string]bool{}
	for _, line := range lines.All() {
		msg := line["msg"].(string)
		seen[msg] = true
		if msg != "connection" {
			line.Want(t, testkit.Line{"request_id": "r-1", "user": "u1"})
		} else {
			line.Want(t, testkit.Line{"request_id": nil})
		}
	}
	for _, msg := range []string{"inner interceptor", "on finish", "credentials", "call begins", "header comes in", "connection"} {
		if !seen[msg] {
			t.Errorf("no line %q", msg)
		}
	}
}

type credsLogger struct{ log *slog.Logger }

func (c credsLogger) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	c.log.InfoContext(ctx, "credentials")
	return nil, nil
}
func (credsLogger) RequireTransportSecurity() bool { return false }

var _ credentials.PerRPCCredentials = credsLogger{}

type statsLogger struct{ log *slog.Logger }

func (s *statsLogger) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (s *statsLogger) HandleRPC(ctx context.Context, e stats.RPCStats) {
	switch e.(type) {
	case *stats.Begin:
		s.log.InfoContext(ctx, "call begins")
	case *stats.InHeader: // on the goroutine of the connection
		s.log.InfoContext(ctx, "header comes in")
	}
}
func (s *statsLogger) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (s *statsLogger) HandleConn(ctx context.Context, _ stats.ConnStats) {
	s.log.InfoContext(ctx, "connection")
}

// boundCodec notes when it is called with a scope bound.
type boundCodec struct {
	rawCodec
	calls, bound atomic.Int64
}

func (c *boundCodec) note() {
	c.calls.Add(1)
	if scope.Current().Len() > 0 {
		c.bound.Add(1)
	}
}

func (c *boundCodec) Marshal(v any) ([]byte, error)   { c.note(); return c.rawCodec.Marshal(v) }
func (c *boundCodec) Unmarshal(b []byte, v any) error { c.note(); return c.rawCodec.Unmarshal(b, v) }

// gRPC does nothing with a scope bound: whatever it does may find a connection lost, and make
// another one. Its caller has the scope back afterwards.
func TestGRPCIsCalledWithNothingBound(t *testing.T) {
	_, addr := serve(t, each(func(context.Context) (string, error) { return "", nil }))
	conn := dial(t, addr, grpcscope.DialOptions(nil)...)
	codec := &boundCodec{}
	scope.New("request_id", "r-1").Run(func() {
		req, reply := wrapperspb.String(""), new(text)
		if err := conn.Invoke(t.Context(), unary, req, reply, grpc.ForceCodec(codec)); err != nil {
			t.Error(err)
		}
		s, err := conn.NewStream(t.Context(), descs[bidirect], bidirect, grpc.ForceCodec(codec))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.SendMsg(req), s.CloseSend()
		if _, err := s.Header(); err != nil {
			t.Error(err)
		}
		for err == nil {
			_, err = receive(s)
		}
		if scope.GetOr("request_id", "") != "r-1" {
			t.Error("the scope is gone")
		}
	})
	if calls, bound := codec.calls.Load(), codec.bound.Load(); calls != 4 || bound > 0 {
		t.Errorf("of %d calls %d with a scope", calls, bound)
	}
}

// A big value that a scope keeps in memory.
type big struct {
	self *big
	_    [1 << 10]byte
}

// A connection that is made, or made again, for a call keeps nothing of it: neither one of the first
// call, nor one after the connection was lost, nor one after the client was idle.
func TestAConnectionKeepsNoRequestAlive(t *testing.T) {
	ok := each(func(context.Context) (string, error) { return "", nil })
	for _, method := range kinds {
		for _, ours := range []bool{true, false} {
			if !ours && (!inherits || method == serverStream || method == clientStream) {
				continue
			}
			var probe testkit.Probe[big]
			l := &lossy{}
			_, addr := serve(t, ok)
			opts := []grpc.DialOption{grpc.WithContextDialer(l.dial), grpc.WithIdleTimeout(200 * time.Millisecond)}
			if ours {
				opts = append(opts, grpcscope.DialOptions(&grpcscope.ClientOptions{Log: slog.New(slog.DiscardHandler).LogAttrs})...)
			}
			conn := dial(t, addr, opts...)
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
			time.Sleep(600 * time.Millisecond) // idle now
			ask()
			for range 3 {
				l.lose()
				ask()
			}
			if n := l.dials.Load(); n < 5 {
				t.Errorf("%d connections", n)
			}
			if ours {
				probe.WantFreed(t, "while the client is open: "+method)
			} else if probe.LeftWithin(0, 0) == 0 {
				t.Errorf("without the interceptors, %s keeps none either: does this test see anything?", method)
			}
			if state := conn.GetState().String(); state != "READY" && ours {
				t.Errorf("the client is %s", state)
			}
		}
	}
}

// A context that lives on keeps none of the calls that were made with it.
func TestAContextKeepsNoCall(t *testing.T) {
	_, addr := serve(t, each(func(context.Context) (string, error) { return "", nil }))
	conn := dial(t, addr, grpcscope.DialOptions(&grpcscope.ClientOptions{Log: slog.New(slog.DiscardHandler).LogAttrs})...)
	ctx, cancel := context.WithCancel(t.Context())
	var probe testkit.Probe[big]
	for _, method := range kinds {
		v := &big{}
		v.self = v
		scope.New("big", probe.Watch(v)).Run(func() {
			if method == unary {
				if err := conn.Invoke(ctx, unary, new(text), new(text)); err != nil {
					t.Error(err)
				}
				return
			}
			s, err := conn.NewStream(ctx, descs[method], method)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.SendMsg(new(text)), s.CloseSend()
			for err == nil {
				_, err = receive(s)
			}
		})
	}
	probe.WantFreed(t, "while the context lives")
	cancel()
}

// lossy dials connections that it can lose.
type lossy struct {
	mu    sync.Mutex
	conns []net.Conn
	dials atomic.Int64
}

func (l *lossy) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
		l.dials.Add(1)
	}
	return conn, err
}

func (l *lossy) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}
