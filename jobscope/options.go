package jobscope

import (
	"context"
	"log/slog"
	"time"

	"github.com/taskscope/taskscope/scope/propagation"
)

// Options says how [Run] makes a job's scope, and what is logged of it. nil means the zero
// Options, which are the defaults. Run doesn't change it: several jobs may share one.
type Options struct {
	// Log writes one line for each job, at its end, within its scope: with all that fn has set
	// on its goroutine outside of inner Runs, however deep. nil writes none. What fn has
	// started with scope.Go may still be running: the line is written when fn returns.
	//
	// Its message is "job". It has job.outcome, one of the [Outcome]s, and job.duration in seconds,
	// as a float. The totals of the job, made by scope.Add and its like, come last. If
	// scope.Error has made the error, the line has the fields of its scope. What else it has:
	//
	//   - [OK]: nothing.
	//   - [Error]: error.type, the error's Go type, and error.message, its text. An error that
	//     fmt.Errorf has wrapped with one %w has the type of what it wraps.
	//   - [Panic]: exception.message and exception.stacktrace.
	//   - [Goexit]: nothing.
	//   - [Canceled] and [Deadline]: error.message, which is fn's error and, where that doesn't
	//     say so, the cause of the context's end, as context.Cause has it. If fn has just
	//     returned the context's error, it is the cause alone.
	//
	// A panic or a runtime.Goexit in Log or Level goes on to Run's caller, in place of fn's error;
	// a panic of fn's own goes on all the same.
	Log LogFunc

	// Await delays the line until the task of the job is over: fn has returned, and all that it has
	// started with scope.Go is done. A goroutine of its own writes the line then, and scope.Wait waits
	// for it; Run doesn't. What was added up and shared meanwhile is on it too. Outcome, duration and
	// level are as fn has left them. The line of a Panic or a Goexit is written at once. A Log that
	// panics ends the program there.
	Await bool

	// AwaitLimit is how long Await waits after fn has returned. If the task isn't over then, the
	// line is written all the same, and scope_running says how many calls of scope.Run, Go and Wrap
	// are still going on. 0 or less means 30 seconds.
	AwaitLimit time.Duration

	// Fields returns further fields for the scope. nil adds none. It is called within the job's
	// task, before the scope has any field but the process's, with Run's ctx: in that it finds
	// the scope of whoever calls Run, if there is one. Its fields replace those of Run that have
	// their names. A request_id among them is the job's id, if a header can hold it; otherwise
	// the id stays. If a trace_id among them isn't that of the headers, nothing else is taken
	// from their traceparent.
	Fields func(ctx context.Context) []slog.Attr

	// ID makes the id of a job that comes without a valid one in Headers. nil makes what
	// httpscope.NewID makes, a UUID of version 7. An id that no header can hold is replaced by
	// one of these. It is called within the job's task: if it needs something of the caller's
	// scope, read that before Run.
	ID func() string

	// Headers are those of the message that the job is about. nil means that there is none.
	// x-request-id is the job's id if it is 1 to 128 of the characters A-Z a-z 0-9 . _ -, and
	// traceparent is taken if it is valid, and tracestate with it. Of what isn't valid no part is
	// taken. Only copies are kept.
	Headers propagation.Carrier

	// TrustBaggage says to take fields from the baggage in Headers, too: those whose keys are
	// declared scope.Propagated, within the limits of the specification. They replace no
	// field of Run. false takes none: right for messages that may come from others than your
	// own services.
	TrustBaggage bool

	// Level returns the level of the line. nil means Info for OK, Warn for Canceled and
	// Deadline, and Error for the others. err is what fn has returned: nil for OK, Panic and
	// Goexit.
	Level func(o Outcome, err error) slog.Level
}

// A LogFunc writes a line. With log/slog it is the method LogAttrs of a logger; zaph.LogAttrs and
// zeroh.LogAttrs make one. An httpscope.LogFunc is one, too.
type LogFunc = func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr)

// An Outcome is how a job has ended.
type Outcome string

const (
	// OK means that fn has returned nil, even if its context was over.
	OK Outcome = "ok"

	// Error means that fn has returned an error other than those of Canceled and Deadline. An error
	// of a context that fn has made itself, such as the timeout of one call, is an Error.
	Error Outcome = "error"

	// Panic means that fn has panicked, or else what makes the scope: Fields, ID or Headers.
	Panic Outcome = "panic"

	// Goexit means that fn has called runtime.Goexit, as the methods FailNow and SkipNow of a test
	// do.
	Goexit Outcome = "goexit"

	// Canceled means that the context was canceled, and that fn has returned an error that is the
	// context's or the cause of its end, by errors.Is. What a library returns in place of these,
	// as gRPC and os/exec do, is an Error: join ctx.Err() to it.
	Canceled Outcome = "canceled"

	// Deadline means the same for a context whose deadline has passed.
	Deadline Outcome = "deadline"
)
