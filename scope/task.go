package scope

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// A task is one unit of work. Its scopes point at it; it points at nothing.
type task struct {
	live    atomic.Int64 // the Runs, Go goroutines and Wrapped calls that are going on
	entered atomic.Bool  // there has been one
}

// enter and leave bracket a Run, a Go goroutine or a Wrapped call. A task begun by a
// bare Set has no end that could be seen: main's lines must not be called left behind
// because some Go that main started is done.
func (n *node) enter() {
	if n == nil || n.task == nil {
		return
	}
	// In this order: nobody may see entered and not live before the first leave.
	n.task.live.Add(1)
	if !n.task.entered.Load() {
		n.task.entered.Store(true)
	}
}

func (n *node) leave() {
	if n != nil && n.task != nil {
		n.task.live.Add(-1)
	}
}

func (t *task) ended() bool { return t != nil && t.live.Load() == 0 && t.entered.Load() }

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
