package main

import (
	"bytes"
	"fmt"
	"io"
	"runtime/pprof"
	"runtime/trace"
	"sync"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
)

// watch takes profiles, traces and dumps, one after the other and over and over, until
// the function that it returns is called, which says how many of each. None may fail.
func watch() (stop func() string) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	var cpu, goroutine, traced, dumped int
	every := func(pause time.Duration, fn func()) {
		wg.Go(func() {
			for {
				fn()
				select {
				case <-done:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	every(time.Millisecond, func() {
		must(pprof.StartCPUProfile(io.Discard))
		select {
		case <-done:
		case <-time.After(500 * time.Millisecond):
		}
		pprof.StopCPUProfile()
		cpu++
	})
	every(5*time.Millisecond, func() {
		var text bytes.Buffer
		must(pprof.Lookup("goroutine").WriteTo(&text, goroutine%3))
		goroutine++
	})
	every(time.Millisecond, func() {
		must(trace.Start(io.Discard))
		select {
		case <-done:
		case <-time.After(200 * time.Millisecond):
		}
		trace.Stop()
		traced++
	})
	every(100*time.Millisecond, func() {
		written, err := testkit.WriteHeapDump()
		must(err)
		if written {
			dumped++
		}
	})
	return func() string {
		close(done)
		wg.Wait()
		return fmt.Sprintf("watched: %d CPU profiles, %d goroutine profiles, %d execution traces, %d heap dumps", cpu, goroutine, traced, dumped)
	}
}
