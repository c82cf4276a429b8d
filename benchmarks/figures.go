package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
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
	s := scope.New("request_id", "r1", "tenant", "acme", "user", "u1")
	return []figure{
		{"heap for a goroutine with a scope of 4 fields, over one without", "B", true, 320, goroutineBytes()},
		{"Get on two cores, over one", "×", false, 1.8, scaling(rounds, func(n int) {
			s.Run(func() {
				for range n {
					scope.Get("request_id")
				}
			})
		})},
		{"a stamped slog line on two cores, to a writer each, over one", "×", false, 1.8, scaling(rounds, func(n int) {
			l := slog.New(slogh.New(slogBase(), nil))
			s.Run(func() {
				for range n {
					l.Info("hello", "path", "/x", "status", 200)
				}
			})
		})},
		{"the same With children, over one", "×", false, 0, scaling(rounds, func(n int) {
			l := slog.New(slogBase()).With("request_id", "r1", "tenant", "acme", "user", "u1")
			for range n {
				l.Info("hello", "path", "/x", "status", 200)
			}
		})},
	}
}

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
	var ratios []float64
	for range rounds {
		start := time.Now()
		run(n)
		one := time.Since(start)
		start = time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { run(n) })
		}
		wg.Wait()
		ratios = append(ratios, 2*float64(one)/float64(time.Since(start)))
	}
	return median(ratios)
}

// httpRequest measures a server over a real connection on loopback.
func httpRequest() table {
	empty := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	return table{name: "HTTP request", about: "An empty handler, over a loopback connection that is kept alive; client and server are in this process.", rows: []row{
		{"bare server", 0, requests(empty)},
		{"taskscope httpscope.Handler", 1.10, requests(httpscope.Handler(empty, nil))},
	}}
}

func requests(h http.Handler) func(n int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, h)
	client := &http.Client{Transport: &http.Transport{}}
	url := "http://" + l.Addr().String()
	return func(n int) {
		for range n {
			resp, err := client.Get(url)
			if err != nil {
				panic(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}
