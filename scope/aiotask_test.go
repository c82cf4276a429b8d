package scope_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

// Python's aiotask-context keeps a dict in each asyncio.Task and offers get, set and
// clear on the running one's. These tests walk through what it documents, for those who
// come from there. A task factory decides there what a new task gets. Here Set is what it is
// with copying_task_factory: a child has a copy. What its two other factories are for, Share
// does, field by field.

// context.set(key, value), context.get(key) -> scope.Set, scope.Get. Setting a key again
// replaces its value.
func TestAiotaskSetAndGet(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("key", "value")
		if v, ok := scope.Get("key"); v != "value" || !ok {
			t.Errorf("Get gives %v, %v", v, ok)
		}
		scope.Set("key", 2)
		if v, _ := scope.Get("key"); v != 2 {
			t.Errorf("Get gives %v", v)
		}
	})
}

// context.get(missing) is None there. Here ok says whether the key is there, so that a
// nil that was set can be told from nothing.
func TestAiotaskGetOfAMissingKey(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		if v, ok := scope.Get("missing"); v != nil || ok {
			t.Errorf("Get gives %v, %v", v, ok)
		}
		scope.Set("none", nil)
		if v, ok := scope.Get("none"); v != nil || !ok {
			t.Errorf("Get of a nil gives %v, %v", v, ok)
		}
	})
}

// context.get(key, default) -> scope.GetOr(key, fallback), which has a type besides.
func TestAiotaskGetWithADefault(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		if got := scope.GetOr("key", "default"); got != "default" {
			t.Errorf("GetOr of a missing key gives %q", got)
		}
		scope.Set("key", "value")
		if got := scope.GetOr("key", "default"); got != "value" {
			t.Errorf("GetOr gives %q", got)
		}
	})
}

// context.clear() -> scope.Clear: all keys of this task, and no other task's.
func TestAiotaskClear(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("a", 1)
		scope.Set("b", 2)
		<-p.spawn(func() {
			scope.Clear()
			want(t, "")
			scope.Set("c", 3)
			want(t, "c=3")
		})
		want(t, "a=1 b=2")
		scope.Clear()
		want(t, "")
	})
}

// Outside of a task, get and set raise ValueError there. A goroutine is always there,
// so there is nothing to raise: Get finds nothing, Set starts a task of its own.
func TestAiotaskNoTask(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		if _, ok := scope.Get("key"); ok || scope.Current().Len() != 0 {
			t.Error("a new goroutine has fields")
		}
		scope.Clear()
		scope.Set("key", "value")
		want(t, "key=value")
	})
}

// loop.set_task_factory(copying_task_factory): a new task gets a copy of its parent's
// dict. Here that is the go statement; there is no factory to forget.
func TestAiotaskCopyOnSpawn(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("key", "parent's")
		spawned, changed := make(chan struct{}), make(chan struct{})
		done := p.spawn(func() {
			want(t, "key=parent's")
			scope.Set("key", "child's")
			scope.Set("new", 1)
			close(spawned)
			<-changed
			want(t, "key=child's new=1") // nothing of what the parent did meanwhile
		})
		<-spawned
		want(t, "key=parent's") // nothing of what the child did
		scope.Set("key", "changed")
		close(changed)
		<-done
		want(t, "key=changed")
	})
}

// The copy is one of the dict, not of the values in it: a mutable value is shared, there
// and here. Here the rule is not to change a value after it was set.
func TestAiotaskCopyIsShallow(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		value := &struct{ n int }{1}
		scope.Set("key", value)
		<-p.spawn(func() {
			if got, _ := scope.Get("key"); got != value {
				t.Errorf("the child has %v, want the same pointer", got)
			}
		})
	})
}

// What a child sets goes on to its own children.
func TestAiotaskGrandchildren(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("from", "root")
		<-p.spawn(func() {
			scope.Set("child", 1)
			<-p.spawn(func() {
				want(t, "from=root child=1")
				scope.Set("grandchild", 1)
				<-p.spawn(func() { want(t, "from=root child=1 grandchild=1") })
			})
			want(t, "from=root child=1")
		})
		want(t, "from=root")
	})
}

// asyncio.gather of many requests, each with its id and with children of its own: each
// sees the id of its own request only, however they are interleaved.
func TestAiotaskManyConcurrentTasks(t *testing.T) {
	const tasks, children = 1000, 10
	onEachPath(t, func(t *testing.T, p path) {
		var all sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]int{}
		for i := range tasks {
			all.Go(func() {
				id := fmt.Sprint("request-", i)
				scope.New("request_id", id).Run(func() {
					var done []chan struct{}
					for c := range children {
						scope.Set("child", c)
						done = append(done, p.spawn(func() {
							runtime.Gosched()
							fields := fmt.Sprintf("request_id=%s child=%d", id, c)
							want(t, fields)
							scope.Set("request_id", "of the child")
							runtime.Gosched()
							mu.Lock()
							seen[fields]++
							mu.Unlock()
						}))
					}
					for _, d := range done {
						<-d
					}
					want(t, fmt.Sprintf("request_id=%s child=%d", id, children-1))
				})
				want(t, "")
			})
		}
		all.Wait()
		if len(seen) != tasks*children {
			t.Errorf("%d different scopes were seen, want %d", len(seen), tasks*children)
		}
		waitForGo(t)
	})
}

// task_factory gives a child its parent's dict: what either sets, both have -> Share.
func TestAiotaskSharedDict(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.New().Run(func() {
			scope.Share("key", "parent's")
			<-p.spawn(func() {
				if v, _ := scope.Get("key"); v != "parent's" {
					t.Errorf("the child has %v", v)
				}
				scope.Share("key", "child's")
				scope.Share("more", 1)
			})
			if v, _ := scope.Get("key"); v != "child's" {
				t.Errorf("the parent has %v", v)
			}
			if v, _ := scope.Get("more"); v != 1 {
				t.Errorf("the parent has %v", v)
			}
		})
	})
}

// chainmap_task_factory chains a child's dict to its parent's: the child sees what the parent
// sets later, and what the child sets is its own -> the parent's Share, and the child's Set.
func TestAiotaskChainMap(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.New().Run(func() {
			scope.Share("key", "parent's")
			later, own := make(chan struct{}), make(chan struct{})
			done := p.spawn(func() {
				<-later
				if v, _ := scope.Get("key"); v != "later" {
					t.Errorf("the child has %v", v)
				}
				scope.Set("key", "child's")
				close(own)
				if v, _ := scope.Get("key"); v != "child's" {
					t.Errorf("the child has %v of its own", v)
				}
				scope.Delete("key")
				if v, _ := scope.Get("key"); v != "later" {
					t.Errorf("the child has %v when its own is gone", v)
				}
			})
			scope.Share("key", "later")
			close(later)
			<-own
			if v, _ := scope.Get("key"); v != "later" {
				t.Errorf("the parent has %v", v)
			}
			<-done
		})
	})
}
