package httpscope_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

func TestTheRouteAtTheEnd(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("GET 127.0.0.1/users/{id}", ok)
	mux.HandleFunc("/panic/{id}", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/named/{id}", func(http.ResponseWriter, *http.Request) { scope.Set("http.route", "/by/hand") })
	slow := make(chan struct{})
	mux.HandleFunc("/slow/{id}", func(http.ResponseWriter, *http.Request) { <-slow })
	defer close(slow)

	type copied struct{}
	copies := func(h http.Handler) http.Handler { // as most middleware does it
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), copied{}, true)))
		})
	}
	timeout := func(h http.Handler) http.Handler { return http.TimeoutHandler(h, 50*time.Millisecond, "late") }
	inner := httpscope.Middleware(nil)
	says := func(route string) func(*http.Request) string { return func(*http.Request) string { return route } }
	// A router that keeps what it finds in the context, as chi does it.
	type key struct{}
	router := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			*r.Context().Value(key{}).(*string) = "/found/{late}"
			h.ServeHTTP(w, r)
		})
	}
	asked := func(r *http.Request) string { return *r.Context().Value(key{}).(*string) }

	for _, c := range []struct {
		rule  string
		inner http.Handler
		route func(*http.Request) string
		path  string
		want  any
	}{
		{"a middleware that copies", copies(mux), httpscope.MuxRoute(mux), "/users/7", "/users/{id}"},
		{"http.TimeoutHandler", timeout(mux), httpscope.MuxRoute(mux), "/users/7", "/users/{id}"},
		{"http.TimeoutHandler, too late", timeout(mux), httpscope.MuxRoute(mux), "/slow/7", "/slow/{id}"},
		{"not found", copies(mux), httpscope.MuxRoute(mux), "/elsewhere", nil},
		{"a panic", copies(mux), httpscope.MuxRoute(mux), "/panic/7", "/panic/{id}"},
		{"what the handler says", copies(mux), httpscope.MuxRoute(mux), "/named/7", "/by/hand"},

		{"an inner Handler", copies(inner(mux)), nil, "/users/7", "/users/{id}"},
		{"an inner Handler behind TimeoutHandler", timeout(copies(inner(mux))), nil, "/users/7", "/users/{id}"},
		{"an inner Handler, too late", timeout(copies(inner(mux))), nil, "/slow/7", "/slow/{id}"},
		{"two inner Handlers", copies(inner(copies(inner(mux)))), nil, "/users/7", "/users/{id}"},
		{"an inner Handler round a hidden mux", copies(inner(http.HandlerFunc(mux.ServeHTTP))), nil, "/users/7", "/users/{id}"},
		{"an inner Handler, not found", copies(inner(mux)), nil, "/elsewhere", nil},
		{"an inner Handler with a Route", copies(httpscope.Handler(ok, &httpscope.Options{Route: says("/inner/{x}")})), nil, "/", "/inner/{x}"},

		{"a router that finds it late", router(ok), asked, "/", "/found/{late}"},
		{"a router that knows nothing", copies(ok), says(""), "/", nil},
		{"a mux and a router that knows nothing", mux, says(""), "/users/7", "/users/{id}"},
		{"a router knows better", mux, says("/better/{id}"), "/users/7", "/better/{id}"},
		{"a pattern with a method and a host", ok, says("GET example.com/a/{b}"), "/", "/a/{b}"},
		{"no path", ok, says("shop.Orders.Get"), "/", "shop.Orders.Get"},
		{"a very long one", ok, says("/" + strings.Repeat("x", 2000)), "/", "/" + strings.Repeat("x", 1023) + "…"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			out := testkit.NewLines()
			h := httpscope.Handler(c.inner, &httpscope.Options{Route: c.route, Log: slogTo(out).LogAttrs})
			s := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, new(string))))
			}), nil)
			_, _, _ = s.do(s.request("GET", c.path, nil))
			out.Next(t).Want(t, testkit.Line{"http.route": c.want, "url.path": nil})
		})
	}
}

func TestTheRouteIsNotAskedForNothing(t *testing.T) {
	never := func(*http.Request) string { t.Error("asked"); return "" }
	http1.serve(t, httpscope.Handler(echo, &httpscope.Options{Route: never}), nil).get("/")
}

func TestTheRouteHasTheNameThatItIsGiven(t *testing.T) {
	out := testkit.NewLines()
	route := func(*http.Request) string { return "/a/{b}" }
	for name, want := range map[string]testkit.Line{
		"route": {"route": "/a/{b}", "http.route": nil},
		"":      {"route": nil, "http.route": nil},
	} {
		opts := &httpscope.Options{Route: route, Log: slogTo(out).LogAttrs, Names: map[httpscope.Field]string{httpscope.Route: name}}
		http1.serve(t, httpscope.Handler(echo, opts), nil).get("/")
		out.Next(t).Want(t, want)
	}
}

func TestAccessPath(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/users/{id}", echo)
	mux.Handle("/static/", http.StripPrefix("/static", http.NotFoundHandler()))
	names := func(f httpscope.Field, name string) map[httpscope.Field]string {
		return map[httpscope.Field]string{f: name}
	}
	for _, c := range []struct {
		rule string
		opts httpscope.Options
		path string
		want testkit.Line
	}{
		{"off", httpscope.Options{}, "/elsewhere", testkit.Line{"url.path": nil, "http.route": nil}},
		{"no route", httpscope.Options{AccessPath: true}, "/else%20where?q=1", testkit.Line{"url.path": "/else where", "http.route": nil, "http.response.status_code": 404.0}},
		{"a route", httpscope.Options{AccessPath: true}, "/users/7", testkit.Line{"url.path": nil, "http.route": "/users/{id}"}},
		{"a prefix that is stripped", httpscope.Options{AccessPath: true}, "/static/x", testkit.Line{"url.path": nil, "http.route": "/static/"}},
		{"another name", httpscope.Options{AccessPath: true, Names: names(httpscope.Path, "path")}, "/elsewhere", testkit.Line{"path": "/elsewhere", "url.path": nil}},
		{"no name for the route", httpscope.Options{AccessPath: true, Names: names(httpscope.Route, "")}, "/users/7", testkit.Line{"url.path": "/users/7"}},
		{"a long one", httpscope.Options{AccessPath: true}, "/" + strings.Repeat("x", 5000), testkit.Line{"url.path": "/" + strings.Repeat("x", 1023) + "…"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, l := range loggers {
				out := testkit.NewLines()
				c.opts.Log = l.log(out)
				http1.serve(t, httpscope.Handler(mux, &c.opts), nil).get(c.path)
				out.Next(t).Want(t, c.want)
			}
		})
	}
}
