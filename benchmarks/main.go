// Command benchmarks measures taskscope and its peers side by side, in one process and
// in interleaved rounds, and writes RESULTS.md with a chart for each table.
//
// Absolute times depend on the machine and on what else it does; the ratio of two rows
// of one table, taken in the same rounds, hardly does. So ratios are what it reports.
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// A row is one way to do the thing that its table is about.
type row struct {
	name string
	must float64 // the ratio to reach, or 0 if there is none
	run  func(n int)
}

// A table compares rows with its first.
type table struct {
	name, about string
	rows        []row
	note        string // why a ratio that must be reached isn't, if so
}

// A result is what was measured of a row.
type result struct {
	row
	ns            float64 // median
	ratio         float64 // median of the ratios to the first row, round by round
	bytes, allocs float64
}

func main() {
	rounds := flag.Int("rounds", 41, "how many times each row is timed")
	slice := flag.Duration("slice", 4*time.Millisecond, "how long a row is timed in a round, about")
	out := flag.String("out", ".", "the folder to write RESULTS.md and the charts to")
	ballast := flag.Int("heap", 64, "the megabytes that the process holds meanwhile, as a service would")
	only := flag.String("only", "", "the name of the only table to measure")
	flag.Parse()
	log.SetFlags(0)
	if err := os.MkdirAll(filepath.Join(*out, "charts"), 0o755); err != nil {
		log.Fatal(err)
	}
	// A service has a heap. With next to none the collector would start every 4 MB, and what
	// is measured would be its write barriers.
	heap := make([]byte, *ballast<<20)
	defer runtime.KeepAlive(heap)
	var report report
	for _, t := range tables() {
		if *only != "" && t.name != *only {
			continue
		}
		results := measure(t, *rounds, *slice)
		for _, r := range results {
			fmt.Printf("%-44s %-44s %10.1f ns %6.2f × %7.0f B %5.1f allocs\n", t.name, r.name, r.ns, r.ratio, r.bytes, r.allocs)
		}
		report.add(t, results)
	}
	if *only != "" {
		return
	}
	for _, f := range figures(*rounds) {
		fmt.Printf("%-90s %8.2f %s\n", f.name, f.value, f.unit)
		report.figures = append(report.figures, f)
	}
	if err := report.write(*out, *rounds, *ballast); err != nil {
		log.Fatal(err)
	}
}

// measure times each row of t in each round, in an order that is drawn anew, so that
// whatever the machine does meanwhile falls on all rows alike.
func measure(t table, rounds int, slice time.Duration) []result {
	counts := make([]int, len(t.rows))
	times := make([][]float64, len(t.rows))
	for i, r := range t.rows {
		counts[i] = calibrate(r.run, slice)
	}
	for range rounds {
		for _, i := range rand.Perm(len(t.rows)) {
			start := time.Now()
			t.rows[i].run(counts[i])
			times[i] = append(times[i], float64(time.Since(start).Nanoseconds())/float64(counts[i]))
		}
	}
	results := make([]result, len(t.rows))
	for i, r := range t.rows {
		ratios := make([]float64, rounds)
		for j := range ratios {
			ratios[j] = times[i][j] / times[0][j]
		}
		results[i] = result{row: r, ns: median(times[i]), ratio: median(ratios)}
		results[i].bytes, results[i].allocs = memory(r.run, counts[i])
	}
	return results
}

// calibrate returns how many repetitions of run take about as long as slice.
func calibrate(run func(n int), slice time.Duration) int {
	for n := 1; ; n *= 2 {
		start := time.Now()
		run(n)
		if d := time.Since(start); d >= slice/2 {
			return max(1, int(float64(n)*float64(slice)/float64(d)))
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

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}
