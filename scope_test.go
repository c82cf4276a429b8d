// Package taskscope_test tells the story end to end. Begin with
// TestOneRequestThreeLoggers.
package taskscope_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	zlog "github.com/rs/zerolog/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// A request enters. From there on no function is given a context or a logger, and every
// line of all three loggers says which request it belongs to.
func TestOneRequestThreeLoggers(t *testing.T) {
	if scope.Carrier() == "portable" {
		t.Skip("a plain go statement inherits nothing on the portable carrier")
	}
	var out testkit.Buffer
	logTo(t, &out)

	answered := make(chan struct{}) // closed when the client has the response
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope.New("request_id", r.Header.Get("X-Request-Id")).Run(func() {
			checkout(r.Context(), answered)
			fmt.Fprint(w, "thank you")
		})
	})
	server := httptest.NewServer(handler)
	defer server.Close()

	slog.Info("serving")
	fetch(t.Context(), t, server.Client(), server.URL, "req-1")
	close(answered)
	if err := scope.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}

	want := `
{"level":"INFO","msg":"serving"}
{"level":"INFO","msg":"request"                ,"request_id":"req-1"}
{"level":"info","msg":"charging"               ,"request_id":"req-1","user":"gopher","card":"visa"}
{"level":"info","amount":42                    ,"request_id":"req-1","user":"gopher","message":"charged"}
{"level":"INFO","msg":"in pprof.Do"            ,"request_id":"req-1","user":"gopher","shelf":"B7"}
{"level":"INFO","msg":"after pprof.Do"         ,"request_id":"req-1","user":"gopher","shelf":"B7"}
{"level":"INFO","msg":"plain go"               ,"request_id":"req-1","user":"auditor","shelf":"B7"}
{"level":"info","msg":"errgroup"               ,"request_id":"req-1","user":"gopher","shelf":"B7"}
{"level":"INFO","msg":"log.Printf of 3 items"  ,"request_id":"req-1","user":"gopher","shelf":"B7"}
{"level":"info"                                ,"request_id":"req-1","user":"gopher","shelf":"B7","message":"scope.Go, after the response"}
`
	if got := out.String(); got != dense(want) {
		t.Errorf("got\n%s\nwant\n%s", got, dense(want))
	}
}

// checkout is the code below the handler. It takes r's context only for pprof.Do.
func checkout(ctx context.Context, answered <-chan struct{}) {
	slog.Info("request")
	scope.Set("user", "gopher") // on every line from here on
	charge(42)

	// Code that sets profiler labels would remove the scope with them, were it not for
	// NewContext. What is set inside stays afterwards, as with any function.
	ctx = scope.NewContext(ctx, scope.Current())
	pprof.Do(ctx, pprof.Labels("step", "stock"), func(context.Context) {
		scope.Set("shelf", "B7")
		slog.Info("in pprof.Do")
	})
	slog.Info("after pprof.Do")

	// A goroutine gets a copy: what it sets, nobody else sees.
	audited := make(chan struct{})
	go func() {
		defer close(audited)
		scope.Set("user", "auditor")
		slog.Info("plain go")
	}()
	<-audited

	var g errgroup.Group
	g.Go(func() error {
		zap.L().Info("errgroup")
		return nil
	})
	_ = g.Wait()

	// Work that outlives the response, and is part of the request all the same.
	scope.Go(func() {
		<-answered
		zlog.Info().Msg("scope.Go, after the response")
	})
	log.Printf("log.Printf of %d items", 3)
}

func charge(amount int) {
	zap.L().Info("charging", zap.String("card", "visa"))
	zlog.Info().Int("amount", amount).Msg("charged")
}

// Many requests at the same time, and many after each other on one connection: no line
// carries another request's fields, and none is lost.
func TestManyRequestsOnKeptAliveConnections(t *testing.T) {
	const clients, rounds = 8, 25
	var out testkit.Buffer
	logTo(t, &out)

	var answered [clients * rounds]chan struct{}
	for n := range answered {
		answered[n] = make(chan struct{})
	}
	together := newBarrier(clients)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscanf(r.Header.Get("X-Request-Id"), "req-%d", &n); err != nil || !together.wait(r.Context()) {
			http.Error(w, "not one of ours", http.StatusBadRequest)
			return
		}
		scope.New("request_id", r.Header.Get("X-Request-Id")).Run(func() {
			serveNumber(n, answered[n])
		})
	}))
	var connections atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()

	client := server.Client()
	client.Timeout = 30 * time.Second
	client.Transport.(*http.Transport).MaxConnsPerHost = clients
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = clients
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for c := range clients {
		wg.Go(func() {
			for round := range rounds {
				n := c*rounds + round
				if !fetch(ctx, t, client, server.URL, fmt.Sprintf("req-%d", n)) {
					cancel() // the others would wait for this client
					return
				}
				close(answered[n])
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if err := scope.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Each line has the number that the code was given as an argument, and the fields
	// that it was not given.
	type line struct {
		RequestID  string `json:"request_id"`
		User       string
		N          int
		From       string
		ScopeEnded bool `json:"scope_ended"`
	}
	seen := map[line]int{}
	for text := range strings.Lines(out.String()) {
		got := line{N: -1}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want := line{RequestID: fmt.Sprintf("req-%d", got.N), N: got.N, From: got.From}
		if got.N%2 == 0 && got.From != "entry" {
			want.User = fmt.Sprintf("user-%d", got.N)
		}
		if scope.Carrier() == "portable" && strings.HasPrefix(got.From, "fork") {
			want = line{N: got.N, From: got.From} // inherits nothing there
		}
		if got != want {
			t.Errorf("request %d: want %+v, got\n%s", got.N, want, text)
		}
		seen[got]++
	}
	if len(seen) != 7*len(answered) {
		t.Errorf("%d different lines of %d requests, want 7 of each", len(seen), len(answered))
	}
	for l, times := range seen {
		if times != 1 {
			t.Errorf("%d times: %+v", times, l)
		}
	}
	if c := connections.Load(); c >= int32(len(answered))/2 {
		t.Errorf("%d connections for %d requests: they were not kept alive", c, len(answered))
	}
}

// serveNumber writes seven lines. Every other request sets a field that the next one on
// its connection must not have.
func serveNumber(n int, answered <-chan struct{}) {
	slog.Info("line", "n", n, "from", "entry")
	if n%2 == 0 {
		scope.Set("user", fmt.Sprintf("user-%d", n))
	}
	zap.L().Info("line", zap.Int("n", n), zap.String("from", "zap"))
	zlog.Info().Int("n", n).Str("from", "zerolog").Msg("line")

	var g errgroup.Group
	g.Go(func() error {
		slog.Info("line", "n", n, "from", "fork of errgroup")
		return nil
	})
	g.Go(func() error {
		nested := make(chan struct{})
		go func() {
			defer close(nested)
			zap.L().Info("line", zap.Int("n", n), zap.String("from", "fork of a fork"))
		}()
		<-nested
		return nil
	})
	scope.Go(func() {
		<-answered
		zlog.Info().Int("n", n).Str("from", "scope.Go").Msg("line")
		scope.Go(func() {
			slog.Info("line", "n", n, "from", "scope.Go of scope.Go")
		})
	})
	_ = g.Wait()
}

// logTo makes w the destination of all three loggers, as a program does at start-up,
// and puts the test process's own loggers back at the end.
func logTo(t *testing.T, w io.Writer) {
	t.Helper()
	oldSlog, oldOutput, oldFlags, oldZerolog := slog.Default(), log.Writer(), log.Flags(), zlog.Logger

	noTime := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: noTime}), nil)))

	config := zap.NewProductionEncoderConfig()
	config.TimeKey = zapcore.OmitKey
	core := zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.AddSync(w), zap.InfoLevel)
	restoreZap := zap.ReplaceGlobals(zap.New(core, zaph.WrapCore(nil)))

	zlog.Logger = zerolog.New(w).Hook(zeroh.New(nil))

	t.Cleanup(func() {
		slog.SetDefault(oldSlog)
		log.SetOutput(oldOutput)
		log.SetFlags(oldFlags)
		restoreZap()
		zlog.Logger = oldZerolog
	})
}

// fetch sends a request with this id, reads the response to its end, and reports
// whether it went well.
func fetch(ctx context.Context, t *testing.T, client *http.Client, url, id string) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Error(err)
		return false
	}
	r.Header.Set("X-Request-Id", id)
	resp, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return false
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", id, resp.Status, err)
		return false
	}
	return true
}

// dense returns text without the space that lines its columns up.
func dense(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(text, "\n")) {
		before, after, _ := strings.Cut(line, `,"request_id"`)
		b.WriteString(strings.TrimRight(before, " "))
		if after != "" {
			b.WriteString(`,"request_id"` + after)
		}
	}
	return b.String()
}

// A barrier lets goroutines through n at a time.
type barrier struct {
	mu      sync.Mutex
	n       int
	waiting int
	open    chan struct{}
}

func newBarrier(n int) *barrier { return &barrier{n: n, open: make(chan struct{})} }

// wait reports false if ctx ended first.
func (b *barrier) wait(ctx context.Context) bool {
	b.mu.Lock()
	open := b.open
	if b.waiting++; b.waiting == b.n {
		close(open)
		b.waiting, b.open = 0, make(chan struct{})
	}
	b.mu.Unlock()
	select {
	case <-open:
		return true
	case <-ctx.Done():
		return false
	}
}
