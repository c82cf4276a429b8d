package grpcscope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The last line has all that is known of a call.
func TestTheLastLine(t *testing.T) {
	logger, lines := logs()
	h := &handler{
		unary: func(context.Context, string) (string, error) {
			scope.Set("user", "u1")
			deep := make(chan struct{})
			go scope.Wrap(func() {
				defer close(deep)
				scope.Set("own", "of the goroutine")
				scope.Share("shared", true)
				scope.Add("rows", 2)
			})()
			<-deep
			scope.Add("rows", 3)
			return "answer", nil
		},
		stream: func(s grpc.ServerStream) error {
			scope.Set("user", "u1")
			for range 3 {
				if _, err := receive(s); err != nil {
					break
				}
			}
			for range 2 {
				_ = s.SendMsg(wrapperspb.String("answer"))
			}
			return nil
		},
	}
	conn := start(t, h, &grpcscope.Options{Log: logger.LogAttrs})
	size := func(s string, n int) float64 { return float64(n * proto.Size(wrapperspb.String(s))) }
	if a := call(t.Context(), conn, unary, "hello"); a.err != nil {
		t.Fatal(a)
	}
	line := lines.Next(t)
	line.Want(t, testkit.Line{
		"level": "INFO", "msg": "call", "rpc.system": "grpc", "rpc.service": "test.v1.Echo", "rpc.method": "Say",
		"user": "u1", "own": nil, "shared": true, "rows": 5., "rpc.grpc.status_code": 0., "error.message": nil,
		"rpc.server.request.size": size("hello", 1), "rpc.server.response.size": size("answer", 1),
		"rpc.server.requests_per_rpc": nil, "rpc.server.responses_per_rpc": nil, "rpc.canceled_by": nil,
	})
	if d, _ := line["rpc.server.call.duration"].(float64); d <= 0 || d > 10 {
		t.Errorf("the duration is %v", line["rpc.server.call.duration"])
	}
	s, err := conn.NewStream(t.Context(), descs[bidirect], bidirect)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.SendMsg(wrapperspb.String("hello")); err != nil {
			t.Fatal(err)
		}
	}
	lines.Next(t).Want(t, testkit.Line{
		"level": "INFO", "msg": "call", "rpc.method": "Chat", "user": "u1", "rpc.grpc.status_code": 0.,
		"rpc.server.requests_per_rpc": 3., "rpc.server.responses_per_rpc": 2.,
		"rpc.server.request.size": size("hello", 3), "rpc.server.response.size": size("answer", 2),
	})
	for err = nil; err == nil; {
		_, err = receive(s)
	}
}

// Each logger writes each key once.
func TestTheLastLineOfEachLogger(t *testing.T) {
	var b testkit.Buffer
	zero := zerolog.New(&b).Hook(zeroh.New(nil))
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for name, log := range map[string]grpcscope.LogFunc{
		"slog": slog.New(slogh.New(slog.NewJSONHandler(&b, nil), nil)).LogAttrs,
		"zap":  zaph.LogAttrs(zap.New(zapcore.NewCore(encoder, &b, zap.DebugLevel), zaph.WrapCore(nil))),
		"zero": zeroh.LogAttrs(&zero),
	} {
		h, _ := noted()
		_, addr := serve(t, h, grpcscope.ServerOptions(&grpcscope.Options{Log: log})...)
		conn := dial(t, addr, grpcscope.DialOptions(&grpcscope.ClientOptions{Log: log})...)
		scope.New("request_id", "r-1", "rpc.method", "Outer").Run(func() { _ = call(t.Context(), conn, unary, "") })
		testkit.Eventually(t, "both lines are there", func() bool { return strings.Count(b.String(), "\n") == 2 })
		for line := range strings.Lines(b.Take()) {
			for _, part := range []string{`"request_id":"r-1"`, `"rpc.method":"Say"`, `"rpc.grpc.status_code":0`, `"rpc.service":"test.v1.Echo"`} {
				key, _, _ := strings.Cut(part, ":")
				if strings.Count(line, part) != 1 || strings.Count(line, key+":") != 1 {
					t.Errorf("%s: want %s once: %s", name, part, line)
				}
			}
		}
	}
}

// Who ends the call with an error says how much it matters.
func TestErrors(t *testing.T) {
	logger, lines := logs()
	var fail error
	h := each(func(context.Context) (string, error) { return "", fail })
	conn := start(t, h, &grpcscope.Options{Log: logger.LogAttrs})
	own := start(t, h, &grpcscope.Options{
		Log: logger.LogAttrs, Names: grpcscope.NewerNames(),
		CodeToLevel: func(c codes.Code) slog.Level { return slog.Level(c) },
	})
	for _, tc := range []struct {
		err           error
		level         string
		code          float64
		text, message string
	}{
		{status.Error(codes.NotFound, "no such user"), "INFO", 5, "NOT_FOUND", "no such user"},
		{status.Error(codes.Unauthenticated, "who?"), "INFO", 16, "UNAUTHENTICATED", "who?"},
		{status.Error(codes.Unavailable, "later"), "WARN", 14, "UNAVAILABLE", "later"},
		{status.Error(codes.Internal, "oops"), "ERROR", 13, "INTERNAL", "oops"},
		{status.Error(99, "odd"), "ERROR", 99, "CODE(99)", "odd"},
		{errors.New("plain"), "ERROR", 2, "UNKNOWN", "plain"},
		{fmt.Errorf("outer: %w", status.Error(codes.NotFound, "x")), "INFO", 5, "NOT_FOUND", "outer: rpc error: code = NotFound desc = x"},
		{fmt.Errorf("query: %w", context.DeadlineExceeded), "WARN", 4, "DEADLINE_EXCEEDED", "query: context deadline exceeded"},
		{context.Canceled, "INFO", 1, "CANCELLED", "context canceled"},
	} {
		for _, method := range kinds {
			fail = tc.err
			a := call(t.Context(), conn, method, "")
			by := any(nil)
			if tc.code == 1 || tc.code == 4 {
				by = "handler"
			}
			lines.Next(t).Want(t, testkit.Line{
				"level": tc.level, "rpc.grpc.status_code": tc.code, "error.message": tc.message, "rpc.canceled_by": by,
				"rpc.response.status_code": nil,
			})
			if got := status.Code(a.err); float64(got) != tc.code {
				t.Errorf("the client gets %v, and the line says %v", got, tc.code)
			}
			_ = call(t.Context(), own, method, "")
			lines.Next(t).Want(t, testkit.Line{
				"level": slog.Level(tc.code).String(), "rpc.grpc.status_code": nil, "rpc.response.status_code": tc.text,
				"rpc.method": method[1:], "rpc.service": nil,
			})
		}
	}
}

// The line has the fields of where the error was made, and the client gets what it would get without
// scope.Error.
func TestTheFieldsOfAnError(t *testing.T) {
	logger, lines := logs()
	notFound, err := status.New(codes.NotFound, "no such user").WithDetails(wrapperspb.String("detail"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bare := range []error{notFound.Err(), fmt.Errorf("user: %w", notFound.Err()), errors.New("oops"), context.Canceled, io.EOF, noStatus{}} {
		fail := bare
		h := each(func(context.Context) (_ string, err error) {
			scope.Run(func() {
				scope.Set("shard", 3)
				err = scope.Error(fail)
			})
			return "", err
		})
		conn := start(t, h, &grpcscope.Options{Log: logger.LogAttrs, Skip: func(_ context.Context, c grpcscope.Call) bool { return c.ServerStream && !c.ClientStream }})
		without := start(t, each(func(context.Context) (string, error) { return "", fail }), &grpcscope.Options{Recover: true})
		for _, method := range kinds {
			got, want := statusOf(call(t.Context(), conn, method, "").err), statusOf(call(t.Context(), without, method, "").err)
			if !proto.Equal(got.Proto(), want.Proto()) {
				t.Errorf("%s: the client gets %v, and without scope.Error %v", method, got, want)
			}
			if method != serverStream {
				lines.Next(t).Want(t, testkit.Line{"shard": 3., "rpc.grpc.status_code": float64(want.Code()), "error.message": want.Message()})
			}
		}
	}
	// Who is around the interceptor finds the error's scope and what was wrapped.
	_, err = grpcscope.UnaryServerInterceptor(nil)(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: unary}, func(context.Context, any) (any, error) {
		return nil, scope.Error(notFound.Err())
	})
	if s, ok := scope.ErrorScope(err); !ok || !s.Has("request_id") || !errors.Is(err, notFound.Err()) || err.Error() != notFound.Err().Error() {
		t.Errorf("the error is %v now", err)
	}
}

// statusOf returns the status that a client has got; call may have joined its error with others.
func statusOf(err error) *status.Status {
	var own interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &own) {
		return nil
	}
	return own.GRPCStatus()
}

// A noStatus is an error that says it has none.
type noStatus struct{}

func (noStatus) Error() string              { return "no status" }
func (noStatus) GRPCStatus() *status.Status { return nil }

// With Await the line waits for what scope.Go has started.
func TestAwait(t *testing.T) {
	logger, lines := logs()
	goOn := make(chan struct{})
	h := each(func(context.Context) (string, error) {
		scope.Go(func() { <-goOn; scope.Add("late", 1); scope.Share("of", "background") })
		return "", nil
	})
	opts := &grpcscope.Options{Log: logger.LogAttrs, Await: true}
	_ = call(t.Context(), start(t, h, opts), unary, "")
	lines.None(t)
	goOn <- struct{}{}
	lines.Next(t).Want(t, testkit.Line{"late": 1., "of": "background", "scope_running": nil, "scope_ended": nil})

	opts.AwaitLimit = time.Millisecond
	_ = call(t.Context(), start(t, h, opts), unary, "")
	lines.Next(t).Want(t, testkit.Line{"late": nil, "scope_running": 1.})
	goOn <- struct{}{}
	testkit.Eventually(t, "all has ended", func() bool { return scope.Wait(t.Context()) == nil })
}

// A panic doesn't wait.
func TestAwaitAfterAPanic(t *testing.T) {
	logger, lines := logs()
	goOn := make(chan struct{})
	h := each(func(context.Context) (string, error) { scope.Go(func() { <-goOn }); panic("oops") })
	_ = call(t.Context(), start(t, h, &grpcscope.Options{Log: logger.LogAttrs, Await: true, Recover: true}), unary, "")
	lines.Next(t).Want(t, testkit.Line{"exception.message": "oops", "scope_running": nil})
	close(goOn)
	if err := scope.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// Finish sees the call as its last line will have it, and may add to that.
func TestFinish(t *testing.T) {
	logger, lines := logs()
	h := each(func(context.Context) (string, error) {
		scope.Set("user", "u1")
		scope.Add("rows", 7)
		panic("oops")
	})
	conn := start(t, h, &grpcscope.Options{Log: logger.LogAttrs, Recover: true, Finish: func(ctx context.Context) {
		totals := scope.Current().Totals()
		scope.Set("finish", fmt.Sprint(scope.GetOr("user", ""), totals, must(grpc.Method(ctx))))
	}})
	_ = call(t.Context(), conn, unary, "")
	lines.Next(t).Want(t, testkit.Line{"finish": "u1[rows=7]" + unary, "rows": 7.})
}

// Who has ended a call early. The client's own deadline makes it cancel the call, which counts as
// the deadline.
func TestWhoCanceled(t *testing.T) {
	logger, lines := logs()
	entered := make(chan struct{}, 1)
	h := &handler{}
	h.unary = func(ctx context.Context, _ string) (string, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	}
	h.stream = func(s grpc.ServerStream) error {
		_, err := h.unary(s.Context(), "")
		return err
	}
	for _, method := range []string{unary, bidirect} {
		begin := func(ctx context.Context, conn *grpc.ClientConn) chan answer {
			done := make(chan answer, 1)
			go func() { done <- call(ctx, conn, method, "") }()
			<-entered
			return done
		}
		server, addr := serve(t, h, grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs})...)
		conn := dial(t, addr)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		done := begin(ctx, conn)
		cancel()
		lines.Next(t).Want(t, testkit.Line{"level": "INFO", "rpc.canceled_by": "client", "rpc.grpc.status_code": 1.})
		<-done

		ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		<-begin(ctx, conn)
		cancel()
		line := lines.Next(t)
		line.Want(t, testkit.Line{"rpc.canceled_by": "deadline"})
		if code := line["rpc.grpc.status_code"]; code != 1. && code != 4. {
			t.Errorf("the code is %v", code)
		}

		// gRPC doesn't tell a connection that is lost from a client that cancels.
		done = begin(t.Context(), conn)
		_ = conn.Close()
		lines.Next(t).Want(t, testkit.Line{"rpc.canceled_by": "client"})
		<-done
		done = begin(t.Context(), dial(t, addr))
		server.Stop()
		lines.Next(t).Want(t, testkit.Line{"rpc.canceled_by": "client"})
		<-done
		lines.None(t)
	}
	// A deadline that passes here.
	timeout := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		return h(ctx, req)
	}
	_, limited := serve(t, h, append(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs}), grpc.UnaryInterceptor(timeout))...)
	_ = call(t.Context(), dial(t, limited), unary, "")
	<-entered
	lines.Next(t).Want(t, testkit.Line{"level": "WARN", "rpc.canceled_by": "deadline", "rpc.grpc.status_code": 4.})
	// A context that something in this process ends with a cause.
	cause := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(errOops)
		return h(ctx, req)
	}
	_, addr := serve(t, h, append(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs}), grpc.UnaryInterceptor(cause))...)
	_ = call(t.Context(), dial(t, addr), unary, "")
	<-entered
	lines.Next(t).Want(t, testkit.Line{"rpc.canceled_by": "handler"})
}

// A handler that goes on, or answers otherwise, when its call is over.
func TestACallThatWasOverBefore(t *testing.T) {
	logger, lines := logs()
	left := make(chan struct{}, 1)
	h := &handler{stream: func(s grpc.ServerStream) error {
		left <- struct{}{}
		<-s.Context().Done()
		time.Sleep(250 * time.Millisecond)
		return nil
	}}
	conn := start(t, h, &grpcscope.Options{Log: logger.LogAttrs})
	// Canceled long before the deadline, though the handler returns after it.
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	s, err := conn.NewStream(ctx, descs[serverStream], serverStream)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.SendMsg(wrapperspb.String("")), s.CloseSend()
	<-left
	cancel()
	lines.Next(t).Want(t, testkit.Line{"level": "INFO", "rpc.grpc.status_code": 0., "rpc.canceled_by": "client"})
}

// GracefulStop waits for calls, and their lines.
func TestGracefulStop(t *testing.T) {
	logger, lines := logs()
	entered, goOn := make(chan struct{}), make(chan struct{})
	h := each(func(context.Context) (string, error) { close(entered); <-goOn; return "done", nil })
	server, addr := serve(t, h, grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs})...)
	conn := dial(t, addr)
	done := make(chan answer, 1)
	go func() { done <- call(t.Context(), conn, bidirect, "") }()
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); server.GracefulStop() }()
	close(goOn)
	<-stopped
	if a := <-done; a.err != nil || a.text != "done" {
		t.Error(a)
	}
	lines.Next(t).Want(t, testkit.Line{"rpc.canceled_by": nil, "rpc.grpc.status_code": 0.})
}

// What gRPC answers itself has no line, but for a stream: nobody has canceled that.
func TestWhatGRPCAnswersItself(t *testing.T) {
	logger, lines := logs()
	h := each(func(context.Context) (string, error) { return strings.Repeat("x", 100), nil })
	serve := func(limit grpc.ServerOption) *grpc.ClientConn {
		_, addr := serve(t, h, append(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs}), limit)...)
		return dial(t, addr)
	}
	long, conn := strings.Repeat("x", 100), serve(grpc.MaxRecvMsgSize(10))
	for method, code := range map[string]codes.Code{unary: codes.ResourceExhausted, "/test.v1.Echo/No": codes.Unimplemented, "/no.Such/Method": codes.Unimplemented} {
		if err := conn.Invoke(t.Context(), method, wrapperspb.String(long), new(text)); status.Code(err) != code {
			t.Errorf("%s: %v", method, err)
		}
	}
	lines.None(t)
	want := testkit.Line{"level": "WARN", "rpc.grpc.status_code": 8., "rpc.canceled_by": nil, "rpc.server.requests_per_rpc": 0.}
	for _, method := range kinds[1:] {
		if a := call(t.Context(), conn, method, long); statusOf(a.err).Code() != codes.ResourceExhausted {
			t.Error(a)
		}
		lines.Next(t).Want(t, want)
	}
	conn = serve(grpc.MaxSendMsgSize(10))
	want["rpc.server.requests_per_rpc"], want["rpc.server.responses_per_rpc"] = 1., 0.
	for _, method := range kinds[1:] {
		if a := call(with(t.Context(), "x-request-id", "r-1"), conn, method, ""); statusOf(a.err).Code() != codes.ResourceExhausted || a.id() != "r-1" {
			t.Error(a)
		}
		lines.Next(t).Want(t, want)
	}
}

// A message that fails since the call was over before isn't what has ended it.
func TestAMessageBehindTheEnd(t *testing.T) {
	logger, lines := logs()
	entered := make(chan struct{})
	for _, do := range []func(s grpc.ServerStream) error{
		func(s grpc.ServerStream) error { return s.SendMsg(new(text)) },
		func(s grpc.ServerStream) error { return s.RecvMsg(new(text)) },
	} {
		conn := start(t, &handler{stream: func(s grpc.ServerStream) error {
			entered <- struct{}{}
			<-s.Context().Done()
			return do(s)
		}}, &grpcscope.Options{Log: logger.LogAttrs})
		for _, leave := range []func(cancel func()){
			func(cancel func()) { cancel() },
			func(func()) { _ = conn.Close() },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := conn.NewStream(ctx, descs[bidirect], bidirect); err != nil {
				t.Fatal(err)
			}
			<-entered
			leave(cancel)
			lines.Next(t).Want(t, testkit.Line{"rpc.canceled_by": "client"})
			cancel()
		}
	}
}

// raw is a message that is no protocol buffer.
type raw struct{ b []byte }

type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }
func (rawCodec) Marshal(v any) ([]byte, error) {
	if r, ok := v.(*raw); ok {
		return r.b, nil
	}
	return proto.Marshal(v.(proto.Message))
}
func (rawCodec) Unmarshal(b []byte, v any) error {
	if r, ok := v.(*raw); ok {
		r.b = bytes.Clone(b)
		return nil
	}
	return proto.Unmarshal(b, v.(proto.Message))
}

// Messages that can't tell their size are counted only, and calls of unknown services have names
// that any client may choose.
func TestAProxyOfUnknownMethods(t *testing.T) {
	logger, lines := logs()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs}),
		grpc.ForceServerCodec(rawCodec{}),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			for {
				m := new(raw)
				if err := s.RecvMsg(m); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(m); err != nil {
					return err
				}
			}
		}))...)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn := dial(t, l.Addr().String())
	long := strings.Repeat("x", 2000)
	for method, want := range map[string]testkit.Line{
		"/a.b/c":         {"rpc.service": "a.b", "rpc.method": "c"},
		"/a/b/c":         {"rpc.service": "a/b", "rpc.method": "c"},
		"/s/" + long:     {"rpc.service": "s", "rpc.method": long[:1024] + "…"},
		"/s/\xff\" evil": {"rpc.service": "s", "rpc.method": "\uFFFD\" evil"},
	} {
		reply := new(text)
		if err := conn.Invoke(t.Context(), method, wrapperspb.String("ping"), reply); err != nil || reply.Value != "ping" {
			t.Errorf("%q: %v %v", method, err, reply)
			continue
		}
		line := lines.Next(t)
		line.Want(t, want)
		line.Want(t, testkit.Line{"rpc.server.requests_per_rpc": 1., "rpc.server.responses_per_rpc": 1., "rpc.server.request.size": nil})
	}
}

// An error that knows more of itself than its text.
type detailed struct{ error }

func (detailed) GRPCStatus() *status.Status { return status.New(codes.NotFound, "no such user") }
func (detailed) ErrorType() string          { return "users.Unknown" }
func (d detailed) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "where it was made")
}

// What scope.Error returns is to interceptors in front what it is without this package's.
func TestAnErrorOfScopeErrorStaysWhatItIs(t *testing.T) {
	_, err := grpcscope.UnaryServerInterceptor(nil)(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: unary}, func(context.Context, any) (any, error) {
		return nil, scope.Error(detailed{errOops})
	})
	typed, _ := err.(interface{ ErrorType() string })
	caused, _ := err.(interface{ Cause() error })
	if typed == nil || typed.ErrorType() != "users.Unknown" || caused == nil || caused.Cause() != error(detailed{errOops}) || fmt.Sprintf("%+v", err) != "where it was made" {
		t.Errorf("the error is %+v now, a %T", err, err)
	}
	logger, lines := logs()
	logger.Error("oops", "err", err)
	lines.Next(t).Want(t, testkit.Line{"err": "oops"})
}

// A client's line has the message of an error that an interceptor inside has made with scope.Error.
func TestAnErrorOfScopeErrorInsideAClient(t *testing.T) {
	logger, lines := logs()
	_, addr := serve(t, each(func(context.Context) (string, error) { return "", status.Error(codes.NotFound, "no such user") }))
	conn := dial(t, addr, append(grpcscope.DialOptions(&grpcscope.ClientOptions{Log: logger.LogAttrs}), grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) (err error) {
			scope.With("shard", 3).Run(func() { err = scope.Error(next(ctx, method, req, reply, conn, opts...)) })
			return err
		}))...)
	err := call(t.Context(), conn, unary, "").err
	if s, ok := scope.ErrorScope(err); !ok || !s.Has("shard") {
		t.Errorf("the call returns %v", err)
	}
	lines.Next(t).Want(t, testkit.Line{"rpc.grpc.status_code": 5., "error.message": "no such user"})
}
