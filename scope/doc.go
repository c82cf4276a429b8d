// Package scope binds a set of fields to the running goroutine, so that log lines carry
// the request they belong to without a context or a logger being passed around.
//
//	scope.New("request_id", id).Run(func() { // where a request enters
//		slog.Info("charging card")           // stamped, through an adapter
//		go audit()                           // inherits a copy
//		scope.Go(sendReceipt)                // background work of the task
//	})
//
// The adapters slogh, zaph and zeroh stamp the lines of log/slog, zap and zerolog.
//
// # One thing to know first
//
// A bare [Set] outlives the function that calls it: it lasts until the goroutine ends
// or an enclosing [Run] returns. Where one goroutine serves many tasks (an HTTP/1
// connection kept alive, a pool of workers), a bare Set would leak from one task into
// the next. Give each task its own scope with [New] and [Scope.Run] there, and use Set
// inside. For net/http, package httpscope does it.
//
// # Scopes
//
// A [Scope] is an immutable, ordered set of fields. [Set], [SetAttrs], [Delete] and
// [Clear] don't change one: they bind a new one to the goroutine. [Current] returns it
// as a value, to be extended with With, carried elsewhere, and bound there with Run, Go
// or Wrap. Values are taken as they are and must not be changed afterwards.
//
// # What inherits
//
// A goroutine started by any go statement, also one inside errgroup, sync.WaitGroup.Go
// or a library, has its parent's scope as of that moment, at no cost. What either does
// to it later the other doesn't see. Timers, context.AfterFunc, pools, callbacks and
// iter.Pull run elsewhere: give them [Wrap].
//
// # Tasks
//
// A task is one unit of work: a request, a job. [New] and [Scope.Detach] start one; With,
// Set and every fork stay in it. It is live while a Run of one of its scopes, a [Go]
// goroutine or a running Wrapped function is. A goroutine that a plain go statement has
// left behind keeps its fields when the task is over, but its lines carry
// scope_ended=true. So use Go for background work that belongs to the task, and [Wait]
// for it at shutdown. A task begun by a bare Set, as in main, never ends.
//
// # Contexts
//
// [NewContext] and [FromContext] bridge to code that is given a context. Where a logger
// is given a context that carries the scope of another task than the goroutine's, the
// context's is used: what was passed on purpose beats the surroundings. Within one task
// the goroutine's own scope is used, which is newer. A context without a scope changes
// nothing.
//
// # Keys and policies
//
// A [Key] gives a field a type and, once for the whole program, a policy: [Hidden],
// [Redacted], [Profiled], [Propagated], [Traced]. A policy belongs to the name.
//
// # Misuse
//
// Nothing on the way to a log line panics or returns an error. An empty key is stored as
// "!BADKEY", an odd list of arguments as slog does it, and a value whose own method
// panics shows "!PANIC: …" in its place.
//
// # How a scope is bound
//
// A scope lives in the goroutine's profiler-label slot, the one pointer that the runtime
// copies at every go statement and drops when the goroutine ends. Code that sets
// profiler labels from a context that doesn't come from [NewContext] (pprof.Do, some
// tracers) removes the scope with them. A check at start-up proves the slot's layout
// before the first unsafe read; if it fails, or with the build tag purego, another path
// is taken. [Carrier] says which. Setting TASKSCOPE_CARRIER to "labels" or "portable"
// asks for one by name.
//
// A running CPU profile keeps the scopes of its samples in memory until it stops, and a
// goroutine keeps the scope that it inherited as long as it runs: keep values small.
package scope
