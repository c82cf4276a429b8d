// Package jobscope gives each job a scope of its own. A job is a piece of work that is no HTTP
// request: a message, a cron run, a batch.
//
//	err := jobscope.Run(ctx, "tidy", tidy, &jobscope.Options{Log: slog.LogAttrs})
//
// calls tidy(ctx), and writes one line at the end:
//
//	time=… level=INFO msg=job request_id=0199… job.name=tidy rows=12 job.outcome=ok job.duration=0.8
//
// where tidy, or what it calls, has set rows.
//
// # One job, one task
//
// [Run] binds a new task to the goroutine until fn has returned. It starts from the fields of
// the process, those that a bare scope.Set has bound where Run is called, as in main; never
// from those of the job before on the same goroutine, or of a request or job in which Run is
// called. The process fields that such a request or job has aren't taken over either, as they can't
// be told from its own: give them in [Options.Fields].
//
// fn's context carries the scope too, even if ctx carries that of a request. A line that is
// given it has what is bound when the line is written, including what fn has set since. Goroutines
// that fn starts inherit the scope; start those that outlive the job with scope.Go, and what
// serves other jobs too, such as a pool, inside scope.Outside.
//
// # One job, one id
//
// The id is that of [Options.Fields], of the message's headers, of [Options.ID], or a new one,
// in this order. A job that tries several times is one job: let it set a field for each attempt.
// Calling Run for each makes several tasks, with an id each. A job that a request starts has an id
// of its own, too: Fields may return the request's as request_id or, as the example of [Options]
// does, in another field.
//
// # Recipes
//
// The examples are recipes that run, one each for a cron scheduler, a ticker, a worker pool, a
// consumer of messages, batches with database/sql, and retries. The folder examples/queue has a
// consumer with NATS.
//
// # What is trusted
//
// The ids in [Options.Headers] are taken if they are valid, and baggage only with
// [Options.TrustBaggage]. Ids identify a job in the logs and prove nothing. Only copies are kept,
// and at most 8192 bytes of baggage: no long header stays in memory with a scope.
//
// # How it ended
//
// The line has one of the [Outcome]s; [Options.Log] says what else. Names are those of the
// OpenTelemetry semantic conventions where these have one. They have none for jobs, so the
// fields are job.name, job.outcome and job.duration.
//
// # What it costs
//
// Run adds about seven allocations to a call of fn, and Headers as many. A line at the end adds
// one, besides those of the logger and of what went wrong.
//
// [docs/unstamped.md] says, from symptom to cause to cure, why a line isn't stamped, or late.
//
// [docs/unstamped.md]: https://github.com/taskscope/taskscope/blob/main/docs/unstamped.md
package jobscope
