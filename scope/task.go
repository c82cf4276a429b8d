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
// started is done. The state of any other task is how many Runs, Go goroutines and Wrapped calls
// are going on, and has the bit entered once there has been one: see lanes.
type task struct {
	state  atomic.Uint64
	extras atomic.Pointer[extras] // nil until there is something in it
}

// extras has what only some tasks need. It is apart from the task, so that most tasks are small.
type extras struct {
	totals atomic.Pointer[total] // the oldest
	shared atomic.Pointer[node]  // nil until something is shared
	lanes  atomic.Pointer[lanes] // nil until goroutines have collided
	atEnd  atomic.Pointer[func()]
}

// sealedExtras are the extras of all tasks that had none when their last line was written.
var sealedExtras = func() *extras {
	x := new(extras)
	x.totals.Store(sealed)
	return x
}()

// ensureExtras returns the extras of t, and makes them if there are none.
func (t *task) ensureExtras() *extras {
	for {
		x := t.extras.Load()
		if x != nil && x != sealedExtras {
			return x
		}
		own := new(extras)
		if x == sealedExtras {
			own.totals.Store(sealed)
		}
		if t.extras.CompareAndSwap(x, own) {
			return own
		}
	}
}

// shared returns the shared fields of t. It may be nil.
func (t *task) shared() *node {
	if x := t.extras.Load(); x != nil {
		return x.shared.Load()
	}
	return nil
}

// beginBare is for a task that nobody else has seen.
func (t *task) beginBare() { t.state.Store(bare) }

func (t *task) isBare() bool { return t.state.Load() == bare }

// enter and leave bracket a Run, a Go goroutine or a Wrapped call. leave takes what enter has
// returned, and isn't called if that is nil.
func (n *node) enter(how entering) (counted *atomic.Uint64) {
	if n == nil {
		return nil
	}
	return n.task.raise(how)
}

// An entering says whether a task that is over may be entered again.
type entering uint8

const (
	// Yes, but not by a goroutine that the task has left behind: that may serve other tasks by
	// now, and its lines would no longer say that they are late.
	fromHere entering = iota
	inTime            // yes
	late              // no
)

func (n *node) leave(counted *atomic.Uint64) {
	if !n.task.lower(counted) {
		return
	}
	if x := n.task.extras.Load(); x != nil && x.atEnd.Load() != nil {
		if fn := x.atEnd.Swap(nil); fn != nil {
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
			signalEnded() // there may be another wait
			return nil
		}
		wake, clock := ended, (<-chan time.Time)(nil)
		if inBubble() && (limited || bubbled.Load() > 0) {
			// The clock of a bubble stands still while one of its goroutines waits for something
			// outside. The bubble's goroutines and the deadline of ctx need it to run.
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

// inBubble reports whether a testing/synctest bubble runs this goroutine: a bubble's clock starts
// in the year 2000.
func inBubble() bool { return time.Now().Unix() < start }

var start = time.Now().Unix()
