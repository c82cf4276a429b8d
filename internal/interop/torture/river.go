package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

var riverCases = []scenario{{"river with riversqlite", []form{
	{
		name: "the first task calls `Start`", shows: of(another, wrong), may: of(late),
		why: "the client's goroutines inherit the first task's scope, and each job's goroutine from them. Start it in main or in `scope.Outside`, with a middleware that calls `Run`",
		run: func(t *trial) { riverJobs(t, startInFirst, nil) },
	},
	{
		name: "`Start` in main", shows: of(unstamped),
		why: "a job has nothing to inherit, and may run in another process. Let its metadata carry the id, and let a middleware call `Run`",
		run: func(t *trial) { riverJobs(t, startInMain, nil) },
	},
	{
		name: "`propagation.Inject` into the metadata, and a middleware with `propagation.Extract` and `Run`", recommended: true,
		run: func(t *trial) {
			riverJobs(t, startInFirst, []rivertype.Middleware{river.JobInsertMiddlewareFunc(injectIntoJob), river.WorkerMiddlewareFunc(runInJobsScope)})
		},
	},
}}}

// injectIntoJob is a middleware of a client that inserts jobs.
func injectIntoJob(ctx context.Context, jobs []*rivertype.JobInsertParams, insert func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	carrier := texts{}
	propagation.Inject(scope.Current(), carrier)
	for _, job := range jobs {
		all := map[string]any{}
		if len(job.Metadata) > 0 {
			if err := json.Unmarshal(job.Metadata, &all); err != nil {
				return nil, err
			}
		}
		all["scope"] = carrier
		var err error
		if job.Metadata, err = json.Marshal(all); err != nil {
			return nil, err
		}
	}
	return insert(ctx)
}

// runInJobsScope is a middleware of a client that works jobs.
func runInJobsScope(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) error {
	var all struct{ Scope texts }
	if err := json.Unmarshal(job.Metadata, &all); err != nil {
		return err
	}
	var err error
	propagation.Extract(all.Scope).Run(func() { err = work(ctx) })
	return err
}

type jobArgs struct{ ID string }

func (jobArgs) Kind() string { return "task" }

// riverJobs has tasks that insert a job and wait until it has been worked.
func riverJobs(t *trial, start start, middleware []rivertype.Middleware) {
	ctx := context.Background()
	folder := got(os.MkdirTemp("", "interop"))
	defer os.RemoveAll(folder)
	db := got(sql.Open("sqlite", "file:"+filepath.Join(folder, "jobs")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)"))
	db.SetMaxOpenConns(1) // as river's documentation has it for sqlite
	quiet := slog.New(slog.DiscardHandler)
	migrator := got(rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Logger: quiet}))
	_ = got(migrator.Migrate(ctx, rivermigrate.DirectionUp, nil))

	var worked sync.Map // of channels, by id
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[jobArgs]) error {
		id := job.Args.ID
		for i := range 8 {
			t.work(id, fmt.Sprint(i))
		}
		done, _ := worked.Load(id)
		close(done.(chan struct{}))
		return nil
	}))
	client := got(river.NewClient(riversqlite.New(db), &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: drivers}},
		Workers: workers, Middleware: middleware, Logger: quiet,
		FetchCooldown: time.Millisecond, FetchPollInterval: 2 * time.Millisecond,
	}))
	use := start(func() { must(client.Start(ctx)) })
	t.inTasks(func(id string) {
		use()
		done := make(chan struct{})
		worked.Store(id, done)
		_ = got(client.Insert(ctx, jobArgs{id}, nil))
		<-done
		t.line(id)
	})
	must(client.Stop(ctx))
	must(db.Close())
}
