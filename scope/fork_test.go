package scope_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskscope/taskscope/scope"
)

// ---- rule 3: Run restores ----

func TestRunRestores(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Run(func() { scope.Set("inner", 1) })
		want(t, "")
		if scope.Current() != (scope.Scope{}) {
			t.Error("Run left something bound")
		}
		scope.Set("outer", 1)
		before := scope.Current()
		scope.Run(func() {
			want(t, "outer=1")
			scope.Set("outer", 2)
			scope.New("a", 1).Run(func() {
				want(t, "a=1")
				scope.Scope{}.Run(func() {
					want(t, "")
					scope.Set("b", 1)
				})
				want(t, "a=1")
				scope.Clear()
			})
			want(t, "outer=2")
			scope.Delete("outer")
		})
		if scope.Current() != before {
			t.Errorf("bound is %q, want the very scope from before", text(scope.Current()))
		}
	})
}

func TestRunRestoresWhenFnPanics(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("outer", 1)
		s := scope.New("a", 1)
		func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("recovered %v: Run swallows no panic", got)
				}
				want(t, "outer=1")
			}()
			s.Run(func() {
				scope.Set("b", 2)
				scope.Run(func() {
					scope.Set("c", 3)
					panic("boom")
				})
			})
		}()
		want(t, "outer=1")
		if !s.Ended() {
			t.Error("the task goes on after a panic")
		}
	})
}

func TestRunRestoresOnGoexit(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		s := scope.New("a", 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			scope.Set("outer", 1)
			defer want(t, "outer=1")
			s.Run(func() {
				scope.Set("b", 2)
				runtime.Goexit()
			})
		}()
		<-done
		if !s.Ended() {
			t.Error("the task goes on after Goexit")
		}
	})
}

// ---- rule 4: fork on spawn ----

func TestChildHasItsParentsScopeAsOfTheSpawn(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("a", 1)
		parent := scope.Current()
		start, childSet := make(chan struct{}), make(chan struct{})
		done := p.spawn(func() {
			<-start
			want(t, "a=1")
			if scope.Current() != parent {
				t.Error("the child has another scope than its parent had")
			}
			scope.Set("child", 1)
			scope.Set("a", "child's")
			close(childSet)
			want(t, "a=child's child=1")
		})
		scope.Set("b", 2)
		close(start)
		<-childSet
		want(t, "a=1 b=2")
		<-done
		want(t, "a=1 b=2")
	})
}

func TestForksOfForks(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		var fork func(depth int, fields string)
		fork = func(depth int, fields string) {
			want(t, fields)
			if depth == 4 {
				return
			}
			var children []chan struct{}
			for i := range 2 {
				scope.Set(fmt.Sprint("d", depth), i)
				sub := joined(fields, fmt.Sprintf("d%d=%d", depth, i))
				children = append(children, p.spawn(func() { fork(depth+1, sub) }))
			}
			for _, c := range children {
				<-c
			}
			want(t, joined(fields, fmt.Sprintf("d%d=1", depth)))
		}
		fork(0, "")
	})
}

// Libraries that know nothing of scopes start goroutines with a go statement.
func TestGoStatementsInLibrariesInherit(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("a", 1)
		inherited := "a=1"
		if !p.inherits {
			inherited = ""
		}
		t.Run("go", func(t *testing.T) { // itself a goroutine
			want(t, inherited)
			scope.Set("b", 2)
			t.Run("nested", func(t *testing.T) {
				if p.inherits {
					want(t, "a=1 b=2")
				}
			})
		})
		t.Run("errgroup", func(t *testing.T) {
			want(t, inherited)
			g, _ := errgroup.WithContext(context.Background())
			g.SetLimit(2)
			for range 4 {
				g.Go(func() error {
					want(t, inherited)
					scope.Set("sibling", 1)
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
			want(t, inherited)
		})
		t.Run("WaitGroup.Go", func(t *testing.T) {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					want(t, inherited)
					scope.Set("sibling", 1)
				})
			}
			wg.Wait()
			want(t, inherited)
		})
		t.Run("synctest", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want(t, inherited)
				scope.Set("bubble", 1)
				done := p.spawn(func() {
					time.Sleep(time.Hour)
					want(t, joined(inherited, "bubble=1"))
				})
				scope.Set("bubble", 2)
				<-done
				synctest.Wait()
				want(t, joined(inherited, "bubble=2"))
			})
			want(t, inherited)
		})
		for i := range 3 {
			t.Run("Parallel", func(t *testing.T) {
				t.Parallel()
				want(t, inherited)
				scope.Set("i", i)
				runtime.Gosched()
				want(t, joined(inherited, fmt.Sprint("i=", i)))
			})
		}
	})
}

// Without access to the slot, a go statement inherits nothing; Go does.
func TestGoCarriesTheScopeOnEveryPath(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("bound", 1)
		check := func(start func(fn func()), fields string) {
			done := make(chan struct{})
			start(func() {
				defer close(done)
				want(t, fields)
				scope.Set("child", 1)
			})
			<-done
			want(t, "bound=1")
		}
		check(scope.Go, "bound=1")
		check(scope.New("a", 1).Go, "a=1")
		check(scope.With("a", 1).Go, "bound=1 a=1")
		check(scope.Scope{}.Go, "")
		waitForGo(t)
	})
}

// ---- Wrap: what doesn't inherit ----

// What would panic on another goroutine, where nobody recovers, panics where it is given.
func TestGoAndWrapOfNilPanicAtTheCaller(t *testing.T) {
	for want, call := range map[string]func(){
		"scope.Go: fn, the func to start, is nil":  func() { scope.Go(nil) },
		"scope.Wrap: fn, the func to wrap, is nil": func() { scope.Wrap(nil) },
	} {
		t.Run(want, func(t *testing.T) {
			s := scope.New("a", 1)
			s.Run(func() {
				defer func() {
					if p := recover(); p != want {
						t.Errorf("panic %v", p)
					}
				}()
				call()
			})
			wantEnded(t, s, true)
			waitForGo(t)
		})
	}
}

func TestWrapCarriesTheScopeIntoTimers(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("a", 1)
		done := make(chan struct{})
		time.AfterFunc(0, scope.Wrap(func() {
			want(t, "a=1")
			close(done)
		}))
		scope.Set("a", 2)
		<-done
	})
}

// context.AfterFunc runs in a goroutine that the canceller starts: without Wrap it
// would have the canceller's scope.
func TestWrapCarriesTheScopeIntoContextAfterFunc(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Add(2)
		scope.New("owner", 1).Run(func() {
			context.AfterFunc(ctx, func() {
				defer wg.Done()
				if p.inherits {
					want(t, "canceller=1")
				}
			})
			context.AfterFunc(ctx, scope.Wrap(func() {
				defer wg.Done()
				want(t, "owner=1")
			}))
		})
		scope.New("canceller", 1).Run(cancel)
		wg.Wait()
	})
}

func TestWrapKeepsTheJobsOfAPoolApart(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		jobs := make(chan func())
		var workers sync.WaitGroup
		scope.New("starter", 1).Run(func() {
			for range 2 {
				workers.Go(func() {
					own := text(scope.Current())
					for job := range jobs {
						job()
						want(t, own)
					}
				})
			}
		})
		for i := range 20 {
			scope.New("job", i).Run(func() {
				jobs <- scope.Wrap(func() {
					want(t, fmt.Sprint("job=", i))
					scope.Set("left", "behind")
				})
			})
		}
		close(jobs)
		workers.Wait()
	})
}

func TestWrapInIterPull(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		var words iter.Seq[string]
		scope.New("maker", 1).Run(func() {
			maker := scope.Current()
			words = func(yield func(string) bool) {
				maker.Run(func() {
					for i := range 3 {
						scope.Set("i", i)
						if !yield(text(scope.Current())) {
							return
						}
						want(t, fmt.Sprintf("maker=1 i=%d", i))
					}
				})
			}
		})
		scope.Set("caller", 1)
		next, stop := iter.Pull(words)
		for i := range 2 {
			got, ok := next()
			if wanted := fmt.Sprintf("maker=1 i=%d", i); got != wanted || !ok {
				t.Errorf("the iterator is bound to %q, want %q", got, wanted)
			}
			want(t, joined("caller=1", map[int]string{0: "", 1: "seen=0"}[i]))
			scope.Set("seen", i)
		}
		stop()
		want(t, "caller=1 seen=1")

		// A body that only needs a scope at times wraps these.
		scope.New("owner", 1).Run(func() {
			look := ""
			wrapped := scope.Wrap(func() { look = text(scope.Current()) })
			next, stop := iter.Pull(func(yield func(int) bool) { wrapped(); yield(1) })
			defer stop()
			scope.Set("later", 1)
			next()
			if look != "owner=1" {
				t.Errorf("the wrapped part is bound to %q", look)
			}
		})
	})
}

func TestWrappedFunctionsRunOftenAndAtTheSameTime(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		s := scope.New("a", 1)
		fn := s.Wrap(func() {
			want(t, "a=1")
			scope.Set("b", 2)
		})
		fn()
		want(t, "")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { fn(); fn() })
		}
		wg.Wait()
		scope.Set("outer", 1)
		fn()
		want(t, "outer=1")
	})
}

// ---- rule 8: a bare Set lasts ----

func TestBareSetOutlivesItsFunction(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		set := func() { scope.Set("a", 1) }
		set()
		want(t, "a=1")
		scope.New().Run(func() {
			scope.Set("b", 1)
			func() { scope.Set("c", 2) }()
			want(t, "b=1 c=2")
		})
		want(t, "a=1") // until the enclosing Run returns
	})
}

// A goroutine that serves many jobs leaks a bare Set from one into the next; Run doesn't.
func TestOnlyRunKeepsTasksOfOneGoroutineApart(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		first := func() { scope.Set("user", "alice") }
		second := func() string { return scope.GetOr("user", "nobody") }

		scope.Run(func() {
			first()
			if got := second(); got != "alice" {
				t.Errorf("after a bare Set the next job sees %q", got)
			}
		})
		scope.New().Run(first)
		scope.New().Run(func() {
			if got := second(); got != "nobody" {
				t.Errorf("after a Run the next job sees %q", got)
			}
		})
	})
}

// A range-over-func body runs in the iterator's goroutine.
func TestRangeOverFuncIsOneGoroutine(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		seq := func(yield func(int) bool) {
			scope.Set("iterator", 1)
			yield(1)
		}
		for range seq {
			want(t, "iterator=1")
		}
		want(t, "iterator=1")
	})
}
