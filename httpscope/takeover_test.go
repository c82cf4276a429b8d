package httpscope_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// golang.org/x/net/http2/h2c takes the preface of an HTTP/2 connection for a request without a header,
// hijacks its connection, and serves the requests that come through it with its context.
func TestAPrefaceOfHTTP2IsNoRequest(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for _, c := range []struct {
		rule, sent string
		request    bool
	}{
		{"a preface", preface, false},
		{"with a header", "PRI * HTTP/2.0\r\nHost: x\r\nX-Request-Id: r\r\n\r\n", true},
		{"another method", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", true},
		{"another version", "PRI * HTTP/1.1\r\nHost: x\r\n\r\n", true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got, out := make(chan *http.Request, 1), testkit.NewLines()
			bound := make(chan int, 1)
			s := httptest.NewUnstartedServer(httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got <- r
				bound <- scope.Current().Len()
				scope.Set("left", "behind")
			}), &httpscope.Options{Log: slogTo(out).LogAttrs}))
			s.Config.DisableGeneralOptionsHandler = true
			s.Start()
			defer s.Close()
			send(t, s.Listener.Addr(), c.sent)
			r := testkit.Receive(t, got, "request")
			_, carries := scope.FromContext(r.Context())
			if n := testkit.Receive(t, bound, "scope"); (n > 0) != c.request || carries != c.request || (len(r.Header) > 0) != c.request {
				t.Errorf("%d fields are bound; the context carries a scope: %v; the header is %v", n, carries, r.Header)
			}
			if c.request {
				out.Next(t).Want(t, testkit.Line{"left": "behind"})
			}
			out.None(t)
		})
	}
}

// What comes through an HTTP/2 connection is a request.
func TestARequestLikeAPreface(t *testing.T) {
	for _, c := range []struct {
		method, target string
		scoped         bool
		writer         func(http.ResponseWriter) http.ResponseWriter
	}{
		{"PRI", "*", true, func(w http.ResponseWriter) http.ResponseWriter { return w }},
		{"PRI", "*", false, hijackable},
		{"PRI", "*", false, func(w http.ResponseWriter) http.ResponseWriter { return unwrapper{w, hijackable(w)} }},
		{"OPTIONS", "*", true, hijackable},
		{"PRI", "/", true, hijackable},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if n := scope.Current().Len(); n > 0 != c.scoped {
				t.Errorf("%s %s: %d fields", c.method, c.target, n)
			}
		}), nil).ServeHTTP(c.writer(httptest.NewRecorder()), r)
	}
}

func hijackable(w http.ResponseWriter) http.ResponseWriter {
	return &countingWriter{ResponseWriter: w}
}

// Inside such a connection each request is one of its own, though their contexts are that of the first.
func TestARequestThroughAHijackedConnectionIsNoInnerOne(t *testing.T) {
	for _, hijack := range []bool{false, true} {
		ids := make(chan string, 3)
		inner := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			ids <- scope.GetOr("request_id", "")
		}), nil)
		s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if hijack {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 299 By hand\r\nContent-Length: 0\r\n\r\n")
			}
			ids <- scope.GetOr("request_id", "")
			for _, id := range []string{"second", "third"} {
				again := r.Clone(r.Context())
				again.Header.Set("X-Request-Id", id)
				inner.ServeHTTP(httptest.NewRecorder(), again)
			}
		}), nil), nil)
		s.get("/", "X-Request-Id", "first")
		want := "[first first first]" // its header doesn't matter: see around
		if hijack {
			want = "[first second third]"
		}
		if got := fmt.Sprint([]string{<-ids, <-ids, <-ids}); got != want {
			t.Errorf("hijacked: %v: the ids are %s, want %s", hijack, got, want)
		}
	}
}

// httputil.ReverseProxy takes the connection over before it writes the 101 of the service behind it.
func TestAProxiedUpgradeHasOneID(t *testing.T) {
	behind := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Request-Id") != "r" {
			t.Errorf("the id behind the proxy is %q", r.Header.Get("X-Request-Id"))
		}
		w.Header()["X-Request-Id"] = []string{"r", "theirs"}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "talk")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}), nil)
	to, _ := url.Parse(behind.URL)
	proxy := httpscope.Handler(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: httpscope.Transport(behind.transport, nil),
	}, nil)
	for rule, h := range map[string]http.HandlerFunc{
		"net/http's writer": proxy.ServeHTTP,
		"a writer with an unusual choice of interfaces": func(w http.ResponseWriter, r *http.Request) {
			proxy.ServeHTTP(struct {
				http.ResponseWriter
				http.Hijacker
			}{w, w.(http.Hijacker)}, r)
		},
	} {
		s := http1.serve(t, h, nil)
		resp := send(t, s.Listener.Addr(), "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: r\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n")
		if resp.StatusCode != http.StatusSwitchingProtocols || fmt.Sprint(resp.Header["X-Request-Id"]) != "[r]" {
			t.Errorf("%s: the client has got %s, with the ids %q", rule, resp.Status, resp.Header["X-Request-Id"])
		}
	}
}

// send sends text over a connection of its own and returns the answer.
func send(t *testing.T, to net.Addr, text string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}
