package connectscope_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// chat calls fn for each message that the client sends: 1, 2 and 3.
func chat(t *testing.T, opts *connectscope.Options, fn func(ctx context.Context, s stream) error) {
	t.Helper()
	for _, protocol := range protocols {
		conn := dial(t, serve(t, (&handler{stream: fn}).mux(scoped(opts))), protocol)
		s := conn.of[bidirect].CallBidiStream(t.Context())
		for _, m := range []string{"1", "2", "3"} {
			if err := s.Send(wrapperspb.String(m)); err != nil {
				break
			}
		}
		_ = s.CloseRequest()
		err := error(nil)
		for err == nil {
			_, err = s.Receive()
		}
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		_ = s.CloseResponse()
	}
}

// Each message has a scope of its own, made of what the stream has at its begin.
func TestPerMessage(t *testing.T) {
	logger, lines := logs()
	opts := &connectscope.Options{Log: logger.LogAttrs, PerMessage: true}
	chat(t, opts, func(ctx context.Context, s stream) error {
		scope.Set("stream", "set before")
		scope.Set("any", 1)
		for {
			m, err := s.receive()
			if errors.Is(err, io.EOF) {
				break
			}
			logger.Info("begin")
			scope.Set("message", m)
			scope.Set("stream", "changed")
			scope.Delete("rpc.method")
			scope.Add("messages", 1)
			logger.InfoContext(ctx, "end")
		}
		if v, _ := scope.Get("any"); v != 1 {
			t.Errorf("the field is %T", v)
		}
		logger.Info("after")
		scope.Set("stream", "set after")
		return nil
	})
	for range protocols {
		for i := 1.; i <= 3; i++ {
			lines.Next(t).Want(t, testkit.Line{"msg": "begin", "rpc.message.id": i, "message": nil, "stream": "set before", "rpc.method": "Chat"})
			lines.Next(t).Want(t, testkit.Line{"msg": "end", "rpc.message.id": i, "message": string(rune('0' + int(i))), "stream": "changed", "rpc.method": nil})
		}
		lines.Next(t).Want(t, testkit.Line{"msg": "after", "rpc.message.id": nil, "message": nil, "stream": "set before", "rpc.method": "Chat"})
		lines.Next(t).Want(t, testkit.Line{"msg": "call", "rpc.message.id": nil, "message": nil, "stream": "set after", "messages": 3.})
	}
	// A handler that ends with a message has it on the last line.
	chat(t, opts, func(_ context.Context, s stream) error {
		_, _ = s.receive()
		_, _ = s.receive()
		scope.Set("message", "two")
		return nil
	})
	for range protocols {
		lines.Next(t).Want(t, testkit.Line{"msg": "call", "rpc.message.id": 2., "message": "two"})
	}
}

// The one message of a server stream has none: Connect has received what follows.
func TestPerMessageOfAServerStream(t *testing.T) {
	logger, lines := logs()
	conn := start(t, each(func(context.Context) (string, error) { logger.Info("one"); return "", nil }), &connectscope.Options{PerMessage: true})
	_ = call(t.Context(), conn, serverStream, "")
	lines.Next(t).Want(t, testkit.Line{"msg": "one", "rpc.message.id": nil, "rpc.method": "Spread"})
}

// A message that is received in a Run leaves nothing to those behind it, nor to the last line.
func TestPerMessageInARun(t *testing.T) {
	logger, lines := logs()
	opts := &connectscope.Options{Log: logger.LogAttrs, PerMessage: true}
	chat(t, opts, func(_ context.Context, s stream) error {
		_, _ = s.receive()
		scope.Set("item", "one")
		scope.Run(func() {
			scope.Set("in", "the Run")
			_, _ = s.receive()
			logger.Info("two")
			scope.Set("item", "two")
		})
		logger.Info("one again")
		_, _ = s.receive()
		logger.Info("three")
		_, _ = s.receive()
		return nil
	})
	for range protocols {
		lines.Next(t).Want(t, testkit.Line{"msg": "two", "rpc.message.id": 2., "item": nil, "in": nil})
		lines.Next(t).Want(t, testkit.Line{"msg": "one again", "rpc.message.id": 1., "item": "one", "in": nil})
		lines.Next(t).Want(t, testkit.Line{"msg": "three", "rpc.message.id": 3., "item": nil})
		lines.Next(t).Want(t, testkit.Line{"msg": "call", "rpc.message.id": nil, "item": nil, "in": nil})
	}
}

// The goroutine that receives has the scope, and so have those that it starts.
func TestPerMessageOnOtherGoroutines(t *testing.T) {
	logger, lines := logs()
	opts := &connectscope.Options{PerMessage: true, Names: map[connectscope.Field]string{connectscope.MessageID: "n"}}
	spawn := func(fn func()) {
		done := make(chan struct{})
		go scope.Wrap(func() { defer close(done); fn() })()
		<-done
	}
	chat(t, opts, func(_ context.Context, s stream) error {
		spawn(func() {
			scope.Set("receiver", true)
			_, _ = s.receive()
			logger.Info("one")
			scope.Set("message", 1)
			spawn(func() { // it has the scope of the first message, and receives the second
				_, _ = s.receive()
				logger.Info("two")
			})
			logger.Info("still one")
		})
		logger.Info("the handler's")
		// A goroutine of no task keeps nothing.
		done := make(chan struct{})
		scope.Outside(func() {
			go func() {
				defer close(done)
				_, _ = s.receive()
				logger.Info("none")
			}()
		})
		<-done
		return nil
	})
	for range protocols {
		lines.Next(t).Want(t, testkit.Line{"msg": "one", "n": 1., "receiver": true})
		lines.Next(t).Want(t, testkit.Line{"msg": "two", "n": 2., "receiver": true, "message": nil})
		lines.Next(t).Want(t, testkit.Line{"msg": "still one", "n": 1., "receiver": true, "message": 1.})
		lines.Next(t).Want(t, testkit.Line{"msg": "the handler's", "n": nil, "receiver": nil})
		lines.Next(t).Want(t, testkit.Line{"msg": "none", "n": nil, "request_id": nil})
	}
}

// Without the option a stream has one scope.
func TestOneScopePerStream(t *testing.T) {
	for _, opts := range []*connectscope.Options{nil, {PerMessage: true, Names: map[connectscope.Field]string{connectscope.MessageID: ""}}} {
		chat(t, opts, func(_ context.Context, s stream) error {
			for i := range 3 {
				if _, err := s.receive(); err != nil {
					return err
				}
				if got := scope.GetOr("seen", 0); got != i || scope.Current().Has("rpc.message.id") {
					t.Errorf("message %d: %s", i, scope.Current())
				}
				scope.Set("seen", i+1)
			}
			return nil
		})
	}
}

// The goroutines of a stream inherit its scope. What outlives it says so, unless scope.Go has
// started it.
func TestGoroutinesOfAStream(t *testing.T) {
	if !inherits {
		t.Skip("a plain go hands nothing on here")
	}
	logger, lines := logs()
	over := make(chan struct{})
	left := make(chan struct{})
	conn := start(t, &handler{stream: func(context.Context, stream) error {
		scope.Set("user", "u1")
		done := make(chan struct{})
		go func() { defer close(done); logger.Info("sender") }()
		<-done
		scope.Go(func() { <-over; logger.Info("background") })
		go func() { <-left; time.Sleep(20 * time.Millisecond); logger.Info("left") }()
		return nil
	}}, nil)
	_ = call(t.Context(), conn, bidirect, "")
	lines.Next(t).Want(t, testkit.Line{"msg": "sender", "user": "u1", "rpc.method": "Chat", "scope_ended": nil})
	close(over)
	lines.Next(t).Want(t, testkit.Line{"msg": "background", "user": "u1", "scope_ended": nil})
	close(left)
	lines.Next(t).Want(t, testkit.Line{"msg": "left", "user": "u1", "scope_ended": true})
}

// What is done with the context and the connection works as without the interceptor.
func TestTheContextIsConnects(t *testing.T) {
	h := &handler{
		unary: func(ctx context.Context, _ string) (string, error) {
			info := must(connect.CallInfoForHandlerContext(ctx))
			info.ResponseTrailer().Set("T", "1")
			info.ResponseHeader().Set("H", info.RequestHeader().Get("Sent"))
			return info.Spec().Procedure + info.Peer().Protocol + info.HTTPMethod(), nil
		},
		stream: func(ctx context.Context, s stream) error {
			info := must(connect.CallInfoForHandlerContext(ctx))
			info.ResponseTrailer().Set("T", "1")
			s.ResponseHeader().Set("H", s.RequestHeader().Get("Sent"))
			return s.send(info.Spec().Procedure + s.Peer().Protocol + info.HTTPMethod())
		},
	}
	server := serve(t, h.mux(scoped(nil)))
	for _, protocol := range protocols {
		conn := dial(t, server, protocol)
		for _, method := range kinds {
			a := call(with(t.Context(), "Sent", "2"), conn, method, "")
			if a.err != nil || a.trailer.Get("T") != "1" || a.header.Get("H") != "2" || a.text != method+protocol+"POST" {
				t.Errorf("%s %s: %v", protocol, method, a)
			}
		}
	}
}
