// Package scope binds a set of fields to the running goroutine. Every line that log/slog, zap
// or zerolog writes there carries them, in that goroutine and in every goroutine that it
// starts, without a context or a logger being passed around.
//
// One line at start-up makes a logger look for them. For log/slog it is
//
//	slog.SetDefault(slog.New(slogh.New(slog.NewTextHandler(os.Stdout, nil), nil)))
//
// and packages zaph and zeroh do the same for zap and zerolog. After that,
//
//	func handle(id string) {
//		scope.New("request_id", id).Run(func() { // a request enters
//			scope.Set("user", "u1")
//			charge("visa")
//		})
//	}
//
//	func charge(card string) { slog.Info("charging card", "card", card) }
//
// writes, for handle("r-17"),
//
//	time=… level=INFO msg="charging card" request_id=r-17 user=u1 card=visa
//
// # One thing to know first
//
// A bare [Set] outlives the function that calls it: it lasts until the goroutine ends or an
// enclosing [Run] returns. Where one goroutine serves many tasks, as with an HTTP/1
// connection that is kept alive or a pool of workers, a bare Set leaks from one task into the
// next. There, give each task its own scope with [New] and [Scope.Run], and use Set inside.
// For net/http, package httpscope does it, and for jobs and messages package jobscope.
//
// # Scopes
//
// A [Scope] is an immutable, ordered set of fields. [Set], [SetAttrs], [Delete] and [Clear]
// don't change a scope: they bind a new one to the goroutine. [Current] returns the one that
// is bound. As a value it can be extended, passed elsewhere, and bound there:
//
//	scope.Set("request_id", "r-17")
//	s := scope.With("attempt", 2) // the bound fields, and one more
//	fmt.Println(scope.Current())
//	fmt.Println(s)
//	s.Run(func() { slog.Info("calling again") })
//
// prints
//
//	request_id=r-17
//	request_id=r-17 attempt=2
//	time=… level=INFO msg="calling again" request_id=r-17 attempt=2
//
// A key that is set again keeps its place and gets the new value. Values are taken as they are
// and must not be changed afterwards. A [slog.LogValuer] is resolved anew for each line.
//
// # What inherits
//
// A goroutine that a go statement starts has the scope that its parent has at that moment.
// This costs nothing, and holds wherever the statement stands: in errgroup, in
// sync.WaitGroup.Go, in a library. Later changes on either side stay there:
//
//	scope.Set("request_id", "r-17")
//	go func() {
//		scope.Set("step", "audit")
//		slog.Info("child")
//	}()
//	slog.Info("parent")
//
// writes, in some order,
//
//	time=… level=INFO msg=child request_id=r-17 step=audit
//	time=… level=INFO msg=parent request_id=r-17
//
// Timers, context.AfterFunc, pools, callbacks and iter.Pull run code elsewhere: give them
// [Wrap]. What is started in a task and serves others too, such as a pool that the first
// request opens, must not inherit: start it in [Outside].
//
// # Tasks
//
// A task is one unit of work: a request, a job. [New] and [Scope.Detach] start one; With, Set
// and every go statement stay in it. It is live while a Run of one of its scopes, a goroutine
// of [Go] or a function of [Wrap] is running. A goroutine that a plain go statement has left
// behind keeps its fields when the task is over, but its lines say that they are late:
//
//	scope.New("request_id", "r-17").Run(func() {
//		go func() {
//			time.Sleep(time.Second)
//			slog.Info("audited")
//		}()
//	})
//
// writes
//
//	time=… level=INFO msg=audited request_id=r-17 scope_ended=true
//
// With scope.Go in place of go, the task lasts until the function has returned, and [Wait]
// waits for it at shutdown. A task that a bare Set began, as in main, never ends.
//
// # Shared fields
//
// [Set] changes what the running goroutine has. [Share] sets a field of the whole task: once a
// child has found out who the user is, all lines of the request say so, those of its parent and
// its siblings too:
//
//	scope.Go(func() { scope.Share("user", authenticate()) })
//	slog.Info("still waiting")
//
// writes, once the user is known,
//
//	time=… level=INFO msg="still waiting" request_id=r-17 user=u1
//
// # Totals
//
// [Add], [Append] and [Timing] add up what a task does, in all of its goroutines, for the last
// line that its entry writes, such as httpscope's Handler:
//
//	defer scope.Timing("db")()
//	scope.Add("rows", 3)
//
// writes, at the end of the request,
//
//	time=… level=INFO msg=request request_id=r-17 … db=12ms db_count=1 rows=3
//
// # Errors
//
// An error that is logged far from where it happened brings its fields along if it was made
// with [Error]:
//
//	var err error
//	scope.With("item", "umbrella").Run(func() { err = scope.Error(errNoStock) })
//	slog.Warn("order waits", "err", err)
//
// writes
//
//	time=… level=WARN msg="order waits" request_id=r-17 item=umbrella err="out of stock"
//
// # Contexts
//
// [NewContext] and [FromContext] are the bridge to code that is given a context. If a
// context carries the scope of another task than the goroutine's, a line that is given it is
// stamped from the context. Within one task, what the context's scope adds comes on top of what
// is bound:
//
//	ctx := scope.NewContext(r.Context(), scope.With("user", "u1"))
//	scope.Set("step", 2)
//	slog.Info("without it")
//	slog.InfoContext(ctx, "with it")
//
// writes, where request_id was bound before,
//
//	time=… level=INFO msg="without it" request_id=r-17 step=2
//	time=… level=INFO msg="with it" request_id=r-17 step=2 user=u1
//
// A context whose scope had a field taken away is used as it is. A context without a scope
// changes nothing. [Scope.Pick] has the whole rule.
//
// # Keys and policies
//
// A [Key] gives a field a type and, once for the whole program, a policy:
//
//	var Token = scope.NewKey[string]("token", scope.Redacted)
//
//	scope.Set("token", "s3cr3t")
//	slog.Info("signed in")
//
// writes
//
//	time=… level=INFO msg="signed in" token=[REDACTED]
//
// A policy belongs to the name, however the field is set. The other policies are [Hidden],
// [Profiled], [Propagated], [Traced] and [Measured]. Declare keys in package variables, before
// anything is set: see [NewKey].
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
// The runtime reuses some goroutines for calls of its own: finalizers, cleanups, callbacks
// from C. As on a connection that is kept alive, only a Run keeps those calls apart.
//
// A running CPU profile keeps the scopes of its samples in memory until it stops, and a
// goroutine keeps the scope that it inherited as long as it runs: keep values small.
package scope
