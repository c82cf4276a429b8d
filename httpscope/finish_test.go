package httpscope_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// Finish comes when all is known, and what it sets is on the last line.
func TestFinishSeesTheWholeRequest(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/orders/{id}", func(http.ResponseWriter, *http.Request) {
		scope.Set("order", 7)
		scope.Share("user", "u1")
		scope.Add("rows", 2)
	})
	copying := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r.Clone(r.Context())) })
	}
	type key struct{}
	for _, l := range loggers {
		for _, logs := range []bool{true, false} {
			out, seen := testkit.NewLines(), ""
			opts := &httpscope.Options{
				Route: httpscope.MuxRoute(mux),
				Finish: func(ctx context.Context) {
					s, _ := scope.FromContext(ctx)
					route, _ := scope.Get("http.route")
					order, _ := scope.Get("order")
					seen = fmt.Sprintln(ctx.Value(key{}), route, order, scope.GetOr("user", ""), scope.Current().Totals(), s.SameTask(scope.Current()))
					scope.Set("finished", true)
					scope.Add("rows", 1)
				},
			}
			if logs {
				opts.Log = l.log(out)
			}
			h := httpscope.Handler(copying(mux), opts)
			s := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "span")))
			}), nil)
			s.get("/orders/7")
			if want := "span /orders/{id} 7 u1 [rows=2] true\n"; seen != want {
				t.Errorf("%s, Log %v: Finish saw %swant %s", l.name, logs, seen, want)
			}
			if logs {
				out.Next(t).Want(t, testkit.Line{"finished": true, "rows": 3.0, "http.route": "/orders/{id}", "http.response.status_code": 200.0})
			}
			out.None(t)
		}
	}
}

// However the handler ends, Finish is called once, before the line. Its own panic is one of the
// handler.
func TestFinishAndEarlyEnds(t *testing.T) {
	for _, c := range []struct {
		ends    string
		handler func()
		finish  func()
		line    testkit.Line
	}{
		{"a panic", func() { explode("boom") }, func() {}, testkit.Line{"exception.message": "boom", "http.response.status_code": nil}},
		{"http.ErrAbortHandler", func() { panic(http.ErrAbortHandler) }, func() {}, testkit.Line{"error.type": "abort"}},
		{"runtime.Goexit", runtime.Goexit, func() {}, testkit.Line{"error.type": "goexit"}},
		{"a panic of Finish", func() {}, func() { explode("finish") }, testkit.Line{"exception.message": "finish", "http.response.status_code": nil}},
		{"a panic of both", func() { explode("boom") }, func() { explode("finish") }, testkit.Line{"exception.message": "boom"}},
	} {
		for _, logs := range []bool{true, false} {
			out, calls := testkit.NewLines(), 0
			opts := &httpscope.Options{Finish: func(context.Context) {
				calls++
				scope.Set("finished", true)
				c.finish()
			}}
			if logs {
				opts.Log = slogTo(out).LogAttrs
			}
			ended := make(chan any, 1)
			h := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { c.handler() }), opts)
			go func() {
				defer func() { ended <- recover() }()
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
			}()
			if p := <-ended; (p == nil) != (c.ends == "runtime.Goexit") {
				t.Errorf("%s, Log %v: the panic that goes on is %v", c.ends, logs, p)
			}
			if calls != 1 {
				t.Errorf("%s, Log %v: called %d times", c.ends, logs, calls)
			}
			if logs {
				c.line["finished"] = true
				out.Next(t).Want(t, c.line)
			}
			out.None(t)
		}
	}
}
