package grpcscope_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/grpcscope"
)

// A client tries by its retry policy only those calls again whose answer has no header.
func TestRetryPoliciesWork(t *testing.T) {
	const policy = `{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.001s",
		"maxBackoff": "0.001s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`
	for _, method := range []string{unary, bidirect} {
		var attempts atomic.Int64
		h := each(func(context.Context) (string, error) {
			if attempts.Add(1) < 3 {
				return "", status.Error(codes.Unavailable, "not yet")
			}
			return "ok", nil
		})
		_, addr := serve(t, h, grpcscope.ServerOptions(nil)...)
		conn := dial(t, addr, grpc.WithDefaultServiceConfig(policy))
		if a := call(with(t.Context(), "x-request-id", "r-1"), conn, method, ""); a.err != nil || attempts.Load() != 3 || a.id() != "r-1" {
			t.Errorf("%s: %d attempts, %v", method, attempts.Load(), a)
		}
	}
}

// A good answer has the id in its header, an error in its trailer. No answer has it in both.
func TestWhereTheIDIs(t *testing.T) {
	failure := status.Error(codes.NotFound, "")
	other := metadata.Pairs("x-request-id", "another", "more", "1")
	send := func(s grpc.ServerStream) error { return s.SendMsg(wrapperspb.String("")) }
	for name, tc := range map[string]struct {
		unary  func(ctx context.Context) error
		stream func(s grpc.ServerStream) error
		header bool // it is in the header
	}{
		"good":    {func(context.Context) error { return nil }, send, true},
		"nothing": {nil, func(grpc.ServerStream) error { return nil }, true},
		"error":   {func(context.Context) error { return failure }, func(grpc.ServerStream) error { return failure }, false},
		"panic":   {func(context.Context) error { panic("oops") }, func(grpc.ServerStream) error { panic("oops") }, false},
		"panic after a message": {nil, func(s grpc.ServerStream) error {
			_ = send(s)
			panic("oops")
		}, true},
		"error after a message": {nil, func(s grpc.ServerStream) error { return errors.Join(send(s), failure) }, true},
		"error after SendHeader": {
			func(ctx context.Context) error { return errors.Join(grpc.SendHeader(ctx, nil), failure) },
			nil, false,
		},
		"error after the stream's SendHeader": {nil, func(s grpc.ServerStream) error { return errors.Join(s.SendHeader(nil), failure) }, true},
		"error after SetHeader":               {nil, func(s grpc.ServerStream) error { return errors.Join(s.SetHeader(other), failure) }, false},
		"good after SendHeader": {
			func(ctx context.Context) error { return grpc.SendHeader(ctx, nil) },
			func(s grpc.ServerStream) error { return errors.Join(grpc.SendHeader(s.Context(), nil), send(s)) }, false,
		},
		"SetTrailer": {nil, func(s grpc.ServerStream) error { s.SetTrailer(other); return nil }, true},
		"many at once": {nil, func(s grpc.ServerStream) error {
			var wg sync.WaitGroup
			wg.Go(func() { _ = s.SendHeader(nil) })
			_ = send(s)
			wg.Wait()
			return nil
		}, true},
	} {
		h := &handler{unary: func(ctx context.Context, _ string) (string, error) { return "", tc.unary(ctx) }, stream: func(s grpc.ServerStream) error {
			for {
				if _, err := receive(s); err == io.EOF {
					return tc.stream(s)
				} else if err != nil {
					return err
				}
			}
		}}
		conn := start(t, h, &grpcscope.Options{Recover: true})
		for method, has := range map[string]bool{unary: tc.unary != nil, bidirect: tc.stream != nil} {
			if !has {
				continue
			}
			a := call(with(t.Context(), "x-request-id", "r-1"), conn, method, "")
			if len(a.header.Get("x-request-id")) == 1 != tc.header || a.id() != "r-1" {
				t.Errorf("%s, %s: header %v, trailer %v, error %v", name, method, a.header, a.trailer, a.err)
			}
		}
	}
}

// Also where a panic goes on to an interceptor in front, and with an answer that Finish or Log has spoilt.
func TestAnErrorHasTheIDInItsTrailerWhereAPanicGoesOn(t *testing.T) {
	oops := func() { panic("oops") }
	for name, opts := range map[string]*grpcscope.Options{
		"handler": {},
		"Finish":  {Finish: func(context.Context) { oops() }},
		"Log":     {Log: panickingLog},
		"BadID":   {BadID: func(context.Context, int) { oops() }, NewID: func() string { return "r-1" }},
	} {
		h := each(func(context.Context) (string, error) {
			if name == "handler" {
				oops()
			}
			return "", nil
		})
		front := []grpc.ServerOption{grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
			defer func() {
				if recover() != nil {
					err = status.Error(codes.Internal, "")
				}
			}()
			return next(ctx, req)
		})}
		_, addr := serve(t, h, append(front, grpcscope.ServerOptions(opts)...)...)
		id := "r-1"
		if name == "BadID" {
			id = "not valid"
		}
		if a := call(with(t.Context(), "x-request-id", id), dial(t, addr), unary, ""); status.Code(a.err) != codes.Internal || len(a.header.Get("x-request-id")) > 0 || a.id() != "r-1" {
			t.Errorf("%s: %v", name, a)
		}
	}
}
