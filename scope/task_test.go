package scope_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// waitForGo waits for the goroutines of all Go calls: what they defer included.
func waitForGo(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := scope.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

func wantEnded(t *testing.T, s scope.Scope, ended bool) {
	t.Helper()
	if s.Ended() != ended {
		t.Errorf("Ended of %q is %v, want %v", text(s), s.Ended(), ended)
	}
}

// ---- rule 5: tasks end ----

func TestTaskIsLiveWhileItRuns(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		s := scope.New("a", 1)
		wantEnded(t, s, false) // not entered yet
		var inner scope.Scope
		s.Run(func() {
			wantEnded(t, scope.Current(), false)
			scope.Set("b", 2)
			inner = scope.Current()
			scope.Run(func() { wantEnded(t, s, false) })
			scope.With("c", 3).Run(func() {})
			wantEnded(t, s, false) // an inner Run ends nothing
		})
		for _, of := range []scope.Scope{s, inner, s.With("d", 4), s.Without("a"), inner.Without("a", "b")} {
			wantEnded(t, of, true)
		}
		s.Run(func() { wantEnded(t, inner, false) }) // entered again
		wantEnded(t, inner, true)
		inner.Run(func() { wantEnded(t, s, false) })
	})
}

func TestGoroutineLeftBehindSeesThatTheTaskHasEnded(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		if !p.inherits {
			t.Skip("nothing is left behind where a go statement inherits nothing")
		}
		over, done := make(chan struct{}), make(chan struct{})
		s := scope.New("a", 1)
		wrapped := s.Wrap(func() { wantEnded(t, scope.Current(), false) })
		s.Run(func() {
			started := make(chan struct{})
			go func() {
				defer close(done)
				wantEnded(t, scope.Current(), false)
				close(started)
				<-over
				want(t, "a=1")
				wantEnded(t, scope.Current(), true)
				scope.Set("b", 2)
				want(t, "a=1 b=2")
				wantEnded(t, scope.Current(), true)

				// Nothing that it calls opens the task again, for itself or for others.
				late := func() { wantEnded(t, scope.Current(), true) }
				scope.Run(late)
				scope.With("c", 3).Run(late)
				scope.Go(late)
				waitForGo(t)
				scope.Outside(scope.Wrap(late))
				ctx := scope.NewContext(context.Background(), scope.Current())
				of, _ := scope.FromContext(ctx)
				of.Run(late)
				s.Run(late)
				scope.Outside(func() { // as in a timer
					s.Run(func() { wantEnded(t, scope.Current(), false) })
					scope.New().Run(func() { s.Run(func() { wantEnded(t, scope.Current(), false) }) })
				})
				wrapped() // when it was made, the task was live
				late()
				s.Detach().Run(func() { wantEnded(t, scope.Current(), false) })

				// Somebody else may, and then it is live for all.
				again, stop, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
				go scope.Outside(func() {
					defer close(gone)
					s.Run(func() { close(again); <-stop })
				})
				<-again
				wantEnded(t, scope.Current(), false)
				scope.Run(func() {
					close(stop)
					<-gone
					wantEnded(t, scope.Current(), false)
				})
				late()
			}()
			<-started
		})
		close(over)
		<-done
	})
}

func TestGoKeepsTheTaskLive(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		stop := make(chan struct{})
		s := scope.New("a", 1)
		s.Run(func() {
			scope.Go(func() {
				<-stop
				wantEnded(t, scope.Current(), false)
			})
			scope.Go(func() {
				scope.With("b", 2).Go(func() { <-stop })
			})
		})
		wantEnded(t, s, false)
		close(stop)
		waitForGo(t)
		wantEnded(t, s, true)

		// A Go that nothing else surrounds enters the task as well, and at once.
		s = scope.New("c", 3)
		stop = make(chan struct{})
		s.Go(func() { <-stop })
		s.Run(func() {})
		wantEnded(t, s, false)
		close(stop)
		waitForGo(t)
		wantEnded(t, s, true)

		s = scope.New("d", 4)
		s.Go(runtime.Goexit)
		waitForGo(t)
		wantEnded(t, s, true)
	})
}

func TestATaskEndsAlsoIfItsLabelsCanNotBeMade(t *testing.T) {
	key := scope.NewKey[any]("label_exiter", scope.Profiled)
	s := scope.New(key.Attr(exiter{}))
	for _, enter := range []func(){
		func() { s.Run(func() {}) },
		func() { s.Go(func() {}) },
		s.Wrap(func() {}),
	} {
		done := make(chan struct{})
		go func() { defer close(done); enter() }()
		<-done
		waitForGo(t)
		if !s.Ended() {
			t.Error("the task goes on")
		}
	}
}

// An exiter is a value whose method ends the goroutine, as a test's FailNow does.
type exiter struct{}

func (exiter) LogValue() slog.Value { runtime.Goexit(); return slog.Value{} }

func TestOnlyARunningWrapKeepsTheTaskLive(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		s := scope.New("a", 1)
		fn := s.Wrap(func() { wantEnded(t, scope.Current(), false) })
		wantEnded(t, s, false)
		s.Run(func() {})
		wantEnded(t, s, true) // fn waits
		fn()
		wantEnded(t, s, true)
		s.Wrap(func() { wantEnded(t, scope.Current(), false) })() // elsewhere it may still be entered
		wantEnded(t, s, true)

		unentered := scope.New("b", 1)
		unentered.Wrap(func() {})()
		wantEnded(t, unentered, true)
	})
}

func TestBareSetsTaskNeverEnds(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Set("a", 1)
		check := func() {
			t.Helper()
			wantEnded(t, scope.Current(), false)
		}
		check()
		scope.Run(check)
		check()
		scope.With("b", 2).Run(check)
		scope.Wrap(check)()
		scope.Go(check)
		waitForGo(t)
		check()
		scope.Clear()
		check()
	})
}

func TestWhatBelongsToOneTask(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		same := func(a, b scope.Scope, wanted bool) {
			t.Helper()
			if a.SameTask(b) != wanted || b.SameTask(a) != wanted {
				t.Errorf("SameTask of %q and %q is not %v", text(a), text(b), wanted)
			}
		}
		s := scope.New("a", 1)
		same(s, s, true)
		same(s, s.With("b", 2), true)
		same(s, s.Without("a"), true)
		same(s, scope.New("a", 1), false)
		same(s, s.Detach(), false)
		same(s.Detach(), s.Detach(), false)
		same(s, scope.Scope{}, false)
		same(scope.Scope{}, scope.Scope{}, false)
		same(scope.Scope{}.With("a", 1), scope.Scope{}.With("a", 1), false)
		s.Run(func() {
			scope.Set("b", 2)
			same(s, scope.Current(), true)
			scope.Clear()
			same(s, scope.Current(), true)
			scope.SetAttrs()
			<-p.spawn(func() {
				scope.Set("c", 3)
				same(s, scope.Current(), true)
			})
			scope.New("inner", 1).Run(func() { same(s, scope.Current(), false) })
		})
		same(s, scope.Current(), false)

		// A first bare Set starts a task of its own; the next ones stay in it.
		scope.Set("bare", 1)
		first := scope.Current()
		same(s, first, false)
		scope.Set("bare", 2)
		same(first, scope.Current(), true)
		same(first, scope.With("x", 1), true)
		same(first, first.Detach(), false)
		var other, inherited scope.Scope
		scope.Scope{}.Run(func() {
			scope.Set("bare", 1)
			other = scope.Current()
		})
		same(first, other, false)
		<-p.spawn(func() {
			scope.Set("child", 1)
			inherited = scope.Current()
		})
		same(first, inherited, true)
	})
}

func TestDetachedWorkHasATaskOfItsOwn(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		stop := make(chan struct{})
		var detached scope.Scope
		s := scope.New("a", 1)
		s.Run(func() {
			detached = scope.Current().Detach()
			detached.Go(func() {
				<-stop
				want(t, "a=1")
				wantEnded(t, scope.Current(), false)
			})
		})
		wantEnded(t, s, true)
		wantEnded(t, detached, false)
		close(stop)
		waitForGo(t)
		wantEnded(t, detached, true)

		scope.Set("bare", 1) // what never ends can be given an end
		detached = scope.Current().Detach()
		detached.Run(func() {})
		wantEnded(t, detached, true)
		wantEnded(t, scope.Current(), false)
	})
}

// ---- rule 6: Go and Wait ----

// A panic in a goroutine of Go ends the program, and the trace names the culprit.
func TestPanicInGoEndsTheProgram(t *testing.T) {
	const crash = "TASKSCOPE_TEST_CRASH"
	if os.Getenv(crash) != "" {
		scope.New("a", 1).Run(func() { scope.Go(culprit) })
		select {} // until the panic
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), crash+"=1", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("the program ended with %v, want exit status 2", err)
	}
	for _, s := range []string{"panic: boom", "scope_test.culprit"} {
		if !strings.Contains(string(out), s) {
			t.Errorf("%q is missing in\n%s", s, out)
		}
	}
}

func culprit() { panic("boom") }

func TestWaitReturnsAtOnceWhenNothingRuns(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	if err := scope.Wait(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := scope.Wait(ctx); err != nil {
		t.Errorf("with a ctx that has ended: %v", err)
	}
}

func TestWaitWaitsForNestedGo(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			ended := 0
			end := func() { mu.Lock(); ended++; mu.Unlock() }
			scope.New("a", 1).Run(func() {
				for range 3 {
					scope.Go(func() {
						defer end()
						time.Sleep(time.Second)
						scope.Go(func() {
							defer end()
							time.Sleep(time.Second)
							scope.Go(func() { defer end(); time.Sleep(time.Second) })
						})
					})
				}
			})
			if err := scope.Wait(context.Background()); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ended != 9 {
				t.Errorf("Wait returned when %d of 9 goroutines had ended", ended)
			}
		})
	})
}

func TestWaitSaysHowManyAreLeft(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		stop := make(chan struct{})
		for range 3 {
			scope.Go(func() { <-stop })
		}
		check := func(ctx context.Context, cause error, number string) {
			t.Helper()
			err := scope.Wait(ctx)
			if !errors.Is(err, cause) {
				t.Errorf("Wait returns %v, want it to wrap %v", err, cause)
			}
			if err == nil || !strings.Contains(err.Error(), number) {
				t.Errorf("Wait returns %v, want it to name %s", err, number)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		check(ctx, context.Canceled, "3")

		ctx, cancel = context.WithTimeout(context.Background(), time.Nanosecond)
		defer cancel()
		check(ctx, context.DeadlineExceeded, "3")

		cause := errors.New("shutting down")
		ctx, cancelCause := context.WithCancelCause(context.Background())
		cancelCause(cause)
		check(ctx, cause, "3")

		close(stop)
		waitForGo(t)
	})
}

func TestWaitGivesUpWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		scope.Go(func() { <-stop })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := scope.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait returns %v", err)
		}
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("Wait gave up after %v, want a minute", waited)
		}
		close(stop)
		if err := scope.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitInABubbleForAGoroutineOutside(t *testing.T) {
	for range 20 { // the goroutine may end before or while Wait waits
		stop := make(chan struct{})
		var over atomic.Bool
		scope.Go(func() { <-stop; over.Store(true) })
		outside := make(chan struct{})
		go func() { // also outside: its clock is the real one
			<-outside
			time.Sleep(time.Duration(rand.IntN(2_000_000)))
			close(stop)
		}()
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := scope.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
				t.Errorf("with a deadline, Wait returns %v after %v", err, time.Since(start))
			}
			scope.Go(func() { time.Sleep(time.Hour) }) // needs the clock to run
			done := make(chan error)
			go func() { done <- scope.Wait(context.Background()) }() // two wait at once
			close(outside)
			err := scope.Wait(context.Background())
			if err := errors.Join(err, <-done); err != nil || !over.Load() {
				t.Errorf("Wait returns %v, and the goroutine outside has ended: %v", err, over.Load())
			}
			if waited := time.Since(start); waited > 2*time.Hour {
				t.Errorf("meanwhile %v have passed on the bubble's clock", waited)
			}
		})
	}
}

func TestWaitOutsideForAGoroutineInABubble(t *testing.T) {
	started, goOn, waited := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		<-started
		go func() { time.Sleep(time.Millisecond); close(goOn) }()
		waited <- scope.Wait(context.Background())
	}()
	synctest.Test(t, func(t *testing.T) {
		scope.Go(func() {
			close(started)
			<-goOn
		})
	})
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// ---- rule 7: contexts ----

func TestContextsCarryScopes(t *testing.T) {
	type key struct{}
	a, b := scope.New("a", 1), scope.New("b", 2)
	base, cancel := context.WithTimeout(context.WithValue(context.Background(), key{}, "v"), time.Hour)
	defer cancel()
	if s, ok := scope.FromContext(base); ok || s != (scope.Scope{}) {
		t.Errorf("a ctx without a scope gives %q, %v", text(s), ok)
	}
	//lint:ignore SA1012 nil is the case
	if s, ok := scope.FromContext(nil); ok || s != (scope.Scope{}) {
		t.Errorf("a nil ctx gives %q, %v", text(s), ok)
	}
	ctxA := scope.NewContext(base, a)
	derived, cancelDerived := context.WithCancel(context.WithValue(ctxA, key{}, "w"))
	defer cancelDerived()
	ctxB := scope.NewContext(derived, b)
	for _, tc := range []struct {
		ctx  context.Context
		want scope.Scope
	}{
		{ctxA, a}, {derived, a}, {ctxB, b},
		{context.WithoutCancel(ctxB), b},
		{scope.NewContext(ctxB, scope.Scope{}), scope.Scope{}},
	} {
		if got, ok := scope.FromContext(tc.ctx); !ok || got != tc.want {
			t.Errorf("the ctx carries %q, %v, want %q", text(got), ok, text(tc.want))
		}
	}
	if got := ctxB.Value(key{}); got != "w" {
		t.Errorf("other values are hidden: %v", got)
	}
	if got, ok := ctxB.Deadline(); !ok || got.IsZero() {
		t.Error("the deadline is hidden")
	}
	cancel()
	if ctxB.Err() == nil {
		t.Error("cancelling is hidden")
	}
	want(t, "") // a ctx binds nothing
}

// What is in a ctx is the scope that was put there, whatever is bound since: who has to
// choose between the two can ask SameTask.
func TestContextsScopeIsTheOneThatWasPutThere(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.New("a", 1).Run(func() {
			ctx := scope.NewContext(context.Background(), scope.Current())
			scope.Set("b", 2)
			s, _ := scope.FromContext(ctx)
			wantScope(t, s, "a=1")
			if !s.SameTask(scope.Current()) {
				t.Error("the ctx of the running task is of another task")
			}
			scope.New("c", 3).Run(func() {
				if s.SameTask(scope.Current()) {
					t.Error("the ctx of another task is of the running one")
				}
			})
		})
	})
}

func TestNewContextOfNilPanics(t *testing.T) {
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "NewContext") {
			t.Errorf("panic is %q, want it to name NewContext", p)
		}
	}()
	//lint:ignore SA1012 nil is the case
	scope.NewContext(nil, scope.New())
}

// What Pick returned before may not decide what counts as made of what was bound.
func TestPickDoesNotDependOnAnEarlierPick(t *testing.T) {
	for _, before := range []bool{false, true} {
		scope.New("a", 1).Run(func() {
			first := scope.NewContext(context.Background(), scope.With("b", 2))
			scope.Set("c", 3)
			if before {
				scope.Current().Pick(first)
			}
			second := scope.NewContext(context.Background(), scope.With("d", 4))
			scope.Current().Pick(first).Run(func() {
				if got := scope.Current().Pick(second).Len(); got != 4 {
					t.Errorf("Pick called before: %v; %d fields, want 4", before, got)
				}
			})
		})
	}
}
