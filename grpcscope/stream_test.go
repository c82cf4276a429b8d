package grpcscope_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// chat calls fn for each message that the client sends: 1, 2 and 3.
func chat(t *testing.T, opts *grpcscope.Options, fn func(s grpc.ServerStream) error) {
	t.Helper()
	conn := start(t, &handler{stream: fn}, opts)
	s, err := conn.NewStream(t.Context(), descs[bidirect], bidirect)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"1", "2", "3"} {
		if err := s.SendMsg(wrapperspb.String(m)); err != nil {
			break
		}
	}
	_ = s.CloseSend()
	for err == nil {
		_, err = receive(s)
	}
	if err != io.EOF {
		t.Error(err)
	}
}

// Each message has a scope of its own, made of what the stream has at its begin.
func TestPerMessage(t *testing.T) {
	logger, lines := logs()
	opts := &grpcscope.Options{Log: logger.LogAttrs, PerMessage: true}
	chat(t, opts, func(s grpc.ServerStream) error {
		scope.Set("stream", "set before")
		scope.Set("any", 1)
		for {
			m, err := receive(s)
			if err == io.EOF {
				break
			}
			logger.Info("begin")
			scope.Set("message", m)
			scope.Set("stream", "changed")
			scope.Delete("rpc.method")
			scope.Add("messages", 1)
			logger.InfoContext(s.Context(), "end")
		}
		if v, _ := scope.Get("any"); v != 1 {
			t.Errorf("the field is %T", v)
		}
		logger.Info("after")
		scope.Set("stream", "set after")
		return nil
	})
	for i := 1.; i <= 3; i++ {
		lines.Next(t).Want(t, testkit.Line{"msg": "begin", "rpc.message.id": i, "message": nil, "stream": "set before", "rpc.method": "Chat"})
		lines.Next(t).Want(t, testkit.Line{"msg": "end", "rpc.message.id": i, "message": string(rune('0' + int(i))), "stream": "changed", "rpc.method": nil})
	}
	lines.Next(t).Want(t, testkit.Line{"msg": "after", "rpc.message.id": nil, "message": nil, "stream": "set before", "rpc.method": "Chat"})
	lines.Next(t).Want(t, testkit.Line{"msg": "call", "rpc.message.id": nil, "message": nil, "stream": "set after", "messages": 3.})

	// A handler that ends with a message has it on the last line.
	chat(t, opts, func(s grpc.ServerStream) error {
		_, _ = receive(s)
		_, _ = receive(s)
		scope.Set("message", "two")
		return nil
	})
	lines.Next(t).Want(t, testkit.Line{"msg": "call", "rpc.message.id": 2., "message": "two"})
}

// A message that is received in a Run leaves nothing to those behind it, nor to the last line.
func TestPerMessageInARun(t *testing.T) {
	logger, lines := logs()
	opts := &grpcscope.Options{Log: logger.LogAttrs, PerMessage: true}
	chat(t, opts, func(s grpc.ServerStream) error {
		_, _ = receive(s)
		scope.Set("item", "one")
		scope.Run(func() {
			scope.Set("in", "the Run")
			_, _ = receive(s)
			logger.Info("two")
			scope.Set("item", "two")
		})
		logger.Info("one again")
		_, _ = receive(s)
		logger.Info("three")
		_, _ = receive(s)
		return nil
	})
	lines.Next(t).Want(t, testkit.Line{"msg": "two", "rpc.message.id": 2., "item": nil, "in": nil})
	lines.Next(t).Want(t, testkit.Line{"msg": "one again", "rpc.message.id": 1., "item": "one", "in": nil})
	lines.Next(t).Want(t, testkit.Line{"msg": "three", "rpc.message.id": 3., "item": nil})
	lines.Next(t).Want(t, testkit.Line{"msg": "call", "rpc.message.id": nil, "item": nil, "in": nil})
}

// The goroutine that receives has the scope, and so have those that it starts.
func TestPerMessageOnOtherGoroutines(t *testing.T) {
	logger, lines := logs()
	opts := &grpcscope.Options{PerMessage: true, Names: map[grpcscope.Field]string{grpcscope.MessageID: "n"}}
	spawn := func(fn func()) {
		done := make(chan struct{})
		go scope.Wrap(func() { defer close(done); fn() })()
		<-done
	}
	chat(t, opts, func(s grpc.ServerStream) error {
		spawn(func() {
			scope.Set("receiver", true)
			_, _ = receive(s)
			logger.Info("one")
			scope.Set("message", 1)
			spawn(func() { // it has the scope of the first message, and receives the second
				_, _ = receive(s)
				logger.Info("two")
			})
			logger.Info("still one")
		})
		logger.Info("the handler's")
		spawn(func() { // it has its own fields, and keeps them
			scope.Set("other", true)
			_, _ = receive(s)
			logger.Info("three")
		})
		// A goroutine of no task keeps nothing.
		done := make(chan struct{})
		scope.Outside(func() {
			go func() {
				defer close(done)
				_, _ = receive(s)
				logger.Info("none")
			}()
		})
		<-done
		return nil
	})
	lines.Next(t).Want(t, testkit.Line{"msg": "one", "n": 1., "receiver": true})
	lines.Next(t).Want(t, testkit.Line{"msg": "two", "n": 2., "receiver": true, "message": nil})
	lines.Next(t).Want(t, testkit.Line{"msg": "still one", "n": 1., "receiver": true, "message": 1.})
	lines.Next(t).Want(t, testkit.Line{"msg": "the handler's", "n": nil, "receiver": nil})
	lines.Next(t).Want(t, testkit.Line{"msg": "three", "n": 3., "receiver": nil, "other": true})
	lines.Next(t).Want(t, testkit.Line{"msg": "none", "n": nil, "request_id": nil})
}

// Without the option a stream has one scope.
func TestOneScopePerStream(t *testing.T) {
	for _, opts := range []*grpcscope.Options{nil, {PerMessage: true, Names: map[grpcscope.Field]string{grpcscope.MessageID: ""}}} {
		chat(t, opts, func(s grpc.ServerStream) error {
			for i := range 3 {
				if _, err := receive(s); err != nil {
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
	chat(t, nil, func(s grpc.ServerStream) error {
		scope.Set("user", "u1")
		done := make(chan struct{})
		go func() { defer close(done); logger.Info("sender") }()
		<-done
		ctx := s.Context()
		scope.Go(func() { <-over; logger.Info("background") })
		go func() { <-over; time.Sleep(20 * time.Millisecond); logger.Info("left") }()
		_ = ctx
		return nil
	})
	lines.Next(t).Want(t, testkit.Line{"msg": "sender", "user": "u1", "rpc.method": "Chat", "scope_ended": nil})
	close(over)
	lines.Next(t).Want(t, testkit.Line{"msg": "background", "user": "u1", "scope_ended": nil})
	lines.Next(t).Want(t, testkit.Line{"msg": "left", "user": "u1", "scope_ended": true})
}

// A proxy sends on what it has got, the id of the next service's answer too.
func TestAStreamHasOneIDInItsAnswer(t *testing.T) {
	for name, send := range map[string]func(grpc.ServerStream, metadata.MD) error{
		"SetHeader":  grpc.ServerStream.SetHeader,
		"SendHeader": grpc.ServerStream.SendHeader,
	} {
		md := metadata.MD{"x-request-id": {"another"}, "more": {"1"}}
		h := &handler{stream: func(s grpc.ServerStream) error {
			_, _ = receive(s)
			return errors.Join(send(s, md), s.SendMsg(wrapperspb.String("")))
		}}
		a := call(with(t.Context(), "x-request-id", "r-1"), start(t, h, nil), serverStream, "")
		if ids := a.header.Get("x-request-id"); a.err != nil || len(ids) != 1 || ids[0] != "r-1" || len(a.header.Get("more")) != 1 || len(md) != 2 {
			t.Errorf("%s: %v", name, a)
		}
	}
}

// What is done with the context of a unary call works as without the interceptor.
func TestTheContextIsGRPCs(t *testing.T) {
	h := each(func(ctx context.Context) (string, error) {
		_, err := grpc.ClientSupportedCompressors(ctx)
		return "", errors.Join(err, grpc.SetTrailer(ctx, metadata.Pairs("t", "1")), grpc.SetSendCompressor(ctx, "identity"))
	})
	conn := start(t, h, nil)
	for _, method := range kinds {
		if a := call(t.Context(), conn, method, ""); a.err != nil || len(a.trailer.Get("t")) != 1 {
			t.Errorf("%s: %v", method, a)
		}
	}
}
