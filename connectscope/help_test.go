package connectscope_test

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
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
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
	stream func(ctx context.Context, s stream) error // for all three kinds
}

// A stream is what a handler has of one, of whatever kind.
type stream struct {
	connect.StreamingHandlerConn
	send func(string) error
}

func (s stream) receive() (string, error) {
	m := new(text)
	err := s.Receive(m)
	return m.Value, err
}

const (
	unary        = "/test.v1.Echo/Say"
	clientStream = "/test.v1.Echo/Collect"
	serverStream = "/test.v1.Echo/Spread"
	bidirect     = "/test.v1.Echo/Chat"
)

var (
	kinds     = []string{unary, clientStream, serverStream, bidirect}
	protocols = []string{connect.ProtocolConnect, connect.ProtocolGRPC, connect.ProtocolGRPCWeb}
)

// mux returns what serves h.
func (h *handler) mux(opts ...connect.HandlerOption) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle(unary, connect.NewUnaryHandler(unary, func(ctx context.Context, req *connect.Request[text]) (*connect.Response[text], error) {
		answer, err := h.unary(ctx, req.Msg.Value)
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(wrapperspb.String(answer)), nil
	}, opts...))
	mux.Handle(clientStream, connect.NewClientStreamHandler(clientStream, func(ctx context.Context, s *connect.ClientStream[text]) (*connect.Response[text], error) {
		answer := ""
		err := h.stream(ctx, stream{s.Conn(), func(m string) error { answer += m; return nil }})
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(wrapperspb.String(answer)), nil
	}, opts...))
	mux.Handle(serverStream, connect.NewServerStreamHandler(serverStream, func(ctx context.Context, _ *connect.Request[text], s *connect.ServerStream[text]) error {
		return h.stream(ctx, sender(s.Conn()))
	}, opts...))
	mux.Handle(bidirect, connect.NewBidiStreamHandler(bidirect, func(ctx context.Context, s *connect.BidiStream[text, text]) error {
		return h.stream(ctx, sender(s.Conn()))
	}, opts...))
	return mux
}

func sender(s connect.StreamingHandlerConn) stream {
	return stream{s, func(m string) error { return s.Send(wrapperspb.String(m)) }}
}

// each returns a handler that calls fn for a call of any kind, and answers with what it returns.
// A stream is received to its end before.
func each(fn func(ctx context.Context) (string, error)) *handler {
	return &handler{
		unary: func(ctx context.Context, _ string) (string, error) { return fn(ctx) },
		stream: func(ctx context.Context, s stream) error {
			for s.Spec().StreamType != connect.StreamTypeServer { // of that Connect has received all
				if _, err := s.receive(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return err
				}
			}
			answer, err := fn(ctx)
			if err == nil {
				err = s.send(answer)
			}
			return err
		},
	}
}

// scoped returns the option with an interceptor.
func scoped(opts *connectscope.Options) connect.Option {
	return connect.WithInterceptors(connectscope.NewInterceptor(opts))
}

// serve starts a server on loopback, with HTTP/2 too. The test's end stops it.
func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // panics are expected
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// transport returns one for HTTP/2 without TLS. The test's end closes it.
func transport(t testing.TB) *http.Transport {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// A client calls methods of any kind.
type client struct {
	of map[string]*connect.Client[text, text]
}

// dial returns a client that speaks one of the protocols.
func dial(t testing.TB, server *httptest.Server, protocol string, opts ...connect.ClientOption) *client {
	t.Helper()
	return dialBy(&http.Client{Transport: transport(t)}, server, protocol, opts...)
}

func dialBy(by connect.HTTPClient, server *httptest.Server, protocol string, opts ...connect.ClientOption) *client {
	switch protocol {
	case connect.ProtocolGRPC:
		opts = append(opts, connect.WithGRPC())
	case connect.ProtocolGRPCWeb:
		opts = append(opts, connect.WithGRPCWeb())
	}
	c := &client{of: map[string]*connect.Client[text, text]{}}
	for _, method := range kinds {
		c.of[method] = connect.NewClient[text, text](by, server.URL+method, opts...)
	}
	return c
}

// start starts a server for h with these options, and a client of it without any.
func start(t testing.TB, h *handler, opts *connectscope.Options) *client {
	t.Helper()
	return dial(t, serve(t, h.mux(scoped(opts))), connect.ProtocolConnect)
}

// with returns ctx with headers to send: keys and values in turn.
func with(ctx context.Context, header ...string) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	for i := 0; i < len(header); i += 2 {
		info.RequestHeader().Add(header[i], header[i+1])
	}
	return ctx
}

// An answer is what a call has brought.
type answer struct {
	text            string
	header, trailer http.Header
	err             error
}

// call makes a call of any kind, with one message each way.
func call(ctx context.Context, c *client, method, msg string) (a answer) {
	of, m := c.of[method], wrapperspb.String(msg)
	take := func(r *connect.Response[text], err error) answer {
		if err != nil {
			header := http.Header{}
			if e := (*connect.Error)(nil); errors.As(err, &e) {
				header = e.Meta()
			}
			return answer{err: err, header: header}
		}
		return answer{r.Msg.Value, r.Header(), r.Trailer(), nil}
	}
	switch method {
	case unary:
		return take(of.CallUnary(ctx, connect.NewRequest(m)))
	case clientStream:
		s := of.CallClientStream(ctx)
		if err := s.Send(m); err != nil && !errors.Is(err, io.EOF) {
			return answer{err: err}
		}
		return take(s.CloseAndReceive())
	case serverStream:
		s, err := of.CallServerStream(ctx, connect.NewRequest(m))
		if err != nil {
			return answer{err: err}
		}
		for s.Receive() {
			a.text += s.Msg().Value
		}
		a.header, a.trailer, a.err = s.ResponseHeader(), s.ResponseTrailer(), s.Err()
		_ = s.Close()
		return a
	}
	s := of.CallBidiStream(ctx)
	if err := s.Send(m); err != nil && !errors.Is(err, io.EOF) {
		return answer{err: err}
	}
	_ = s.CloseRequest()
	for {
		more, err := s.Receive()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			a.err = err
			break
		}
		a.text += more.Value
	}
	a.header, a.trailer = s.ResponseHeader(), s.ResponseTrailer()
	_ = s.CloseResponse()
	return a
}

// ids returns those of a header.
func ids(h http.Header) string { return strings.Join(h.Values("X-Request-Id"), "|") }

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

func must[T any](v T, ok bool) T {
	if !ok {
		panic("isn't there")
	}
	return v
}

// serveIn is serve with a BaseContext.
func serveIn(t testing.TB, ctx context.Context, h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// withID is an Options.Fields.
func withID(context.Context, connectscope.Call) []slog.Attr {
	return []slog.Attr{slog.String("request_id", "another")}
}
