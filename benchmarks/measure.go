package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A result is what was measured of a row.
type result struct {
	row
	ns            float64   // median
	ratios        []float64 // median of the ratios to each reference, round by round
	smallNS       float64   // both with next to no heap
	small         []float64
	bytes, allocs float64
	byteRatio     float64 // bytes to those of the first row
	cores         float64 // how much more two cores do than one; 0 if that isn't measured
}

// measuring says how rows are measured.
type measuring struct {
	rounds int
	slice  time.Duration // how long a row is timed in a round
	heap   int           // in megabytes
	plain  bool          // with one heap and on one core only
}

// processes says in how many the rows that go through a connection are measured. From one to the
// next the ratio of two such rows changes by some 0.05, with the same code.
const processes = 15

// measureApart measures t in that many processes, and returns the medians of what they say. A row
// that goes through a connection takes some 30 µs: in the slice of the others it would hardly have
// warmed the caches of client, server and kernel.
func (m measuring) measureApart(t table) ([]result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	each := make([][]said, len(t.rows)) // by row and process
	for range processes {
		cmd := exec.Command(self, "-rounds", fmt.Sprint(max(1, m.rounds/20)), "-slice", fmt.Sprint(5*m.slice), "-heap", fmt.Sprint(m.heap), "table", t.name)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		var rows []said
		if err := json.Unmarshal(out, &rows); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		for i, f := range rows {
			each[i] = append(each[i], f)
		}
	}
	results := make([]result, len(t.rows))
	for i, row := range t.rows {
		of := func(figure func(said) float64) float64 {
			var all []float64
			for _, f := range each[i] {
				all = append(all, figure(f))
			}
			return median(all)
		}
		results[i] = result{
			row: row, ns: of(func(f said) float64 { return f.NS }), ratios: []float64{of(func(f said) float64 { return f.Ratio })},
			bytes: of(func(f said) float64 { return f.Bytes }), allocs: of(func(f said) float64 { return f.Allocs }),
		}
		results[i].byteRatio = results[i].bytes / results[0].bytes
	}
	return results, nil
}

// said is what one process says of a row.
type said struct{ NS, Ratio, Bytes, Allocs float64 }

// say measures the table of this name, and prints the figures of its rows.
func (m measuring) say(name string) error {
	for _, c := range chapters {
		for _, make := range c.tables {
			t := make()
			if t.name != name {
				continue
			}
			var rows []said
			for _, r := range m.measure(t) {
				rows = append(rows, said{r.ns, r.ratios[0], r.bytes, r.allocs})
			}
			return json.NewEncoder(os.Stdout).Encode(rows)
		}
	}
	return fmt.Errorf("there is no table %q: see -list", name)
}

func init() { children["table"] = func(m measuring) error { return m.say(flag.Arg(1)) } }

func (m measuring) measure(t table) []result {
	results := make([]result, len(t.rows))
	references := max(1, t.references)
	// A service has a heap. With next to none the collector starts every 4 MB, and what is measured
	// is its work and its write barriers.
	holding(m.heap, func() {
		counts, times := m.time(t)
		for i, r := range t.rows {
			results[i] = result{row: r, ns: median(times[i]), ratios: compare(times, i, references)}
			results[i].bytes, results[i].allocs = memory(r.run, counts[i])
			results[i].byteRatio = results[i].bytes / results[0].bytes
			if t.cores && !m.plain {
				results[i].cores = scaling(max(1, m.rounds/4), m.slice, r.run)
			}
		}
	})
	if t.smallHeap && !m.plain {
		holding(0, func() {
			_, times := m.time(t)
			for i := range t.rows {
				results[i].smallNS, results[i].small = median(times[i]), compare(times, i, references)
			}
		})
	}
	return results
}

// holding calls fn while this many megabytes more are on the heap.
func holding(megabytes int, fn func()) {
	heap := make([]byte, megabytes<<20)
	runtime.GC()
	fn()
	runtime.KeepAlive(heap)
}

// time times each row of t in each round, in an order that is drawn anew, so that whatever the
// machine does meanwhile falls on all rows alike.
func (m measuring) time(t table) (counts []int, times [][]float64) {
	counts, times = make([]int, len(t.rows)), make([][]float64, len(t.rows))
	for i, r := range t.rows {
		counts[i] = calibrate(r.run, m.slice)
	}
	for range m.rounds {
		for _, i := range rand.Perm(len(t.rows)) {
			start := time.Now()
			t.rows[i].run(counts[i])
			times[i] = append(times[i], float64(time.Since(start).Nanoseconds())/float64(counts[i]))
		}
	}
	return counts, times
}

// compare returns the ratios of a row's times to those of each reference.
func compare(times [][]float64, row, references int) (medians []float64) {
	for reference := range references {
		ratios := make([]float64, len(times[row]))
		for j := range ratios {
			ratios[j] = times[row][j] / times[reference][j]
		}
		medians = append(medians, median(ratios))
	}
	return medians
}

// calibrate returns how many repetitions of run take about as long as slice. Of three tries the
// shortest counts: the machine may have done something else meanwhile.
func calibrate(run func(n int), slice time.Duration) int {
	for n := 1; ; n *= 2 {
		shortest := time.Duration(math.MaxInt64)
		for range 3 {
			start := time.Now()
			run(n)
			shortest = min(shortest, max(1, time.Since(start)))
		}
		if shortest >= slice/2 {
			return max(1, int(float64(n)*float64(slice)/float64(shortest)))
		}
	}
}

func memory(run func(n int), n int) (bytes, allocs float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	run(n)
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)
}

// scaling returns how much more two goroutines on two cores do in the same time than one on one.
func scaling(rounds int, slice time.Duration, run func(n int)) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	n := calibrate(run, slice)
	// timed returns how long this many goroutines take from when all of them are there.
	timed := func(goroutines int) float64 {
		runtime.GOMAXPROCS(goroutines)
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

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}
