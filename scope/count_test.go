package scope

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
)

// Whatever the lanes count, the task is over when the last call ends, and not before.
func TestLanes(t *testing.T) {
	for name, order := range map[string][]int{ // in which the calls end; 0 is the one that the state counts
		"the state's last":   {1, 2, 3, 0},
		"the state's first":  {0, 1, 2, 3},
		"the state's second": {2, 0, 3, 1},
		"gathered before":    {2, 0, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			task := new(task)
			calls := []*atomic.Uint64{task.raise(fromHere)}
			task.spread()
			task.spread() // once is enough
			for range 3 {
				calls = append(calls, task.raise(fromHere))
			}
			if name == "gathered before" && (!task.gather() || task.gather()) {
				t.Error("the lanes weren't gathered once")
			}
			if calls[0] != &task.state || calls[1] == &task.state {
				t.Error("the first call isn't counted in the state, or the others are")
			}
			for i, call := range order {
				if got := task.running(); got != len(calls)-i {
					t.Errorf("%d calls are going on, not %d", got, len(calls)-i)
				}
				last := i == len(order)-1
				if over := task.lower(calls[call]); over != last || task.ended() != last {
					t.Errorf("when %d calls have ended the task is over: %v, %v", i+1, over, task.ended())
				}
			}
			if task.raise(late) != nil {
				t.Error("a task that is over was entered by a late call")
			}
			if again := task.raise(inTime); again != &task.state || task.ended() || !task.lower(again) || !task.ended() {
				t.Error("the task can't be entered again")
			}
			// Lanes that were gathered are done with, and the task may get others.
			first := task.raise(inTime)
			task.spread()
			if second := task.raise(inTime); second == &task.state || task.lower(first) || !task.lower(second) || task.running() != 0 {
				t.Error("the task can't have lanes again")
			}
		})
	}
}

// Lanes may be closed before they are opened, by whoever leaves meanwhile.
func TestLanesThatAreClosedFirst(t *testing.T) {
	task, l := new(task), newLanes()
	task.ensureExtras().lanes.Store(l)
	task.state.Store(entered + spread + 1)
	if !task.gather() || task.running() != 1 {
		t.Errorf("%d calls are going on, not 1", task.running())
	}
	l.open()
	second := task.raise(fromHere)
	if second != &task.state || task.lower(&task.state) || !task.lower(second) {
		t.Error("a lane is open that nobody will close")
	}
}

// Goroutines that enter and leave a task at random see it end once, when none of them is inside.
func TestLanesOfManyGoroutines(t *testing.T) {
	rounds := 20_000
	if testkit.Race || testing.Short() {
		rounds = 1_000
	}
	spreads := 0
	for round := range rounds {
		task := new(task)
		var inside, overs atomic.Int64
		enter := func() *atomic.Uint64 {
			n := task.raise(late)
			if n != nil {
				inside.Add(1)
			}
			return n
		}
		leave := func(n *atomic.Uint64) {
			inside.Add(-1)
			if task.lower(n) {
				overs.Add(1)
				if n := inside.Load(); n != 0 || !task.ended() {
					t.Errorf("the task is over with %d inside", n)
				}
			}
		}
		first := enter()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 20 {
					outer := enter()
					if outer == nil {
						return
					}
					if (i+j+round)%7 == 0 {
						task.spread()
					}
					inner := enter()
					if inner == nil {
						t.Error("a task that is going on was taken for one that is over")
						return
					}
					leave(outer)
					leave(inner)
				}
			})
		}
		if round%2 == 0 {
			wg.Wait()
		}
		leave(first)
		wg.Wait()
		if overs.Load() != 1 || !task.ended() || task.running() != 0 {
			t.Fatalf("round %d: the task was over %d times, and %d calls are going on", round, overs.Load(), task.running())
		}
		if w := task.extras.Load(); w != nil && w.lanes.Load() != nil {
			spreads++
		}
	}
	if spreads == 0 {
		t.Error("no task had lanes")
	}
}
