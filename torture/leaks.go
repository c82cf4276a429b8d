package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// quiet are loggers that remember what they derive and write to nowhere.
type quiet struct {
	slog, slogChild *slog.Logger
	zap, zapChild   *zap.Logger
	plain           *zap.Logger // not stamped, as bare
	zero, bare      zerolog.Logger
}

func newQuiet() *quiet {
	q := &quiet{}
	q.slog = slog.New(slogh.New(slog.NewJSONHandler(io.Discard, nil), nil))
	q.slogChild = q.slog.With("own", 1)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel)
	q.plain = zap.New(core)
	q.zap = zap.New(zaph.New(core, nil))
	q.zapChild = q.zap.With(zap.Int("own", 1))
	q.bare = zerolog.New(io.Discard)
	q.zero = q.bare.Hook(zeroh.New(nil))
	return q
}

// lines writes each line twice: the second is made of what was remembered.
func (q *quiet) lines(ctx context.Context) {
	for range 2 {
		q.slog.InfoContext(ctx, "m")
		q.slogChild.InfoContext(ctx, "m")
		q.zap.Info("m", zaph.Context(ctx))
		q.zapChild.Info("m", zap.String("user", "event's"))
		q.zero.Info().Ctx(ctx).Msg("m")
		zeroh.Logger(q.bare).Info().Msg("m")
	}
}

// task is a short task that uses all of package scope.
func (q *quiet) task(n int) {
	scope.New("request_id", n).Run(func() {
		scope.Set("user", "ann")
		ctx := scope.NewContext(context.Background(), scope.With("job", n))
		q.lines(ctx)
		done := make(chan struct{}, 3)
		scope.Go(func() {
			scope.Set("background", n)
			q.lines(context.Background())
			done <- struct{}{}
		})
		wrapped := scope.Wrap(func() {
			scope.Delete("user")
			q.slog.Info("m")
			done <- struct{}{}
		})
		go func() {
			scope.Set("forked", n)
			wrapped()
			q.lines(ctx)
			done <- struct{}{}
		}()
		for range cap(done) {
			<-done
		}
	})
}

// byHand is a task of the same goroutines and as many lines without taskscope: its fields are
// attached with each logger's own With.
func (q *quiet) byHand(n int) {
	s := slog.New(slog.NewJSONHandler(io.Discard, nil)).With("request_id", n, "user", "ann")
	z := q.plain.With(zap.Int("request_id", n), zap.String("user", "ann"))
	e := q.bare.With().Int("request_id", n).Str("user", "ann").Logger()
	lines := func(job string) {
		sChild, zChild := s.With("job", job), z.With(zap.String("job", job))
		eChild := e.With().Str("job", job).Logger()
		for range 2 {
			s.Info("m")
			sChild.Info("m")
			z.Info("m")
			zChild.Info("m", zap.String("own", "event's"))
			e.Info().Msg("m")
			eChild.Info().Msg("m")
		}
	}
	lines("job")
	done := make(chan struct{}, 3)
	go func() {
		lines("background")
		done <- struct{}{}
	}()
	go func() {
		s.Info("m")
		done <- struct{}{}
		lines("forked")
		done <- struct{}{}
	}()
	for range cap(done) {
		<-done
	}
}

// inEight runs n tasks, in eight goroutines.
func inEight(n int, task func(n int)) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				task(i)
			}
		})
	}
	wg.Wait()
}

// A footing is what a process has.
type footing struct{ heap, objects, goroutines int64 }

// settled waits until there are no more than these goroutines, and collects garbage.
func settled(goroutines int) footing {
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	for range 4 { // what pools keep goes with the second, what finalizers and cleanups free later
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footing{int64(m.HeapAlloc), int64(m.HeapObjects), int64(runtime.NumGoroutine())}
}

// allowed is the heap that may be there after the tasks and wasn't before: what the
// runtime and pools make of their own does move a little.
const allowed = 256 << 10

// measure returns the footing before n tasks and after each tenth of them.
func measure(n int, task func(n int)) (all []footing) {
	goroutines := runtime.NumGoroutine()
	inEight(min(n, 2000), task) // what is made once
	all = append(all, settled(goroutines))
	for range 10 {
		inEight(n/10, task)
		all = append(all, settled(goroutines))
	}
	return all
}

// measureTasks measures the tasks with taskscope, and says if they leave something.
func measureTasks(n int) (all []footing, err error) {
	q := newQuiet()
	all = measure(n, q.task)
	if err := scope.Wait(context.Background()); err != nil {
		return all, err
	}
	first, last := all[0], all[len(all)-1]
	if last.goroutines > first.goroutines {
		err = fmt.Errorf("leak: %d goroutines before, %d after", first.goroutines, last.goroutines)
	}
	if last.heap-first.heap > allowed {
		err = errors.Join(err, fmt.Errorf("leak: the heap has grown by %d bytes", last.heap-first.heap))
	}
	runtime.KeepAlive(q)
	return all, err
}

// measureByHand measures the tasks without taskscope, in a process of their own: in this one
// the runtime has what it keeps.
func measureByHand(n int) (all []footing, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	output, err := command(nil, self, "-byhand", "-n", strconv.Itoa(n))
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, output)
	}
	for line := range strings.Lines(output) {
		var f footing
		if _, err := fmt.Sscan(line, &f.heap, &f.objects, &f.goroutines); err != nil {
			return nil, fmt.Errorf("%w in %q", err, line)
		}
		all = append(all, f)
	}
	return all, nil
}

// printByHand is the other process.
func printByHand(out io.Writer, n int) error {
	q := newQuiet()
	for _, f := range measure(n, q.byHand) {
		fmt.Fprintln(out, f.heap, f.objects, f.goroutines)
	}
	runtime.KeepAlive(q)
	return nil
}

// A pin is a case of something that outlives the scope that it was opened in.
type pin struct {
	what, remedy string
	// open opens a thing n times, each in a scope with payload, and returns what closes
	// them. with says whether the remedy is taken.
	open func(n int, payload func() *payload, with bool) (closeAll func())
}

const payloadSize = 64 << 10

type payload [payloadSize]byte

func (p *payload) String() string { return "payload" }

var pins = []pin{
	{
		"an HTTP/1 connection kept alive, whose handler calls a bare Set",
		"an entry: httpscope.Handler, or a Run in the handler",
		func(n int, p func() *payload, with bool) func() {
			var h http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { scope.Set("payload", p()) })
			if with {
				h = httpscope.Handler(h, nil)
			}
			server := httptest.NewServer(h)
			clients := make([]*http.Transport, n)
			for i := range clients { // a connection each
				clients[i] = &http.Transport{}
				get(clients[i], server.URL)
			}
			return func() {
				for _, c := range clients {
					c.CloseIdleConnections()
				}
				server.Close()
			}
		},
	},
	{
		"an http.Transport that dials in a scope: its read and write loops inherit",
		"httpscope.Transport around it, or scope.Scope{}.Run around RoundTrip",
		func(n int, p func() *payload, with bool) func() {
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			clients := make([]*http.Transport, n)
			for i := range clients {
				clients[i] = &http.Transport{}
				scope.New("payload", p()).Run(func() {
					var r http.RoundTripper = clients[i]
					if with {
						r = httpscope.Transport(r, nil)
					}
					get(r, server.URL)
				})
			}
			return func() {
				for _, c := range clients {
					c.CloseIdleConnections()
				}
				server.Close()
			}
		},
	},
	{
		"a database/sql pool opened in a scope: its connectionOpener inherits",
		"open it in main, or in scope.Scope{}.Run",
		func(n int, p func() *payload, with bool) func() {
			pools := make([]*sql.DB, n)
			for i := range pools {
				scope.New("payload", p()).Run(func() {
					open := func() { pools[i] = sql.OpenDB(connector{}) }
					if with {
						scope.Scope{}.Run(open)
					} else {
						open()
					}
					must(pools[i].Ping())
				})
			}
			return func() {
				for _, db := range pools {
					must(db.Close())
				}
			}
		},
	},
	{
		"a connection of a database/sql pool whose driver starts a goroutine for it, dialled by a query in a scope",
		"a Connector that connects in scope.Scope{}.Run",
		func(n int, p func() *payload, with bool) func() {
			pools := make([]*sql.DB, n)
			for i := range pools {
				pools[i] = sql.OpenDB(connector{watches: true, outside: with})
				scope.New("payload", p()).Run(func() { must(pools[i].Ping()) })
			}
			return func() {
				for _, db := range pools {
					must(db.Close())
				}
			}
		},
	},
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func get(r http.RoundTripper, url string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	must(err)
	resp, err := r.RoundTrip(req)
	must(err)
	_, err = io.Copy(io.Discard, resp.Body)
	must(err)
	must(resp.Body.Close())
}

// A connector is a driver that connects to nothing.
type connector struct {
	watches bool // with a goroutine per connection, as drivers do that watch for cancelled contexts
	outside bool // connects with no scope bound
}

func (c connector) Driver() driver.Driver { return nil }

func (c connector) Connect(context.Context) (conn driver.Conn, err error) {
	connect := func() {
		if !c.watches {
			conn = &connection{}
			return
		}
		a, b := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		conn = &connection{a}
	}
	if c.outside {
		scope.Scope{}.Run(connect)
	} else {
		connect()
	}
	return conn, nil
}

type connection struct{ c net.Conn }

func (c *connection) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("the driver of this test has no statements")
}
func (c *connection) Begin() (driver.Tx, error) {
	return nil, errors.New("the driver of this test has no transactions")
}
func (c *connection) Close() error {
	if c.c != nil {
		return c.c.Close()
	}
	return nil
}

// A pinned says how much of what n scopes held is still there.
type pinned struct {
	open, remedied, closed int // payloads: while things are open, likewise with the remedy, and after they are closed
	heap                   int64
}

func (p pin) measure(n int) (m pinned) {
	for _, with := range []bool{true, false} {
		before := settled(runtime.NumGoroutine())
		var mu sync.Mutex
		var made []weak.Pointer[payload]
		closeAll := p.open(n, func() *payload {
			v := new(payload)
			mu.Lock()
			defer mu.Unlock()
			made = append(made, weak.Make(v))
			return v
		}, with)
		alive := func(wanted int) (left int) {
			for range 50 {
				runtime.GC()
				left = 0
				for _, w := range made {
					if w.Value() != nil {
						left++
					}
				}
				if left == wanted {
					break
				}
				runtime.Gosched()
			}
			return left
		}
		if with {
			m.remedied = alive(0)
			closeAll()
			continue
		}
		m.open = alive(n)
		m.heap = settled(1<<30).heap - before.heap
		closeAll()
		m.closed = alive(0)
	}
	return m
}

func writeLeaks(out io.Writer, file string, n int) error {
	var text strings.Builder
	fmt.Fprintf(&text, `# What is left

Written by `+"`make leaks N=%d`"+`, not by hand, with %s, carrier %s.

## After a task

%d tasks, each with Run, Set, With, NewContext, Go, Wrap, a plain go and Delete, in three goroutines, with 37 lines of slog, zap,
zerolog and child loggers of theirs, so that something derived is remembered with each scope. The heap is measured after collections.
"By hand" is a program without taskscope, of as many goroutines and lines, whose fields are attached with each logger's own With. What grows
there as well is the runtime's, descriptors of goroutines say, which it keeps for the next ones.

| tasks | heap bytes | over the first | objects | goroutines | by hand: over the first | objects |
|---|---|---|---|---|---|---|
`, n, with(), scope.Carrier(), n)
	all, err := measureTasks(n)
	byHand, handErr := measureByHand(n)
	if handErr != nil {
		return handErr
	}
	for i, f := range all {
		fmt.Fprintf(&text, "| %d | %d | %+d | %d | %d | %+d | %d |\n",
			n/10*i, f.heap, f.heap-all[0].heap, f.objects, f.goroutines, byHand[i].heap-byHand[0].heap, byHand[i].objects)
	}
	const things = 50
	fmt.Fprintf(&text, `
The command fails if the last heap is more than %d KiB above the first, or if there are more goroutines.

## What pins a scope

A goroutine keeps the scope that it inherited for as long as it runs, and so do things that keep a goroutine. %d of each were
opened in scopes of their own, each with a value of %d KiB; "kept" is how many of these values were still there when the
scopes' work was done, and the heap's growth with them.

| opened in a scope | kept | heap | with the remedy | after closing | remedy |
|---|---|---|---|---|---|
`, allowed>>10, things, payloadSize>>10)
	for _, p := range pins {
		m := p.measure(things)
		fmt.Fprintf(&text, "| %s | %d of %d | %+d KiB | %d of %d | %d of %d | %s |\n",
			p.what, m.open, things, m.heap>>10, m.remedied, things, m.closed, things, p.remedy)
		if m.remedied > 0 || m.closed > 0 {
			err = errors.Join(err, fmt.Errorf("leak: %s: %d kept with the remedy, %d after closing", p.what, m.remedied, m.closed))
		}
	}
	fmt.Fprint(out, text.String())
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text.String()), 0o644)
}
