package httpscope_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// TestTorture sends requests of all kinds at once, over connections of all kinds that
// serve many of them, and looks at each line that the three loggers write. A line says
// which request it expects to be attributed to, by way of a plain variable, and which it
// has been attributed to, by way of the scope. Not one may differ.
func TestTorture(t *testing.T) {
	total := 25_000
	if testkit.Race || testing.Short() || !inherits {
		total = 10_000
	}
	tt := &torture{exact: true}
	out := &checker{t: t, torture: tt}
	tt.slog, tt.zap, tt.zero = slogTo(out), zapTo(out), zeroTo(out)

	back := tt.serve(t, http1, http.HandlerFunc(tt.back))
	tt.backURL = back.URL
	tt.client = &http.Client{Transport: httpscope.Transport(back.transport, nil)}
	type worker struct {
		requests int64 // that ask sends
		ask      func(id string, n int)
	}
	var workers []worker
	for _, p := range protocols {
		s := tt.serve(t, p, http.HandlerFunc(tt.front))
		for range 3 {
			workers = append(workers, worker{1, func(id string, n int) { tt.ask(t, s, id, n) }})
		}
		if p.major == 1 {
			workers = append(workers, worker{pipelined, func(id string, n int) { tt.pipeline(t, s, id, n) }})
		}
	}

	var next atomic.Int64
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			for next.Load() < int64(total) {
				n := next.Add(w.requests)
				w.ask(fmt.Sprint("req-", n), int(n))
			}
		})
	}
	wg.Wait()
	if err := scope.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	tt.wait(t)

	t.Logf("%d requests, %d lines, %d of them of left-behind goroutines, %d with another request's id",
		tt.requests.Load(), tt.lines.Load(), tt.ended.Load(), tt.wrong.Load())
	if sent := tt.sent.Load(); tt.requests.Load() != sent || sent < int64(total) {
		t.Errorf("%d requests were sent and %d served", sent, tt.requests.Load())
	}
	if tt.ended.Load() != tt.left.Load() {
		t.Errorf("%d lines of left-behind goroutines, %d say so", tt.left.Load(), tt.ended.Load())
	}
}

type torture struct {
	slog *slog.Logger
	zap  *zap.Logger
	zero *zerolog.Logger

	backURL string
	client  *http.Client
	exact   bool // each request gets as far as mark before its last line

	// Goroutines of plain go statements, handlers, and requests whose last line is to come. It
	// is no WaitGroup: a request whose client has left may arrive while the test waits.
	open atomic.Int64

	sent, requests      atomic.Int64 // requests
	said, left          atomic.Int64 // lines that were asked for, and of left-behind goroutines
	lines, ended, wrong atomic.Int64 // lines that were written, and those with scope_ended
}

func (tt *torture) wait(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, "all has ended, and each line that was to be written was", func() bool {
		return tt.open.Load() == 0 && tt.lines.Load() == tt.said.Load()
	})
}

// A checker takes the lines of the loggers, as JSON.
type checker struct {
	t *testing.T
	*torture
	mu sync.Mutex
}

func (c *checker) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for text := range bytes.Lines(p) {
		c.lines.Add(1)
		want, has, mark := member(text, "want"), member(text, "request_id"), member(text, "mark")
		shared := member(text, "shared")
		if want == "" || want != has || want != mark || want != shared || bytes.Count(text, []byte(`"request_id":`)) != 1 {
			if c.wrong.Add(1) <= 10 {
				c.t.Errorf("a line of request %q is attributed to %q: %s", want, has, text)
			}
		}
		_, adds, found := bytes.Cut(text, []byte(`"adds":`))
		last := bytes.Contains(text, []byte(`"http.server.request.duration":`))
		whole := bytes.HasPrefix(adds, []byte("7,"))
		part := !c.exact && (!found || bytes.HasPrefix(adds, []byte("3,")) || bytes.HasPrefix(adds, []byte("4,")))
		if last && !whole && !part || !last && found {
			c.t.Errorf("a total is wrong: %s", text)
		}
		if bytes.Contains(text, []byte(`"scope_ended":true`)) {
			c.ended.Add(1)
		}
	}
	return len(p), nil
}

// member returns the string that a line has for key.
func member(text []byte, key string) string {
	_, rest, _ := bytes.Cut(text, []byte(`"`+key+`":"`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

type wantKey struct{}

// serve starts a server whose handler gets each request in a scope of its own, and
// notes beforehand which one that is.
func (tt *torture) serve(t *testing.T, p protocol, h http.Handler) *service {
	return tt.serveIn(t, p, h, func(h http.Handler) http.Handler { return h })
}

// serveIn is serve with something around Handler.
func (tt *torture) serveIn(t *testing.T, p protocol, h http.Handler, around func(http.Handler) http.Handler) *service {
	var n atomic.Int64
	loggers := []httpscope.LogFunc{tt.slog.LogAttrs, zaph.LogAttrs(tt.zap), zeroh.LogAttrs(tt.zero)}
	handler := httpscope.Handler(h, &httpscope.Options{
		Log: func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
			defer tt.open.Add(-1)
			tt.said.Add(1)
			want := ctx.Value(wantKey{}).(string)
			attrs = append(attrs, slog.String("want", want))
			if _, ok := scope.Get("mark"); !ok { // the handler was called elsewhere
				attrs = append(attrs, slog.String("mark", want), slog.String("shared", want))
			}
			loggers[n.Add(1)%3](ctx, level, msg, attrs...)
		},
	})
	inner := around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tt.open.Add(1)
		handler.ServeHTTP(w, r)
	}))
	return p.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tt.requests.Add(1)
		c := r.WithContext(context.WithValue(r.Context(), wantKey{}, r.URL.Query().Get("id")))
		defer func() { r.MultipartForm = c.MultipartForm }() // net/http looks at its own request
		inner.ServeHTTP(w, c)
	}), nil)
}

// mark sets a field, and shares another from a child task, that each line of the request
// has from now on, and no line of another one.
func (tt *torture) mark(id string) {
	if other, ok := scope.Get("mark"); ok {
		tt.wrong.Add(1)
		tt.slog.Error("an earlier request has left its mark", "left", other)
	}
	scope.Set("mark", id)
	var wg sync.WaitGroup // until Wrap has returned: the task goes on for as long
	wg.Go(scope.Wrap(func() {
		scope.Add("adds", 4)
		scope.Share("shared", id)
	}))
	scope.Add("adds", 3)
	wg.Wait()
}

// say writes a line with each logger.
func (tt *torture) say(want, msg string) {
	tt.said.Add(3)
	tt.slog.Info(msg, "want", want)
	tt.zap.Info(msg, zap.String("want", want))
	tt.zero.Info().Str("want", want).Msg(msg)
}

// sayContext is say with a context.
func (tt *torture) sayContext(ctx context.Context, want, msg string) {
	tt.said.Add(3)
	tt.slog.InfoContext(ctx, msg, "want", want)
	tt.zap.Info(msg, zap.String("want", want), zaph.Context(ctx))
	tt.zero.Info().Ctx(ctx).Str("want", want).Msg(msg)
}

// spawn runs fn in a goroutine of a plain go statement, where that hands the scope on.
func (tt *torture) spawn(fn func()) {
	if !inherits {
		fn = scope.Wrap(fn)
	}
	tt.open.Add(1)
	go func() {
		defer tt.open.Add(-1)
		fn()
	}()
}

var errOdd = errors.New("odd")

// front serves a request of any kind. What it sets must be gone for the next one.
func (tt *torture) front(w http.ResponseWriter, r *http.Request) {
	id, kind := r.URL.Query().Get("id"), r.URL.Query().Get("kind")
	tt.mark(id)
	tt.say(id, "begin")
	switch kind {
	case "panic":
		explode(id)
	case "abort":
		fmt.Fprint(w, "partly")
		panic(http.ErrAbortHandler)
	case "goexit":
		runtime.Goexit()
	case "errgroup":
		g, ctx := errgroup.WithContext(r.Context())
		for i := range 3 {
			fn := func() {
				scope.Set("member", i)
				tt.say(id, "errgroup")
				tt.sayContext(ctx, id, "errgroup with a context")
			}
			if !inherits {
				fn = scope.Wrap(fn)
			}
			g.Go(func() error { fn(); return errOdd })
		}
		_ = g.Wait()
	case "background":
		scope.Go(func() {
			<-r.Context().Done() // the handler has returned
			scope.Set("step", "after the response")
			tt.say(id, "background")
			scope.Go(func() { tt.say(id, "background of background") })
		})
	case "left":
		if inherits {
			tt.left.Add(3)
		}
		tt.spawn(func() {
			<-r.Context().Done()
			tt.say(id, "left behind")
		})
	case "labels":
		pprof.Do(r.Context(), pprof.Labels("foreign", id), func(ctx context.Context) {
			scope.Set("inside", id)
			tt.say(id, "inside pprof.Do")
			tt.sayContext(ctx, id, "inside pprof.Do")
		})
		tt.say(id, "after pprof.Do")
	case "call":
		tt.sent.Add(1)
		// By the scope of the context, or by that of the goroutine.
		ctx := r.Context()
		if strings.HasSuffix(id, "0") {
			ctx = context.Background()
		}
		req, _ := http.NewRequestWithContext(ctx, "POST", tt.backURL+"/?id="+id, nil)
		resp, err := tt.client.Do(req)
		if err != nil {
			tt.wrong.Add(1)
			tt.slog.Error("call failed", "err", err, "want", id)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		tt.say(id, "called")
	case "hijack":
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			break // HTTP/2 has nothing to hijack
		}
		scope.Go(func() {
			defer conn.Close()
			fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nX-Request-Id: %s\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", id)
			_ = buf.Flush()
			tt.say(id, "hijacked")
		})
		return
	case "stream":
		for range 3 {
			fmt.Fprint(w, "chunk")
			_ = http.NewResponseController(w).Flush()
			tt.say(id, "stream")
		}
	}
	tt.say(id, "end")
	fmt.Fprint(w, "ok")
}

// back is the second service: its requests have the ids that Transport sends.
func (tt *torture) back(_ http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	tt.mark(id)
	tt.say(id, "back")
	scope.Go(func() { tt.say(id, "back, in the background") })
}

var kinds = []string{"plain", "errgroup", "background", "left", "labels", "call", "stream", "hijack", "plain", "background", "panic", "abort", "goexit"}

func (tt *torture) ask(t *testing.T, s *service, id string, n int) {
	kind := kinds[n%len(kinds)]
	tt.sent.Add(1)
	// POST isn't sent again when a connection breaks.
	resp, err := s.client.Do(s.request("POST", "/?id="+id+"&kind="+kind, nil, "X-Request-Id", id))
	switch kind {
	case "panic", "goexit":
		if err == nil {
			t.Errorf("a %s was answered", kind)
			resp.Body.Close()
		}
		return
	}
	if err != nil {
		if kind != "abort" {
			t.Errorf("%s over %s: %v", kind, s.protocol.name, err)
		}
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if got := resp.Header.Get("X-Request-Id"); got != id {
		t.Errorf("the response to %s is that to %s", id, got)
	}
}

const pipelined = 10

// pipeline sends that many requests at once over one connection.
func (tt *torture) pipeline(t *testing.T, s *service, id string, n int) {
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	var all strings.Builder
	for i := range pipelined {
		kind := kinds[(n+i)%6] // those that leave the connection open
		tt.sent.Add(1)
		one := fmt.Sprint(id, ".", i)
		fmt.Fprintf(&all, "POST /?id=%s&kind=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-Request-Id: %s\r\n\r\n", one, kind, one)
	}
	if _, err := io.WriteString(conn, all.String()); err != nil {
		t.Error(err)
		return
	}
	r := bufio.NewReader(conn)
	for i := range pipelined {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("response %d of a pipeline: %v", i, err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if got, want := resp.Header.Get("X-Request-Id"), fmt.Sprint(id, ".", i); got != want {
			t.Errorf("the response to %s is that to %s", want, got)
		}
	}
}
