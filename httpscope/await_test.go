package httpscope_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

func TestTheLineAwaitsTheTask(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out, go1, go2 := testkit.NewLines(), make(chan struct{}), make(chan struct{})
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				scope.Set("step", "handler")
				if r.URL.Path == "/panic" {
					scope.Go(func() { <-go1 })
					explode("boom")
				}
				scope.Go(func() {
					scope.Go(func() {
						<-go2
						scope.Add("rows", 2)
						scope.Set("step", "goroutine")
						scope.Share("user", "u1")
					})
					<-go1
					scope.Add("rows", 1)
				})
				w.WriteHeader(http.StatusAccepted)
			})
			s := http1.serve(t, httpscope.Handler(httpscope.Handler(h, nil), &httpscope.Options{Log: l.log(out), Await: true}), nil)
			start := time.Now()
			resp, _ := s.get("/", "X-Request-Id", "r")
			answered := time.Since(start)
			if resp.StatusCode != http.StatusAccepted {
				t.Errorf("status %d", resp.StatusCode)
			}
			out.None(t)
			close(go1)
			time.Sleep(10 * time.Millisecond)
			out.None(t)
			late := scope.Late()
			close(go2)
			line := out.Next(t)
			line.Want(t, testkit.Line{
				"request_id": "r", "http.response.status_code": 202.0, "level": l.info, "rows": 3.0, "user": "u1", "step": nil,
				"scope_ended": nil, "scope_running": nil,
			})
			if d, _ := line["http.server.request.duration"].(float64); d > answered.Seconds() {
				t.Errorf("the request took %v s, and was answered after %v: that is the wait", d, answered)
			}
			out.None(t)
			if scope.Late() != late {
				t.Error("something is late")
			}
			// After a panic there may be no time: what it has started goes on.
			go1 = make(chan struct{})
			if _, _, err := s.do(s.request("POST", "/panic", nil)); err == nil {
				t.Error("answered")
			}
			out.Next(t).Want(t, testkit.Line{"exception.message": "boom", "level": l.err})
			close(go1)
			out.None(t)
		})
	}
}

func TestAwaitHasALimit(t *testing.T) {
	out, stop := testkit.NewLines(), make(chan struct{})
	s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		scope.Set("step", 1)
		for range 3 {
			scope.Go(func() {
				scope.Add("rows", 1)
				<-stop
				scope.Add("rows", 1)
			})
		}
	}), &httpscope.Options{Log: slogTo(out).LogAttrs, Await: true, AwaitLimit: 20 * time.Millisecond}), nil)
	before := scope.Late()
	s.get("/", "X-Request-Id", "r")
	out.Next(t).Want(t, testkit.Line{"request_id": "r", "step": 1.0, "rows": 3.0, "scope_running": 3.0, "scope_ended": nil})
	close(stop)
	if err := scope.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if late := scope.Late() - before; late != 3 {
		t.Errorf("%d are late, want 3", late)
	}
	out.None(t)
}

// One line for each request, whoever is last, and before scope.Wait returns.
func TestOneLineWhoeverIsLast(t *testing.T) {
	const requests = 200
	out := testkit.NewLines()
	s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for i := range 4 {
			scope.Go(func() {
				time.Sleep(time.Duration(i%2) * 100 * time.Microsecond)
				scope.Add("adds", 1)
			})
		}
	}), &httpscope.Options{Log: slogTo(out).LogAttrs, Await: true}), nil)
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for i := range requests / 4 {
				resp, err := s.client.Do(s.request("GET", "/", nil, "X-Request-Id", fmt.Sprint("r-", c, "-", i)))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	clients.Wait()
	s.client.CloseIdleConnections()
	s.Close() // no handler is running
	if err := scope.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[any]bool{}
	for _, line := range out.All() {
		if line["adds"] != 4.0 || seen[line["request_id"]] || line["scope_running"] != nil {
			t.Errorf("a line %v", line)
		}
		seen[line["request_id"]] = true
	}
	if len(seen) != requests {
		t.Errorf("%d lines for %d requests", len(seen), requests)
	}
}

// Two parts of one request may await its end, each with a line.
func TestTwoThatAwait(t *testing.T) {
	out := testkit.NewLines()
	part := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { scope.Add("rows", 1) }),
		&httpscope.Options{Log: slogTo(out).LogAttrs, Await: true})
	s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part.ServeHTTP(w, r)
		part.ServeHTTP(w, r)
	}), nil), nil)
	s.get("/", "X-Request-Id", "r")
	for range 2 {
		out.Next(t).Want(t, testkit.Line{"request_id": "r", "rows": 2.0, "scope_running": nil})
	}
}
