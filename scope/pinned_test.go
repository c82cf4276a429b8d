package scope_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// A bulk is a value whose memory can be seen to go.
type bulk [1 << 10]byte

// live returns the numbers of the values that are still in memory after ten collections.
// What nothing holds is gone by then, but for what a finalizer has held.
func live(values *testkit.Probe[bulk]) []int {
	values.LeftWithin(0, 0)
	return values.Live()
}

//go:noinline
func burnPinned(until func() bool) { burn(until) }

// startCPUProfile returns what stops the profile and returns it.
func startCPUProfile(t *testing.T) (stop func() []byte) {
	t.Helper()
	if runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("there is no CPU profile on " + runtime.GOOS)
	}
	var buf bytes.Buffer
	if err := pprof.StartCPUProfile(&buf); err != nil {
		t.Skip(err) // the test itself is being profiled
	}
	return func() []byte {
		pprof.StopCPUProfile()
		return buf.Bytes()
	}
}

// A CPU profile holds the label sets of its samples until it has been written, and a
// scope lives in a label set: the scopes of goroutines that were sampled are kept so
// long, those of others aren't. The portable path has nothing in the slot under a Run.
func TestACPUProfileKeepsTheScopesThatItHasSampledUntilItStops(t *testing.T) {
	const burners, goroutines = 4, 40 // the others end at once
	onEachPath(t, func(t *testing.T, p path) {
		// On a busy machine a short profile may have no sample.
		for length := 20 * time.Millisecond; ; length *= 2 {
			stop := startCPUProfile(t)
			var values testkit.Probe[bulk]
			for i := range goroutines {
				value := values.Watch(new(bulk))
				done := make(chan struct{})
				go func() {
					defer close(done)
					// A label of other code tells in the profile which goroutine it was.
					pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("goroutine", fmt.Sprint(i))))
					scope.New("value", value).Run(func() {
						end := time.Now()
						if i < burners {
							end = end.Add(length)
						}
						burnPinned(func() bool { return !time.Now().Before(end) })
					})
				}()
				<-done
			}
			kept := live(&values)
			prof := parse(t, stop())

			burned, sampled := map[int]bool{}, map[int]bool{}
			labels, _ := labelsOf(prof, "burnPinned")
			for i := range goroutines {
				burned[i] = labels[fmt.Sprint("goroutine:", i)]
				for _, s := range prof.Sample {
					sampled[i] = sampled[i] || sampleLabels(s)["goroutine"] == fmt.Sprint(i)
				}
			}
			if len(labels) == 0 && length < 3*time.Second {
				continue
			}
			if len(labels) == 0 {
				t.Fatal("the profile has no sample")
			}
			for i := range goroutines {
				// A sample taken outside of Run doesn't count, one in Run that isn't in fn does.
				if p.labels && burned[i] && !slices.Contains(kept, i) {
					t.Errorf("goroutine %d was sampled, and its scope was not kept", i)
				}
				if slices.Contains(kept, i) && (!p.labels || !sampled[i]) {
					t.Errorf("the scope of goroutine %d was kept; sampled: %v", i, sampled[i])
				}
			}
			values.WantFreed(t, "at the end")
			return
		}
	})
}

// What a bare Set binds is kept likewise, on the portable path too: there the label set
// of a goroutine tells when the goroutine is gone.
func TestACPUProfileKeepsWhatABareSetBoundUntilItStops(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		for length := 50 * time.Millisecond; ; length *= 2 {
			stop := startCPUProfile(t)
			var values testkit.Probe[bulk]
			value := values.Watch(new(bulk))
			done := make(chan struct{})
			go func() {
				defer close(done)
				scope.Set("value", value)
				end := time.Now().Add(length)
				burnPinned(func() bool { return time.Now().After(end) })
			}()
			<-done
			value = nil
			kept := live(&values)
			if _, n := labelsOf(parse(t, stop()), "burnPinned"); n == 0 && length < 3*time.Second {
				continue
			} else if n == 0 {
				t.Fatal("the profile has no sample")
			}
			if len(kept) == 0 {
				t.Error("the goroutine was sampled, and its scope was not kept")
			}
			values.WantFreed(t, "at the end")
			return
		}
	})
}

// Execution traces and flight recorders record no labels, also not with the samples of a CPU
// profile that runs beside them. The other profiles hold none once they are written, and
// those of blocking record none.
func TestTracesDumpsAndOtherProfilesKeepNoScope(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		if err := trace.Start(io.Discard); err != nil {
			t.Skip(err) // the test itself is being traced
		}
		defer trace.Stop()
		recorder := trace.NewFlightRecorder(trace.FlightRecorderConfig{})
		if err := recorder.Start(); err != nil {
			t.Fatal(err)
		}
		defer recorder.Stop()
		runtime.SetBlockProfileRate(1)
		defer runtime.SetBlockProfileRate(0)
		defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))

		profiled := runtime.GOOS != "js" && runtime.GOOS != "wasip1" && pprof.StartCPUProfile(io.Discard) == nil
		var values testkit.Probe[bulk]
		var ended []chan struct{}
		release := make(chan struct{})
		for i := range 8 {
			value := values.Watch(new(bulk))
			ready, done := make(chan struct{}), make(chan struct{})
			ended = append(ended, done)
			go func() {
				defer close(done)
				bound := func() {
					end := time.Now().Add(10 * time.Millisecond)
					burn(func() bool { return time.Now().After(end) })
					close(ready)
					<-release // blocked, and in the goroutine profiles
				}
				if i%2 == 0 {
					scope.Set("value", value)
					bound()
				} else {
					scope.New("value", value).Run(bound)
				}
			}()
			<-ready
		}
		for _, name := range []string{"goroutine", "threadcreate", "heap", "allocs", "block", "mutex"} {
			for debug := range 3 {
				if err := pprof.Lookup(name).WriteTo(io.Discard, debug); err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := testkit.WriteHeapDump(); err != nil {
			t.Error(err)
		}
		if alive := live(&values); len(alive) != values.Len() {
			t.Errorf("%d of %d values are there while their goroutines are", len(alive), values.Len())
		}
		close(release)
		for _, done := range ended {
			<-done
		}
		if profiled {
			pprof.StopCPUProfile()
		}
		// The trace and the recorder are still running.
		values.WantFreed(t, "at the end")
		if !trace.IsEnabled() || !recorder.Enabled() {
			t.Error("the trace or the recorder has ended before")
		}
	})
}
