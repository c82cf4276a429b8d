package httpscope_test

import (
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// inherits says whether a plain go statement hands the scope on in this build.
var inherits = scopekit.Inherits()

// A protocol is a way to start a server on loopback, and a client that speaks to it
// and keeps its connections.
type protocol struct {
	name  string
	major int
	start func(*httptest.Server) *http.Transport
}

var http1 = protocol{"HTTP/1.1", 1, func(ts *httptest.Server) *http.Transport {
	ts.Start()
	return new(http.Transport)
}}

var protocols = []protocol{
	http1,
	{"h2c", 2, func(ts *httptest.Server) *http.Transport {
		ts.Config.Protocols = new(http.Protocols)
		ts.Config.Protocols.SetUnencryptedHTTP2(true)
		ts.Start()
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		return transport
	}},
	{"HTTP/2 over TLS", 2, func(ts *httptest.Server) *http.Transport {
		ts.EnableHTTP2 = true
		ts.StartTLS()
		return ts.Client().Transport.(*http.Transport)
	}},
}

// A service is a running server.
type service struct {
	*httptest.Server
	t         *testing.T
	protocol  protocol
	client    *http.Client
	transport *http.Transport
	reused    bool // the last request went over a connection that was there before
}

// start starts a server for h. What net/http itself logs goes to errorLog, or nowhere.
func (p protocol) serve(t *testing.T, h http.Handler, errorLog io.Writer) *service {
	t.Helper()
	if errorLog == nil {
		errorLog = io.Discard
	}
	ts := httptest.NewUnstartedServer(h)
	ts.Config.ErrorLog = log.New(errorLog, "", 0)
	s := &service{Server: ts, t: t, protocol: p}
	s.transport = p.start(ts)
	s.client = &http.Client{Transport: s.transport}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		s.transport.CloseIdleConnections()
		ts.Close()
	})
	return s
}

// overEach runs fn for a server of each protocol.
func overEach(t *testing.T, h http.Handler, fn func(t *testing.T, s *service)) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) { fn(t, p.serve(t, h, nil)) })
	}
}

// request returns a request to path. header has alternating names and values; a name
// that comes twice is sent twice.
func (s *service) request(method, path string, body io.Reader, header ...string) *http.Request {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// do sends req and returns the response, its body read, or the error.
func (s *service) do(req *http.Request) (*http.Response, string, error) {
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { s.reused = i.Reused }}
	resp, err := s.client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != s.protocol.major {
		s.t.Errorf("spoke %s over %s", resp.Proto, s.protocol.name)
	}
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// get sends a GET that must be answered.
func (s *service) get(path string, header ...string) (*http.Response, string) {
	s.t.Helper()
	resp, body, err := s.do(s.request("GET", path, nil, header...))
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, body
}

// echo answers with the fields of its scope, for fieldsIn.
var echo = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(scopekit.Fields(scope.Current()))
})

func fieldsIn(t *testing.T, body string) (m map[string]string) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return m
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

// A logger of each kind that stamps its lines and writes them to out, as JSON.

func slogTo(out io.Writer) *slog.Logger {
	return slog.New(slogh.New(slog.NewJSONHandler(out, nil), nil))
}

func zapTo(out io.Writer) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(out), zap.DebugLevel), zaph.WrapCore(nil))
}

func zeroTo(out io.Writer) *zerolog.Logger {
	l := zerolog.New(out).Hook(zeroh.New(nil))
	return &l
}
