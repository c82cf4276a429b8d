package jobscope

import (
	"context"
	"time"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
)

// Run calls fn as a job of this name, with a scope of the job bound to the goroutine, as a task
// of its own, and in fn's context. It returns fn's error as it is. The scope has request_id,
// job.name, and what [Options] says, in addition to the fields of the process: what is bound
// where Run is called, if a bare scope.Set has begun its task. name is stored as it is, even if
// it is "". nil opts are the defaults.
//
// fn is called even if ctx is over already. A panic and a [runtime.Goexit] in it go on to Run's
// caller. Run panics if fn or ctx is nil.
func Run(ctx context.Context, name string, fn func(context.Context) error, opts *Options) error {
	if ctx == nil {
		panic("jobscope.Run: ctx, the context of the job, is nil")
	}
	if fn == nil {
		panic("jobscope.Run: fn, the job to run, is nil")
	}
	j := &job{start: time.Now(), name: name, fn: fn}
	if opts != nil {
		j.opts = *opts
	}
	entry.ProcessWide(scope.Current()).Detach().Run(func() { j.run(ctx) })
	if !j.returned { // a panic(nil), with GODEBUG=panicnil=1: run took it for a Goexit, after which this isn't reached
		panic(nil)
	}
	return j.err
}

// A job is one call of Run.
type job struct {
	start    time.Time
	name     string
	fn       func(context.Context) error
	opts     Options
	ctx      context.Context // fn's
	err      error           // that fn has returned
	returned bool            // fn has; false if it has ended with a panic or with runtime.Goexit
	panicked any

	untrusted string // baggage that came in and isn't trusted
}

// run runs in the task of the job. ctx is the caller's.
func (j *job) run(ctx context.Context) {
	defer func() {
		if j.opts.Log == nil {
			return
		}
		j.panicked = recover()
		defer func() { // also if Log panics or ends the goroutine
			if j.panicked != nil {
				panic(j.panicked)
			}
		}()
		if j.ctx == nil { // an option has panicked; ctx may be that of a request
			j.ctx = scope.NewContext(ctx, scope.Current())
		}
		j.log()
	}()
	j.setFields(ctx)
	outer := ctx
	if j.untrusted != "" {
		outer = context.WithValue(ctx, entry.UntrustedKey{}, entry.Untrusted(j.untrusted))
	}
	j.ctx = scope.NewContext(outer, scope.Current())
	j.err = j.fn(j.ctx)
	j.returned = true
}
