package httpscope_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// A witness notes for which request each hook was called.
type witness struct {
	mu   sync.Mutex
	seen map[string][]string
}

func (w *witness) note(hook string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[string][]string{}
	}
	w.seen[hook] = append(w.seen[hook], scope.GetOr("request_id", "none"))
}

// take returns what was seen since the last time.
func (w *witness) take() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

func (w *witness) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:              func(string) { w.note("GetConn") },
		GotConn:              func(httptrace.GotConnInfo) { w.note("GotConn") },
		PutIdleConn:          func(error) { w.note("PutIdleConn") },
		GotFirstResponseByte: func() { w.note("GotFirstResponseByte") },
		Got100Continue:       func() { w.note("Got100Continue") },
		Got1xxResponse:       func(int, textproto.MIMEHeader) error { w.note("Got1xxResponse"); return nil },
		DNSStart:             func(httptrace.DNSStartInfo) { w.note("DNSStart") },
		DNSDone:              func(httptrace.DNSDoneInfo) { w.note("DNSDone") },
		ConnectStart:         func(string, string) { w.note("ConnectStart") },
		ConnectDone:          func(string, string, error) { w.note("ConnectDone") },
		TLSHandshakeStart:    func() { w.note("TLSHandshakeStart") },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { w.note("TLSHandshakeDone") },
		WroteHeaderField:     func(string, []string) { w.note("WroteHeaderField") },
		WroteHeaders:         func() { w.note("WroteHeaders") },
		Wait100Continue:      func() { w.note("Wait100Continue") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { w.note("WroteRequest") },
	}
}

// The functions that a program gives to its client are called for the request that they are
// called for, and what the connection's own goroutines do is nobody's.
func TestClientHooksHaveTheScopeOfTheirRequest(t *testing.T) {
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // sends 100 Continue
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "body")
	})
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			s := p.serve(t, server, nil)
			var hooks, conn witness
			s.transport.DisableCompression = true
			s.transport.ExpectContinueTimeout = 5 * time.Second
			s.transport.Proxy = func(*http.Request) (*url.URL, error) { hooks.note("Proxy"); return nil, nil }
			s.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				hooks.note("DialContext")
				_, port, _ := net.SplitHostPort(addr)
				c, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("localhost", port))
				hooks.note("DialContext, dialed")
				return watchedConn{c, &conn}, err
			}
			client := &http.Client{Transport: httpscope.Transport(s.transport, nil)}
			defer client.CloseIdleConnections()
			httpscope.Transport(s.transport, nil) // again: the hooks stay as they are

			send := func(ctx context.Context) {
				req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, hooks.trace()), "POST", s.URL, strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Expect", "100-continue")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			must := []string{"GetConn", "GotConn", "GotFirstResponseByte", "WroteHeaders", "WroteRequest", "Got1xxResponse"}
			check := func(id string, must ...string) {
				t.Helper()
				time.Sleep(10 * time.Millisecond) // PutIdleConn
				seen := hooks.take()
				for hook, ids := range seen {
					if slices.ContainsFunc(ids, func(got string) bool { return got != id }) {
						t.Errorf("%s was called for %q, want %s", hook, ids, id)
					}
				}
				for _, hook := range must {
					if len(seen[hook]) == 0 {
						t.Errorf("%s wasn't called", hook)
					}
				}
			}
			// By the goroutine's scope, and by that of the context.
			scope.New("request_id", "one").Run(func() { send(t.Context()) })
			check("one", append(must, "Proxy", "DialContext", "DialContext, dialed", "ConnectStart", "ConnectDone", "DNSStart", "DNSDone")...)
			scope.New("request_id", "two").Run(func() { send(t.Context()) })
			check("two", must...)
			send(scope.NewContext(t.Context(), scope.New("request_id", "three")))
			check("three", must...)
			send(t.Context())
			check("none", must...)

			for at, ids := range conn.take() {
				if slices.ContainsFunc(ids, func(got string) bool { return got != "none" }) {
					t.Errorf("a connection's %s was called for %q", at, ids)
				}
			}
		})
	}
}

type watchedConn struct {
	net.Conn
	*witness
}

func (c watchedConn) Read(p []byte) (int, error)  { c.note("Read"); return c.Conn.Read(p) }
func (c watchedConn) Write(p []byte) (int, error) { c.note("Write"); return c.Conn.Write(p) }

// atProxy sends a request of request_id r and returns what fn says where base's Proxy is called.
func atProxy[T any](t *testing.T, ctx context.Context, transports int, fn func(context.Context) T) (said T) {
	t.Helper()
	enough := errors.New("enough")
	base := &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		said = fn(r.Context())
		return nil, enough
	}}
	var rt http.RoundTripper
	for range transports {
		rt = httpscope.Transport(base, nil)
	}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://far.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	scope.New("request_id", "r").Run(func() { _, err = rt.RoundTrip(req) })
	if !errors.Is(err, enough) {
		t.Errorf("the request fails with %v", err)
	}
	return said
}

// Each hook that this Go has, by reflection: a new one must be added to those that have a scope.
func TestEachHookOfATraceHasTheScope(t *testing.T) {
	var hooks witness
	trace := new(httptrace.ClientTrace)
	want := map[string][]string{}
	each := func(trace *httptrace.ClientTrace, fn func(name string, hook reflect.Value)) {
		v := reflect.ValueOf(trace).Elem()
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.Func {
				fn(v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
	zeros := func(n int, typ func(int) reflect.Type) (values []reflect.Value) {
		for i := range n {
			values = append(values, reflect.Zero(typ(i)))
		}
		return values
	}
	each(trace, func(name string, hook reflect.Value) {
		want[name] = []string{"r"}
		hook.Set(reflect.MakeFunc(hook.Type(), func([]reflect.Value) []reflect.Value {
			hooks.note(name)
			return zeros(hook.Type().NumOut(), hook.Type().Out)
		}))
	})
	ctx := httptrace.WithClientTrace(t.Context(), trace)
	inner := atProxy(t, ctx, 1, httptrace.ContextClientTrace)
	each(inner, func(name string, hook reflect.Value) {
		if hook.IsNil() {
			t.Errorf("%s has gone", name)
			return
		}
		hook.Call(zeros(hook.Type().NumIn(), hook.Type().In))
	})
	if got := hooks.take(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// And none where there was none.
	inner = atProxy(t, httptrace.WithClientTrace(t.Context(), new(httptrace.ClientTrace)), 1, httptrace.ContextClientTrace)
	each(inner, func(name string, hook reflect.Value) {
		if !hook.IsNil() {
			t.Errorf("%s has come", name)
		}
	})
}

// A trace that the program keeps under a key of its own is its own business.
func TestAContextsOwnTraceStaysWhereItIs(t *testing.T) {
	type key struct{}
	trace := &httptrace.ClientTrace{GetConn: func(string) {}}
	ctx := context.WithValue(httptrace.WithClientTrace(t.Context(), trace), key{}, trace)
	got := atProxy(t, ctx, 1, func(ctx context.Context) any { return ctx.Value(key{}) })
	if got != trace {
		t.Errorf("got %v, want %v", got, trace)
	}
}

// However many Transports a base has, its functions are called through one more.
func TestHooksAreSetOnce(t *testing.T) {
	depth := func(context.Context) int { return runtime.Callers(0, make([]uintptr, 1000)) }
	var got []int
	for _, transports := range []int{1, 10} {
		got = append(got, atProxy(t, t.Context(), transports, depth))
	}
	if got[0] != got[1] {
		t.Errorf("%d frames with one Transport, and %d with ten", got[0], got[1])
	}
}

// The other functions of an *http.Transport.
func TestHooksOfATransportOnTheWayToAProxy(t *testing.T) {
	proxy := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			w.WriteHeader(http.StatusForbidden)
		}
	}), nil)
	via, _ := url.Parse(proxy.URL)
	var hooks witness
	dial := func(network, addr string) (net.Conn, error) {
		hooks.note("Dial")
		return net.Dial(network, strings.TrimPrefix(proxy.URL, "http://"))
	}
	for name, c := range map[string]struct {
		transport *http.Transport
		url       string
		want      []string
	}{
		"a tunnel": {&http.Transport{
			Proxy: http.ProxyURL(via),
			GetProxyConnectHeader: func(context.Context, *url.URL, string) (http.Header, error) {
				hooks.note("GetProxyConnectHeader")
				return nil, nil
			},
			OnProxyConnectResponse: func(context.Context, *url.URL, *http.Request, *http.Response) error {
				hooks.note("OnProxyConnectResponse")
				return nil
			},
		}, "https://far.example/", []string{"GetProxyConnectHeader", "OnProxyConnectResponse"}},
		//lint:ignore SA1019 programs still have it
		"Dial": {&http.Transport{Dial: dial}, "http://far.example/", []string{"Dial"}},
		//lint:ignore SA1019 programs still have it
		"DialTLS": {&http.Transport{DialTLS: dial}, "https://far.example/", []string{"Dial"}},
		"a net.Dialer's Control": {&http.Transport{DialContext: (&net.Dialer{Control: func(string, string, syscall.RawConn) error {
			hooks.note("Control")
			return nil
		}}).DialContext}, proxy.URL, []string{"Control"}},
		"DialTLSContext": {&http.Transport{DialTLSContext: func(_ context.Context, network, addr string) (net.Conn, error) { return dial(network, addr) }},
			"https://far.example/", []string{"Dial"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{Transport: httpscope.Transport(c.transport, nil)}
			defer client.CloseIdleConnections()
			scope.New("request_id", "r").Run(func() {
				if resp, err := client.Get(c.url); err == nil {
					resp.Body.Close()
				}
			})
			if got := fmt.Sprint(hooks.take()); got != fmt.Sprint(want(c.want)) {
				t.Errorf("got %v, want %v", got, want(c.want))
			}
		})
	}
}

func want(hooks []string) map[string][]string {
	m := map[string][]string{}
	for _, h := range hooks {
		m[h] = []string{"r"}
	}
	return m
}

// A connection that a request with hooks has begun keeps nothing of it.
func TestHooksKeepNothing(t *testing.T) {
	overEach(t, headers, func(t *testing.T, s *service) {
		s.transport.DialContext = new(net.Dialer).DialContext
		s.through(nil)
		var watched testkit.Probe[payload]
		done := make(chan struct{})
		go func() {
			defer close(done)
			scope.New("request_id", "r", "payload", watched.Watch(new(payload))).Run(func() { s.get("/") })
		}()
		<-done
		if watched.LeftWithin(0, 20*time.Second) > 0 {
			t.Error("the scope of a request outlives it")
		}
		if s.get("/"); !s.reused {
			t.Error("the connection wasn't kept, so this shows nothing")
		}
	})
}

// defaults has the code of http.DefaultTransport's functions before any test.
var defaults = defaultFuncs()

func defaultFuncs() string {
	transport := http.DefaultTransport.(*http.Transport)
	return fmt.Sprintf("%p %p", transport.Proxy, transport.DialContext)
}

func TestHooksLeaveTheDefaultsAlone(t *testing.T) {
	httpscope.Transport(nil, nil)
	if defaultFuncs() != defaults {
		t.Error("http.DefaultTransport has other functions now")
	}
}

// Many programs make a client of http.DefaultTransport while others use it.
func TestTransportOfTheDefaultWhileItIsUsed(t *testing.T) {
	ts := httptest.NewServer(http.NotFoundHandler())
	defer ts.Close()
	for name, base := range map[string]*http.Transport{
		"the default":      http.DefaultTransport.(*http.Transport),
		"without any func": {},
	} {
		t.Run(name, func(t *testing.T) {
			defer base.CloseIdleConnections()
			started, done := make(chan struct{}), make(chan error)
			go func() {
				close(started)
				for range 50 {
					req, err := http.NewRequest("GET", ts.URL, nil)
					if err == nil {
						req.Close = true // dials each time
						var resp *http.Response
						if resp, err = base.RoundTrip(req); err == nil {
							err = resp.Body.Close()
						}
					}
					if err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			<-started
			httpscope.Transport(base, nil)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
