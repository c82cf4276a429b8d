package scope

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// A task is one unit of work. Its scopes point at it; it points at nothing, and its address
// is its identity. The state of a task that a bare Set began is bare, for ever: it has no end
// that could be seen, and main's lines must not be called late because some Go that main
// started is done. The state of any other is how many Runs, Go goroutines and Wrapped calls
// are going on, and entered once there has been one.
type task struct{ state atomic.Uint64 }

const (
	bare    = 1 << 63
	entered = 1 << 62
)

// beginBare is for a task that nobody else has seen.
func (t *task) beginBare() { t.state.Store(bare) }

func (t *task) isBare() bool { return t.state.Load() == bare }

// enter and leave bracket a Run, a Go goroutine or a Wrapped call.
func (n *node) enter() {
	if n == nil || n.task.isBare() {
		return
	}
	// In this order: nobody may see entered and none going on before the first leave.
	if n.task.state.Add(1)&entered == 0 {
		n.task.state.Or(entered)
	}
}

func (n *node) leave() {
	if n != nil && !n.task.isBare() {
		n.task.state.Add(^uint64(0))
	}
}

func (t *task) ended() bool { return t.state.Load() == entered }

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
