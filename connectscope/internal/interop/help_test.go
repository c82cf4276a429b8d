package interop

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/slogh"
)

func TestMain(m *testing.M) { testkit.Main(m) }

type text = wrapperspb.StringValue

const (
	unary  = "/test.v1.Echo/Say"
	stream = "/test.v1.Echo/Chat"
)

// echo returns a handler for one unary call, and one stream of both sides.
func echo(handle func(ctx context.Context) error, opts ...connect.HandlerOption) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle(unary, connect.NewUnaryHandler(unary, func(ctx context.Context, req *connect.Request[text]) (*connect.Response[text], error) {
		return connect.NewResponse(req.Msg), handle(ctx)
	}, opts...))
	mux.Handle(stream, connect.NewBidiStreamHandler(stream, func(ctx context.Context, s *connect.BidiStream[text, text]) error {
		for {
			if _, err := s.Receive(); errors.Is(err, io.EOF) {
				return handle(ctx)
			} else if err != nil {
				return err
			}
		}
	}, opts...))
	return mux
}

// serve starts a server with HTTP/2, and returns a client for it and its URL.
func serve(t *testing.T, h http.Handler) (*http.Client, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() { tr.CloseIdleConnections(); server.Close() })
	return &http.Client{Transport: tr}, server.URL
}

// A caller makes a call, and returns its error.
type caller func(ctx context.Context, by *http.Client, url string, opts ...connect.ClientOption) error

// kinds makes a call of each kind.
var kinds = map[string]caller{
	"unary": func(ctx context.Context, by *http.Client, url string, opts ...connect.ClientOption) error {
		_, err := connect.NewClient[text, text](by, url+unary, opts...).CallUnary(ctx, connect.NewRequest(new(text)))
		return err
	},
	"stream": func(ctx context.Context, by *http.Client, url string, opts ...connect.ClientOption) error {
		s := connect.NewClient[text, text](by, url+stream, opts...).CallBidiStream(ctx)
		if err := s.Send(new(text)); err != nil && !errors.Is(err, io.EOF) { // Receive knows more
			return err
		}
		_ = s.CloseRequest()
		_, err := s.Receive()
		_ = s.CloseResponse()
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	},
}

// logs returns a logger that stamps, and its lines.
func logs() (*slog.Logger, *testkit.Lines) {
	lines := testkit.NewLines()
	return slog.New(slogh.New(slog.NewJSONHandler(lines, nil), nil)), lines
}
