package grpcscope_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID      = "00f067aa0ba902b7"
	traceparent = "00-" + traceID + "-" + spanID + "-01"
)

// Each call has a scope of its own, which nothing of another call, or of this test, is in, and
// its id is in the answer.
func TestEachCallHasAScopeOfItsOwn(t *testing.T) {
	h, got := noted()
	conn := start(t, h, nil)
	scope.Set("of this test", true)
	defer scope.Clear()
	for _, method := range kinds {
		t.Run(method, func(t *testing.T) {
			ctx := with(t.Context(), "x-request-id", "r-17", "traceparent", traceparent, "tracestate", "a=1", "user-agent", "x")
			a := call(ctx, conn, method, "hello")
			if a.err != nil || a.text != "ok" {
				t.Fatal(a)
			}
			wantFields(t, <-got, map[string]string{
				"request_id": "r-17", "trace_id": traceID, "parent_span_id": spanID, "trace_flags": "01", "trace_state": "a=1",
				"rpc.system": "grpc", "rpc.service": "test.v1.Echo", "rpc.method": method[len("/test.v1.Echo/"):],
			})
			if ids := a.header.Get("x-request-id"); len(ids) != 1 || ids[0] != "r-17" {
				t.Errorf("the answer has the ids %q", ids)
			}
			a = call(t.Context(), conn, method, "hello")
			fields := <-got
			wantKeys(t, fields, "request_id", "rpc.system", "rpc.service", "rpc.method")
			if id := fields["request_id"]; len(id) != 36 || a.header.Get("x-request-id")[0] != id {
				t.Errorf("the id is %s, and that of the answer %s", id, a.header.Get("x-request-id"))
			}
		})
	}
}

// What is bound where the interceptors are made counts if it is the process's.
func TestFieldsOfTheProcess(t *testing.T) {
	h, got := noted()
	for name, in := range map[string]struct {
		scope scope.Scope
		want  bool
	}{"bare": {scope.Scope{}, true}, "a request's": {scope.New(), false}} {
		t.Run(name, func(t *testing.T) {
			var conn *grpc.ClientConn
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
	var inMetadata atomic.Value
	h := each(func(ctx context.Context) (string, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		inMetadata.Store(strings.Join(md.Get("x-request-id"), "|"))
		return fmt.Sprint(scope.GetOr("request_id", "")), nil
	})
	conn := start(t, h, &grpcscope.Options{
		NewID: func() string { return "made" },
		BadID: func(ctx context.Context, n int) {
			if id := scope.GetOr("request_id", ""); id != "made" || !scope.Current().SameTask(must(scope.FromContext(ctx))) {
				t.Errorf("BadID is called within the scope of %q", id)
			}
			rejected.Store(int64(n))
		},
	})
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
			ctx := t.Context()
			for _, id := range tc.sent {
				ctx = with(ctx, "X-Request-Id", id)
			}
			a := call(ctx, conn, method, "")
			ids := a.header.Get("x-request-id")
			if a.err != nil || a.text != tc.want || rejected.Load() != tc.rejected || len(ids) != 1 || ids[0] != tc.want || inMetadata.Load() != tc.want {
				t.Errorf("%s of %q: %v, %d bytes rejected, in the handler's metadata %v", method, tc.sent, a, rejected.Load(), inMetadata.Load())
			}
		}
	}
}

func must[T any](v T, ok bool) T {
	if !ok {
		panic("isn't there")
	}
	return v
}

func TestOtherIDs(t *testing.T) {
	h := each(func(context.Context) (string, error) { return scope.GetOr("id", ""), nil })
	conn := start(t, h, &grpcscope.Options{
		Names:   map[grpcscope.Field]string{grpcscope.RequestID: "id"},
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
		ctx := t.Context()
		for _, s := range sent {
			ctx = with(ctx, "traceparent", s, "tracestate", "a=1")
		}
		_ = call(ctx, conn, unary, "")
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
		conn := start(t, h, &grpcscope.Options{Fields: func(context.Context, grpcscope.Call) []slog.Attr {
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
		conn := start(t, h, &grpcscope.Options{TrustBaggage: func(_ context.Context, c grpcscope.Call) bool {
			if c.Method != "Say" {
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
	names := grpcscope.NewerNames()
	names[grpcscope.RequestID], names[grpcscope.TraceID], names[grpcscope.ParentSpanID] = "", "trace", "parent"
	names[grpcscope.ClientAddress] = "peer"
	conn := start(t, h, &grpcscope.Options{Names: names})
	a := call(with(t.Context(), "traceparent", traceparent), conn, unary, "")
	wantFields(t, <-got, map[string]string{
		"trace": traceID, "parent": spanID, "trace_flags": "01",
		"rpc.system.name": "grpc", "rpc.method": "test.v1.Echo/Say", "peer": "127.0.0.1",
	})
	if len(a.header.Get("x-request-id")) != 1 {
		t.Error("the answer has no id")
	}
}

// A client chooses its name on a Unix socket, and whoever asks a server by ServeHTTP any.
func TestAnyClientAddress(t *testing.T) {
	in := grpcscope.UnaryServerInterceptor(&grpcscope.Options{Names: map[grpcscope.Field]string{grpcscope.ClientAddress: "peer"}})
	for addr, want := range map[string]string{
		"[::1]:80": "::1", "@x\xff:80": "@x\uFFFD", "\xff": "\uFFFD", strings.Repeat("x", 2000): strings.Repeat("x", 1024) + "…", "": "",
	} {
		ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.UnixAddr{Name: addr}})
		_, _ = in(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unary}, func(context.Context, any) (any, error) {
			if got := scope.GetOr("peer", ""); got != want {
				t.Errorf("%.20q is %q, want %q", addr, got, want)
			}
			return nil, nil
		})
	}
}

// Fields may replace what the interceptors set. The id is one: on the lines, in the answer, and
// in the metadata.
func TestFields(t *testing.T) {
	for _, tc := range []struct {
		id   any
		want string
	}{{"mine", "mine"}, {7, "7"}, {"bad\n", "r-17"}, {slog.StringValue("text"), "text"}} {
		var inMetadata string
		h := each(func(ctx context.Context) (string, error) {
			inMetadata = metadata.ValueFromIncomingContext(ctx, "x-request-id")[0]
			return scope.Current().String(), nil
		})
		conn := start(t, h, &grpcscope.Options{Fields: func(ctx context.Context, c grpcscope.Call) []slog.Attr {
			if m, _ := grpc.Method(ctx); m != bidirect || c != (grpcscope.Call{
				FullMethod: bidirect, Service: "test.v1.Echo", Method: "Chat", ClientStream: true, ServerStream: true,
			}) {
				t.Errorf("asked about %s, %+v", m, c)
			}
			if n := scope.Current().Len(); n != 0 {
				t.Errorf("%d fields are bound", n)
			}
			return []slog.Attr{slog.Any("request_id", tc.id), slog.String("rpc.system", "other"), slog.Int("more", 1)}
		}})
		a := call(with(t.Context(), "x-request-id", "r-17"), conn, bidirect, "")
		if want := "request_id=" + tc.want + " rpc.system=other rpc.service=test.v1.Echo rpc.method=Chat more=1"; a.text != want {
			t.Errorf("got  %s\nwant %s", a.text, want)
		}
		if id := a.header.Get("x-request-id"); len(id) != 1 || id[0] != tc.want || inMetadata != tc.want {
			t.Errorf("the answer's ids are %q, and the metadata's %q, want %q", id, inMetadata, tc.want)
		}
	}
}

// The id of Fields counts also where the field has no name of its own.
func TestAnIDWithoutAField(t *testing.T) {
	h := each(func(context.Context) (string, error) { return scope.GetOr("request_id", ""), nil })
	conn := start(t, h, &grpcscope.Options{
		Names: map[grpcscope.Field]string{grpcscope.RequestID: ""},
		Fields: func(context.Context, grpcscope.Call) []slog.Attr {
			return []slog.Attr{slog.String("request_id", "mine")}
		},
	})
	if a := call(t.Context(), conn, unary, ""); a.text != "mine" || strings.Join(a.header.Get("x-request-id"), "|") != "mine" {
		t.Error(a)
	}
}

func TestHealthAndReflectionMayBeSkipped(t *testing.T) {
	logger, lines := logs()
	for _, skip := range []bool{true, false} {
		opts := &grpcscope.Options{Log: logger.LogAttrs}
		if skip {
			opts.Skip = grpcscope.HealthOrReflection
		}
		h, _ := noted()
		server, addr := serveLater(t, h, grpcscope.ServerOptions(opts)...)
		healthpb.RegisterHealthServer(server, health.NewServer())
		reflection.Register(server)
		addr()
		conn := dial(t, addr())
		var header metadata.MD
		if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}, grpc.Header(&header)); err != nil {
			t.Fatal(err)
		}
		if got := len(header.Get("x-request-id")); (got == 0) != skip {
			t.Errorf("skip %v: %d ids", skip, got)
		}
		s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		_ = s.CloseSend()
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err == nil {
			t.Error("more than one answer")
		}
		if skip {
			_ = call(t.Context(), conn, unary, "")
			lines.Next(t).Want(t, testkit.Line{"rpc.method": "Say"})
			lines.None(t)
		} else {
			lines.Next(t).Want(t, testkit.Line{"rpc.service": "grpc.health.v1.Health"})
			lines.Next(t).Want(t, testkit.Line{"rpc.service": "grpc.reflection.v1.ServerReflection"})
		}
	}
}

// A worker serves many calls. What one sets must be gone for the next, skipped ones too.
func TestWorkersKeepNothing(t *testing.T) {
	var left atomic.Int64
	h := each(func(context.Context) (string, error) {
		if scope.Current().Has("mark") {
			left.Add(1)
		}
		scope.Set("mark", true)
		return goroutine(), nil
	})
	for _, skip := range []bool{false, true} {
		opts := &grpcscope.Options{Skip: func(context.Context, grpcscope.Call) bool {
			if scope.Current().Has("mark") {
				left.Add(1)
			}
			scope.Set("mark", true)
			return skip
		}}
		_, addr := serve(t, h, append(grpcscope.ServerOptions(opts), grpc.NumStreamWorkers(1))...)
		conn := dial(t, addr)
		served := map[string]int{}
		for range 50 {
			for _, method := range kinds {
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

// Two interceptors on the way of one call are as one. A call that a handler makes itself, within
// this process and with its context, is another one.
func TestTwoInterceptorsAreAsOne(t *testing.T) {
	logger, lines := logs()
	opts := &grpcscope.Options{Log: logger.LogAttrs}
	inner := grpcscope.UnaryServerInterceptor(opts)
	h := each(func(ctx context.Context) (string, error) {
		task := scope.Current()
		for method, same := range map[string]bool{unary: true, "/other.Service/Say": false} {
			_, _ = inner(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
				if scope.Current().SameTask(task) != same {
					t.Errorf("%s is in the same task: %v", method, !same)
				}
				return nil, nil
			})
		}
		return "", nil
	})
	_, addr := serve(t, h, append(grpcscope.ServerOptions(opts), grpcscope.ServerOptions(opts)...)...)
	a := call(t.Context(), dial(t, addr), unary, "")
	if n := len(a.header.Get("x-request-id")); n != 1 { // the other call has no answer of gRPC's
		t.Errorf("%d ids in the answer", n)
	}
	lines.Next(t).Want(t, testkit.Line{"rpc.service": "other.Service", "msg": "call"})
	lines.Next(t).Want(t, testkit.Line{"rpc.service": "test.v1.Echo", "msg": "call"})
	lines.None(t)
}

var errOops = errors.New("oops")

// A panic whose text is a panic of the same kind doesn't end the program.
func TestAPanicWithoutAText(t *testing.T) {
	logger, lines := logs()
	_, addr := serve(t, each(func(context.Context) (string, error) { panic(testkit.PanickingText{}) }),
		grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs, Recover: true})...)
	conn := dial(t, addr)
	for _, method := range kinds {
		if a := call(t.Context(), conn, method, ""); status.Code(a.err) != codes.Internal {
			t.Error(a)
		}
		lines.Next(t).Want(t, testkit.Line{"level": "ERROR", "exception.message": "!PANIC: text of testkit.PanickingText"})
	}
}

// A panic goes on to whoever recovers it, unless Recover ends it.
func TestPanics(t *testing.T) {
	logger, lines := logs()
	outer := func(err *error) {
		if p := recover(); p != nil {
			*err = status.Errorf(codes.DataLoss, "recovered outside: %v", p)
		}
	}
	outside := []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (_ any, err error) {
			defer outer(&err)
			return h(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) (err error) {
			defer outer(&err)
			return h(srv, ss)
		}),
	}
	h := each(func(context.Context) (string, error) { scope.Set("step", 1); panic(errOops) })
	for _, recovers := range []bool{false, true} {
		for _, log := range []grpcscope.LogFunc{nil, logger.LogAttrs} {
			opts := &grpcscope.Options{Recover: recovers, Log: log, CodeToLevel: func(codes.Code) slog.Level { return slog.LevelInfo }}
			_, addr := serve(t, h, append(grpcscope.ServerOptions(opts), outside...)...)
			conn := dial(t, addr)
			for _, method := range kinds {
				a := call(with(t.Context(), "x-request-id", "r-1"), conn, method, "")
				want, code := status.Error(codes.DataLoss, "recovered outside: oops"), any(nil)
				if recovers {
					want, code = status.Error(codes.Internal, "internal error"), 13.
				}
				if a.err == nil || a.err.Error() != want.Error() {
					t.Errorf("recovers %v: %v", recovers, a.err)
				}
				if log == nil {
					continue
				}
				line := lines.Next(t)
				line.Want(t, testkit.Line{
					"level": "ERROR", "msg": "call", "request_id": "r-1", "step": 1., "exception.message": "oops",
					"rpc.grpc.status_code": code, "error.message": nil, "error.type": nil, "scope_ended": nil,
				})
				if stack, _ := line["exception.stacktrace"].(string); !strings.Contains(stack, "TestPanics") {
					t.Errorf("the stack doesn't show the handler: %s", stack)
				}
				lines.None(t)
			}
		}
	}
}

// With the old meaning of panic(nil) it is a panic, too: it isn't answered as if all were well.
func TestAPanicWithNilGoesOn(t *testing.T) {
	for _, setting := range []string{"panicnil=0", "panicnil=1"} {
		t.Setenv("GODEBUG", setting)
		logger, lines := logs()
		for _, recovers := range []bool{false, true} {
			in := grpcscope.UnaryServerInterceptor(&grpcscope.Options{Log: logger.LogAttrs, Recover: recovers})
			returned := false
			func() {
				defer func() { _ = recover() }()
				_, err := in(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: unary}, func(context.Context, any) (any, error) { panic(noValue) })
				if returned = true; status.Code(err) != codes.Internal {
					t.Errorf("%s: the answer is %v", setting, err)
				}
			}()
			if returned != recovers {
				t.Errorf("%s, recovers %v: has returned: %v", setting, recovers, returned)
			}
			lines.Next(t).Want(t, testkit.Line{"level": "ERROR"})
		}
	}
}

var noValue any // go vet knows panic(nil)

// Finish panics when the handler has answered already: that answer isn't sent.
func TestFinishMayPanic(t *testing.T) {
	logger, lines := logs()
	in := grpcscope.UnaryServerInterceptor(&grpcscope.Options{Log: logger.LogAttrs, Finish: func(context.Context) { panic("oops") }})
	defer func() {
		if p := recover(); p != "oops" {
			t.Errorf("the panic is %v", p)
		}
		lines.Next(t).Want(t, testkit.Line{"exception.message": "oops", "rpc.grpc.status_code": nil})
	}()
	_, _ = in(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: unary}, func(context.Context, any) (any, error) { return nil, nil })
}

// An option that panics is no worse than a handler that does.
func TestOptionsMayPanic(t *testing.T) {
	logger, lines := logs()
	for name, opts := range map[string]grpcscope.Options{
		"Fields": {Fields: func(context.Context, grpcscope.Call) []slog.Attr { panic("oops") }},
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
		if a := call(t.Context(), conn, unary, ""); status.Code(a.err) != codes.Internal {
			t.Errorf("%s: %v", name, a)
		}
		lines.Next(t).Want(t, testkit.Line{"exception.message": "oops", "rpc.grpc.status_code": 13.})
	}
}

// Who reads the line of a panic must not be sent to what has panicked because of it.
func TestTheHandlersPanicGoesBeforeThatOfAnOption(t *testing.T) {
	for name, opts := range map[string]grpcscope.Options{
		"Finish": {Finish: func(context.Context) { panic("Finish's") }},
		"Log":    {Log: func(context.Context, slog.Level, string, ...slog.Attr) { panic("Log's") }},
	} {
		logger, lines := logs()
		if opts.Log == nil {
			opts.Log = logger.LogAttrs
		}
		in := grpcscope.UnaryServerInterceptor(&opts)
		func() {
			defer func() {
				if p := recover(); p != "oops" {
					t.Errorf("%s: the panic is %v", name, p)
				}
			}()
			_, _ = in(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: unary}, func(context.Context, any) (any, error) { panic("oops") })
		}()
		if name != "Log" {
			lines.Next(t).Want(t, testkit.Line{"exception.message": "oops"})
		}
	}
}

// gRPC sends no answer then; the line says what has happened.
func TestGoexit(t *testing.T) {
	logger, lines := logs()
	h := each(func(context.Context) (string, error) { runtime.Goexit(); return "", nil })
	conn := start(t, h, &grpcscope.Options{Log: logger.LogAttrs, Recover: true, Await: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan answer)
	go func() { done <- call(ctx, conn, unary, "") }()
	lines.Next(t).Want(t, testkit.Line{"level": "ERROR", "error.type": "goexit", "rpc.grpc.status_code": nil, "exception.message": nil})
	cancel()
	<-done
}
