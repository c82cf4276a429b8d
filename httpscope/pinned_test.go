package httpscope_test

import (
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// heap returns the bytes that are in use.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What a client sends may be long; what is kept of it, in goroutines that outlive the
// request, isn't.
func TestNothingOfARequestIsPinned(t *testing.T) {
	const size = 900 << 10 // net/http takes 1 MiB
	requests := 50
	if testkit.Race || testing.Short() {
		requests = 20 // of which three, if they were kept, would be too many
	}
	all := map[httpscope.Field]string{
		httpscope.Path: "url.path", httpscope.Query: "url.query", httpscope.UserAgent: "agent", httpscope.ClientAddress: "client",
	}
	long := strings.Repeat("x", size)
	for _, c := range []struct {
		rule   string
		opts   *httpscope.Options
		path   string
		header []string
		ctx    bool // the context is kept too
	}{
		{"a query", nil, "/?" + long, nil, false},
		{"a query, and the context", nil, "/?" + long, nil, true},
		{"a query, all fields", &httpscope.Options{Names: all}, "/?" + long, nil, false},
		{"a path", &httpscope.Options{Names: all}, "/" + long, nil, true},
		{"a line at the end", &httpscope.Options{AccessPath: true, Log: slog.New(slog.DiscardHandler).LogAttrs}, "/?" + long, nil, true},
		{"other headers", &httpscope.Options{Names: all}, "/", []string{
			"User-Agent", long[:size/2], "Traceparent", "cc-" + traceID + "-00f067aa0ba902b7-01-" + long[:size/8],
			"Tracestate", "a=1", "X-Request-Id", "r", "Other", long[:size/4],
		}, true},
		{"baggage", &httpscope.Options{TrustBaggage: func(*http.Request) bool { return true }}, "/?" + long, []string{"Baggage", "test.tenant=acme"}, true},
		{"untrusted baggage", nil, "/", []string{"Baggage", "a=" + long}, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			release := make(chan struct{})
			h := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				if !c.ctx {
					ctx = nil
				}
				scope.Go(func() {
					<-release
					runtime.KeepAlive(ctx)
				})
			}), c.opts)
			s := http1.serve(t, h, nil)
			s.get(c.path, c.header...)
			s.get(c.path, c.header...)
			before := heap()
			for range requests {
				s.get(c.path, c.header...)
			}
			kept := heap() - before
			close(release)
			if err := scope.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			if t.Logf("%d requests keep %d KiB", requests, kept>>10); kept > 2<<20 {
				t.Errorf("%d requests keep %d bytes", requests, kept)
			}
		})
	}
}

// A Handler has the fields that a bare Set has made the process's, and no others: not those
// of a request or a job that happens to build it.
func TestAHandlerThatIsBuiltInsideARequest(t *testing.T) {
	constructors := map[string]func() http.Handler{
		"Handler":    func() http.Handler { return httpscope.Handler(echo, nil) },
		"Middleware": func() http.Handler { return httpscope.Middleware(nil)(echo) },
	}
	for name, construct := range constructors {
		t.Run(name, func(t *testing.T) {
			var lazy http.Handler
			first := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				scope.Set("user", "u1")
				if lazy == nil {
					lazy = construct()
				}
				w.WriteHeader(http.StatusNoContent)
			}), nil)
			s := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/lazy" {
					lazy.ServeHTTP(w, r)
					return
				}
				first.ServeHTTP(w, r)
			}), nil)
			s.get("/")
			_, body := s.get("/lazy", "X-Request-Id", "second")
			wantFields(t, fieldsIn(t, body), map[string]string{"request_id": "second", "http.request.method": "GET"})
		})
	}
	for name, c := range map[string]struct {
		in   func(fn func())
		want string
	}{
		"nothing":              {scope.Outside, "none"},
		"a bare Set":           {func(fn func()) { scope.Outside(func() { scope.Set("service", "shop"); fn() }) }, "shop"},
		"a Run in a bare Set":  {func(fn func()) { scope.Outside(func() { scope.Set("service", "shop"); scope.Run(fn) }) }, "shop"},
		"a With in a bare Set": {func(fn func()) { scope.Outside(func() { scope.Set("a", 1); scope.With("service", "shop").Run(fn) }) }, "shop"},
		"a job":                {scope.New("service", "job").Run, "none"},
		"a Set in a job":       {func(fn func()) { scope.New().Run(func() { scope.Set("service", "job"); fn() }) }, "none"},
		"a job made of a bare Set's": {func(fn func()) {
			scope.Outside(func() { scope.Set("service", "shop"); scope.Current().Detach().Run(fn) })
		}, "none"},
	} {
		var h http.Handler
		c.in(func() { h = httpscope.Handler(echo, nil) })
		_, body := http1.serve(t, h, nil).get("/")
		got, ok := fieldsIn(t, body)["service"]
		if !ok {
			got = "none"
		}
		if got != c.want {
			t.Errorf("%s: service is %s, want %s", name, got, c.want)
		}
	}
}
