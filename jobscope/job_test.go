package jobscope_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
)

func TestAJobHasATaskOfItsOwn(t *testing.T) {
	scope.New("request_id", "outer", "user", "u1").Run(func() {
		outer := scope.Current()
		var job scope.Scope
		run(t, "tidy", func(ctx context.Context) {
			job = scope.Current()
			if s, ok := scope.FromContext(ctx); !ok || s != job {
				t.Errorf("fn's context has %v, bound is %v", s, job)
			}
			if job.Ended() || job.SameTask(outer) {
				t.Error("the job isn't a live task of its own")
			}
			scope.Set("step", 1)
		}, &jobscope.Options{ID: id("j-1")})
		wantFields(t, scopekit.Fields(job), map[string]string{"request_id": "j-1", "job.name": "tidy"})
		if !job.Ended() {
			t.Error("the job's task isn't over")
		}
		if scope.Current() != outer {
			t.Errorf("afterwards %v is bound", scope.Current())
		}
	})
}

func TestTheErrorIsReturnedAsItIs(t *testing.T) {
	broken := errors.New("broken")
	for _, want := range []error{nil, broken, fmt.Errorf("copying: %w", broken), context.Canceled} {
		if err := jobscope.Run(t.Context(), "tidy", func(context.Context) error { return want }, nil); err != want {
			t.Errorf("Run has returned %v, and fn %v", err, want)
		}
	}
}

func TestFnIsCalledAlsoIfTheContextIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	called := false
	_ = jobscope.Run(ctx, "tidy", func(ctx context.Context) error { called = true; return ctx.Err() }, nil)
	if !called {
		t.Error("it isn't")
	}
}

func TestTheContextIsTheCallers(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	_ = jobscope.Run(ctx, "tidy", func(ctx context.Context) error {
		if ctx.Value(key{}) != "value" {
			t.Error("its values are lost")
		}
		cancel()
		if ctx.Err() == nil {
			t.Error("its end isn't seen")
		}
		return nil
	}, nil)
}

func TestNilIsRefusedAtOnce(t *testing.T) {
	called := false
	fn := func(context.Context) error { called = true; return nil }
	opts := &jobscope.Options{Log: func(context.Context, slog.Level, string, ...slog.Attr) { called = true }}
	for what, call := range map[string]func(){
		//lint:ignore SA1012 nil is the case
		"ctx": func() { _ = jobscope.Run(nil, "tidy", fn, opts) },
		"fn":  func() { _ = jobscope.Run(t.Context(), "tidy", nil, opts) },
	} {
		if p := fmt.Sprint(recovered(call)); !strings.HasPrefix(p, "jobscope.Run: "+what+", ") || !strings.HasSuffix(p, " is nil") {
			t.Errorf("%s: %s", what, p)
		}
	}
	if called {
		t.Error("something was called")
	}
}

func TestTheNameIsStoredAsItIs(t *testing.T) {
	for _, name := range []string{"", "tidy", "a\nb", "\xff", strings.Repeat("long", 1000)} {
		run(t, name, func(context.Context) {
			if got, ok := scope.Get("job.name"); !ok || got != name {
				t.Errorf("%.10q is stored as %.10q", name, got)
			}
		}, nil)
	}
}

// What a bare Set has made the process's is the job's too, and nothing else is.
func TestAJobStartsFromTheFieldsOfTheProcess(t *testing.T) {
	for name, c := range map[string]struct {
		in   func(fn func())
		want string
	}{
		"nothing":              {scope.Outside, "none"},
		"a bare Set":           {func(fn func()) { scope.Outside(func() { scope.Set("service", "shop"); fn() }) }, "shop"},
		"a Run in a bare Set":  {func(fn func()) { scope.Outside(func() { scope.Set("service", "shop"); scope.Run(fn) }) }, "shop"},
		"a With in a bare Set": {func(fn func()) { scope.Outside(func() { scope.Set("a", 1); scope.With("service", "shop").Run(fn) }) }, "shop"},
		"a task":               {scope.New("service", "job").Run, "none"},
		"a job": {func(fn func()) {
			run(t, "outer", func(context.Context) { scope.Set("service", "job"); fn() }, nil)
		}, "none"},
		"a job that has the process's": {func(fn func()) {
			scope.Outside(func() { scope.Set("service", "shop"); run(t, "outer", func(context.Context) { fn() }, nil) })
		}, "none"},
		"a request": {func(fn func()) {
			httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { scope.Set("service", "web"); fn() }), nil).
				ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}, "none"},
	} {
		c.in(func() {
			before := scope.Current()
			fields := fieldsOf(t, nil)
			got, ok := fields["service"]
			if !ok {
				got = "none"
			}
			if got != c.want {
				t.Errorf("%s: service is %s, want %s", name, got, c.want)
			}
			if scope.Current() != before {
				t.Errorf("%s: afterwards %v is bound", name, scope.Current())
			}
		})
	}
}

// A job may be started from a request, with the request's context. Nothing of that shows in it.
func TestAJobInARequest(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			log := l.log(out)
			h := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				scope.Set("user", "u1")
				_ = jobscope.Run(r.Context(), "tidy", func(ctx context.Context) error {
					scope.Set("rows", 3)
					log(ctx, slog.LevelInfo, "within")
					log(context.Background(), slog.LevelInfo, "within, without a context")
					return nil
				}, &jobscope.Options{Log: log, ID: id("j-1")})
			}), &httpscope.Options{Log: log})
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("X-Request-Id", "r-1")
			h.ServeHTTP(httptest.NewRecorder(), r)
			for _, msg := range []string{"within", "within, without a context", "job"} {
				out.Next(t).Want(t, testkit.Line{
					l.msg: msg, "request_id": "j-1", "job.name": "tidy", "rows": 3.0,
					"user": nil, "http.request.method": nil, "scope_ended": nil,
				})
			}
			out.Next(t).Want(t, testkit.Line{l.msg: "request", "request_id": "r-1", "user": "u1", "job.name": nil, "rows": nil})
			out.None(t)
		})
	}
}

func TestAJobInAJob(t *testing.T) {
	out := testkit.NewLines()
	opts := &jobscope.Options{Log: slogTo(out).LogAttrs}
	run(t, "outer", func(ctx context.Context) {
		scope.Set("of", "outer")
		for range 2 {
			_ = jobscope.Run(ctx, "inner", func(context.Context) error { scope.Set("of", "inner"); return nil }, opts)
		}
	}, opts)
	ids := map[any]bool{}
	for _, name := range []string{"inner", "inner", "outer"} {
		line := out.Next(t)
		line.Want(t, testkit.Line{"job.name": name, "of": name})
		ids[line["request_id"]] = true
	}
	if len(ids) != 3 {
		t.Errorf("the ids are %v", ids)
	}
	out.None(t)
}

// What a job starts with scope.Go is in its task, and may go on when it has returned.
func TestWorkThatOutlivesTheJob(t *testing.T) {
	out := testkit.NewLines()
	log := slogTo(out)
	release := make(chan struct{})
	var job scope.Scope
	run(t, "tidy", func(context.Context) {
		job = scope.Current()
		scope.Go(func() {
			<-release
			scope.Set("late", true) // on its own goroutine
			log.Info("after")
		})
	}, &jobscope.Options{ID: id("j-1"), Log: log.LogAttrs})
	out.Next(t).Want(t, testkit.Line{"msg": "job", "job.outcome": "ok", "late": nil, "scope_ended": nil})
	if job.Ended() {
		t.Error("the task is over while its background work goes on")
	}
	close(release)
	out.Next(t).Want(t, testkit.Line{"msg": "after", "request_id": "j-1", "job.name": "tidy", "scope_ended": nil})
	if err := scope.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if !job.Ended() {
		t.Error("the task isn't over")
	}
}

// A goroutine of a plain go is of the job while it lasts, and says so when it is over.
func TestAGoroutineThatIsLeftBehind(t *testing.T) {
	if !inherits {
		t.Skip("a plain go hands nothing on")
	}
	out := testkit.NewLines()
	log := slogTo(out)
	release, over := make(chan struct{}), make(chan struct{})
	run(t, "tidy", func(context.Context) {
		go func() {
			defer close(over)
			<-release
			log.Info("left behind")
		}()
	}, nil)
	close(release)
	<-over
	out.Next(t).Want(t, testkit.Line{"job.name": "tidy", "scope_ended": true})
}

func TestAThousandJobsAtOnceHaveAnIDEach(t *testing.T) {
	const jobs = 1000
	out := testkit.NewLines()
	opts := &jobscope.Options{Log: slogTo(out).LogAttrs}
	var wg, running sync.WaitGroup
	running.Add(jobs)
	for i := range jobs {
		wg.Go(func() {
			run(t, fmt.Sprint("job-", i), func(context.Context) {
				running.Done()
				running.Wait() // all are running
				scope.Set("own", i)
				if got := scope.GetOr("job.name", ""); got != fmt.Sprint("job-", i) {
					t.Errorf("job %d is %s", i, got)
				}
			}, opts)
		})
	}
	wg.Wait()
	ids, names := map[any]bool{}, map[any]bool{}
	for _, line := range out.All() {
		ids[line["request_id"]], names[line["job.name"]] = true, true
		if line["job.name"] != fmt.Sprint("job-", line["own"]) {
			t.Errorf("a line with fields of two jobs: %v", line)
		}
	}
	if len(out.All()) != jobs || len(ids) != jobs || len(names) != jobs {
		t.Errorf("%d lines with %d ids and %d names", len(out.All()), len(ids), len(names))
	}
}

// Jobs that come one after the other on one goroutine, as a worker runs them, share nothing.
func TestJobsOfOneWorkerShareNothing(t *testing.T) {
	var seen []string
	scope.Outside(func() {
		for i := range 3 {
			run(t, "tidy", func(context.Context) {
				seen = append(seen, fmt.Sprint(scope.Current().Has("before"), scope.Current().Len()))
				scope.Set("before", i)
			}, nil)
		}
	})
	if !slices.Equal(seen, []string{"false 2", "false 2", "false 2"}) {
		t.Errorf("seen: %q", seen)
	}
}

// What a job's scope, its context and its id cost; its line; and the headers of a message.
func TestAllocations(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	ctx := context.Background()
	nothing := func(context.Context) error { return nil }
	nop := func(context.Context, slog.Level, string, ...slog.Attr) {}
	for name, c := range map[string]struct {
		opts *jobscope.Options
		max  float64
	}{
		"no log":  {nil, 7},
		"log":     {&jobscope.Options{Log: nop}, 8},
		"headers": {&jobscope.Options{Headers: Map{"x-request-id": "r-1"}}, 14},
	} {
		if got := testing.AllocsPerRun(1000, func() { _ = jobscope.Run(ctx, "tidy", nothing, c.opts) }); got > c.max {
			t.Errorf("%s: %v allocations, want %v at the most", name, got, c.max)
		} else {
			t.Logf("%s: %v allocations", name, got)
		}
	}
}

// With the old meaning of panic(nil) it is a panic, too: the job hasn't done its work.
func TestAPanicWithNilGoesOn(t *testing.T) {
	for _, setting := range []string{"panicnil=0", "panicnil=1"} {
		t.Setenv("GODEBUG", setting)
		returned := false
		_ = recovered(func() {
			_ = jobscope.Run(t.Context(), "job", func(context.Context) error { panic(noValue) }, &jobscope.Options{Log: slogTo(io.Discard).LogAttrs})
			returned = true
		})
		if returned {
			t.Errorf("%s: Run has returned", setting)
		}
	}
}

var noValue any // go vet knows panic(nil)
