package testkit

import (
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"
)

// A Probe watches objects without keeping them alive. Goroutines may share it. The zero
// Probe watches nothing and is ready to use; it must not be copied.
type Probe[T any] struct {
	mu      sync.Mutex
	watched []weak.Pointer[T]
}

// Watch adds an object and returns it. It should be no small one without pointers: those
// share a block of memory with others, which keep it.
func (p *Probe[T]) Watch(object *T) *T {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched = append(p.watched, weak.Make(object))
	return object
}

// Len returns how many objects were watched.
func (p *Probe[T]) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watched)
}

// Live returns the numbers of the objects that are in memory now, in the order of Watch,
// counted from 0. It collects no garbage.
func (p *Probe[T]) Live() (numbers []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.watched {
		if w.Value() != nil {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// Left collects garbage until at most want objects are in memory, for five seconds at most,
// and returns how many are.
func (p *Probe[T]) Left(want int) int { return p.LeftWithin(want, 5*time.Second) }

// LeftWithin is Left with another patience. It collects ten times at least: pools take two
// collections to empty, finalizers and cleanups one more, and some time.
func (p *Probe[T]) LeftWithin(want int, patience time.Duration) (n int) {
	start := time.Now()
	for round := 0; round < 10 || time.Since(start) < patience; round++ {
		runtime.GC()
		if n = len(p.Live()); n <= want {
			break
		}
		if round > 2 {
			time.Sleep(time.Millisecond) // on js, finalizers don't run before the event loop does
		}
	}
	return n
}

// WantFreed collects garbage until no object is in memory. If some stay, the test fails;
// when is a part of its message.
func (p *Probe[T]) WantFreed(t testing.TB, when string) {
	t.Helper()
	if n := p.LeftWithin(0, Patience); n > 0 {
		t.Errorf("%d of %d objects are not freed %s", n, p.Len(), when)
	}
}

// Eventually collects garbage until cond holds. If it never does, the test ends.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s", what)
		}
		runtime.GC()
		time.Sleep(10 * time.Microsecond)
	}
}
