package scope

import (
	"sync/atomic"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// The state of a task counts the calls of Run, Go and Wrap that are going on. Goroutines that enter
// and leave one task all the time would wait for each other's cache line. So when some have collided,
// the task gets lanes: from then on calls are counted there, each in a cache line that the goroutine
// has mostly for itself. What the state has counted before keeps the task live. When the last of that
// ends, the lanes are closed and their counts are moved to the state, so a task ends in one place, at
// one moment. If goroutines collide again, it gets other lanes.
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

	closed   = 1 << 63 // instead of a lane's count, for good
	unopened = closed + 1
)

// raise counts a call that begins, and returns where. It returns nil if the task is bare, or over and
// may not be entered as how says.
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

// lower counts a call that ends; n is what raise has returned. It reports whether the task is over
// with it.
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
	if w := t.whole.Load(); w != nil {
		if l := w.lanes.Load(); l != nil {
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
	w := t.has()
	old := w.lanes.Load()
	if old != nil && !old.gathered.Load() {
		return
	}
	l := newLanes()
	t.state.Add(spread)
	if !w.lanes.CompareAndSwap(old, l) {
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

// gather closes the lanes and moves their counts to the state. It returns false if that has been
// begun elsewhere: whoever does it is still counted in the state, and until it is done the state has
// spread, so calls that were counted in a closed lane may be taken from it before they are in it.
func (t *task) gather() bool {
	l := t.whole.Load().lanes.Load()
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
	if w := t.whole.Load(); w != nil {
		if l := w.lanes.Load(); l != nil {
			for i := range l.lane {
				if v := l.lane[i].n.Load(); v&closed == 0 {
					n += int64(v)
				}
			}
		}
	}
	return int(max(0, n))
}
