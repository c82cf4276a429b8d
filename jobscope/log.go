package jobscope

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// log writes the last line of the job. It runs in the job's task.
func (j *job) log() {
	outcome := j.outcome()
	attrs := append(make([]slog.Attr, 0, 6),
		slog.String("job.outcome", string(outcome)),
		slog.Float64("job.duration", time.Since(j.start).Seconds()))
	switch outcome {
	case Error:
		attrs = append(attrs, slog.String("error.type", typeOf(j.err)), slog.String("error.message", values.Text(j.err)))
	case Canceled, Deadline:
		attrs = append(attrs, slog.String("error.message", j.why()))
	case Panic:
		attrs = append(attrs,
			slog.String("exception.message", values.Text(j.panicked)),
			slog.String("exception.stacktrace", string(debug.Stack())))
	}
	level := levelOf
	if j.opts.Level != nil {
		level = j.opts.Level
	}
	line := entry.Line{Log: j.opts.Log, Level: level(outcome, j.err), Msg: "job", Attrs: attrs, Err: j.err}
	line.Write(j.ctx, scope.Current().Pick(j.ctx), entry.AwaitLimit(j.opts.Await && j.returned, j.opts.AwaitLimit))
}

func (j *job) outcome() Outcome {
	switch {
	case j.panicked != nil:
		return Panic
	case !j.returned:
		return Goexit
	case j.err == nil:
		return OK
	case !j.stopped():
		return Error
	case errors.Is(j.ctx.Err(), context.DeadlineExceeded):
		return Deadline
	}
	return Canceled
}

// stopped reports whether fn has failed because its context was over. A context that is over by now
// isn't enough: fn may have failed for a reason of its own.
func (j *job) stopped() bool {
	over := j.ctx.Err()
	return over != nil && (is(j.err, over) || is(j.err, context.Cause(j.ctx)))
}

// is is errors.Is, but false if a method of err panics.
func is(err, target error) (same bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}

// why returns the text of the error of a job that was stopped, with the cause. Like any text of an
// error here it comes from values.Text: if a method of the program's panics, only the text is lost.
func (j *job) why() string {
	text, cause := values.Text(j.err), values.Text(context.Cause(j.ctx))
	switch {
	case text == values.Text(j.ctx.Err()):
		return cause
	case strings.Contains(text, cause):
		return text
	}
	return text + ": " + cause
}

// typeOf returns the type of err as the semantic conventions want it: not that of a wrapper,
// which would say nothing about the failure.
func typeOf(err error) string {
	for {
		err = logadapters.BareErrors(err)[0]
		name := fmt.Sprintf("%T", err)
		if name != "*fmt.wrapError" { // the Unwrap of others may panic
			return name
		}
		inner := errors.Unwrap(err)
		if inner == nil { // fmt.Errorf("%w", nil) wraps none
			return name
		}
		err = inner
	}
}

func levelOf(o Outcome, _ error) slog.Level {
	switch o {
	case OK:
		return slog.LevelInfo
	case Canceled, Deadline:
		return slog.LevelWarn
	}
	return slog.LevelError
}
