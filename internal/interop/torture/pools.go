package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/alitto/pond/v2"
	"github.com/panjf2000/ants/v2"
	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

const poolSize = 4

var poolCases = []scenario{
	poolCase("ants", "Submit", func() (func(func()), func()) {
		p := got(ants.NewPool(poolSize))
		return func(fn func()) { must(p.Submit(fn)) }, func() { must(p.ReleaseTimeout(time.Minute)) }
	}),
	poolCase("pond", "Submit", func() (func(func()), func()) {
		p := pond.NewPool(poolSize)
		return func(fn func()) { p.Submit(fn) }, p.StopAndWait
	}),
	poolCase("conc/pool, shared by tasks", "Go", func() (func(func()), func()) {
		p := pool.New().WithMaxGoroutines(poolSize)
		return p.Go, p.Wait
	}),
	{"a channel and one worker", []form{
		{
			name: "the worker is started in main", shows: of(unstamped),
			why: "the worker has nothing to inherit. Let the queue carry what `scope.Wrap` returns",
			run: func(t *trial) { queue(t, startInMain, func(fn func()) func() { return fn }) },
		},
		{
			name: "the first task starts the worker", shows: of(another, wrong), may: of(late),
			why: "the worker inherits the first task's scope and keeps it. Let the queue carry what `scope.Wrap` returns",
			run: func(t *trial) { queue(t, startInFirst, func(fn func()) func() { return fn }) },
		},
		{
			name: "the first task starts it in `scope.Outside`", recommended: true, shows: of(unstamped),
			why: "the worker has nothing to inherit: right for work that belongs to no task",
			run: func(t *trial) { queue(t, startOutside, func(fn func()) func() { return fn }) },
		},
		{
			name: "the queue carries what `scope.Wrap` returns", recommended: true,
			run: func(t *trial) { queue(t, startInFirst, scope.Wrap) },
		},
	}},
	{"errgroup", []form{{name: "`Go`", recommended: true, run: func(t *trial) {
		t.inTasks(func(id string) {
			g, ctx := errgroup.WithContext(scope.NewContext(context.Background(), scope.Current()))
			g.SetLimit(2)
			for i := range 4 {
				g.Go(func() error {
					t.work(id, fmt.Sprint(i))
					t.lineContext(ctx, id)
					return nil
				})
			}
			must(g.Wait())
		})
	}}}},
	{"conc", []form{{name: "`WaitGroup.Go`, a pool for each task", recommended: true, run: func(t *trial) {
		t.inTasks(func(id string) {
			var wg conc.WaitGroup
			wg.Go(func() { t.work(id, "wg") })
			p := pool.New().WithMaxGoroutines(2)
			for i := range 4 {
				p.Go(func() { t.work(id, fmt.Sprint(i)) })
			}
			p.Wait()
			wg.Wait()
		})
	}}}},
	{"singleflight", []form{
		{name: "`Do`", recommended: true, run: func(t *trial) {
			var g singleflight.Group
			t.inTasks(func(id string) {
				_, _, _ = g.Do("key", func() (any, error) {
					t.work(id, "shared") // the work of the task that does it for all
					return nil, nil
				})
				t.work(id, "own")
			})
		}},
		{
			name: "`DoChan`, and the caller leaves", may: of(late),
			why: "the shared work goes on when the task that began it is over. Keep that task open: give DoChan what `scope.Wrap` returns",
			run: func(t *trial) { doChan(t, func(fn func()) func() { return fn }) },
		},
		{
			name: "`DoChan` with `scope.Wrap`, and the caller leaves", recommended: true,
			run: func(t *trial) { doChan(t, scope.Wrap) },
		},
	}},
}

// poolCase is that of a pool whose workers serve all tasks and are started when there is
// something to do. open returns what hands it a job, and what closes it.
func poolCase(name, submit string, open func() (func(func()), func())) scenario {
	// jobs hands in the jobs of each task through with.
	jobs := func(with func(submit func(func()), job func())) func(*trial) {
		return func(t *trial) {
			submit, closePool := open()
			t.inTasks(func(id string) {
				var done sync.WaitGroup
				for i := range 3 {
					done.Add(1)
					with(submit, func() {
						defer done.Done()
						time.Sleep(20 * time.Microsecond) // so that workers are busy, and jobs wait for them
						t.work(id, fmt.Sprint(i))
					})
				}
				done.Wait()
				t.line(id)
			})
			closePool()
		}
	}
	plain := jobs(func(submit func(func()), job func()) { submit(job) })
	return scenario{name, []form{
		{
			name: fmt.Sprintf("`%s(fn)`", submit), shows: of(another, wrong), may: of(late),
			why: "the task that submits a job starts a worker, which keeps its scope for the jobs of others. `scope_ended` shows that, except while that task is live. `scope.Wrap` gives each job its own scope",
			run: plain,
		},
		{
			name: "the same, with `Ended: DropEnded`", shows: of(unstamped, wrong),
			opts: &logadapters.Options{Ended: logadapters.DropEnded},
			why:  "late lines have no fields, but while the task that started a worker is live, its id is on the lines of others' jobs",
			run:  plain,
		},
		{
			name: fmt.Sprintf("`scope.Outside` around `%s(fn)`", submit), recommended: true, shows: of(unstamped),
			why: "no worker has anything to inherit: right for jobs that belong to no task",
			run: jobs(func(submit func(func()), job func()) { scope.Outside(func() { submit(job) }) }),
		},
		{
			name: fmt.Sprintf("`%s(scope.Wrap(fn))`", submit), recommended: true,
			run: jobs(func(submit func(func()), job func()) { submit(scope.Wrap(job)) }),
		},
	}}
}

// A start is where something that serves all tasks is started. It returns what is called in each
// task, before it is used.
type start func(open func()) (use func())

func startInMain(open func()) func() {
	open()
	return func() {}
}

func startInFirst(open func()) func() {
	var once sync.Once
	return func() { once.Do(open) }
}

func startOutside(open func()) func() {
	var once sync.Once
	return func() { once.Do(func() { scope.Outside(open) }) }
}

// queue has a worker that does what tasks put into a channel.
func queue(t *trial, start start, wrap func(func()) func()) {
	jobs := make(chan func())
	use := start(func() {
		go func() {
			for job := range jobs {
				job()
			}
		}()
	})
	t.inTasks(func(id string) {
		use()
		for i := range 3 {
			done := make(chan struct{})
			jobs <- wrap(func() {
				t.work(id, fmt.Sprint(i))
				close(done)
			})
			<-done
		}
	})
	close(jobs)
}

// doChan has callers that don't wait for the work that they share.
func doChan(t *trial, wrap func(func()) func()) {
	var g singleflight.Group
	t.inTasks(func(id string) {
		t.line(id)
		shared := wrap(func() {
			time.Sleep(50 * time.Microsecond)
			t.work(id, "shared")
		})
		t.behind.Add(1)
		result := g.DoChan(fmt.Sprint("key", t.random(id, "key").IntN(4)), func() (any, error) {
			shared()
			return nil, nil
		})
		go func() { // so that the trial waits for it, in a goroutine that logs nothing
			<-result
			t.behind.Done()
		}()
	})
}
