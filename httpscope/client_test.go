package httpscope_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

var (
	tenant = scope.NewKey[string]("test.tenant", scope.Propagated)
	plan   = scope.NewKey[string]("test.plan", scope.Propagated)
)

const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

// sent is what a request has of the headers that Transport may send.
type sent map[string][]string

// headers answers with them.
var headers = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(sentIn(r.Header))
})

func sentIn(h http.Header) sent {
	s := sent{}
	for _, key := range []string{"X-Request-Id", "Traceparent", "Tracestate", "Baggage"} {
		if values, ok := h[key]; ok {
			s[key] = values
		}
	}
	return s
}

// through lets s send its requests through Transport.
func (s *service) through(opts *httpscope.TransportOptions) *service {
	s.client.Transport = httpscope.Transport(s.transport, opts)
	return s
}

// sends returns what the server at path receives.
func (s *service) sends(path string, header ...string) (got sent) {
	s.t.Helper()
	_, body := s.get(path, header...)
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		s.t.Fatalf("%v in %q", err, body)
	}
	return got
}

func wantSent(t *testing.T, got, want sent) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent %v\nwant %v", got, want)
	}
}

var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$`)

func TestTransportSendsTheScope(t *testing.T) {
	overEach(t, headers, func(t *testing.T, s *service) {
		s.through(nil)
		scope.New("request_id", "r-1", "trace_id", traceID, "trace_flags", "01", "parent_span_id", "00f067aa0ba902b7",
			"test.tenant", "acme & söhne", "secret", "s3cr3t", "http.route", "/x").Run(func() {
			spans := map[string]bool{"00f067aa0ba902b7": true}
			for range 3 {
				got := s.sends("/")
				tp := traceparent.FindStringSubmatch(strings.Join(got["Traceparent"], ","))
				if tp == nil || tp[1] != traceID || tp[3] != "01" || spans[tp[2]] {
					t.Fatalf("traceparent %q, want the trace %s and a new span", got["Traceparent"], traceID)
				}
				spans[tp[2]] = true
				delete(got, "Traceparent")
				wantSent(t, got, sent{"X-Request-Id": {"r-1"}, "Baggage": {"test.tenant=acme%20&%20s%C3%B6hne"}})
			}
		})
	})
}

func TestTransportSendsNothingOfNoScope(t *testing.T) {
	s := http1.serve(t, headers, nil).through(nil)
	scope.Scope{}.Run(func() { wantSent(t, s.sends("/"), sent{}) })
	scope.New("secret", "s3cr3t").Run(func() { wantSent(t, s.sends("/"), sent{}) })
	scope.New("request_id", "no good", "trace_id", "none", "test.tenant", "").Run(func() {
		wantSent(t, s.sends("/"), sent{"Baggage": {"test.tenant="}})
	})
	scope.New("request_id", "a\r\nEvil: yes", "test.tenant", "b\r\nEvil: yes,secret=1").Run(func() {
		wantSent(t, s.sends("/"), sent{"Baggage": {"test.tenant=b%0D%0AEvil:%20yes%2Csecret=1"}})
	})
}

func TestHeadersOfTheRequestStay(t *testing.T) {
	s := http1.serve(t, headers, nil).through(nil)
	tenantScope := scope.New("request_id", "mine", "trace_id", traceID, "test.tenant", "acme", "test.plan", "pro")
	const tracers = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
	for _, c := range []struct {
		rule   string
		header []string
		want   sent
	}{
		{"request id and traceparent", []string{"X-Request-Id", "theirs", "Traceparent", tracers, "Tracestate", "vendor=1"},
			sent{"X-Request-Id": {"theirs"}, "Traceparent": {tracers}, "Tracestate": {"vendor=1"}, "Baggage": {"test.tenant=acme,test.plan=pro"}}},
		{"baggage is added to", []string{"X-Request-Id", "x", "Traceparent", tracers, "Baggage", "theirs=1;property"},
			sent{"X-Request-Id": {"x"}, "Traceparent": {tracers}, "Baggage": {"theirs=1;property,test.tenant=acme,test.plan=pro"}}},
		{"a member of the baggage stays", []string{"X-Request-Id", "x", "Traceparent", tracers, "Baggage", "test.tenant=theirs"},
			sent{"X-Request-Id": {"x"}, "Traceparent": {tracers}, "Baggage": {"test.tenant=theirs,test.plan=pro"}}},
		{"baggage in two headers", []string{"X-Request-Id", "x", "Traceparent", tracers, "Baggage", "a=1", "Baggage", "test.plan=theirs"},
			sent{"X-Request-Id": {"x"}, "Traceparent": {tracers}, "Baggage": {"a=1,test.plan=theirs,test.tenant=acme"}}},
		{"baggage with nothing to add", []string{"X-Request-Id", "x", "Traceparent", tracers, "Baggage", "test.plan=theirs", "Baggage", "test.tenant=theirs"},
			sent{"X-Request-Id": {"x"}, "Traceparent": {tracers}, "Baggage": {"test.plan=theirs", "test.tenant=theirs"}}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			tenantScope.Run(func() { wantSent(t, s.sends("/", c.header...), c.want) })
		})
	}
}

func TestTheCallersRequestIsNotChanged(t *testing.T) {
	s := http1.serve(t, headers, nil).through(nil)
	scope.New("request_id", "r", "trace_id", traceID, "test.tenant", "acme").Run(func() {
		for _, header := range []http.Header{nil, {}, {"Baggage": {"a=1"}, "Other": {"x"}}} {
			req := s.request("GET", "/", nil)
			req.Header = header
			before, url := header.Clone(), *req.URL
			copied := *req
			resp, err := s.client.Transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			var got sent
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || len(got) != 3 {
				t.Errorf("sent %v, %v", got, err)
			}
			resp.Body.Close()
			if !reflect.DeepEqual(req.Header, before) || *req.URL != url || req.Context() != copied.Context() || req.Host != copied.Host {
				t.Errorf("the header %v became %v", before, req.Header)
			}
		}
	})
}

func TestTransportGoesByTheContextOfAnotherTask(t *testing.T) {
	s := http1.serve(t, headers, nil).through(nil)
	other := scope.New("request_id", "other")
	id := func(ctx context.Context) string {
		resp, body, err := s.do(s.request("GET", "/", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp
		var got sent
		_ = json.Unmarshal([]byte(body), &got)
		return strings.Join(got["X-Request-Id"], ",")
	}
	mine := scope.New("request_id", "mine")
	mine.Run(func() {
		if got := id(scope.NewContext(t.Context(), other)); got != "other" {
			t.Errorf("the context is another task's: sent %q", got)
		}
		ctx := scope.NewContext(t.Context(), mine)
		scope.Set("request_id", "newer")
		if got := id(ctx); got != "newer" {
			t.Errorf("the context is of this task, but older: sent %q", got)
		}
		if got := id(t.Context()); got != "newer" {
			t.Errorf("the context has no scope: sent %q", got)
		}
	})
	if got := id(scope.NewContext(t.Context(), other)); got != "other" {
		t.Errorf("nothing is bound: sent %q", got)
	}
}

func TestTransportSendsWhatAMiddlewareHasAddedToTheContext(t *testing.T) {
	s := http1.serve(t, headers, nil).through(nil)
	send := func(ctx context.Context) string {
		_, body, err := s.do(s.request("GET", "/", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		var got sent
		_ = json.Unmarshal([]byte(body), &got)
		return strings.Join(got["Baggage"], ",")
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: sent %q, want %q", what, got, want)
		}
	}
	h := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := scope.NewContext(r.Context(), scope.With(tenant.Name(), "acme"))
		want("added in the context", send(ctx), "test.tenant=acme")
		want("the request's context", send(r.Context()), "")
		plan.Set("free")
		want("added in the context, set later", send(ctx), "test.plan=free,test.tenant=acme")
		want("the request's context, set later", send(r.Context()), "test.plan=free")
		without := scope.NewContext(r.Context(), scope.Current().Without(plan.Name()))
		want("taken away in the context", send(without), "")
	}), nil)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
}

func TestRenamedFieldsAreSent(t *testing.T) {
	s := http1.serve(t, headers, nil)
	all := scope.New("request_id", "wrong", "trace_id", strings.Repeat("f", 32), "rid", "right", "tid", traceID, "", "odd")
	all.Run(func() {
		s.through(&httpscope.TransportOptions{Names: map[httpscope.Field]string{httpscope.RequestID: "rid", httpscope.TraceID: "tid"}})
		got := s.sends("/")
		if fmt.Sprint(got["X-Request-Id"]) != "[right]" || !strings.HasPrefix(fmt.Sprint(got["Traceparent"]), "[00-"+traceID) {
			t.Errorf("sent %v", got)
		}
		// A field that is left out isn't sent.
		s.through(&httpscope.TransportOptions{Names: map[httpscope.Field]string{httpscope.RequestID: "", httpscope.TraceID: ""}})
		wantSent(t, s.sends("/"), sent{})
		s.through(&httpscope.TransportOptions{Names: map[httpscope.Field]string{httpscope.Method: "m", httpscope.RequestID: "request_id", httpscope.TraceID: ""}})
		wantSent(t, s.sends("/"), sent{"X-Request-Id": {"wrong"}})
	})
}

// A map of names that changes later changes nothing: it is read once, as Handler does.
func TestNamesAreReadOnce(t *testing.T) {
	names := map[httpscope.Field]string{httpscope.RequestID: "rid", httpscope.TraceID: "tid"}
	s := http1.serve(t, headers, nil)
	s.through(&httpscope.TransportOptions{Names: names})
	clear(names)
	scope.New("rid", "right", "tid", traceID).Run(func() {
		if got := s.sends("/"); fmt.Sprint(got["X-Request-Id"]) != "[right]" || got["Traceparent"] == nil {
			t.Errorf("sent %v", got)
		}
	})
}

func TestTransportSkips(t *testing.T) {
	s := http1.serve(t, headers, nil).through(&httpscope.TransportOptions{
		Skip: func(r *http.Request) bool {
			if scope.Current().Has("set by Skip") {
				t.Error("what Skip has set stays")
			}
			scope.Set("set by Skip", true)
			return strings.HasPrefix(r.URL.Path, "/foreign")
		},
	})
	scope.New("request_id", "r", "trace_id", traceID, "test.tenant", "acme").Run(func() {
		wantSent(t, s.sends("/foreign"), sent{})
		if got := s.sends("/"); len(got) != 3 {
			t.Errorf("sent %v", got)
		}
	})
}

func TestANilBaseIsTheDefaultTransport(t *testing.T) {
	s := http1.serve(t, headers, nil)
	s.client.Transport = httpscope.Transport(nil, nil)
	scope.New("request_id", "r").Run(func() { wantSent(t, s.sends("/"), sent{"X-Request-Id": {"r"}}) })
	s.client.CloseIdleConnections()
	s.get("/")
	if s.reused {
		t.Error("CloseIdleConnections left a connection open")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnotherBaseIsCalledWithTheScope(t *testing.T) {
	failure := errors.New("no network")
	rt := httpscope.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		wantFields(t, scopekit.Fields(scope.Current()), map[string]string{"request_id": "r"})
		wantSent(t, sentIn(r.Header), sent{"X-Request-Id": {"r"}})
		return nil, failure
	}), nil)
	scope.New("request_id", "r").Run(func() {
		if _, err := rt.RoundTrip(httptest.NewRequest("GET", "http://x/", nil)); err != failure {
			t.Errorf("the error became %v", err)
		}
	})
	(&http.Client{Transport: rt}).CloseIdleConnections() // which it hasn't
}

func TestCloseIdleConnections(t *testing.T) {
	s := http1.serve(t, headers, nil).through(nil)
	s.get("/")
	s.get("/")
	if !s.reused {
		t.Fatal("the connection isn't kept")
	}
	s.client.CloseIdleConnections()
	s.get("/")
	if s.reused {
		t.Error("the connection is still there")
	}
}

func TestRedirects(t *testing.T) {
	overEach(t, headers, func(t *testing.T, far *service) {
		mux := http.NewServeMux()
		mux.Handle("/headers", headers)
		mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
			if len(sentIn(r.Header)) != 3 && r.URL.Query().Get("back") == "" {
				t.Errorf("the first request has sent %v", sentIn(r.Header))
			}
			http.Redirect(w, r, r.URL.Query().Get("url"), http.StatusTemporaryRedirect)
		})
		near := far.protocol.serve(t, mux, nil).through(nil)
		to := func(urls ...string) string { // a way through redirects
			path := urls[len(urls)-1]
			for _, via := range slices.Backward(urls[:len(urls)-1]) {
				path = via + "/to?back=1&url=" + url.QueryEscape(path)
			}
			return "/to?url=" + url.QueryEscape(path)
		}
		scope.New("request_id", "r", "trace_id", traceID, "test.tenant", "acme").Run(func() {
			for name, path := range map[string]string{
				"same origin":                   to("/headers"),
				"same origin, twice":            to("", "/headers"),
				"same origin, in full":          to(near.URL + "/headers"),
				"same origin, in other letters": to(strings.ToUpper(near.URL[:4]) + near.URL[4:] + "/headers"),
			} {
				if got := near.sends(path); len(got) != 3 || fmt.Sprint(got["X-Request-Id"]) != "[r]" {
					t.Errorf("%s: sent %v", name, got)
				}
			}
			for name, path := range map[string]string{
				"another port":             to(far.URL),
				"another port after a hop": to("", far.URL),
			} {
				if got := near.sends(path); len(got) > 0 {
					t.Errorf("%s: sent %v", name, got)
				}
			}
		})
	})
}

func TestARedirectThatComesBackCarriesNothing(t *testing.T) {
	var near, far *service
	far = http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wantSent(t, sentIn(r.Header), sent{})
		if r.URL.Path == "/" { // a hop that stays on the far side doesn't change it
			http.Redirect(w, r, "/again", http.StatusFound)
			return
		}
		http.Redirect(w, r, near.URL+"/headers", http.StatusFound)
	}), nil)
	near = http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/headers" {
			headers(w, r)
			return
		}
		http.Redirect(w, r, far.URL, http.StatusFound)
	}), nil).through(nil)
	scope.New("request_id", "r", "trace_id", traceID, "test.tenant", "acme").Run(func() {
		wantSent(t, near.sends("/"), sent{})
	})
}

func TestARedirectToAnotherSchemeIsToAnotherOrigin(t *testing.T) {
	var asked []string
	rt := httpscope.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, fmt.Sprint(r.URL, " ", len(sentIn(r.Header))))
		resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: r}
		if r.URL.Scheme == "https" {
			resp.StatusCode = http.StatusFound
			resp.Header.Set("Location", "http://a/")
		}
		return resp, nil
	}), nil)
	scope.New("request_id", "r").Run(func() {
		resp, err := (&http.Client{Transport: rt}).Get("https://a/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
	if got := fmt.Sprint(asked); got != "[https://a/ 1 http://a/ 0]" {
		t.Errorf("asked %s", got)
	}
}

// A payload is a value that can be watched.
type payload struct{ _ [1024]byte }

// outlived reports whether what a request had in its scope is still there after it, for
// as long as patience lasts, while the connection stays.
func outlived(t *testing.T, s *service, patience time.Duration) bool {
	t.Helper()
	var watched testkit.Probe[payload]
	done := make(chan struct{})
	go func() { // whose stack is gone afterwards
		defer close(done)
		own := scope.New("request_id", "r", "payload", watched.Watch(new(payload)))
		own.Run(func() {
			resp, err := s.client.Do(s.request("GET", "/", nil).WithContext(scope.NewContext(t.Context(), own)))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		})
	}()
	<-done
	if watched.LeftWithin(0, patience) > 0 {
		return true
	}
	s.get("/")
	if !s.reused {
		t.Error("the connection wasn't kept, so this shows nothing")
	}
	return false
}

func TestAConnectionKeepsNoRequestAlive(t *testing.T) {
	overEach(t, headers, func(t *testing.T, s *service) {
		s.through(nil)
		if outlived(t, s, 20*time.Second) {
			t.Error("the scope of a request outlives it")
		}
	})
}

func TestWithoutTransportAConnectionKeepsTheRequestAlive(t *testing.T) {
	if !inherits {
		t.Skip("a plain go statement hands nothing on here")
	}
	overEach(t, headers, func(t *testing.T, s *service) {
		if !outlived(t, s, 0) {
			t.Error("it doesn't: so TestAConnectionKeepsNoRequestAlive shows nothing")
		}
	})
}

// A spy notes whether a scope is bound where a connection is used.
type spy struct{ calls, bound atomic.Int64 }

func (s *spy) note() {
	s.calls.Add(1)
	if scope.Current().Len() > 0 {
		s.bound.Add(1)
	}
}

type spyConn struct {
	net.Conn
	*spy
}

func (c spyConn) Read(p []byte) (int, error)  { c.note(); return c.Conn.Read(p) }
func (c spyConn) Write(p []byte) (int, error) { c.note(); return c.Conn.Write(p) }

func TestAConnectionIsUsedWithNoScopeBound(t *testing.T) {
	overEach(t, headers, func(t *testing.T, s *service) {
		var current atomic.Pointer[spy]
		s.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c := spyConn{spy: current.Load()}
			if _, has := scope.Get("request_id"); !has && inherits {
				t.Error("the program's DialContext is called with no scope bound")
			}
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			c.Conn = conn
			return c, err
		}
		ask := func() *spy {
			seen := new(spy)
			current.Store(seen)
			scope.New("request_id", "r").Run(func() {
				for range 3 {
					s.get("/")
				}
			})
			return seen
		}
		if without := ask(); inherits && without.bound.Load() == 0 {
			t.Error("without Transport no connection is used with a scope bound: this test can't fail")
		}
		s.transport.CloseIdleConnections()
		s.through(nil)
		if with := ask(); with.bound.Load() > 0 || with.calls.Load() < 3 {
			t.Errorf("a scope was bound in %d of %d calls", with.bound.Load(), with.calls.Load())
		}
	})
}

func TestBaggageIsTakenOnlyIfTrusted(t *testing.T) {
	members := func(n int) string { // with test.tenant as the last of n
		return strings.Repeat("other=1,", n-1) + "test.tenant=acme"
	}
	bytes := func(n int) string {
		return "other=" + strings.Repeat("x", n-len("other=,test.tenant=acme")) + ",test.tenant=acme"
	}
	for _, c := range []struct {
		rule    string
		baggage []string
		want    map[string]string // nil: nothing
	}{
		{"a declared key", []string{"test.tenant=acme"}, map[string]string{"test.tenant": "acme"}},
		{"two, with blanks and properties", []string{" test.tenant = acme ; p=1 , test.plan=pro"}, map[string]string{"test.tenant": "acme", "test.plan": "pro"}},
		{"two headers", []string{"test.tenant=acme", "test.plan=pro"}, map[string]string{"test.tenant": "acme", "test.plan": "pro"}},
		{"other keys aren't taken", []string{"request_id=evil,http.route=/evil,test.tenant=acme,admin=1"}, map[string]string{"test.tenant": "acme"}},
		{"percent-encoding", []string{"test.tenant=acme%20%26%2C%3D%22s%C3%B6hne%25+"}, map[string]string{"test.tenant": `acme &,="söhne%+`}},
		{"the first of two counts", []string{"test.tenant=acme,test.tenant=evil"}, map[string]string{"test.tenant": "acme"}},
		{"a line break becomes a value, not a line", []string{"test.tenant=a%0D%0Ab%00"}, map[string]string{"test.tenant": "a\r\nb\x00"}},
		{"bytes that are no UTF-8", []string{"test.tenant=a%ff"}, map[string]string{"test.tenant": "a\uFFFD"}},
		{"a wrong escape", []string{"test.tenant=a%zz,test.plan=pro"}, map[string]string{"test.plan": "pro"}},
		{"half an escape", []string{"test.tenant=a%2"}, nil},
		{"a quoted value", []string{`test.tenant="acme"`}, nil},
		{"no value", []string{"test.tenant"}, nil},
		{"empty", []string{""}, nil},
		{"64 members", []string{members(64)}, map[string]string{"test.tenant": "acme"}},
		{"65 members", []string{members(65)}, nil},
		{"65 members in two headers", []string{members(32), members(33)}, nil},
		{"8192 bytes", []string{bytes(8192)}, map[string]string{"test.tenant": "acme"}},
		{"8193 bytes", []string{bytes(8193)}, nil},
		{"hundreds of thousands of bytes", []string{bytes(500000)}, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, trust := range []string{"by default", "never", "some", "some, and this is one"} {
				opts := &httpscope.Options{}
				header := []string{"X-Request-Id", "r"}
				switch trust {
				case "never":
					opts.TrustBaggage = func(*http.Request) bool { return false }
				case "some, and this is one":
					header = append(header, "Internal", "yes")
					fallthrough
				case "some":
					opts.TrustBaggage = func(r *http.Request) bool { return r.Header.Get("Internal") == "yes" }
				}
				for _, b := range c.baggage {
					header = append(header, "Baggage", b)
				}
				want := map[string]string{"request_id": "r", "http.request.method": "GET"}
				if trust == "some, and this is one" {
					maps.Copy(want, c.want)
				}
				_, body := http1.serve(t, httpscope.Handler(echo, opts), nil).get("/", header...)
				wantFields(t, fieldsIn(t, body), want)
			}
		})
	}
}

func TestBaggageReplacesNoFieldOfHandler(t *testing.T) {
	h := httpscope.Handler(echo, &httpscope.Options{
		Names:        map[httpscope.Field]string{httpscope.RequestID: tenant.Name()},
		TrustBaggage: func(*http.Request) bool { return true },
	})
	_, body := http1.serve(t, h, nil).get("/", "X-Request-Id", "r", "Baggage", "test.tenant=no%20good,test.plan=pro")
	wantFields(t, fieldsIn(t, body), map[string]string{"test.tenant": "r", "test.plan": "pro", "http.request.method": "GET"})
}

// Two services: what the first sends is what the second has.
func TestFromServiceToService(t *testing.T) {
	overEach(t, httpscope.Handler(echo, &httpscope.Options{TrustBaggage: func(*http.Request) bool { return true }}), func(t *testing.T, back *service) {
		back.through(nil)
		front := back.protocol.serve(t, httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tenant.Set("größe, \"x\" = 100%")
			plan.Set("")
			scope.SetAttrs(slog.String("secret", "s3cr3t"))
			span, _ := scope.Get("parent_span_id")
			resp, err := back.client.Do(back.request("POST", "/", nil).WithContext(r.Context()))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			w.Header().Set("Span", fmt.Sprint(span))
			_, _ = io.Copy(w, resp.Body)
		}), nil), nil)
		for i := range 3 {
			id := fmt.Sprint("r-", i)
			resp, body := front.get("/", "X-Request-Id", id, "Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
			got := fieldsIn(t, body)
			if span := got["parent_span_id"]; span == "" || span == resp.Header.Get("Span") {
				t.Errorf("parent_span_id is %q at the front and %q at the back", resp.Header.Get("Span"), span)
			}
			delete(got, "parent_span_id")
			wantFields(t, got, map[string]string{
				"request_id": id, "trace_id": traceID, "trace_flags": "01", "http.request.method": "POST",
				"test.tenant": "größe, \"x\" = 100%", "test.plan": "",
			})
		}
	})
}

// Response is a field that a program may set.
func TestRedirectsThatAreNone(t *testing.T) {
	for name, before := range map[string]func(*http.Request) *http.Request{
		"a ring":        func(r *http.Request) *http.Request { return r },
		"one of no URL": func(*http.Request) *http.Request { return new(http.Request) },
	} {
		var sent string
		rt := httpscope.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r.Header.Get("X-Request-Id")
			return nil, nil
		}), nil)
		req := httptest.NewRequest("GET", "http://a.example/", nil)
		req.Response = &http.Response{Request: before(req)}
		scope.New("request_id", "r1").Run(func() { _, _ = rt.RoundTrip(req) })
		if sent != "" {
			t.Errorf("%s: sent %q", name, sent)
		}
	}
}

func TestTransportOfANilPointer(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "httpscope.Transport: base, ") {
			t.Errorf("it panics with %q", text)
		}
	}()
	httpscope.Transport((*http.Transport)(nil), nil)
}
