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
// are going on, and entered once there has been one: see lanes.
type task struct {
	state atomic.Uint64
	whole atomic.Pointer[whole] // nil until there is something in it
}

// A whole is what belongs to a task as a whole. Most have none of it, so tasks are small.
type whole struct {
	totals atomic.Pointer[total] // the oldest
	shared atomic.Pointer[node]  // nil until something is shared
	lanes  atomic.Pointer[lanes] // nil until goroutines have collided
	atEnd  atomic.Pointer[func()]
}

// over is the whole of tasks that had none when their last line was written.
var over = func() *whole {
	w := new(whole)
	w.totals.Store(sealed)
	return w
}()

// has returns the whole of t, and makes one if there is none.
func (t *task) has() *whole {
	for {
		w := t.whole.Load()
		if w != nil && w != over {
			return w
		}
		own := new(whole)
		if w == over {
			own.totals.Store(sealed)
		}
		if t.whole.CompareAndSwap(w, own) {
			return own
		}
	}
}

// shared returns the shared fields of t. It may be nil.
func (t *task) shared() *node {
	if w := t.whole.Load(); w != nil {
		return w.shared.Load()
	}
	return nil
}

// beginBare is for a task that nobody else has seen.
func (t *task) beginBare() { t.state.Store(bare) }

func (t *task) isBare() bool { return t.state.Load() == bare }

// enter and leave bracket a Run, a Go goroutine or a Wrapped call; leave is called if enter
// hasn't returned nil, and with what it has returned.
func (n *node) enter(how entering) (counted *atomic.Uint64) {
	if n == nil {
		return nil
	}
	return n.task.raise(how)
}

// An entering says whether a task that is over may be entered again.
type entering uint8

const (
	// Not by a goroutine that it has left behind: one that serves others by now would make it
	// look live to its lines.
	fromHere entering = iota
	inTime            // yes
	late              // no
)

func (n *node) leave(counted *atomic.Uint64) {
	if !n.task.lower(counted) {
		return
	}
	if w := n.task.whole.Load(); w != nil && w.atEnd.Load() != nil {
		if fn := w.atEnd.Swap(nil); fn != nil {
			// On a goroutine of its own: whoever leaves last may hold a lock that fn needs.
			Scope{}.Go(*fn)
		}
	}
}

func (n *node) in(t *task) bool { return n != nil && n.task == t }

func (t *task) ended() bool { return t.state.Load() == entered }

// spawned and bubbled count the goroutines of Go calls that haven't ended. bubbled has those
// that a testing/synctest bubble runs.
var spawned, bubbled atomic.Int64

// ended gets an element, if it has none, when one of these goroutines ends. It is made outside
// of any bubble, so that it can be used in all.
var ended = make(chan struct{}, 1)

func counter() *atomic.Int64 {
	if inBubble() {
		return &bubbled
	}
	return &spawned
}

// signalEnded wakes one wait.
func signalEnded() {
	select {
	case ended <- struct{}{}:
	default:
	}
}

func wait(ctx context.Context) error {
	_, limited := ctx.Deadline()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		n := spawned.Load() + bubbled.Load()
		if n == 0 {
			signalEnded() // another wait may be there
			return nil
		}
		wake, clock := ended, (<-chan time.Time)(nil)
		if inBubble() && (limited || bubbled.Load() > 0) {
			// The clock of a bubble stands still while one of its goroutines waits for something
			// outside. Goroutines in here, and the deadline of ctx, need it to run.
			wake, clock = nil, time.After(pause)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("scope: goroutines started by Go that haven't ended: %d: %w", n, context.Cause(ctx))
		case <-wake:
		case <-clock:
		}
	}
}

// inBubble reports whether a testing/synctest bubble runs this goroutine: its clock begins in
// the year 2000.
func inBubble() bool { return time.Now().Unix() < start }

var start = time.Now().Unix()
