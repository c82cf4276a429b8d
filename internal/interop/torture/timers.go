package main

import (
	"context"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/taskscope/taskscope/scope"
)

var timerCases = []scenario{
	{"cron", []form{
		{
			name: "the first task calls `Start`", shows: of(another, wrong), may: of(late),
			why: "the scheduler inherits the first task's scope, and each run inherits from the scheduler. Start it in main or in `scope.Outside`, and give each run a scope of its own",
			run: func(t *trial) { runCron(t, startInFirst, func(id string, fn func()) { fn() }) },
		},
		{
			name: "`Start` in main", shows: of(unstamped),
			why: "a run has nothing to inherit. Give each a scope of its own",
			run: func(t *trial) { runCron(t, startInMain, func(id string, fn func()) { fn() }) },
		},
		{
			name: "`Start` in `scope.Outside`, and `scope.New(…).Run` for each run", recommended: true,
			run: func(t *trial) {
				runCron(t, startOutside, func(id string, fn func()) { scope.New(idKey, id).Run(fn) })
			},
		},
	}},
	{"time.AfterFunc", []form{
		{
			name: "`time.AfterFunc(d, fn)`", shows: of(unstamped),
			why: "the runtime starts what a timer calls, so there is nothing to inherit. `scope.Wrap` gives it the scope",
			run: func(t *trial) { afterFunc(t, func(fn func()) func() { return fn }) },
		},
		{
			name: "`time.AfterFunc(d, scope.Wrap(fn))`", recommended: true,
			run: func(t *trial) { afterFunc(t, scope.Wrap) },
		},
	}},
	{"context.AfterFunc", []form{
		{
			name: "`context.AfterFunc(ctx, fn)`, and another task cancels", shows: of(unstamped, wrong, another),
			why: "the goroutine is started by whoever cancels, or by a timer, and inherits from it. `scope.Wrap` gives it the scope of whoever called AfterFunc",
			run: func(t *trial) { contextAfterFunc(t, func(fn func()) func() { return fn }) },
		},
		{
			name: "`context.AfterFunc(ctx, scope.Wrap(fn))`, and another task cancels", recommended: true,
			run: func(t *trial) { contextAfterFunc(t, scope.Wrap) },
		},
	}},
}

// every is a cron.Schedule. The package's own go by seconds.
type every time.Duration

func (e every) Next(now time.Time) time.Time { return now.Add(time.Duration(e)) }

// runCron has runs as tasks. in calls a run's function.
func runCron(t *trial, start start, in func(id string, fn func())) {
	c := cron.New()
	full := make(chan struct{}) // closed when the lines are written
	var once sync.Once
	for range 4 {
		c.Schedule(every(time.Millisecond), cron.FuncJob(func() {
			id := t.newID()
			in(id, func() {
				t.work(id, "1")
				t.work(id, "2")
			})
			if t.done() {
				once.Do(func() { close(full) })
			}
		}))
	}
	use := start(c.Start)
	id := t.newID()
	scope.New(idKey, id).Run(func() { // a request that needs the scheduler
		use()
		t.line(id)
		time.Sleep(3 * time.Millisecond)
	})
	<-full
	<-c.Stop().Done()
}

// afterFunc has tasks that wait for their timers.
func afterFunc(t *trial, wrap func(func()) func()) {
	t.inTasks(func(id string) {
		done := make(chan struct{})
		time.AfterFunc(10*time.Microsecond, wrap(func() {
			t.work(id, "timer")
			close(done)
		}))
		t.line(id)
		<-done
	})
}

// contextAfterFunc has tasks that share a context, which one of them cancels or whose time is up.
func contextAfterFunc(t *trial, wrap func(func()) func()) {
	type shared struct {
		ctx    context.Context
		cancel context.CancelFunc
		users  int
	}
	var mu sync.Mutex
	var current *shared
	t.inTasks(func(id string) {
		mu.Lock()
		if current == nil {
			current = &shared{}
			current.ctx, current.cancel = context.WithTimeout(context.Background(), time.Millisecond)
		}
		mine := current
		mine.users++
		last := mine.users == 4
		if last {
			current = nil
		}
		mu.Unlock()
		done := make(chan struct{})
		context.AfterFunc(mine.ctx, wrap(func() {
			t.work(id, "after")
			close(done)
		}))
		t.line(id)
		if last && t.random(id, "cancel").IntN(2) == 0 {
			mine.cancel()
		}
		<-done
		if last {
			mine.cancel()
		}
	})
	if current != nil {
		current.cancel()
	}
}
