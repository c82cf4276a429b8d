package httpscope_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

var tortured = flag.Int("requests", 0, "how many requests TestTortureOfChains sends; 0: some thousand")

// A chain is what a request goes through.
type chain struct {
	name  string
	serve func(tt *torture, t *testing.T, p protocol) *service
	kinds []string
	loose bool // an answer may be the chain's own, without an id
}

// TestTortureOfChains is TestTorture for what stands around handlers and between services:
// http.TimeoutHandler, proxies, Handlers in Handlers, uploads, and clients that leave. No line
// may be another request's, no file may be left on the disk, and no memory in use.
func TestTortureOfChains(t *testing.T) {
	if !inherits {
		t.Skip("http.TimeoutHandler starts its handlers with a plain go statement, which hands nothing on here")
	}
	total := *tortured
	if total == 0 {
		total = 6000
		if testkit.Race || testing.Short() {
			total = 2000
		}
	}
	temporary(t)
	tt := &torture{}
	out := &checker{t: t, torture: tt}
	tt.slog, tt.zap, tt.zero = slogTo(out), zapTo(out), zeroTo(out)
	back := tt.serve(t, http1, http.HandlerFunc(tt.back2))
	tt.backURL = back.URL
	tt.client = &http.Client{Transport: httpscope.Transport(back.transport, nil)}

	front := http.HandlerFunc(tt.front2)
	timeout := func(h http.Handler) http.Handler { return http.TimeoutHandler(h, 20*time.Millisecond, "too late") }
	copies := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(scope.NewContext(r.Context(), scope.With("user", r.URL.Query().Get("id")))))
		})
	}
	usual := []string{"plain", "upload", "background", "call", "left", "leave", "panic", "abort", "plain", "leave"}
	timed := []string{"plain", "slow", "background", "call", "left", "leave", "panic", "plain", "plain", "plain"}
	proxied := []string{"plain", "upload", "leave", "plain", "upload"}
	plain := http1.serve(t, http.HandlerFunc(http.NotFound), nil).transport
	chains := []chain{
		{"TimeoutHandler inside", func(tt *torture, t *testing.T, p protocol) *service { return tt.serve(t, p, timeout(front)) }, timed, false},
		{"TimeoutHandler outside", func(tt *torture, t *testing.T, p protocol) *service { return tt.serveIn(t, p, front, timeout) }, timed, true},
		{"proxy with Transport", func(tt *torture, t *testing.T, p protocol) *service {
			return tt.serve(t, p, proxyTo(back, tt.client.Transport))
		}, proxied, false},
		{"proxy without", func(tt *torture, t *testing.T, p protocol) *service { return tt.serve(t, p, proxyTo(back, plain)) }, proxied, false},
		{"Handler in Handler", func(tt *torture, t *testing.T, p protocol) *service {
			return tt.serve(t, p, copies(httpscope.Handler(copies(front), nil)))
		}, timed, false},
		{"uploads in an inner Handler", func(tt *torture, t *testing.T, p protocol) *service {
			return tt.serve(t, p, httpscope.Handler(front, nil))
		}, usual, false},
		{"uploads", func(tt *torture, t *testing.T, p protocol) *service { return tt.serve(t, p, front) }, usual, false},
	}

	type server struct {
		*service
		*chain
	}
	var servers []server
	for i := range chains {
		for _, p := range protocols[:2] {
			servers = append(servers, server{chains[i].serve(tt, t, p), &chains[i]})
		}
	}
	round := func(total int) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for n := next.Add(1); n <= int64(total); n = next.Add(1) {
					s := servers[int(n)%len(servers)]
					kind := s.kinds[int(n)/len(servers)%len(s.kinds)]
					tt.send(t, s.service, s.loose, fmt.Sprint("req-", total, "-", n), kind, int(n))
				}
			})
		}
		wg.Wait()
		tt.wait(t)
		if err := scope.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	idle := func() int64 {
		for _, s := range servers {
			s.client.CloseIdleConnections()
		}
		tt.client.CloseIdleConnections()
		plain.CloseIdleConnections()
		back.transport.CloseIdleConnections()
		return heap()
	}
	round(500) // what is made once
	before := idle()
	round(total)
	wantNoFiles(t)
	testkit.Eventually(t, "the memory in use is back where it was", func() bool { return idle()-before < 4<<20 })

	t.Logf("%d requests sent, %d served, %d lines, %d of them late, %d with another request's id; %d KiB more in use",
		tt.sent.Load(), tt.requests.Load(), tt.lines.Load(), tt.ended.Load(), tt.wrong.Load(), (idle()-before)>>10)
	if served := tt.requests.Load(); served < int64(total) {
		t.Errorf("only %d requests were served", served)
	}
}

// front2 is front for chains.
func (tt *torture) front2(w http.ResponseWriter, r *http.Request) {
	tt.open.Add(1) // it may outlive its request
	defer tt.open.Add(-1)
	id, kind := r.URL.Query().Get("id"), r.URL.Query().Get("kind")
	tt.mark(id)
	tt.say(id, "begin")
	switch kind {
	case "slow":
		select {
		case <-r.Context().Done():
		case <-time.After(50 * time.Millisecond): // nobody sets a limit
		}
	case "upload":
		tt.upload(r, id)
	case "panic":
		panic("boom")
	case "abort":
		panic(http.ErrAbortHandler)
	case "left":
		tt.spawn(func() {
			<-r.Context().Done()
			tt.sayContext(r.Context(), id, "left behind")
		})
	case "background":
		scope.Go(func() {
			tt.sayContext(r.Context(), id, "background")
			<-r.Context().Done()
			tt.say(id, "after the response")
		})
	case "call":
		tt.call(r.Context(), id)
	case "leave":
		select { // the client may be gone by now, or soon
		case <-r.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
	tt.sayContext(r.Context(), id, "end")
	fmt.Fprint(w, "ok")
}

// back2 is what proxies and calls lead to.
func (tt *torture) back2(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	tt.mark(id)
	tt.say(id, "back")
	kind := r.URL.Query().Get("kind")
	if kind == "upload" {
		tt.upload(r, id)
	}
	w.Header().Set("X-Request-Id", "theirs")
	w.Header().Set("Link", "</style.css>; rel=preload")
	if kind != "leave" {
		// When a client has left, net/http's server for HTTP/2 may go on reading the header of a
		// 1xx while WriteHeader returns (h2_bundle.go, writeHeaders): ReverseProxy, which clears the
		// header then, has a data race there, with or without Handler.
		w.WriteHeader(http.StatusEarlyHints)
	}
	scope.Go(func() { tt.sayContext(r.Context(), id, "back, in the background") })
	fmt.Fprint(w, "ok")
}

// upload reads a form, whose file is this request's.
func (tt *torture) upload(r *http.Request, id string) {
	if err := r.ParseMultipartForm(1); err != nil {
		return // the client has left
	}
	file, _, err := r.FormFile("file")
	if err != nil {
		tt.wrong.Add(1)
		tt.slog.Error("no file", "want", id, "err", err)
		return
	}
	defer file.Close()
	content, _ := io.ReadAll(file)
	if !strings.HasPrefix(string(content), id+" ") {
		tt.wrong.Add(1)
		tt.slog.Error("another request's file", "want", id)
	}
}

func (tt *torture) call(ctx context.Context, id string) {
	req, _ := http.NewRequestWithContext(ctx, "POST", tt.backURL+"/?id="+id, nil)
	resp, err := tt.client.Do(req)
	if err != nil {
		return // the chain was too slow
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if got := resp.Header.Values("X-Request-Id"); len(got) != 1 || got[0] != id {
		tt.wrong.Add(1)
		tt.slog.Error("another answer", "want", id, "got", got)
	}
}

// send sends a request, and leaves it if it is of that kind.
func (tt *torture) send(t *testing.T, s *service, loose bool, id, kind string, n int) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	if kind == "leave" {
		time.AfterFunc(time.Duration(n%7)*300*time.Microsecond, leave)
	}
	var body io.Reader
	contentType := ""
	if kind == "upload" || kind == "leave" {
		body, contentType = uploadOf(id + " " + strings.Repeat("x", 30_000))
	}
	tt.sent.Add(1)
	req := s.request("POST", "/?id="+id+"&kind="+kind, body, "X-Request-Id", id, "Content-Type", contentType)
	resp, err := s.client.Do(req.WithContext(ctx))
	if err != nil {
		if kind != "leave" && kind != "panic" && kind != "abort" {
			t.Errorf("%s over %s: %v", kind, s.protocol.name, err)
		}
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if got := resp.Header.Values("X-Request-Id"); (len(got) != 1 || got[0] != id) && (!loose || resp.StatusCode != http.StatusServiceUnavailable) {
		tt.wrong.Add(1)
		t.Errorf("%s: the response to %s has the id %q", kind, id, got)
	}
}
