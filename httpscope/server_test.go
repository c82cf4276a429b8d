package httpscope_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// build returns Handler(next, opts), built where service=shop is set for the process.
func build(next http.Handler, opts *httpscope.Options) (h http.Handler) {
	inShop(func() { h = httpscope.Handler(next, opts) })
	return h
}

// inShop calls fn as main would, after a bare Set.
func inShop(fn func()) {
	scope.Outside(func() {
		scope.Set("service", "shop")
		fn()
	})
}

// messy answers with the fields that it finds, and leaves some behind.
var messy = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	echo(w, r)
	scope.Set("left", "behind")
	scope.Set("request_id", "stale")
	scope.Delete("service")
})

func wantFresh(t *testing.T, got map[string]string, id string) {
	t.Helper()
	wantFields(t, got, map[string]string{"service": "shop", "request_id": id, "http.request.method": "GET"})
}

func TestARequestStartsFromTheFieldsOfTheBuilder(t *testing.T) {
	overEach(t, build(messy, nil), func(t *testing.T, s *service) {
		for i := range 5 {
			id := fmt.Sprint("r-", i)
			_, body := s.get("/", "X-Request-Id", id)
			wantFresh(t, fieldsIn(t, body), id)
			if s.reused != (i > 0) {
				t.Fatalf("request %d: reused is %v: the connection isn't kept", i, s.reused)
			}
		}
	})
}

func TestPipelinedRequestsStartAfresh(t *testing.T) {
	s := http1.serve(t, build(messy, nil), nil)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const n = 10
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: p-%d\r\n\r\n", i)
	}
	if _, err := io.WriteString(conn, all.String()); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for i := range n {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		wantFresh(t, fieldsIn(t, string(body)), fmt.Sprint("p-", i))
	}
}

// A connection's goroutine has what was bound where the server was started. It isn't a
// request's, and no request's is left on it.
func TestTheConnectionsOwnScopeIsPutBack(t *testing.T) {
	type outcome struct{ before, after map[string]string }
	outcomes := make(chan outcome, 1)
	inner := build(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope.Set("left", "behind")
		switch r.URL.Path {
		case "/panic":
			panic("boom")
		case "/labels":
			pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("foreign", "label")))
		}
	}), nil)
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := scopekit.Fields(scope.Current())
		defer func() {
			_ = recover()
			outcomes <- outcome{before, scopekit.Fields(scope.Current())}
		}()
		inner.ServeHTTP(w, r)
	})
	scope.New("server", "one").Run(func() {
		overEach(t, outer, func(t *testing.T, s *service) {
			for _, path := range []string{"/", "/panic", "/labels", "/"} {
				s.get(path)
				got := testkit.Receive(t, outcomes, "outcome")
				wantFields(t, got.after, got.before)
				if inherits {
					wantFields(t, got.before, map[string]string{"server": "one"})
				}
			}
			if !s.reused {
				t.Error("the connection wasn't kept")
			}
		})
	})
}

func TestAfterARequestThatEndsEarlyTheNextStartsAfresh(t *testing.T) {
	h := build(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		messy(w, r)
		switch r.URL.Path {
		case "/panic":
			panic("boom")
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/goexit":
			runtime.Goexit()
		}
	}), nil)
	overEach(t, h, func(t *testing.T, s *service) {
		for _, path := range []string{"/panic", "/abort", "/goexit"} {
			if _, _, err := s.do(s.request("POST", path, nil)); err == nil {
				t.Errorf("%s was answered as if nothing had happened", path)
			}
			_, body := s.get("/", "X-Request-Id", "next")
			wantFresh(t, fieldsIn(t, body), "next")
		}
	})
}

func TestAHijackedConnectionStaysInTheTaskOfItsRequest(t *testing.T) {
	log := testkit.NewLines()
	logger := slogTo(log)
	h := build(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hijack" {
			echo(w, r)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		scope.Set("step", "hijacked")
		scope.Go(func() {
			defer conn.Close()
			<-r.Context().Done()                                              // the handler has returned
			if _, err := io.ReadFull(buffered, make([]byte, 4)); err != nil { // it may have come with the request
				t.Error(err)
			}
			logger.Info("talking")
			_, _ = io.WriteString(conn, "pong")
		})
	}), nil)
	s := http1.serve(t, h, nil)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /hijack HTTP/1.1\r\nHost: x\r\nX-Request-Id: h-1\r\n\r\n")
	_, body := s.get("/", "X-Request-Id", "r-2")
	wantFresh(t, fieldsIn(t, body), "r-2")
	fmt.Fprint(conn, "ping")
	log.Next(t).Want(t, testkit.Line{"request_id": "h-1", "step": "hijacked", "service": "shop", "scope_ended": nil})
	if pong, err := io.ReadAll(conn); err != nil || string(pong) != "pong" {
		t.Errorf("the connection says %q, %v", pong, err)
	}
}

// withTimeouts gives up on /slow at once, and on nothing else.
func withTimeouts(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/slow", http.TimeoutHandler(h, time.Millisecond, "timeout"))
	mux.Handle("/", http.TimeoutHandler(h, time.Hour, "timeout"))
	return mux
}

func TestTimeoutHandlerOutside(t *testing.T) {
	log := testkit.NewLines()
	logger := slogTo(log)
	release := make(chan struct{})
	h := build(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			<-release // the answer has arrived
			logger.Info("too late")
			return
		}
		messy(w, r)
	}), &httpscope.Options{Names: map[httpscope.Field]string{httpscope.Route: ""}})
	overEach(t, withTimeouts(h), func(t *testing.T, s *service) {
		for range 2 {
			if resp, _ := s.get("/slow", "X-Request-Id", "slow"); resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d", resp.StatusCode)
			}
			release <- struct{}{}
			log.Next(t).Want(t, testkit.Line{"msg": "too late", "request_id": "slow", "service": "shop", "scope_ended": nil})
			_, body := s.get("/", "X-Request-Id", "quick")
			wantFresh(t, fieldsIn(t, body), "quick")
		}
	})
}

// http.TimeoutHandler starts its handler in a goroutine with a plain go statement and
// leaves it behind.
func TestTimeoutHandlerInside(t *testing.T) {
	if !inherits {
		t.Skip("a plain go statement hands nothing on here")
	}
	log := testkit.NewLines()
	logger := slogTo(log)
	release := make(chan struct{})
	h := build(withTimeouts(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			<-release // the answer has arrived
			logger.Info("left behind")
			return
		}
		messy(w, r)
	})), &httpscope.Options{Names: map[httpscope.Field]string{httpscope.Route: ""}})
	overEach(t, h, func(t *testing.T, s *service) {
		resp, _ := s.get("/slow", "X-Request-Id", "slow")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("X-Request-Id") != "slow" {
			t.Errorf("status %d, header %v", resp.StatusCode, resp.Header)
		}
		for range 2 {
			_, body := s.get("/", "X-Request-Id", "quick")
			wantFresh(t, fieldsIn(t, body), "quick")
		}
		release <- struct{}{}
		log.Next(t).Want(t, testkit.Line{"msg": "left behind", "request_id": "slow", "service": "shop", "scope_ended": true})
	})
}

func TestRequestsAtTheSameTimeSeeTheirOwn(t *testing.T) {
	const n = 8
	arrived := make(chan struct{}, n)
	release := make(chan struct{})
	h := build(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope.Set("own", r.URL.Path)
		arrived <- struct{}{}
		<-release
		echo(w, r)
	}), nil)
	overEach(t, h, func(t *testing.T, s *service) {
		bodies := make(chan [2]string, n)
		for i := range n {
			go func() {
				path := fmt.Sprint("/", i)
				resp, err := s.client.Do(s.request("GET", path, nil, "X-Request-Id", fmt.Sprint("r-", i)))
				if err != nil {
					bodies <- [2]string{path, err.Error()}
					return
				}
				defer resp.Body.Close()
				body, _ := io.ReadAll(resp.Body)
				bodies <- [2]string{path, string(body)}
			}()
		}
		for range n {
			testkit.Receive(t, arrived, "request")
		}
		for range n {
			release <- struct{}{}
		}
		for range n {
			b := testkit.Receive(t, bodies, "response")
			got := fieldsIn(t, b[1])
			if got["own"] != b[0] || got["request_id"] != "r-"+b[0][1:] {
				t.Errorf("%s has %v", b[0], got)
			}
		}
	})
}

func TestEachRequestIsATaskOfItsOwn(t *testing.T) {
	scopes, release := make(chan scope.Scope, 1), make(chan struct{})
	h := build(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		scopes <- scope.Current()
		if r.URL.Path == "/long" {
			<-release
		}
	}), nil)
	overEach(t, h, func(t *testing.T, s *service) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, _, err := s.do(s.request("GET", "/long", nil)); err != nil {
				t.Error(err)
			}
		}()
		long := testkit.Receive(t, scopes, "request")
		s.get("/")
		short := testkit.Receive(t, scopes, "request")
		if long.SameTask(short) || !short.Ended() || long.Ended() {
			t.Errorf("one task: %v; the short one has ended: %v, the long one: %v", long.SameTask(short), short.Ended(), long.Ended())
		}
		release <- struct{}{}
		testkit.Receive(t, done, "response")
		if !long.Ended() {
			t.Error("the long one hasn't ended")
		}
	})
}

func TestRequestID(t *testing.T) {
	type badID struct {
		length int
		id     string
		ctx    bool
	}
	var bad []badID // written before the response, read after it
	h := httpscope.Handler(echo, &httpscope.Options{BadID: func(r *http.Request, length int) {
		_, ctx := scope.FromContext(r.Context())
		bad = append(bad, badID{length, scope.GetOr("request_id", ""), ctx})
	}})
	s := http1.serve(t, h, nil)
	for _, c := range []struct {
		rule   string
		values []string
		valid  bool
		length int // that the hook is told; 0: it isn't called
	}{
		{"one character", []string{"a"}, true, 0},
		{"every kind of character", []string{"azAZ09._-"}, true, 0},
		{"a UUID", []string{"0190b6a3-8f4e-7c1b-9d2e-3f4a5b6c7d8e"}, true, 0},
		{"dots only", []string{".."}, true, 0},
		{"128 characters", []string{strings.Repeat("evil", 32)}, true, 0},
		{"none", nil, false, 0},
		{"empty", []string{""}, false, 0},
		{"129 characters", []string{strings.Repeat("e", 125) + "evil"}, false, 129},
		{"a hundred thousand characters", []string{strings.Repeat("evil", 25000)}, false, 100000},
		{"a space", []string{"evil one"}, false, 8},
		{"a tab", []string{"evil\tone"}, false, 8},
		{"a comma", []string{"evil,one"}, false, 8},
		{"a quote", []string{`evil"`}, false, 5},
		{"JSON", []string{`evil","admin":"yes`}, false, 18},
		{"a slash", []string{"evil/one"}, false, 8},
		{"a percent sign", []string{"evil%0aone"}, false, 10},
		{"an equals sign", []string{"evil=1"}, false, 6},
		{"a terminal's escape", []string{"evil[31m"}, false, 8},
		{"a letter beyond ASCII", []string{"evilé"}, false, 6},
		{"invalid UTF-8", []string{"evil\xff"}, false, 5},
		{"two headers", []string{"evil1", "evil2"}, false, 11},
		{"two that are the same", []string{"evil", "evil"}, false, 9},
		{"two, one of them empty", []string{"", "evil"}, false, 5},
	} {
		t.Run(c.rule, func(t *testing.T) {
			bad = nil
			req := s.request("GET", "/", nil)
			req.Header["X-Request-Id"] = c.values
			resp, body, err := s.do(req)
			if err != nil {
				t.Fatal(err)
			}
			got := fieldsIn(t, body)
			wantKeys(t, got, "request_id", "http.request.method")
			id := got["request_id"]
			switch {
			case c.valid && id != c.values[0]:
				t.Errorf("a valid id became %q", id)
			case !c.valid && !uuid7.MatchString(id):
				t.Errorf("request_id is %q, want a new UUID of version 7", id)
			}
			if sent := resp.Header.Values("X-Request-Id"); !slices.Equal(sent, []string{id}) {
				t.Errorf("the response says %q, the scope %q", sent, id)
			}
			if !c.valid && strings.Contains(fmt.Sprint(resp.Header)+body, "evil") {
				t.Errorf("a part of the bad id is in %v, %s", resp.Header, body)
			}
			var want []badID
			if c.length > 0 {
				want = []badID{{c.length, id, true}}
			}
			if !slices.Equal(bad, want) {
				t.Errorf("BadID was told %v, want %v", bad, want)
			}
		})
	}
}

func TestNewIDsDiffer(t *testing.T) {
	s := http1.serve(t, httpscope.Handler(echo, nil), nil)
	seen := map[string]bool{}
	for range 100 {
		resp, _ := s.get("/")
		id := resp.Header.Get("X-Request-Id")
		if seen[id] {
			t.Fatalf("%s twice", id)
		}
		seen[id] = true
	}
}

func TestNewIDsDifferWhereverTheyAreMade(t *testing.T) {
	const each = 2000
	var made [4][]string
	var wg sync.WaitGroup
	for i := range made {
		wg.Go(func() {
			h := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				made[i] = append(made[i], scope.GetOr("request_id", ""))
			}), nil)
			r := httptest.NewRequest("GET", "/", nil)
			for range each {
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
	wg.Wait()
	different := map[string]bool{}
	for _, id := range slices.Concat(made[:]...) {
		different[id] = true
	}
	if want := each * len(made); len(different) != want {
		t.Errorf("of %d ids, %d differ", want, len(different))
	}
}

func TestNewIDIsConfigurable(t *testing.T) {
	s := http1.serve(t, httpscope.Handler(echo, &httpscope.Options{NewID: func() string { return "mine-1" }}), nil)
	for header, want := range map[string]string{"": "mine-1", "no good": "mine-1", "good": "good"} {
		resp, body := s.get("/", "X-Request-Id", header)
		if got := fieldsIn(t, body)["request_id"]; got != want || resp.Header.Get("X-Request-Id") != want {
			t.Errorf("%q: the field is %q, the header %q, want %q", header, got, resp.Header.Get("X-Request-Id"), want)
		}
	}
}

func TestTraceparent(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	const parts = trace + "-" + span
	s := http1.serve(t, httpscope.Handler(echo, nil), nil)
	for _, c := range []struct {
		rule   string
		values []string
		flags  string // "" iff it is invalid
	}{
		{"version 00", []string{"00-" + parts + "-01"}, "01"},
		{"not sampled", []string{"00-" + parts + "-00"}, "00"},
		{"unknown flags", []string{"00-" + parts + "-fb"}, "fb"},
		{"a future version of the same length", []string{"01-" + parts + "-01"}, "01"},
		{"a future version with more", []string{"cc-" + parts + "-01-what-the-future-will-be-like"}, "01"},
		{"a future version with an empty part", []string{"cc-" + parts + "-01-"}, "01"},
		{"blanks around it", []string{" 00-" + parts + "-01\t"}, "01"},
		{"none", nil, ""},
		{"empty", []string{""}, ""},
		{"version 00 with more", []string{"00-" + parts + "-01-more"}, ""},
		{"version 00 with a dash", []string{"00-" + parts + "-01-"}, ""},
		{"a future version that goes on without a dash", []string{"cc-" + parts + "-01.more"}, ""},
		{"version ff", []string{"ff-" + parts + "-01"}, ""},
		{"a version of one digit", []string{"0-" + parts + "-01"}, ""},
		{"a version that isn't hexadecimal", []string{"0g-" + parts + "-01"}, ""},
		{"an upper-case version", []string{"CC-" + parts + "-01"}, ""},
		{"an all-zero trace id", []string{"00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, ""},
		{"an all-zero span id", []string{"00-" + trace + "-" + strings.Repeat("0", 16) + "-01"}, ""},
		{"an upper-case trace id", []string{"00-" + strings.ToUpper(trace) + "-" + span + "-01"}, ""},
		{"an upper-case span id", []string{"00-" + trace + "-" + strings.ToUpper(span) + "-01"}, ""},
		{"a short trace id", []string{"00-" + trace[1:] + "-" + span + "-01"}, ""},
		{"a long span id", []string{"00-" + trace + "-" + span + "0-01"}, ""},
		{"a trace id that isn't hexadecimal", []string{"00-" + trace[:31] + "x-" + span + "-01"}, ""},
		{"a quote in it", []string{`00-` + trace[:31] + `"-` + span + `-01`}, ""},
		{"no flags", []string{"00-" + parts}, ""},
		{"flags of one digit", []string{"00-" + parts + "-1"}, ""},
		{"upper-case flags", []string{"00-" + parts + "-0A"}, ""},
		{"other separators", []string{"00_" + trace + "_" + span + "_01"}, ""},
		{"blanks within", []string{"00-" + trace + "- " + span[1:] + "-01"}, ""},
		{"two headers", []string{"00-" + parts + "-01", "00-" + parts + "-01"}, ""},
		{"two in one header", []string{"00-" + parts + "-01,00-" + parts + "-01"}, ""},
		{"a hundred thousand characters", []string{"00-" + parts + "-01" + strings.Repeat("a", 100000)}, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			req := s.request("GET", "/", nil, "X-Request-Id", "r")
			req.Header["Traceparent"] = c.values
			_, body, err := s.do(req)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"request_id": "r", "http.request.method": "GET"}
			if c.flags != "" {
				want["trace_id"], want["parent_span_id"], want["trace_flags"] = trace, span, c.flags
			}
			wantFields(t, fieldsIn(t, body), want)
		})
	}
}

func TestMethod(t *testing.T) {
	h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Method", scope.GetOr("http.request.method", "none"))
	}), nil)
	s := http1.serve(t, h, nil)
	for method, want := range map[string]string{
		"GET": "GET", "HEAD": "HEAD", "POST": "POST", "PUT": "PUT", "PATCH": "PATCH", "DELETE": "DELETE",
		"OPTIONS": "OPTIONS", "TRACE": "TRACE", "QUERY": "QUERY",
		"PROPFIND": "_OTHER", "get": "_OTHER", "GETT": "_OTHER", "X'OR'1": "_OTHER", strings.Repeat("M", 5000): "_OTHER",
	} {
		resp, _, err := s.do(s.request(method, "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Method"); got != want {
			t.Errorf("%.20s is logged as %s, want %s", method, got, want)
		}
	}
}

func TestRoute(t *testing.T) {
	mux := func(patterns ...string) *http.ServeMux {
		m := http.NewServeMux()
		for _, p := range patterns {
			m.Handle(p, echo)
		}
		return m
	}
	log := testkit.NewLines()
	opts := &httpscope.Options{Log: slogTo(log).LogAttrs}
	// within is a middleware that doesn't show what it wraps.
	within := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) })
	}
	inside := http.NewServeMux()
	inside.Handle("GET /in/{id}", httpscope.Handler(echo, opts))
	outer := http.NewServeMux()
	outer.Handle("/api/", httpscope.Handler(mux("GET /api/users/{id}"), opts))
	hidden := http.NewServeMux()
	hidden.Handle("/api/", httpscope.Handler(within(mux("GET /api/users/{id}")), opts))
	named := http.NewServeMux()
	named.HandleFunc("/named/{id}", func(w http.ResponseWriter, r *http.Request) {
		echo(w, r)
		scope.Set("http.route", "/by/hand")
	})
	for _, c := range []struct {
		rule        string
		h           http.Handler
		path        string
		want, atLog any
	}{
		{"a mux", httpscope.Handler(mux("/users/{id}"), opts), "/users/7", "/users/{id}", "/users/{id}"},
		{"a pattern with a method", httpscope.Handler(mux("GET /users/{id}"), opts), "/users/7", "/users/{id}", "/users/{id}"},
		{"a pattern with a host", httpscope.Handler(mux("127.0.0.1/users/{rest...}"), opts), "/users/7/8", "/users/{rest...}", "/users/{rest...}"},
		{"a pattern with both", httpscope.Handler(mux("GET 127.0.0.1/{$}"), opts), "/", "/{$}", "/{$}"},
		{"no route", httpscope.Handler(mux("/users/{id}"), opts), "/elsewhere", nil, nil},
		{"another method", httpscope.Handler(mux("POST /users/{id}"), opts), "/users/7", nil, nil},
		{"no mux", httpscope.Handler(echo, opts), "/users/7", nil, nil},
		{"inside a mux", inside, "/in/7", "/in/{id}", "/in/{id}"},
		{"a mux in a mux", outer, "/api/users/7", "/api/users/{id}", "/api/users/{id}"},
		{"a hidden mux in a mux", hidden, "/api/users/7", "/api/", "/api/users/{id}"},
		{"a hidden mux", httpscope.Handler(within(mux("/users/{id}")), opts), "/users/7", nil, "/users/{id}"},
		{"what the handler says", httpscope.Handler(named, opts), "/named/7", "/named/{id}", "/by/hand"},
		{"what the handler says in a hidden mux", httpscope.Handler(within(named), opts), "/named/7", nil, "/by/hand"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s := http1.serve(t, c.h, nil)
			resp, body := s.get(c.path)
			if resp.StatusCode == http.StatusOK {
				got, known := fieldsIn(t, body)["http.route"]
				if known != (c.want != nil) || known && got != c.want {
					t.Errorf("http.route is %q, want %v", got, c.want)
				}
			}
			log.Next(t).Want(t, testkit.Line{"http.route": c.atLog})
		})
	}
}

func TestPersonalFieldsAreOffUnlessNamed(t *testing.T) {
	header := []string{"X-Request-Id", "r", "User-Agent", "browser/1", "X-Forwarded-For", "10.0.0.1", "Cookie", "secret=1", "Authorization", "Basic c2VjcmV0"}
	s := http1.serve(t, httpscope.Handler(echo, nil), nil)
	_, body := s.get("/path?query=1", header...)
	wantFields(t, fieldsIn(t, body), map[string]string{"request_id": "r", "http.request.method": "GET"})

	s = http1.serve(t, httpscope.Handler(echo, &httpscope.Options{Names: map[httpscope.Field]string{
		httpscope.ClientAddress: "client.address", httpscope.UserAgent: "user_agent.original",
		httpscope.Path: "url.path", httpscope.Query: "url.query",
	}}), nil)
	_, body = s.get("/path?query=1", header...)
	wantFields(t, fieldsIn(t, body), map[string]string{
		"request_id": "r", "http.request.method": "GET", "client.address": "127.0.0.1",
		"user_agent.original": "browser/1", "url.path": "/path", "url.query": "query=1",
	})
}

func TestEachFieldCanBeRenamedAndRemoved(t *testing.T) {
	values := map[httpscope.Field]string{
		httpscope.RequestID: "r", httpscope.TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
		httpscope.ParentSpanID: "00f067aa0ba902b7", httpscope.Method: "GET", httpscope.Route: "/p/{x}",
		httpscope.ClientAddress: "127.0.0.1", httpscope.UserAgent: "browser/1", httpscope.Path: "/p/1", httpscope.Query: "q=1",
	}
	on := map[string]string{}
	for f, v := range values {
		switch f {
		case httpscope.ClientAddress, httpscope.UserAgent, httpscope.Path, httpscope.Query:
		default:
			on[string(f)] = v
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/p/{x}", echo)
	get := func(t *testing.T, names map[httpscope.Field]string) map[string]string {
		s := http1.serve(t, httpscope.Handler(mux, &httpscope.Options{Names: names}), nil)
		resp, body := s.get("/p/1?q=1", "X-Request-Id", "r", "User-Agent", "browser/1",
			"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		if resp.Header.Get("X-Request-Id") != "r" {
			t.Errorf("the response says %v", resp.Header)
		}
		got := fieldsIn(t, body)
		if _, traced := got["trace_flags"]; traced != (names[httpscope.TraceID] != "" || !isIn(names, httpscope.TraceID)) {
			t.Errorf("trace_flags without a trace, or the reverse: %v", got)
		}
		delete(got, "trace_flags")
		return got
	}
	for f, v := range values {
		t.Run(string(f), func(t *testing.T) {
			want := maps.Clone(on)
			delete(want, string(f))
			wantFields(t, get(t, map[httpscope.Field]string{f: ""}), want)
			want["another name"] = v
			wantFields(t, get(t, map[httpscope.Field]string{f: "another name"}), want)
		})
	}
}

func isIn(names map[httpscope.Field]string, f httpscope.Field) bool { _, ok := names[f]; return ok }

func TestAFieldHasABoundedSize(t *testing.T) {
	s := http1.serve(t, httpscope.Handler(echo, &httpscope.Options{Names: map[httpscope.Field]string{
		httpscope.UserAgent: "agent", httpscope.Path: "path", httpscope.Query: "query",
	}}), nil)
	for _, n := range []int{1000, 1024, 1025, 100000} {
		for _, letter := range []string{"a", "é", "語", "\xff"} {
			text := strings.Repeat(letter, n/len(letter))
			_, body := s.get("/", "User-Agent", text)
			got := fieldsIn(t, body)["agent"]
			if len(text) > 1024 && (len(got) > 1024+len("…") || !strings.HasSuffix(got, "…")) {
				t.Errorf("%d bytes became a field of %d", len(text), len(got))
			}
			if !utf8.ValidString(got) || letter != "\xff" && !strings.HasPrefix(text, strings.TrimSuffix(got, "…")) {
				t.Errorf("%d bytes of %q are damaged: %.20q", len(text), letter, got)
			}
		}
	}
	_, body := s.get("/" + strings.Repeat("p", 5000) + "?" + strings.Repeat("q", 5000))
	if got := fieldsIn(t, body); len(got["path"]) > 1030 || len(got["query"]) > 1030 {
		t.Errorf("path of %d bytes, query of %d", len(got["path"]), len(got["query"]))
	}
}

func TestFieldsAddsFields(t *testing.T) {
	h := build(echo, &httpscope.Options{Fields: func(r *http.Request) []slog.Attr {
		return []slog.Attr{slog.String("tenant", r.Header.Get("Tenant")), slog.String("service", "changed")}
	}})
	_, body := http1.serve(t, h, nil).get("/", "Tenant", "acme", "X-Request-Id", "r")
	wantFields(t, fieldsIn(t, body), map[string]string{
		"request_id": "r", "http.request.method": "GET", "tenant": "acme", "service": "changed",
	})
}

func TestTheContextCarriesTheScope(t *testing.T) {
	log := testkit.NewLines()
	logger := slogTo(log)
	h := build(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := scope.FromContext(r.Context())
		if !ok || !s.SameTask(scope.Current()) {
			t.Error("the context doesn't carry the request's task")
		}
		wantFresh(t, scopekit.Fields(s), "ctx")
		scope.Set("step", 1)
		logger.InfoContext(r.Context(), "here")
		done := make(chan struct{})
		go scope.Scope{}.Run(func() {
			defer close(done)
			logger.Info("elsewhere, nothing bound")
			logger.InfoContext(r.Context(), "elsewhere")
			scope.New("request_id", "another").Run(func() { logger.InfoContext(r.Context(), "in another task") })
		})
		<-done
	}), nil)
	overEach(t, h, func(t *testing.T, s *service) {
		s.get("/", "X-Request-Id", "ctx")
		log.Next(t).Want(t, testkit.Line{"msg": "here", "request_id": "ctx", "step": 1.0})
		log.Next(t).Want(t, testkit.Line{"msg": "elsewhere, nothing bound", "request_id": nil})
		log.Next(t).Want(t, testkit.Line{"msg": "elsewhere", "request_id": "ctx", "step": nil})
		log.Next(t).Want(t, testkit.Line{"msg": "in another task", "request_id": "ctx"})
	})
}

func TestTheContextMeansWhatIsBound(t *testing.T) {
	loggers := map[string]func(log *testkit.Lines, ctx context.Context, msg string){
		"slog":    func(log *testkit.Lines, ctx context.Context, msg string) { slogTo(log).InfoContext(ctx, msg) },
		"zap":     func(log *testkit.Lines, ctx context.Context, msg string) { zapTo(log).Info(msg, zaph.Context(ctx)) },
		"zerolog": func(log *testkit.Lines, ctx context.Context, msg string) { zeroTo(log).Info().Ctx(ctx).Msg(msg) },
	}
	for name, info := range loggers {
		t.Run(name, func(t *testing.T) {
			log := testkit.NewLines()
			line := func(ctx context.Context, want testkit.Line) {
				t.Helper()
				info(log, ctx, "line")
				want["request_id"] = "ctx"
				log.Next(t).Want(t, want)
			}
			handle := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				line(r.Context(), testkit.Line{"user": "u1", "step": nil})
				scope.Set("step", 1)
				line(r.Context(), testkit.Line{"user": "u1", "step": 1.0})
				scope.Set("step", 2)
				line(r.Context(), testkit.Line{"user": "u1", "step": 2.0})
				scope.Delete("http.request.method")
				line(r.Context(), testkit.Line{"user": "u1", "step": 2.0, "http.request.method": nil})
			})
			middleware := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				line(r.Context(), testkit.Line{"user": nil})
				handle(w, r.WithContext(scope.NewContext(r.Context(), scope.With("user", "u1"))))
				line(r.Context(), testkit.Line{"user": nil, "step": 2.0})
			})
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.Header.Set("X-Request-Id", "ctx")
			build(middleware, nil).ServeHTTP(httptest.NewRecorder(), r)
		})
	}
}

func TestProfilerLabelsOfTheRequestsContextKeepTheScopeLive(t *testing.T) {
	h := build(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope.Set("before", "1")
		pprof.Do(r.Context(), pprof.Labels("foreign", "label"), func(ctx context.Context) {
			if v, _ := pprof.Label(ctx, "foreign"); v != "label" {
				t.Errorf("the foreign label is %q", v)
			}
			wantKeys(t, scopekit.Fields(scope.Current()), "service", "request_id", "http.request.method", "before")
			scope.Set("inside", "2")
		})
		wantKeys(t, scopekit.Fields(scope.Current()), "service", "request_id", "http.request.method", "before", "inside")
		pprof.SetGoroutineLabels(r.Context()) // as a tracer does at the end of a span
		scope.Set("after", "3")
		echo(w, r)
	}), nil)
	overEach(t, h, func(t *testing.T, s *service) {
		for range 2 {
			_, body := s.get("/")
			wantKeys(t, fieldsIn(t, body), "service", "request_id", "http.request.method", "before", "inside", "after")
		}
	})
}

func TestSkip(t *testing.T) {
	log := testkit.NewLines()
	h := build(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := scope.FromContext(r.Context()); ok != (r.URL.Path != "/healthz") {
			t.Errorf("%s: a scope in the context: %v", r.URL.Path, ok)
		}
		messy(w, r)
	}), &httpscope.Options{
		Skip: func(r *http.Request) bool {
			scope.Set("skip", "set")
			return r.URL.Path == "/healthz"
		},
		BadID: func(*http.Request, int) { t.Error("BadID was called") },
		Log:   slogTo(log).LogAttrs,
	})
	overEach(t, h, func(t *testing.T, s *service) {
		for range 2 {
			// What the handler and Skip set doesn't stay on the connection here either.
			resp, body := s.get("/healthz", "X-Request-Id", "no good")
			wantFields(t, fieldsIn(t, body), map[string]string{})
			if id, ok := resp.Header["X-Request-Id"]; ok {
				t.Errorf("the response has the id %q", id)
			}
			log.None(t)
			_, body = s.get("/", "X-Request-Id", "r")
			wantFresh(t, fieldsIn(t, body), "r")
			log.Next(t)
		}
	})
}

func TestMiddleware(t *testing.T) {
	var h http.Handler
	middleware := httpscope.Middleware(&httpscope.Options{Names: map[httpscope.Field]string{httpscope.Method: "method"}})
	inShop(func() { h = middleware(messy) })
	s := http1.serve(t, h, nil)
	for range 2 {
		_, body := s.get("/", "X-Request-Id", "r")
		wantFields(t, fieldsIn(t, body), map[string]string{"service": "shop", "request_id": "r", "method": "GET"})
	}
}

func TestANilHandlerPanicsAtOnce(t *testing.T) {
	for name, construct := range map[string]func(){
		"Handler":    func() { httpscope.Handler(nil, nil) },
		"Middleware": func() { httpscope.Middleware(nil)(nil) },
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, "httpscope") || !strings.Contains(p, "next") || !strings.Contains(p, "nil") {
					t.Errorf("%s: %s", name, p)
				}
			}()
			construct()
		}()
	}
}

// A server that begins a trace of its own for each request has nothing of the client's.
func TestFieldsMayBeOfAnotherTrace(t *testing.T) {
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	r.Header.Set("Tracestate", "a=1")
	for own, want := range map[string]string{traceID: "00f067aa0ba902b7 01 a=1", "00000000000000000000000000000001": "  "} {
		h := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			got := scope.GetOr("parent_span_id", "") + " " + scope.GetOr("trace_flags", "") + " " + scope.GetOr("trace_state", "")
			if got != want || scope.GetOr("trace_id", "") != own {
				t.Errorf("the trace %s has %q, want %q", own, got, want)
			}
		}), &httpscope.Options{Fields: func(*http.Request) []slog.Attr { return []slog.Attr{slog.String("trace_id", own)} }})
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// Of the allocations that a request costs anyway, which are hundreds over a connection,
// these are what its scope, its context and its id add, in comparison with a handler that
// answers with an id.
func TestAllocations(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	empty := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	r, answered := httptest.NewRequest("GET", "/", nil), []string{"id"}
	cost := func(h http.Handler) float64 {
		return testing.AllocsPerRun(1000, func() { h.ServeHTTP(httptest.NewRecorder(), r) })
	}
	bare := cost(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["X-Request-Id"] = answered }))
	nop := func(context.Context, slog.Level, string, ...slog.Attr) {}
	for name, c := range map[string]struct {
		opts *httpscope.Options
		max  float64
	}{
		"no log": {nil, 12},
		"log":    {&httpscope.Options{Log: nop}, 13},
	} {
		if got := cost(httpscope.Handler(empty, c.opts)) - bare; got > c.max {
			t.Errorf("%s: %v allocations, want %v at the most", name, got, c.max)
		} else {
			t.Logf("%s: %v allocations", name, got)
		}
	}
}

// The context that a server, or a connection, starts with may be a job's, or a request's of another
// server, whose id clients know.
func TestAClientDoesNotGetIntoTheTaskOfTheServersContext(t *testing.T) {
	job := scope.New("request_id", "job-1", "account", "a1")
	withJob := func(ctx context.Context) context.Context { return scope.NewContext(ctx, job) }
	inRequest := func(ctx context.Context) context.Context {
		other := &http.Server{}
		ctx = context.WithValue(context.WithValue(ctx, http.ServerContextKey, other), http.LocalAddrContextKey, &net.TCPAddr{})
		httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() }), &httpscope.Options{
			Fields: func(*http.Request) []slog.Attr { return []slog.Attr{slog.String("account", "a1")} },
		}).ServeHTTP(httptest.NewRecorder(), requestWithID(ctx, "job-1"))
		return ctx
	}
	for name, prepare := range map[string]func(*http.Server){
		"BaseContext": func(s *http.Server) {
			s.BaseContext = func(net.Listener) context.Context { return withJob(context.Background()) }
		},
		"BaseContext of a request": func(s *http.Server) {
			s.BaseContext = func(net.Listener) context.Context { return inRequest(context.Background()) }
		},
		"ConnContext": func(s *http.Server) {
			s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return withJob(ctx) }
		},
	} {
		job.Run(func() {
			ts := httptest.NewUnstartedServer(httpscope.Handler(echo, nil))
			prepare(ts.Config)
			ts.Start()
			defer ts.Close()
			s := &service{Server: ts, t: t, protocol: http1, client: ts.Client()}
			_, body := s.get("/", "X-Request-Id", "job-1")
			if fields := fieldsIn(t, body); fields["account"] != "" || fields["request_id"] != "job-1" {
				t.Errorf("%s: the request has %v", name, fields)
			}
		})
	}
}

func requestWithID(ctx context.Context, id string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	r.Header.Set("X-Request-Id", id)
	return r
}

// With the old meaning of panic(nil) it is a panic, too: it isn't answered as if all were well.
func TestAPanicWithNilGoesOn(t *testing.T) {
	for _, setting := range []string{"panicnil=0", "panicnil=1"} {
		t.Setenv("GODEBUG", setting)
		log := testkit.NewLines()
		h := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(noValue) }), &httpscope.Options{Log: slogTo(log).LogAttrs})
		returned := false
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
			returned = true
		}()
		if returned {
			t.Errorf("%s: the handler has returned", setting)
		}
		log.Next(t).Want(t, testkit.Line{"level": "ERROR", "http.response.status_code": nil})
	}
}

var noValue any // go vet knows panic(nil)
