package grpcscope_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// inherits says whether a plain go statement hands the scope on in this build.
var inherits = scopekit.Inherits()

// text is a message.
type text = wrapperspb.StringValue

// A handler serves calls of one of each kind, as the service test.v1.Echo.
type handler struct {
	unary  func(ctx context.Context, req string) (string, error)
	stream func(s grpc.ServerStream) error // for all three kinds
}

const (
	unary        = "/test.v1.Echo/Say"
	clientStream = "/test.v1.Echo/Collect"
	serverStream = "/test.v1.Echo/Spread"
	bidirect     = "/test.v1.Echo/Chat"
)

var descs = map[string]*grpc.StreamDesc{
	clientStream: {StreamName: "Collect", Handler: serveStream, ClientStreams: true},
	serverStream: {StreamName: "Spread", Handler: serveStream, ServerStreams: true},
	bidirect:     {StreamName: "Chat", Handler: serveStream, ClientStreams: true, ServerStreams: true},
}

var kinds = []string{unary, clientStream, serverStream, bidirect}

var echo = grpc.ServiceDesc{
	ServiceName: "test.v1.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: func(srv any, ctx context.Context, decode func(any) error, in grpc.UnaryServerInterceptor) (any, error) {
		req := new(text)
		if err := decode(req); err != nil {
			return nil, err
		}
		handle := func(ctx context.Context, req any) (any, error) {
			answer, err := srv.(*handler).unary(ctx, req.(*text).Value)
			if err != nil {
				return nil, err
			}
			return wrapperspb.String(answer), nil
		}
		if in == nil {
			return handle(ctx, req)
		}
		return in(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: unary}, handle)
	}}},
	Streams: []grpc.StreamDesc{*descs[clientStream], *descs[serverStream], *descs[bidirect]},
}

func serveStream(srv any, s grpc.ServerStream) error { return srv.(*handler).stream(s) }

// each returns a handler that calls fn for a call of any kind, and answers with what it returns.
// A stream is received to its end before.
func each(fn func(ctx context.Context) (string, error)) *handler {
	return &handler{
		unary: func(ctx context.Context, _ string) (string, error) { return fn(ctx) },
		stream: func(s grpc.ServerStream) error {
			for {
				if _, err := receive(s); err == io.EOF {
					break
				} else if err != nil {
					return err
				}
			}
			answer, err := fn(s.Context())
			if err == nil {
				err = s.SendMsg(wrapperspb.String(answer))
			}
			return err
		},
	}
}

func receive(s interface{ RecvMsg(any) error }) (string, error) {
	m := new(text)
	err := s.RecvMsg(m)
	return m.Value, err
}

// serve starts a server on loopback and returns its address. The test's end stops it.
func serve(t testing.TB, h *handler, opts ...grpc.ServerOption) (*grpc.Server, string) {
	t.Helper()
	server, addr := serveLater(t, h, opts...)
	return server, addr()
}

// serveLater is serve for a server with further services, which starts when its address is asked for.
func serveLater(t testing.TB, h *handler, opts ...grpc.ServerOption) (*grpc.Server, func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(opts...)
	server.RegisterService(&echo, h)
	return server, sync.OnceValue(func() string {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(l)
		}()
		t.Cleanup(func() { server.Stop(); <-done })
		return l.Addr().String()
	})
}

// dial returns a client. The test's end closes it.
func dial(t testing.TB, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// start starts a server for h with these options, and a client of it without any.
func start(t testing.TB, h *handler, opts *grpcscope.Options) *grpc.ClientConn {
	t.Helper()
	_, addr := serve(t, h, grpcscope.ServerOptions(opts)...)
	return dial(t, addr)
}

// with returns ctx with metadata to send: keys and values in turn.
func with(ctx context.Context, md ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, md...)
}

// An answer is what a call has brought.
type answer struct {
	text            string
	header, trailer metadata.MD
	err             error
}

// id returns the id that the answer has: in the header or in the trailer, not in both.
func (a answer) id() string {
	return strings.Join(slices.Concat(a.header.Get("x-request-id"), a.trailer.Get("x-request-id")), "|")
}

// call makes a call of any kind, with one message each way.
func call(ctx context.Context, conn grpc.ClientConnInterface, method, msg string) (a answer) {
	if method == unary {
		reply := new(text)
		a.err = conn.Invoke(ctx, method, wrapperspb.String(msg), reply, grpc.Header(&a.header), grpc.Trailer(&a.trailer))
		a.text = reply.Value
		return a
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := conn.NewStream(ctx, descs[method], method)
	if err != nil {
		return answer{err: err}
	}
	if err := s.SendMsg(wrapperspb.String(msg)); err != nil && err != io.EOF {
		return answer{err: err}
	}
	if err := s.CloseSend(); err != nil {
		return answer{err: err}
	}
	for {
		more, err := receive(s)
		a.text += more
		if err == io.EOF || err == nil && method == clientStream {
			break
		} else if err != nil {
			a.err = err
			break
		}
	}
	header, err := s.Header()
	a.header, a.trailer, a.err = header, s.Trailer(), errors.Join(a.err, err)
	return a
}

// logs returns a logger that stamps, and its lines.
func logs() (*slog.Logger, *testkit.Lines) {
	lines := testkit.NewLines()
	return slog.New(slogh.New(slog.NewJSONHandler(lines, nil), nil)), lines
}

func wantFields(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func wantKeys(t *testing.T, got map[string]string, want ...string) {
	t.Helper()
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, slices.Sorted(slices.Values(want))) {
		t.Errorf("fields %q, want %q", keys, want)
	}
}

// bound returns the fields of what is bound here.
func bound() map[string]string { return scopekit.Fields(scope.Current()) }

// noted returns a handler that sends the fields that are bound to the channel.
func noted() (*handler, chan map[string]string) {
	c := make(chan map[string]string, 10)
	return each(func(context.Context) (string, error) { c <- bound(); return "ok", nil }), c
}

// handlerFunc is an HTTP handler that is called with the context and the baggage of its request.
func handlerFunc(fn func(ctx context.Context, baggage string)) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fn(r.Context(), r.Header.Get("baggage")) })
}

func request(key, value string) (http.ResponseWriter, *http.Request) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set(key, value)
	return httptest.NewRecorder(), r
}

// panickingLog is a LogFunc.
func panickingLog(context.Context, slog.Level, string, ...slog.Attr) { panic("oops") }
