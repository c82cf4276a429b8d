package connectscope_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

var calls = flag.Int("calls", 0, "how many calls TestTorture makes; 0 means as many as a test has time for")

// TestTorture makes calls of all kinds at once, by all protocols, over few connections, and
// looks at each line that the three loggers write. A line says which call it expects to be
// attributed to, by way of a plain variable, and which it has been attributed to, by way of the
// scope. Not one may differ.
func TestTorture(t *testing.T) {
	total := *calls
	if total == 0 {
		total = scopekit.Amount(20_000, 3_000)
	}
	tt := &torture{}
	out := &checker{t: t, torture: tt}
	tt.slog = slog.New(slogh.New(slog.NewJSONHandler(out, nil), nil))
	tt.zap = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(out), zap.DebugLevel), zaph.WrapCore(nil))
	zero := zerolog.New(out).Hook(zeroh.New(nil))
	tt.zero = &zero

	back := tt.serve(t, tt.back, &connectscope.Options{}, nil)
	var fronts []*httptest.Server
	for _, protocol := range protocols {
		tt.clients = append(tt.clients, dial(t, back, protocol, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: tt.log}})))
	}
	// Two servers of four have an httpscope.Handler around all calls, whose task these are in.
	var conns []*client
	for i := range 4 {
		opts := &connectscope.Options{PerMessage: i%2 == 1, Await: i > 1}
		front := func(ctx context.Context, s *stream) error { return tt.front(ctx, s, !opts.Await) }
		around := func(h http.Handler) http.Handler { return h }
		if i == 1 || i == 2 {
			around = httpscope.Middleware(nil)
		}
		server := tt.serve(t, front, opts, around)
		fronts = append(fronts, server)
		for _, protocol := range protocols {
			conns = append(conns, dial(t, server, protocol))
		}
		// With HTTP/1 a goroutine serves one call after another, and no streams of both sides.
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		keptAlive := dialBy(&http.Client{Transport: tr}, server, connect.ProtocolConnect)
		delete(keptAlive.of, bidirect)
		conns = append(conns, keptAlive)
	}
	begin := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for i, conn := range conns {
		for j := range 2 {
			wg.Go(func() {
				for n := int(next.Add(1)); n <= total; n = int(next.Add(1)) {
					tt.ask(t, conn, fmt.Sprintf("call-%d-%d-%d", i, j, n), n)
				}
			})
		}
	}
	wg.Wait()
	took := time.Since(begin)
	for _, server := range fronts {
		server.Close() // no call of a client that has left may arrive while the test counts
	}
	if err := scope.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	testkit.Eventually(t, "all has ended, and each line that was to be written was", func() bool {
		return tt.open.Load() == 0 && tt.lines.Load() == tt.said.Load()
	})
	t.Logf("%d calls and %d of their handlers' in %v, of these %v; %d lines, %d of them of left-behind goroutines, %d with another call's id",
		total, tt.inner.Load(), took.Round(time.Second), tt.counts(), tt.lines.Load(), tt.ended.Load(), tt.wrong.Load())
	if tt.lines.Load() < 5*int64(total) {
		t.Error("these are few lines")
	}
	if n := tt.finished.Load() - tt.called.Load(); n != tt.uncalled.Load() {
		t.Errorf("%d calls have lost what their handlers have set", tt.uncalled.Load()-n)
	}
	if tt.ended.Load() != tt.left.Load() {
		t.Errorf("%d lines of left-behind goroutines, %d say so", tt.left.Load(), tt.ended.Load())
	}
}

type torture struct {
	slog    *slog.Logger
	zap     *zap.Logger
	zero    *zerolog.Logger
	clients []*client

	open                       atomic.Int64 // goroutines of plain go statements, handlers, and last lines to come
	inner                      atomic.Int64 // calls that handlers have made
	finished, called, uncalled atomic.Int64 // calls that got to an interceptor, and whose handler was called or not
	said, left                 atomic.Int64 // lines that were asked for, and of left-behind goroutines
	lines, ended, wrong, which atomic.Int64 // lines that were written, and those with scope_ended
	kinds                      sync.Map     // kind -> *atomic.Int64
}

func (tt *torture) counts() string {
	var b strings.Builder
	tt.kinds.Range(func(kind, n any) bool { fmt.Fprintf(&b, "%s %d, ", kind, n.(*atomic.Int64).Load()); return true })
	return strings.TrimSuffix(b.String(), ", ")
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
	for line := range bytes.Lines(p) {
		c.lines.Add(1)
		want, has, mark := member(line, "want"), member(line, "request_id"), member(line, "mark")
		if want == "" || want != has || want != mark || bytes.Count(line, []byte(`"request_id":`)) != 1 {
			if c.wrong.Add(1) <= 10 {
				c.t.Errorf("a line of call %q is attributed to %q: %s", want, has, line)
			}
		}
		_, adds, found := bytes.Cut(line, []byte(`"adds":`))
		last := bytes.Contains(line, []byte(`"rpc.server.call.duration":`))
		if last && !bytes.HasPrefix(adds, []byte("7,")) || !last && found {
			c.t.Errorf("a total is wrong: %s", line)
		}
		if bytes.Contains(line, []byte(`"scope_ended":true`)) {
			switch {
			case bytes.Contains(line, []byte(`"left behind"`)):
				c.ended.Add(1)
			case !bytes.Contains(line, []byte(`"left"`)):
				c.t.Errorf("the task isn't over: %s", line)
			}
		}
	}
	return len(p), nil
}

// member returns the string that a line has for key.
func member(line []byte, key string) string {
	_, rest, _ := bytes.Cut(line, []byte(`"`+key+`":"`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

// wantKey is the key under which the context of a client's call has what its line is to say.
type wantKey struct{}

func sent(ctx context.Context, key string) string {
	if want, ok := ctx.Value(wantKey{}).(string); ok && key == "want" {
		return want
	}
	if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
		return info.RequestHeader().Get(key)
	}
	if header, ok := ctx.Value(headerKey{}).(http.Header); ok { // before the handler is called
		return header.Get(key)
	}
	return ""
}

type headerKey struct{}

// log is a LogFunc of all three loggers in turn.
func (tt *torture) log(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	tt.said.Add(1)
	attrs = append(attrs, slog.String("want", sent(ctx, "want")))
	loggers := []connectscope.LogFunc{tt.slog.LogAttrs, zaph.LogAttrs(tt.zap), zeroh.LogAttrs(tt.zero)}
	loggers[tt.which.Add(1)%3](ctx, level, msg, attrs...)
}

// serve starts a server whose calls are handled by fn, in a scope of their own.
func (tt *torture) serve(t *testing.T, fn func(ctx context.Context, s *stream) error, opts *connectscope.Options, around func(http.Handler) http.Handler) *httptest.Server {
	opts.Recover = true
	opts.Log = func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
		defer tt.open.Add(-1)
		tt.log(ctx, level, msg, attrs...)
	}
	// Each call that an interceptor gets has a line, whether its handler is called or not.
	opts.Finish = func(ctx context.Context) {
		tt.open.Add(1)
		if tt.finished.Add(1); !scope.Current().Has("mark") {
			tt.uncalled.Add(1)
			scope.Set("mark", sent(ctx, "want"))
			scope.Add("adds", 7)
		}
	}
	mux := (&handler{
		unary:  func(ctx context.Context, _ string) (string, error) { return "ok", fn(ctx, nil) },
		stream: func(ctx context.Context, s stream) error { return fn(ctx, &s) },
	}).mux(scoped(opts))
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tt.open.Add(1) // a client that has left doesn't wait for it
		defer tt.open.Add(-1)
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), headerKey{}, r.Header)))
	}))
	if around != nil {
		h = around(h)
	}
	return serve(t, h)
}

// mark sets a field that each line of the call is to have from now on, and no line of another one.
func (tt *torture) mark(id string) {
	if other, ok := scope.Get("mark"); ok {
		tt.wrong.Add(1)
		tt.slog.Error("an earlier call has left its mark", "left", other)
	}
	tt.called.Add(1)
	scope.Set("mark", id)
	var wg sync.WaitGroup // until Wrap has returned: the task goes on for as long
	wg.Go(scope.Wrap(func() {
		scope.Add("adds", 4)
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

// messages receives what the client sends, and sends as much.
func (tt *torture) messages(id string, s *stream) error {
	if s == nil {
		return nil
	}
	sent := make(chan struct{}, 10)
	done := make(chan struct{})
	tt.spawn(func() {
		defer close(done)
		for range sent {
			tt.say(id, "sender")
			if s.send("ok") != nil {
				break
			}
		}
	})
	defer func() { close(sent); <-done }()
	for n := 0; ; n++ {
		_, err := s.receive()
		if errors.Is(err, io.EOF) {
			if s.Spec().Procedure != bidirect {
				sent <- struct{}{}
			}
			return nil
		} else if err != nil {
			return err
		}
		tt.say(id, "message")
		if s.Spec().Procedure == bidirect {
			sent <- struct{}{}
		}
	}
}

// front serves a call of any kind. What it sets must be gone for the next one. exact says that
// the task is over when the call is: a last line that has waited is one of the task's, too.
func (tt *torture) front(ctx context.Context, s *stream, exact bool) error {
	id, kind := sent(ctx, "want"), sent(ctx, "kind")
	tt.mark(id)
	tt.say(id, "begin")
	if kind == "abort" || kind == "deadline" {
		<-ctx.Done()
		tt.sayContext(ctx, id, "aborted")
		return ctx.Err()
	}
	if err := tt.messages(id, s); err != nil {
		return err
	}
	switch kind {
	case "panic":
		panic(id)
	case "goexit":
		runtime.Goexit()
	case "error":
		err := connect.NewError(connect.CodeNotFound, errors.New(id))
		tt.slog.Info("error", "err", err, "want", id)
		tt.said.Add(1)
		return scope.Error(err)
	case "background":
		scope.Go(func() {
			<-ctx.Done() // the handler has returned
			scope.Set("step", "after the answer")
			tt.say(id, "background")
			scope.Go(func() { tt.say(id, "background of background") })
		})
	case "left":
		msg := "left"
		if inherits && exact {
			msg = "left behind"
			tt.left.Add(3)
		}
		tt.spawn(func() {
			<-ctx.Done()
			tt.say(id, msg)
		})
	case "labels":
		pprof.Do(ctx, pprof.Labels("foreign", id), func(ctx context.Context) {
			scope.Set("inside", id)
			tt.say(id, "inside pprof.Do")
			tt.sayContext(ctx, id, "inside pprof.Do")
		})
	case "call":
		tt.inner.Add(1)
		// By the scope of the context, or by that of the goroutine.
		if !strings.HasSuffix(id, "0") {
			ctx = context.WithValue(context.Background(), wantKey{}, id)
		}
		by := tt.clients[len(id)%len(tt.clients)]
		a := call(with(ctx, "want", id), by, kinds[int(id[len(id)-1])%len(kinds)], id)
		if a.err != nil || ids(a.header) != id {
			tt.wrong.Add(1)
			tt.slog.Error("call failed", "answer", fmt.Sprint(a), "want", id)
			tt.said.Add(1)
		}
		tt.say(id, "called")
	}
	tt.say(id, "end")
	return nil
}

// back is the second service: its calls have the ids that the client interceptors send.
func (tt *torture) back(ctx context.Context, s *stream) error {
	id := sent(ctx, "want")
	tt.mark(id)
	tt.say(id, "back")
	scope.Go(func() { tt.say(id, "back, in the background") })
	return tt.messages(id, s)
}

var behaviours = []string{"plain", "background", "left", "labels", "call", "error", "panic", "abort", "background", "deadline", "goexit", "call", "plain"}

func (tt *torture) ask(t *testing.T, conn *client, id string, n int) {
	kind, method := behaviours[n%len(behaviours)], kinds[n/len(behaviours)%len(kinds)]
	if conn.of[bidirect] == nil { // HTTP/1
		if method == bidirect {
			method = unary
		}
		if kind == "goexit" || kind == "abort" { // net/http doesn't see a client leave whose message nobody reads
			kind = "plain"
		}
	}
	for _, k := range []string{kind, method[len("/test.v1.Echo/"):]} {
		count, _ := tt.kinds.LoadOrStore(k, new(atomic.Int64))
		count.(*atomic.Int64).Add(1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	switch kind {
	case "abort", "goexit": // which isn't answered
		time.AfterFunc(time.Duration(n%7)*time.Millisecond, cancel)
	case "deadline":
		ctx, cancel = context.WithTimeout(ctx, time.Duration(n%7)*time.Millisecond)
		defer cancel()
	}
	a := call(with(ctx, "x-request-id", id, "want", id, "kind", kind), conn, method, id)
	want := connect.Code(0)
	switch kind {
	case "abort", "goexit", "deadline":
		if a.err == nil {
			t.Errorf("%s of %s: %v", kind, method, a)
		}
		return
	case "panic":
		want = connect.CodeInternal
	case "error":
		want = connect.CodeNotFound
	}
	got := connect.Code(0)
	if a.err != nil {
		got = connect.CodeOf(a.err)
	}
	if got != want {
		t.Errorf("%s of %s: %v", kind, method, a)
	}
	if got := ids(a.header); got != id {
		t.Errorf("%s: the answer to %s is that to %q", kind, id, got)
	}
}
