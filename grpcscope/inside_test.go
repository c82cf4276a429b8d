package grpcscope_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// startInside starts a server of net/http with HTTP/2, and a gRPC client of it.
func startInside(t *testing.T, h http.Handler) *grpc.ClientConn {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return dial(t, server.Listener.Addr().String())
}

// A server may answer to requests of net/http. Inside an httpscope.Handler a call is in the request's
// task, with its id, and the last line with totals is the request's.
func TestInsideAnHTTPHandler(t *testing.T) {
	for name, within := range map[string]*httpscope.Options{"with Log": {}, "without Log": {}} {
		logger, lines := logs()
		if name == "with Log" {
			within.Log = logger.LogAttrs
		}
		within.NewID = func() string { return "an id that only this one takes" }
		s := grpc.NewServer(grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs})...)
		s.RegisterService(&echo, each(func(context.Context) (string, error) {
			scope.Add("rows", 2)
			scope.Set("user", "u1")
			slog.New(logger.Handler()).Info("inside")
			return "ok", nil
		}))
		conn := startInside(t, httpscope.Handler(s, within))
		for _, method := range []string{unary, bidirect} {
			a := call(t.Context(), conn, method, "")
			if ids := a.header["x-request-id"]; a.err != nil || len(ids) != 1 || ids[0] != "an id that only this one takes" {
				t.Errorf("%s, %s: %v, ids %q", name, method, a.err, ids)
			}
			id := "an id that only this one takes"
			lines.Next(t).Want(t, testkit.Line{"msg": "inside", "request_id": id, "http.request.method": "POST", "rpc.system": "grpc"})
			if within.Log == nil {
				lines.Next(t).Want(t, testkit.Line{"msg": "call", "request_id": id, "user": "u1", "rows": 2.})
				continue
			}
			lines.Next(t).Want(t, testkit.Line{"msg": "call", "request_id": id, "user": "u1", "rows": nil})
			lines.Next(t).Want(t, testkit.Line{"msg": "request", "request_id": id, "user": nil, "rows": 2.})
		}
		lines.None(t)
	}
}

// The answer of the request has the id in its header, where it fails too: it has it once.
func TestAnAnswerInsideAnHTTPHandler(t *testing.T) {
	failure := status.Error(codes.NotFound, "")
	for name, tc := range map[string]func(ctx context.Context) error{
		"good":                   func(context.Context) error { return nil },
		"error":                  func(context.Context) error { return failure },
		"good after SendHeader":  func(ctx context.Context) error { return grpc.SendHeader(ctx, nil) },
		"error after SendHeader": func(ctx context.Context) error { _ = grpc.SendHeader(ctx, nil); return failure },
	} {
		s := grpc.NewServer(grpcscope.ServerOptions(nil)...)
		s.RegisterService(&echo, each(func(ctx context.Context) (string, error) { return "", tc(ctx) }))
		conn := startInside(t, httpscope.Handler(s, nil))
		for _, method := range kinds {
			a := call(with(t.Context(), "x-request-id", "r-1"), conn, method, "")
			if (a.err == nil) != strings.HasPrefix(name, "good") || len(a.header.Get("x-request-id")) != 1 || a.id() != "r-1" {
				t.Errorf("%s, %s: header %v, trailer %v, error %v", name, method, a.header, a.trailer, a.err)
			}
		}
	}
}

// A code is any number of 32 bits, and where an int has as many it may be negative.
func TestAnyCode(t *testing.T) {
	logger, lines := logs()
	for code, want := range map[codes.Code]string{codes.NotFound: "NOT_FOUND", 17: "CODE(17)", 1 << 31: "CODE(2147483648)", 1<<32 - 1: "CODE(4294967295)"} {
		h := each(func(context.Context) (string, error) { return "", status.Error(code, "") })
		conn := start(t, h, &grpcscope.Options{Log: logger.LogAttrs, Names: map[grpcscope.Field]string{grpcscope.Status: "code"}})
		_ = call(t.Context(), conn, unary, "")
		lines.Next(t).Want(t, testkit.Line{"code": want})
	}
}
