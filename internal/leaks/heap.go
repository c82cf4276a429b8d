package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/taskscope/taskscope/internal/results"
	"github.com/taskscope/taskscope/scope"
)

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
	output, err := results.Command(nil, self, "-byhand", "-n", strconv.Itoa(n))
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
