package scope

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// A task is one unit of work. Its scopes point at it; it points at nothing. The state of
// one that was begun by a bare Set is bare, and a name if it has any: such a task has no end
// that could be seen, and main's lines must not be called left behind because some Go that
// main started is done. Of any other it is how many Runs, Go goroutines and Wrapped calls are
// going on, and entered once there has been one.
type task struct {
	_     [0]atomic.Uint64 // which is aligned also where a uint64 isn't
	state uint64
}

const (
	bare    = 1 << 63
	entered = 1 << 62
)

// beginBare is for a task that nobody else has seen.
func (t *task) beginBare() { t.state = bare }

func (t *task) isBare() bool { return atomic.LoadUint64(&t.state)&bare != 0 }

// copyTo makes u, which nobody else has seen, t again, if that is bare: by its name, which
// is drawn when it is first asked for.
func (t *task) copyTo(u *task) {
	if atomic.LoadUint64(&t.state) == bare {
		atomic.CompareAndSwapUint64(&t.state, bare, bare|rand.Uint64())
	}
	u.state = atomic.LoadUint64(&t.state)
}

// same reports whether t and u are one task.
func (t *task) same(u *task) bool {
	s := atomic.LoadUint64(&t.state)
	return t == u || s > bare && s == atomic.LoadUint64(&u.state)
}

// enter and leave bracket a Run, a Go goroutine or a Wrapped call.
func (n *node) enter() {
	if n == nil || n.task.isBare() {
		return
	}
	// In this order: nobody may see entered and none going on before the first leave.
	if s := atomic.AddUint64(&n.task.state, 1); s&entered == 0 {
		atomic.OrUint64(&n.task.state, entered)
	}
}

func (n *node) leave() {
	if n != nil && !n.task.isBare() {
		atomic.AddUint64(&n.task.state, ^uint64(0))
	}
}

func (t *task) ended() bool { return atomic.LoadUint64(&t.state) == entered }

// spawned counts the goroutines of all Go calls that haven't ended.
var spawned atomic.Int64

// wait polls, as net/http's Server.Shutdown does. A channel that the last goroutine
// closes would tie waiter and goroutine together: one inside a testing/synctest bubble
// and one outside would end the program.
func wait(ctx context.Context) error {
	pause := time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		n := spawned.Load()
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("scope: goroutines started by Go that haven't ended: %d: %w", n, context.Cause(ctx))
		case <-timer.C:
			pause = min(2*pause, 50*time.Millisecond)
			timer.Reset(pause)
		}
	}
}
