package grpcscope_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

// inside returns options of a client whose calls have a line, with an interceptor inside that opens
// streams.
func inside(log grpcscope.LogFunc, open func(again func(...metadata.MD) (grpc.ClientStream, error)) (grpc.ClientStream, error)) []grpc.DialOption {
	return append(grpcscope.DialOptions(&grpcscope.ClientOptions{Log: log}), grpc.WithChainStreamInterceptor(
		func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return open(func(md ...metadata.MD) (grpc.ClientStream, error) {
				ctx := ctx
				for _, md := range md {
					ctx = metadata.NewOutgoingContext(ctx, md)
				}
				return next(ctx, desc, conn, method, opts...)
			})
		}))
}

// A retried stream is opened again when it fails, and then sent its one message.
type retried struct {
	grpc.ClientStream
	again func() (grpc.ClientStream, error)
	sent  any
}

func (s *retried) SendMsg(m any) error { s.sent = m; return s.ClientStream.SendMsg(m) }
func (s *retried) RecvMsg(m any) error {
	for {
		err := s.ClientStream.RecvMsg(m)
		if status.Code(err) != codes.Unavailable {
			return err
		}
		if s.ClientStream, err = s.again(); err != nil {
			return err
		}
		_, _ = s.ClientStream.SendMsg(s.sent), s.CloseSend()
	}
}

// The line is that of the stream as the program has it, also where an interceptor inside opens several
// for it.
func TestTheLineOfAStreamThatIsTriedAgain(t *testing.T) {
	logger, lines := logs()
	var attempts atomic.Int64
	h := each(func(context.Context) (string, error) {
		if attempts.Add(1)%3 != 0 {
			return "", status.Error(codes.Unavailable, "not yet")
		}
		return "ok", nil
	})
	_, addr := serve(t, h)
	conn := dial(t, addr, inside(logger.LogAttrs, func(again func(...metadata.MD) (grpc.ClientStream, error)) (grpc.ClientStream, error) {
		if _, err := again(metadata.MD{"bad key": {""}}); err == nil {
			t.Error("the key isn't bad")
		}
		s, err := again()
		return &retried{ClientStream: s, again: func() (grpc.ClientStream, error) { return again() }}, err
	})...)
	for _, method := range []string{clientStream, serverStream, bidirect, "Header"} {
		if method != "Header" {
			if a := call(t.Context(), conn, method, "hello"); a.err != nil || a.text != "ok" {
				t.Fatal(a)
			}
		} else { // it finds that the first attempt has failed
			s, err := conn.NewStream(t.Context(), descs[clientStream], clientStream)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.SendMsg(wrapperspb.String("hello")), s.CloseSend()
			_, _ = s.Header()
			if m, err := receive(s); err != nil || m != "ok" {
				t.Error(m, err)
			}
		}
		lines.Next(t).Want(t, testkit.Line{"rpc.grpc.status_code": 0., "error.message": nil, "rpc.client.requests_per_rpc": 1., "rpc.client.responses_per_rpc": 1.})
	}
	lines.None(t)
}

// A canned stream is one that gRPC knows nothing of.
type canned struct {
	grpc.ClientStream
	sends, receives func() error
}

func (s *canned) SendMsg(any) error { return s.sends() }
func (s *canned) RecvMsg(any) error { return s.receives() }

// So is the line of a stream that an interceptor inside answers itself.
func TestTheLineOfAStreamThatIsAnsweredInside(t *testing.T) {
	logger, lines := logs()
	var sends, receives func() error
	conn := dial(t, "127.0.0.1:1", inside(logger.LogAttrs, func(func(...metadata.MD) (grpc.ClientStream, error)) (grpc.ClientStream, error) {
		return &canned{nil, func() error { return sends() }, func() error { return receives() }}, nil
	})...)
	failure := status.Error(codes.NotFound, "no such thing")
	good := func() error { return nil }
	for name, tc := range map[string]struct {
		method          string
		sends, receives func() error
		want            testkit.Line
	}{
		"end":         {bidirect, good, func() error { return io.EOF }, testkit.Line{"rpc.grpc.status_code": 0., "error.message": nil, "rpc.client.requests_per_rpc": 1., "rpc.client.responses_per_rpc": 0.}},
		"error":       {bidirect, good, func() error { return failure }, testkit.Line{"rpc.grpc.status_code": 5., "error.message": "no such thing"}},
		"one message": {clientStream, good, good, testkit.Line{"rpc.grpc.status_code": 0., "rpc.client.responses_per_rpc": 1.}},
		"not sent":    {bidirect, func() error { return failure }, good, testkit.Line{"rpc.grpc.status_code": 5., "rpc.client.requests_per_rpc": 0.}},
		"ended":       {bidirect, func() error { return io.EOF }, func() error { return failure }, testkit.Line{"rpc.grpc.status_code": 5., "rpc.client.requests_per_rpc": 0.}},
		// These count nothing, and end nothing.
		"panic":  {clientStream, func() error { panic(errOops) }, func() error { panic(errOops) }, nil},
		"Goexit": {clientStream, func() error { runtime.Goexit(); return nil }, func() error { runtime.Goexit(); return nil }, nil},
	} {
		sends, receives = tc.sends, tc.receives
		s, err := conn.NewStream(t.Context(), descs[tc.method], tc.method)
		if err != nil {
			t.Fatal(err)
		}
		for _, do := range []func(any) error{s.SendMsg, s.RecvMsg} {
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				_ = do(new(text))
			}()
			<-done
		}
		if tc.want == nil {
			lines.None(t)
			sends, receives = good, good
			_, _ = s.SendMsg(new(text)), s.RecvMsg(new(text))
			tc.want = testkit.Line{"rpc.grpc.status_code": 0., "rpc.client.requests_per_rpc": 1., "rpc.client.responses_per_rpc": 1.}
		}
		t.Run(name, func(t *testing.T) { lines.Next(t).Want(t, tc.want) })
		lines.None(t)
	}
}

// A stream that is canceled has a line also if gRPC doesn't know of that, or has said before that the
// call has failed.
func TestTheLineOfAStreamThatIsCanceled(t *testing.T) {
	logger, lines := logs()
	_, addr := serve(t, &handler{stream: func(grpc.ServerStream) error { return status.Error(codes.NotFound, "") }})
	opts := &grpcscope.ClientOptions{Log: logger.LogAttrs}
	for name, conn := range map[string]*grpc.ClientConn{
		"answered inside": dial(t, addr, inside(logger.LogAttrs, func(func(...metadata.MD) (grpc.ClientStream, error)) (grpc.ClientStream, error) {
			return &canned{}, nil
		})...),
		"failed": dial(t, addr, grpcscope.DialOptions(opts)...),
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := conn.NewStream(ctx, descs[bidirect], bidirect)
		if err != nil {
			t.Fatal(err)
		}
		if name == "failed" {
			_, _ = s.Header()
		}
		lines.None(t)
		cancel()
		lines.Next(t).Want(t, testkit.Line{"level": "INFO", "rpc.grpc.status_code": 1., "error.message": "context canceled"})
		lines.None(t)
	}
}

// A stream that one goroutine sends to, that another one receives from, and that is canceled at any
// time has one line, with what they have sent and received.
func TestOneLineForEachStream(t *testing.T) {
	h := &handler{stream: func(s grpc.ServerStream) error {
		for n := 0; n < 50; n++ {
			m := new(text)
			if err := s.RecvMsg(m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if n == 30 && rand.IntN(3) == 0 {
				return status.Error(codes.Aborted, "enough")
			}
			if err := s.SendMsg(m); err != nil {
				return err
			}
		}
		return nil
	}}
	type said struct{ sent, received, code int64 }
	var all sync.Map // id -> chan said
	log := func(ctx context.Context, _ slog.Level, _ string, attrs ...slog.Attr) {
		var s said
		for _, a := range attrs {
			switch a.Key {
			case "rpc.client.requests_per_rpc":
				s.sent = a.Value.Int64()
			case "rpc.client.responses_per_rpc":
				s.received = a.Value.Int64()
			case "rpc.grpc.status_code":
				s.code = int64(a.Value.Uint64())
			}
		}
		c, _ := all.Load(scope.GetOr("request_id", ""))
		c.(chan said) <- s
	}
	_, addr := serve(t, h)
	conn := dial(t, addr, grpcscope.DialOptions(&grpcscope.ClientOptions{Log: log})...)
	stream := func(id string) {
		lines := make(chan said, 10)
		all.Store(id, lines)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := conn.NewStream(ctx, descs[bidirect], bidirect)
		if err != nil {
			t.Error(err)
			return
		}
		var want said
		var wg sync.WaitGroup
		wg.Go(func() {
			for range rand.IntN(100) {
				if s.SendMsg(wrapperspb.String("hello")) != nil {
					return
				}
				want.sent++
			}
			if rand.IntN(3) == 0 {
				cancel()
			} else {
				_ = s.CloseSend()
			}
		})
		wg.Go(func() {
			for err = s.RecvMsg(new(text)); err == nil; err = s.RecvMsg(new(text)) {
				want.received++
			}
			if err != io.EOF {
				want.code = int64(status.Code(err))
			}
		})
		if rand.IntN(3) == 0 {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			cancel()
		}
		wg.Wait()
		select {
		case got := <-lines:
			// What is received or sent once the context has ended may come after the line.
			if got != want && (ctx.Err() == nil || got.code != 1 && got.code != want.code || got.sent > want.sent || got.received > want.received) {
				t.Errorf("the line says %+v, want %+v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("no line, %+v", want)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range scopekit.Amount(150, 30) {
				id := fmt.Sprint(i, " ", n)
				scope.New("request_id", id).Run(func() { stream(id) })
			}
		})
	}
	wg.Wait()
	all.Range(func(id, c any) bool {
		if n := len(c.(chan said)); n > 0 {
			t.Errorf("%s has %d lines", id, n+1)
		}
		return true
	})
}

// The options of a stream are its caller's: also the room behind their end.
func TestACallersOptionsStayAsTheyAre(t *testing.T) {
	logger, _ := logs()
	in := grpcscope.StreamClientInterceptor(&grpcscope.ClientOptions{Log: logger.LogAttrs})
	room := make([]grpc.CallOption, 3)
	bound := ""
	for _, own := range []grpc.CallOption{grpc.WaitForReady(true), grpc.OnFinish(func(error) { bound = scope.Current().String() })} {
		clear(room)
		room[0] = own
		ctx := scope.NewContext(t.Context(), scope.New("request_id", "r-1"))
		_, _ = in(ctx, descs[bidirect], nil, bidirect, func(_ context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if len(opts) != 2 {
				t.Errorf("%d options", len(opts))
			}
			return nil, nil
		}, room[:1]...)
		if room[1] != nil {
			t.Errorf("%T has been written behind the end", room[1])
		}
		if f, ok := room[0].(grpc.OnFinishCallOption); ok {
			if f.OnFinish(nil); bound != "" {
				t.Errorf("the caller's own func is called with %s", bound)
			}
		}
	}
}
