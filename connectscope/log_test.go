package connectscope_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
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
		stream: func(_ context.Context, s stream) error {
			scope.Set("user", "u1")
			for range 3 {
				if _, err := s.receive(); err != nil {
					break
				}
			}
			if err := s.Send(nil); err != nil { // the header
				return err
			}
			for range 2 {
				_ = s.send("answer")
			}
			return nil
		},
	}
	size := func(s string, n int) float64 { return float64(n * proto.Size(wrapperspb.String(s))) }
	for _, sizes := range []bool{false, true} {
		sized := func(s string, n int) any {
			if !sizes {
				return nil
			}
			return size(s, n)
		}
		server := serve(t, h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs, Sizes: sizes})))
		for _, protocol := range protocols {
			conn := dial(t, server, protocol)
			code := any(0.)
			if protocol == connect.ProtocolConnect {
				code = nil
			}
			if a := call(t.Context(), conn, unary, "hello"); a.err != nil {
				t.Fatal(a)
			}
			line := lines.Next(t)
			line.Want(t, testkit.Line{
				"level": "INFO", "msg": "call", "rpc.system": systems[protocol], "rpc.service": "test.v1.Echo", "rpc.method": "Say",
				"user": "u1", "own": nil, "shared": true, "rows": 5., "rpc.grpc.status_code": code, "error.message": nil,
				"rpc.server.request.size": sized("hello", 1), "rpc.server.response.size": sized("answer", 1),
				"rpc.server.requests_per_rpc": nil, "rpc.server.responses_per_rpc": nil, "rpc.canceled_by": nil,
				"rpc.connect_rpc.error_code": nil,
			})
			if d, _ := line["rpc.server.call.duration"].(float64); d <= 0 || d > 10 {
				t.Errorf("the duration is %v", line["rpc.server.call.duration"])
			}
			s := conn.of[bidirect].CallBidiStream(t.Context())
			for range 3 {
				if err := s.Send(wrapperspb.String("hello")); err != nil {
					t.Fatal(err)
				}
			}
			lines.Next(t).Want(t, testkit.Line{
				"level": "INFO", "msg": "call", "rpc.method": "Chat", "user": "u1", "rpc.grpc.status_code": code,
				"rpc.server.requests_per_rpc": 3., "rpc.server.responses_per_rpc": 2.,
				"rpc.server.request.size": sized("hello", 3), "rpc.server.response.size": sized("answer", 2),
			})
			for err := error(nil); err == nil; {
				_, err = s.Receive()
			}
			_, _ = s.CloseRequest(), s.CloseResponse()
		}
	}
}

// Each logger writes each key once.
func TestTheLastLineOfEachLogger(t *testing.T) {
	var b testkit.Buffer
	zero := zerolog.New(&b).Hook(zeroh.New(nil))
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for name, log := range map[string]connectscope.LogFunc{
		"slog": slog.New(slogh.New(slog.NewJSONHandler(&b, nil), nil)).LogAttrs,
		"zap":  zaph.LogAttrs(zap.New(zapcore.NewCore(encoder, &b, zap.DebugLevel), zaph.WrapCore(nil))),
		"zero": zeroh.LogAttrs(&zero),
	} {
		h, _ := noted()
		both := scoped(&connectscope.Options{Log: log, Client: &connectscope.ClientOptions{Log: log}})
		conn := dial(t, serve(t, h.mux(both)), connect.ProtocolGRPC, both)
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

// badError is an error whose methods panic.
type badError struct{}

func (badError) Error() string { return "bad" }
func (badError) As(any) bool   { panic("As") }

// Who ends the call with an error says how much it matters.
func TestErrors(t *testing.T) {
	logger, lines := logs()
	var fail error
	h := each(func(context.Context) (string, error) { return "", fail })
	usual := serve(t, h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs})))
	own := serve(t, h.mux(scoped(&connectscope.Options{
		Log: logger.LogAttrs, Names: connectscope.NewerNames(),
		CodeToLevel: func(c connect.Code) slog.Level { return slog.Level(c) },
	})))
	for _, protocol := range protocols {
		conn, newer := dial(t, usual, protocol), dial(t, own, protocol)
		for _, tc := range []struct {
			err              error
			level            string
			code             connect.Code
			name, grpcs, msg string
		}{
			{connect.NewError(connect.CodeNotFound, errors.New("no such user")), "INFO", 5, "not_found", "NOT_FOUND", "no such user"},
			{connect.NewError(connect.CodeUnauthenticated, nil), "INFO", 16, "unauthenticated", "UNAUTHENTICATED", ""},
			{connect.NewError(connect.CodeUnavailable, errors.New("later")), "WARN", 14, "unavailable", "UNAVAILABLE", "later"},
			{connect.NewError(connect.CodeInternal, errOops), "ERROR", 13, "internal", "INTERNAL", "oops"},
			{errors.New("plain"), "ERROR", 2, "unknown", "UNKNOWN", "plain"},
			{fmt.Errorf("outer: %w", connect.NewError(connect.CodeNotFound, errors.New("x"))), "INFO", 5, "not_found", "NOT_FOUND", "x"},
			{fmt.Errorf("query: %w", context.DeadlineExceeded), "WARN", 4, "deadline_exceeded", "DEADLINE_EXCEEDED", "query: context deadline exceeded"},
			{fmt.Errorf("dial: %w", os.ErrDeadlineExceeded), "WARN", 4, "deadline_exceeded", "DEADLINE_EXCEEDED", "dial: i/o timeout"},
			{context.Canceled, "INFO", 1, "canceled", "CANCELLED", "context canceled"},
		} {
			for _, method := range kinds {
				fail = tc.err
				a := call(t.Context(), conn, method, "")
				by, number, text := any(nil), any(float64(tc.code)), any(nil)
				if tc.code == 1 || tc.code == 4 {
					by = "handler"
				}
				newest := tc.grpcs
				if protocol == connect.ProtocolConnect {
					number, text, newest = nil, tc.name, tc.name
				}
				lines.Next(t).Want(t, testkit.Line{
					"level": tc.level, "rpc.grpc.status_code": number, "rpc.connect_rpc.error_code": text, "error.message": tc.msg,
					"rpc.canceled_by": by, "rpc.response.status_code": nil,
				})
				if got := connect.CodeOf(a.err); got != tc.code {
					t.Errorf("the client gets %v, and the line says %v", got, tc.code)
				}
				_ = call(t.Context(), newer, method, "")
				lines.Next(t).Want(t, testkit.Line{
					"level": slog.Level(tc.code).String(), "rpc.grpc.status_code": nil, "rpc.connect_rpc.error_code": nil,
					"rpc.response.status_code": newest, "rpc.method": method[1:], "rpc.service": nil,
				})
			}
		}
		fail = nil
		_ = call(t.Context(), newer, unary, "")
		want := any("OK")
		if protocol == connect.ProtocolConnect {
			want = nil
		}
		lines.Next(t).Want(t, testkit.Line{"rpc.response.status_code": want, "level": "INFO"})
	}
	// A code that nobody knows, which an interceptor inside answers with, and an error whose
	// methods panic: another interceptor outside does away with that.
	for err, want := range map[error]testkit.Line{
		connect.NewError(99, errOops): {"level": "ERROR", "rpc.response.status_code": "CODE(99)", "error.message": "oops"},
		badError{}:                    {"level": "ERROR", "rpc.response.status_code": "UNKNOWN", "error.message": "bad"},
	} {
		outside := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
			return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
				_, _ = next(ctx, req)
				return nil, errOops
			}
		})
		fail = err
		server := serve(t, h.mux(connect.WithInterceptors(outside), scoped(&connectscope.Options{Log: logger.LogAttrs, Names: connectscope.NewerNames()})))
		_ = call(t.Context(), dial(t, server, connect.ProtocolGRPC), unary, "")
		lines.Next(t).Want(t, want)
	}
}

// The level of each code is that of grpcscope, and of go-grpc-middleware: info, warn or error.
func TestLevels(t *testing.T) {
	for code, want := range "iieiwiiwwwwweewei" + "eee" {
		if got := strings.ToLower(connectscope.CodeLevel(connect.Code(code)).String())[0]; rune(got) != want {
			t.Errorf("%v is at %c, not %c", connect.Code(code), got, want)
		}
	}
}

// An error whose code was never set isn't a good answer; in gRPC it is one.
func TestAnErrorWithTheCodeZero(t *testing.T) {
	logger, lines := logs()
	h := each(func(context.Context) (string, error) { return "", connect.NewError(0, errOops) })
	both := &connectscope.Options{Log: logger.LogAttrs, Client: &connectscope.ClientOptions{Log: logger.LogAttrs}}
	server := serve(t, h.mux(scoped(both)))
	for _, method := range []string{unary, bidirect} {
		if a := call(t.Context(), dial(t, server, connect.ProtocolConnect, scoped(both)), method, ""); connect.CodeOf(a.err) != connect.CodeUnknown {
			t.Error(a)
		}
		for range 2 {
			lines.Next(t).Want(t, testkit.Line{"level": "ERROR", "rpc.connect_rpc.error_code": "unknown", "error.message": "oops"})
		}
	}
	if a := call(t.Context(), dial(t, server, connect.ProtocolGRPC), bidirect, ""); a.err != nil {
		t.Error(a)
	}
	lines.Next(t).Want(t, testkit.Line{"level": "INFO", "rpc.grpc.status_code": 0., "error.message": "oops"})
}

// The line has the fields of where the error was made.
func TestTheFieldsOfAnError(t *testing.T) {
	logger, lines := logs()
	h := each(func(context.Context) (_ string, err error) {
		scope.Run(func() {
			scope.Set("shard", 3)
			err = scope.Error(connect.NewError(connect.CodeNotFound, errors.New("no such user")))
		})
		return "", err
	})
	conn := start(t, h, &connectscope.Options{Log: logger.LogAttrs})
	if a := call(t.Context(), conn, unary, ""); connect.CodeOf(a.err) != connect.CodeNotFound {
		t.Error(a)
	}
	lines.Next(t).Want(t, testkit.Line{"shard": 3., "rpc.connect_rpc.error_code": "not_found"})
}

// With Await the line waits for what scope.Go has started.
func TestAwait(t *testing.T) {
	logger, lines := logs()
	goOn := make(chan struct{})
	h := each(func(context.Context) (string, error) {
		scope.Go(func() { <-goOn; scope.Add("late", 1); scope.Share("of", "background") })
		return "", nil
	})
	opts := &connectscope.Options{Log: logger.LogAttrs, Await: true}
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
	_ = call(t.Context(), start(t, h, &connectscope.Options{Log: logger.LogAttrs, Await: true, Recover: true}), unary, "")
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
	conn := start(t, h, &connectscope.Options{Log: logger.LogAttrs, Recover: true, Finish: func(ctx context.Context) {
		totals := scope.Current().Totals()
		scope.Set("finish", fmt.Sprint(scope.GetOr("user", ""), totals, must(connect.CallInfoForHandlerContext(ctx)).Spec().Procedure))
	}})
	_ = call(t.Context(), conn, unary, "")
	lines.Next(t).Want(t, testkit.Line{"finish": "u1[rows=7]" + unary, "rows": 7.})
}

// Who has ended a call early. The client's own deadline makes it cancel the call, which counts as
// the deadline.
func TestWhoCanceled(t *testing.T) {
	logger, lines := logs()
	entered := make(chan struct{}, 1)
	h := each(func(ctx context.Context) (string, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	})
	for _, protocol := range protocols {
		for _, method := range kinds {
			begin := func(ctx context.Context, conn *client) chan answer {
				done := make(chan answer, 1)
				go func() { done <- call(ctx, conn, method, "") }()
				<-entered
				return done
			}
			server := serve(t, h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs, Names: connectscope.NewerNames()})))
			conn := dial(t, server, protocol)

			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			done := begin(ctx, conn)
			cancel()
			line := lines.Next(t)
			line.Want(t, testkit.Line{"level": "INFO", "rpc.canceled_by": "client"})
			if code := line["rpc.response.status_code"]; code != "canceled" && code != "CANCELLED" {
				t.Errorf("the code is %v", code)
			}
			<-done

			const limit = 500 * time.Millisecond
			ctx, cancel = context.WithTimeout(t.Context(), limit)
			<-begin(ctx, conn)
			cancel()
			// On a busy machine the call may arrive too late for the deadline to be told.
			line = lines.Next(t)
			if took, _ := line["rpc.server.call.duration"].(float64); line["rpc.canceled_by"] != "deadline" && took > (limit-limit/10).Seconds() {
				t.Errorf("the deadline: %v", line)
			}

			// net/http doesn't tell a connection that is lost from a client that cancels.
			done = begin(t.Context(), dial(t, server, protocol))
			server.CloseClientConnections()
			_ = server.Config.Close()
			lines.Next(t).Want(t, testkit.Line{"rpc.canceled_by": "client"})
			<-done
			lines.None(t)
		}
	}
	// A deadline that passes here.
	timeout := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			return next(ctx, req)
		}
	})
	limited := serve(t, h.mux(connect.WithInterceptors(timeout), scoped(&connectscope.Options{Log: logger.LogAttrs})))
	_ = call(t.Context(), dial(t, limited, connect.ProtocolConnect), unary, "")
	<-entered
	lines.Next(t).Want(t, testkit.Line{"level": "WARN", "rpc.canceled_by": "deadline", "rpc.connect_rpc.error_code": "deadline_exceeded"})
	// A context that something in this process ends with a cause.
	mux := h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs}))
	conn := dial(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancelCause(r.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(errOops) })
		mux.ServeHTTP(w, r.WithContext(ctx))
	})), connect.ProtocolConnect)
	_ = call(t.Context(), conn, unary, "")
	<-entered
	lines.Next(t).Want(t, testkit.Line{"rpc.canceled_by": "handler"})
}

// A handler that goes on, or answers otherwise, when its call is over.
func TestACallThatWasOverBefore(t *testing.T) {
	logger, lines := logs()
	left := make(chan struct{}, 1)
	h := &handler{stream: func(ctx context.Context, s stream) error {
		left <- struct{}{}
		<-ctx.Done()
		time.Sleep(600 * time.Millisecond)
		return nil
	}}
	conn := start(t, h, &connectscope.Options{Log: logger.LogAttrs})
	// Canceled long before the deadline, though the handler returns after it.
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	done := make(chan answer)
	go func() { done <- call(ctx, conn, serverStream, "") }()
	<-left
	cancel()
	<-done
	lines.Next(t).Want(t, testkit.Line{"level": "INFO", "rpc.connect_rpc.error_code": nil, "rpc.canceled_by": "client"})
}

// Shutdown waits for calls, and so for their lines.
func TestShutdown(t *testing.T) {
	logger, lines := logs()
	entered, goOn := make(chan struct{}), make(chan struct{})
	h := each(func(context.Context) (string, error) { close(entered); <-goOn; return "done", nil })
	server := serve(t, h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs})))
	conn := dial(t, server, connect.ProtocolConnect)
	done := make(chan answer, 1)
	go func() { done <- call(t.Context(), conn, bidirect, "") }()
	<-entered
	stopped := make(chan error)
	go func() { stopped <- server.Config.Shutdown(t.Context()) }()
	close(goOn)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if a := <-done; a.err != nil || a.text != "done" {
		t.Error(a)
	}
	lines.Next(t).Want(t, testkit.Line{"rpc.canceled_by": nil, "rpc.connect_rpc.error_code": nil})
}

// What Connect answers itself has no line; an abandoned connection's call has one.
func TestWhatConnectAnswersItself(t *testing.T) {
	logger, lines := logs()
	h, _ := noted()
	server := serve(t, h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs})))
	post := func(path, contentType, body string) int {
		resp, err := server.Client().Post(server.URL+path, contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for contentType, want := range map[string]int{"text/plain": 415, "application/json": 400} {
		if got := post(unary, contentType, "not JSON"); got != want {
			t.Errorf("%s: status %d", contentType, got)
		}
	}
	lines.None(t)
	// By HTTP/1, and as JSON, a call is as any other.
	if got := post(unary, "application/json", `"hello"`); got != 200 {
		t.Errorf("status %d", got)
	}
	lines.Next(t).Want(t, testkit.Line{"rpc.method": "Say", "rpc.system": "connect_rpc"})

	// A client that leaves a stream in the middle of a message.
	addr := server.Listener.Addr().String()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(raw, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\nContent-Length: 100\r\n\r\n\x00\x00", clientStream)
	time.Sleep(20 * time.Millisecond)
	_ = raw.Close()
	line := lines.Next(t)
	line.Want(t, testkit.Line{"rpc.method": "Collect", "rpc.server.requests_per_rpc": 0.})
	if line["rpc.connect_rpc.error_code"] == nil {
		t.Errorf("no error: %v", line)
	}
}

// That a client has what it needs is no failure, on either side. Only a GET is told so.
func TestNotModified(t *testing.T) {
	logger, lines := logs()
	fail := error(connect.NewNotModifiedError(nil))
	h := each(func(context.Context) (string, error) { return "", fail })
	quiet := connect.WithIdempotency(connect.IdempotencyNoSideEffects)
	server := serve(t, h.mux(scoped(&connectscope.Options{Log: logger.LogAttrs}), quiet))
	opts := []connect.ClientOption{scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: logger.LogAttrs}}), quiet}
	get := dial(t, server, connect.ProtocolConnect, append(opts, connect.WithHTTPGet())...)
	if a := call(t.Context(), get, unary, ""); !connect.IsNotModifiedError(a.err) {
		t.Error(a)
	}
	for range 2 {
		lines.Next(t).Want(t, testkit.Line{"level": "INFO", "rpc.connect_rpc.error_code": nil, "error.message": nil})
	}
	_ = call(t.Context(), dial(t, server, connect.ProtocolConnect, opts...), unary, "")
	for range 2 {
		lines.Next(t).Want(t, testkit.Line{"level": "ERROR", "rpc.connect_rpc.error_code": "unknown", "error.message": "not modified"})
	}
	fail = badIs{errOops}
	_ = call(t.Context(), dial(t, server, connect.ProtocolConnect, quiet, connect.WithHTTPGet()), unary, "") // Connect itself asks it, and panics
	lines.Next(t).Want(t, testkit.Line{"level": "ERROR", "msg": "call", "rpc.connect_rpc.error_code": "unknown"})
}
