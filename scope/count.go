package scope

import (
	"sync/atomic"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// The state of a task counts the calls of Run, Go and Wrap that are going on. Goroutines that keep
// entering and leaving one task would contend for its cache line. So once some have collided, the
// task gets lanes: from then on calls are counted there, each in a cache line that its goroutine
// has mostly to itself. The calls that the state has counted before keep the task live. When the
// last of them ends, the lanes are closed and their counts are moved to the state, so a task ends
// in one place, at one moment. If goroutines collide again, it gets new lanes.
type lanes struct {
	lane     [8]lane
	gathered atomic.Bool
}

type lane struct {
	n atomic.Uint64
	_ [56]byte // a cache line each
}

const (
	bare    = 1 << 63
	entered = 1 << 62
	spread  = 1 << 40 // is in the state from before lanes are opened until their counts are moved there

	closed   = 1 << 63 // takes the place of a lane's count, for good
	unopened = closed + 1
)

// raise counts a call that begins, and returns where it is counted. It returns nil if the task is
// bare, or if it is over and how doesn't let it be entered again.
func (t *task) raise(how entering) *atomic.Uint64 {
	if n := t.lane(); n != nil && add(n, 1) {
		return n
	}
	for tries := 0; ; tries++ {
		state := t.state.Load()
		if state == bare || state == entered && (how == late || how == fromHere && bound().in(t)) {
			return nil
		}
		if t.state.CompareAndSwap(state, (state|entered)+1) {
			if tries > 1 {
				t.spread()
			}
			return &t.state
		}
	}
}

// lower counts a call that ends; n is what raise has returned. It reports whether that ends the
// task.
func (t *task) lower(n *atomic.Uint64) (over bool) {
	if n != &t.state && add(n, ^uint64(0)) {
		return false
	}
	for {
		state := t.state.Load()
		if state == entered+spread+1 && t.gather() {
			continue
		}
		if t.state.CompareAndSwap(state, state-1) {
			return state-1 == entered
		}
	}
}

// lane returns where the running goroutine counts, or nil if there are no lanes.
func (t *task) lane() *atomic.Uint64 {
	if x := t.extras.Load(); x != nil {
		if l := x.lanes.Load(); l != nil {
			return &l.lane[carrier.Stripe()%uintptr(len(l.lane))].n
		}
	}
	return nil
}

// add adds delta to a lane's count. It returns false if the lane isn't open.
func add(n *atomic.Uint64, delta uint64) bool {
	for {
		v := n.Load()
		if v&closed != 0 {
			return false
		}
		if n.CompareAndSwap(v, v+delta) {
			return true
		}
	}
}

// spread gives t lanes, if it has none that are in use. The caller is counted in the state.
func (t *task) spread() {
	x := t.ensureExtras()
	old := x.lanes.Load()
	if old != nil && !old.gathered.Load() {
		return
	}
	l := newLanes()
	t.state.Add(spread)
	if !x.lanes.CompareAndSwap(old, l) {
		t.state.Add(^uint64(spread - 1))
		return
	}
	l.open()
}

func newLanes() *lanes {
	l := new(lanes)
	for i := range l.lane {
		l.lane[i].n.Store(unopened)
	}
	return l
}

// open opens those lanes that haven't been closed already.
func (l *lanes) open() {
	for i := range l.lane {
		l.lane[i].n.CompareAndSwap(unopened, 0)
	}
}

// gather closes the lanes and moves their counts to the state. It returns false if another
// goroutine has begun to: that one is still counted in the state, and until it is done the state
// has spread. So a call that was counted in a closed lane may be subtracted from the state before
// the lane's count has been added to it.
func (t *task) gather() bool {
	l := t.extras.Load().lanes.Load()
	if l.gathered.Swap(true) {
		return false
	}
	sum := uint64(0)
	for i := range l.lane {
		if v := l.lane[i].n.Swap(closed); v != unopened {
			sum += v
		}
	}
	t.state.Add(sum - spread)
	return true
}

// running returns about how many calls are going on: exactly, if none begins or ends meanwhile.
func (t *task) running() int {
	n := int64(t.state.Load()+spread/2)&(spread-1) - spread/2 // it may be below zero while lanes are gathered
	if x := t.extras.Load(); x != nil {
		if l := x.lanes.Load(); l != nil {
			for i := range l.lane {
				if v := l.lane[i].n.Load(); v&closed == 0 {
					n += int64(v)
				}
			}
		}
	}
	return int(max(0, n))
}
