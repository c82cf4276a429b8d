package scope_test

import (
	"context"
	"runtime"
	"runtime/pprof"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

func TestOutsideNothingIsBound(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		called := false
		scope.Outside(func() { called = true; want(t, "") })
		if !called || scope.Current() != (scope.Scope{}) {
			t.Errorf("called: %v; bound is %q", called, scope.Current())
		}
		s := scope.New("a", 1)
		s.Run(func() {
			scope.Outside(func() {
				if scope.Current() != (scope.Scope{}) {
					t.Errorf("bound is %q", scope.Current())
				}
				scope.Set("b", 2)
				want(t, "b=2")
				if scope.Current().SameTask(s) {
					t.Error("a Set is in the task")
				}
			})
			if scope.Current() != s {
				t.Errorf("afterwards, bound is %q", scope.Current())
			}
			func() {
				defer func() { _ = recover() }()
				scope.Outside(func() { panic("x") })
			}()
			if scope.Current() != s {
				t.Errorf("after a panic, bound is %q", scope.Current())
			}
			<-p.spawn(func() { scope.Outside(runtime.Goexit) })
			want(t, "a=1")
		})
	})
}

// A pool that the first request starts serves all that follow.
func TestWorkersStartedOutsideHaveNothingOfTheTask(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		jobs := make(chan func())
		var done chan struct{}
		s := scope.New("request_id", "r-1")
		s.Run(func() {
			scope.Outside(func() {
				done = p.spawn(func() {
					for job := range jobs {
						job()
					}
				})
			})
		})
		if !s.Ended() {
			t.Error("the worker keeps the task live")
		}
		for range 2 {
			jobs <- func() {
				if c := scope.Current(); c != (scope.Scope{}) || c.Ended() {
					t.Errorf("a worker has %q, ended: %v", c, c.Ended())
				}
			}
			jobs <- scope.New("request_id", "r-2").Wrap(func() { want(t, "request_id=r-2") })
		}
		close(jobs)
		<-done
	})
}

func TestOutsideForeignLabelsStayAndOursDoNot(t *testing.T) {
	name := unique("outside")
	profiled := scope.NewKey[string](name, scope.Profiled)
	onEachPath(t, func(t *testing.T, p path) {
		if !p.labels {
			t.Skip("this path can't read labels")
		}
		scope.New("a", 1).Run(func() {
			ctx := scope.NewContext(context.Background(), scope.Current())
			pprof.Do(ctx, pprof.Labels("foreign", "f"), func(context.Context) {
				profiled.Set("p")
				scope.Outside(func() { labelsNow(t, "foreign:f") })
				labelsNow(t, "foreign:f "+name+":p")
			})
			profiled.Set("p")
			scope.Outside(func() { labelsNow(t, "") })
		})
	})
}
