package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zeroh"
)

// A figure is one number that is no ratio of two rows.
type figure struct {
	name, unit string
	atMost     bool // must is an upper bound, not a lower one
	must       float64
	value      float64
}

func (f figure) reached() bool {
	if f.atMost {
		return f.value <= f.must
	}
	return f.value >= f.must
}

func figures(rounds int) []figure {
	request := func() scope.Scope { return scope.New("request_id", "r1", "tenant", "acme", "user", "u1") }
	shared := request()
	log := func(l *slog.Logger, n int) {
		for range n {
			l.Info("hello", "path", "/x", "status", 200)
		}
	}
	runs := func(s scope.Scope, n int) {
		for range n {
			s.Run(func() {})
		}
	}
	return []figure{
		{"heap for a goroutine with a scope of 4 fields, over one without", "B", true, 320, goroutineBytes()},
		{"an Add to a known total", "ns", true, 40, addNanoseconds()},
		{"two cores over one: Add, to a total each of one task", "×", false, 1.6, scaling(rounds, adding())},
		{"two cores over one: Get, of one scope", "×", false, 1.8, scaling(rounds, func(n int) {
			shared.Run(func() {
				for range n {
					scope.Get("request_id")
				}
			})
		})},
		{"two cores over one: three times Set", "×", false, 0, scaling(rounds, func(n int) {
			for range n {
				scope.Scope{}.Run(func() {
					scope.Set("request_id", "r1")
					scope.Set("tenant", "acme")
					scope.Set("user", "u1")
				})
			}
		})},
		{"two cores over one: three times context.WithValue", "×", false, 0, scaling(rounds, func(n int) {
			for range n {
				ctx := context.WithValue(context.Background(), ctxKey("request_id"), "r1")
				ctx = context.WithValue(ctx, ctxKey("tenant"), "acme")
				keep(context.WithValue(ctx, ctxKey("user"), "u1"))
			}
		})},
		{"two cores over one: Run, of a scope each", "×", false, 1.8, scaling(rounds, func(n int) { runs(request(), n) })},
		{"two cores over one: Run, of one scope", "×", false, 0, scaling(rounds, func(n int) { runs(shared, n) })},
		{"two cores over one: a stamped slog line to a writer each, of a scope each", "×", false, 1.8, scaling(rounds, func(n int) {
			l := slog.New(slogh.New(slogBase(), nil))
			request().Run(func() { log(l, n) })
		})},
		{"two cores over one: the same of one scope", "×", false, 1.8, scaling(rounds, func(n int) {
			l := slog.New(slogh.New(slogBase(), nil))
			shared.Run(func() { log(l, n) })
		})},
		{"two cores over one: the same, With children", "×", false, 0, scaling(rounds, func(n int) {
			log(slog.New(slogBase()).With("request_id", "r1", "tenant", "acme", "user", "u1"), n)
		})},
		{"two cores over one: a stamped zerolog line to a writer each, of a scope each", "×", false, 1.8, scaling(rounds, func(n int) {
			l := zerolog.New(io.Discard).Hook(zeroh.New(nil))
			request().Run(func() { logZerolog(&l, n) })
		})},
		{"two cores over one: the same, With children", "×", false, 0, scaling(rounds, func(n int) {
			l := zerolog.New(io.Discard).With().Str("request_id", "r1").Str("tenant", "acme").Str("user", "u1").Logger()
			logZerolog(&l, n)
		})},
	}
}

func logZerolog(l *zerolog.Logger, n int) {
	for range n {
		l.Info().Str("path", "/x").Int("status", 200).Msg("hello")
	}
}

//go:noinline
func keep(context.Context) {}

// goroutineBytes returns what 100,000 goroutines with a scope of their own keep on the heap
// more than as many without, for each.
func goroutineBytes() float64 {
	const n = 100_000
	measure := func(enter func()) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		end := make(chan struct{})
		var ready, done sync.WaitGroup
		ready.Add(n)
		done.Add(n)
		for range n {
			go func() {
				defer done.Done()
				enter()
				ready.Done()
				<-end
			}()
		}
		ready.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		close(end)
		done.Wait()
		return float64(after.HeapAlloc) - float64(before.HeapAlloc)
	}
	measure(func() {}) // so that the goroutines of both are reused ones
	plain := measure(func() {})
	scoped := measure(func() {
		scope.SetAttrs(slog.String("request_id", id), slog.String("tenant", "acme"), slog.String("user", "u1"), slog.Int("attempt", 3))
	})
	return (scoped - plain) / n
}

// scaling returns how much more two goroutines do in the same time than one.
func scaling(rounds int, run func(n int)) float64 {
	n := calibrate(run, 20*time.Millisecond)
	// timed returns how long this many goroutines take from when all of them are there.
	timed := func(goroutines int) float64 {
		var ready atomic.Int64
		var done sync.WaitGroup
		var start time.Time
		for range goroutines {
			done.Go(func() {
				if ready.Add(1) == int64(goroutines) {
					start = time.Now()
					ready.Add(1)
				}
				for ready.Load() <= int64(goroutines) {
				}
				run(n)
			})
		}
		done.Wait()
		return time.Since(start).Seconds()
	}
	var ratios []float64
	for range rounds {
		// Twice, which empties pools. The headers of slog's pooled buffers have 24 B, and those
		// that one core has made, for two, lie in one cache line.
		runtime.GC()
		runtime.GC()
		ratios = append(ratios, 2*timed(1)/timed(2))
	}
	return median(ratios)
}

// httpRequest measures a server over a real connection on loopback.
func httpRequest() table {
	empty := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	answering := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header()["X-Request-Id"] = []string{id} })
	scoped := httpscope.Handler(empty, nil)
	logging := &httpscope.Options{Log: slog.New(slogh.New(slog.NewJSONHandler(io.Discard, nil), nil)).LogAttrs}
	return table{
		name:  "HTTP request",
		about: "An empty handler, over a loopback connection that is kept alive; client and server are in this process. The rows asked with an id have one header more to read, so compare them with each other; those of chi too, whose router has a middleware that wraps the ResponseWriter in chi's own in front of Handler. In the last row there is no connection: the handler is called directly.",
		note:  "What Handler adds is what the last row shows, with colder caches: the scope, its task and its context, the id, the header that has it, the copy of the request, and the ResponseWriter that sends the id once. A line costs what slog needs to encode it, and the stamp.",
		rows: []row{
			{"bare server that answers with an id", 0, requests(answering, "")},
			{"bare server", 0, requests(empty, "")},
			{"taskscope httpscope.Handler, no Log", 1.08, requests(scoped, "")},
			{"taskscope httpscope.Handler, Log", 0, requests(httpscope.Handler(empty, logging), "")},
			{"bare server that answers with an id, behind chi", 0, requests(behindChi(answering), "")},
			{"taskscope httpscope.Handler, Log, behind chi", 0, requests(behindChi(empty, httpscope.Middleware(logging)), "")},
			{"bare server that answers with an id, asked with an id", 0, requests(answering, id)},
			{"taskscope httpscope.Handler, no Log, asked with an id", 0, requests(scoped, id)},
			{"taskscope httpscope.Handler, no Log, called directly", 0, direct(scoped)},
		}}
}

// behindChi returns a router for h that has a middleware with a ResponseWriter of its own.
func behindChi(h http.Handler, inside ...func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(middleware.NewWrapResponseWriter(w, r.ProtoMajor), r)
		})
	})
	r.Use(inside...)
	r.Handle("/", h)
	return r
}

// requests sends requests with this X-Request-Id, or none if it is empty, to a server for h.
func requests(h http.Handler, id string) func(n int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, h)
	client := &http.Client{Transport: &http.Transport{}}
	url := "http://" + l.Addr().String()
	return func(n int) {
		for range n {
			req, err := http.NewRequest("GET", url, nil)
			if err != nil {
				panic(err)
			}
			if id != "" {
				req.Header["X-Request-Id"] = []string{id}
			}
			resp, err := client.Do(req)
			if err != nil {
				panic(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

// direct calls h with an answer that goes nowhere.
func direct(h http.Handler) func(n int) {
	r, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		panic(err)
	}
	w := header{}
	return func(n int) {
		for range n {
			clear(w)
			h.ServeHTTP(w, r)
		}
	}
}

// header is a ResponseWriter that is only its header.
type header http.Header

func (w header) Header() http.Header         { return http.Header(w) }
func (w header) Write(p []byte) (int, error) { return len(p), nil }
func (w header) WriteHeader(int)             {}
