package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"time"
)

var rate = flag.Int("rate", 1000, "the requests a second of the whole service")

func init() {
	addCommand(1, "service", func(m measuring) (string, error) {
		servers, err := measureService(max(1, m.rounds/5), *rate, m.heap)
		return serviceTable(servers, m.heap), err
	})
	children["serve"] = func(m measuring) error { return serve(flag.Arg(1), flag.Arg(2), m.heap) }
}

// A usage is what the process of a service has used so far.
type usage struct {
	CPU     time.Duration // user and system
	GC      float64       // seconds, as of the end of the last collection
	Cycles  uint32        // collections
	Mallocs uint64
}

// serve serves until its standard input ends, and writes lines to a file. It prints its address.
func serve(logger, how string, heap int) error {
	i := slices.IndexFunc(services, func(s service) bool { return s.logger == logger && s.how == how })
	if i < 0 {
		return fmt.Errorf("there is no service %q, %q", logger, how)
	}
	file, err := os.CreateTemp("", "service-*.log")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	ballast := make([]byte, heap<<20)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handler := services[i].handler(file)
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/usage" {
			handler.ServeHTTP(w, r)
			return
		}
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		gc := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
		metrics.Read(gc)
		_ = json.NewEncoder(w).Encode(usage{cpuTime(), gc[0].Value.Float64(), stats.NumGC, stats.Mallocs})
		_ = file.Truncate(0)
	}))
	fmt.Println(l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(ballast)
	return err
}

// A server is a service that runs, and what was measured of it.
type server struct {
	service
	url         string
	stop        func()
	client      *http.Client
	begin, last usage
	requests    int

	cpu, p50, p99, allocs []float64 // of each round: µs, ms, ms
	gc                    float64   // the share of all CPU time
}

func startServer(s service, heap int) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-heap", fmt.Sprint(heap), "serve", s.logger, s.how)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		stdin.Close()
		_ = cmd.Wait()
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("%s, %s doesn't start: %w", s.logger, s.how, err)
	}
	return &server{service: s, url: "http://" + strings.TrimSpace(addr), stop: stop, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}}, nil
}

const connections = 32

func (s *server) get(path string, answer any) error {
	resp, err := s.client.Get(s.url + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer != nil {
		return json.NewDecoder(resp.Body).Decode(answer)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// load sends n requests at the rate. When each one is sent is fixed beforehand, whatever has become
// of those before it, and its latency counts from then: waiting for a free connection is in it.
func (s *server) load(n int) (latencies []time.Duration, err error) {
	latencies = make([]time.Duration, n)
	due := make(chan int, n)
	start := time.Now()
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second / time.Duration(*rate)) }
	var all sync.WaitGroup
	var failed sync.Once
	for range connections {
		all.Go(func() {
			for i := range due {
				if e := s.get("/orders/7", nil); e != nil {
					failed.Do(func() { err = e })
				}
				latencies[i] = time.Since(at(i))
			}
		})
	}
	for i := range n {
		sleep(time.Until(at(i)))
		due <- i
	}
	close(due)
	all.Wait()
	return latencies, err
}

// round measures n requests.
func (s *server) round(n int) error {
	var before, after usage
	if err := s.get("/usage", &before); err != nil {
		return err
	}
	latencies, err := s.load(n)
	if err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond) // for the tasks of the last requests
	if err := s.get("/usage", &after); err != nil {
		return err
	}
	slices.Sort(latencies)
	s.cpu = append(s.cpu, float64((after.CPU-before.CPU).Microseconds())/float64(n))
	s.allocs = append(s.allocs, float64(after.Mallocs-before.Mallocs)/float64(n))
	s.p50 = append(s.p50, float64(latencies[n/2].Microseconds())/1000)
	s.p99 = append(s.p99, float64(latencies[n*99/100].Microseconds())/1000)
	if s.requests == 0 {
		s.begin = before
	}
	s.last, s.requests = after, s.requests+n
	s.gc = (s.last.GC - s.begin.GC) / (s.last.CPU - s.begin.CPU).Seconds()
	return nil
}

// measureService sends each service n requests in each round, in an order that is drawn anew.
func measureService(rounds, n, heap int) (servers []*server, err error) {
	for _, s := range services {
		running, err := startServer(s, heap)
		if err != nil {
			return nil, err
		}
		defer running.stop()
		if _, err := running.load(min(n, 500)); err != nil { // connections, pools and caches
			return nil, err
		}
		servers = append(servers, running)
	}
	for range rounds {
		for _, i := range rand.Perm(len(servers)) {
			if err := servers[i].round(n); err != nil {
				return nil, err
			}
		}
	}
	return servers, nil
}

// serviceTable returns what RESULTS.md has of services. They are measured in pairs.
func serviceTable(servers []*server, heap int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## A whole service\n\nnet/http in a process of its own, on loopback, JSON to a file. A request writes 20 lines: %d in its handler, %d in a task that it starts and doesn't wait for, "+
		"and one at the end; with its id, method and route, and two fields more. By hand there is a child logger for the request and one for the task, which are passed along, and a ResponseWriter that remembers the status. "+
		"taskscope is `httpscope.Handler`, `scope.Set` and `scope.Go`. %d requests a second come at times that are fixed beforehand, and latencies count from then. "+
		"CPU is what getrusage says of the server, × the median of its ratios round by round; GC is the collector's share of it, and how many collections there were: the server holds %d MB. "+
		"Of what taskscope takes more, a few microseconds are what the tables above say of a request, its scopes and 20 lines. The rest is code and memory that a request touches once in a millisecond, when the caches have lost it.\n\n"+
		"| logger | fields | CPU a request | × | to reach | p50 | p99 | allocs a request | GC |\n|---|---|---|---|---|---|---|---|---|\n", ownLines, taskLines, *rate, heap)
	for i, s := range servers {
		pair := servers[i/2*2]
		x := compare([][]float64{pair.cpu, s.cpu}, 1, 1)[0]
		must := 0.0
		if s.how == byScope {
			must = 1.04
		}
		fmt.Fprintf(&b, "| %s | %s | %.0f µs | %.2f | %s | %.2f ms | %.2f ms | %.0f | %.2f %%, %d |\n", s.logger, s.how, median(s.cpu), x, strings.Trim(verdict(x, must), " ()"), median(s.p50), median(s.p99), median(s.allocs), 100*s.gc, s.last.Cycles-s.begin.Cycles)
	}
	return b.String()
}
