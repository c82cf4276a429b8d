package jobscope_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func TestOneLineForEachJob(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			opts := &jobscope.Options{Log: l.log(out)}
			for i := range 3 {
				run(t, fmt.Sprint("job-", i), func(context.Context) {
					deep(20, "deep", "yes")
					scope.Run(func() { scope.Set("within_run", "gone") })
					scope.SetAttrs(slog.Int("items", 3))
				}, opts)
				got := out.Next(t)
				got.Want(t, testkit.Line{
					"level": l.info, l.msg: "job", "job.name": fmt.Sprint("job-", i), "job.outcome": "ok",
					"deep": "yes", "items": 3.0, "within_run": nil, "scope_ended": nil,
					"error.type": nil, "error.message": nil, "exception.message": nil,
				})
				if id, ok := got["request_id"].(string); !ok || len(id) != 36 {
					t.Errorf("the id is %v", got["request_id"])
				}
				out.None(t)
			}
		})
	}
}

func TestTheDurationIsInSeconds(t *testing.T) {
	out := testkit.NewLines()
	start := time.Now()
	run(t, "tidy", func(context.Context) { time.Sleep(20 * time.Millisecond) }, &jobscope.Options{Log: slogTo(out).LogAttrs})
	took := time.Since(start).Seconds()
	if d, ok := out.Next(t)["job.duration"].(float64); !ok || d < 0.02 || d > took {
		t.Errorf("the duration is %v, and it took %v", d, took)
	}
}

func TestTheLineIsWrittenAtTheEndWithinTheTask(t *testing.T) {
	returned, lines := false, 0
	var fnsContext context.Context
	run(t, "tidy", func(ctx context.Context) {
		fnsContext = ctx
		returned = true
	}, &jobscope.Options{Log: func(ctx context.Context, _ slog.Level, _ string, _ ...slog.Attr) {
		lines++
		s, _ := scope.FromContext(ctx)
		if !returned || ctx != fnsContext || !s.SameTask(scope.Current()) || s.Ended() {
			t.Error("the line isn't written within the job's task when fn has returned")
		}
	}})
	if lines != 1 {
		t.Errorf("%d lines", lines)
	}
}

// An httpscope.LogFunc will do, as it is.
var _ = jobscope.Options{Log: httpscope.LogFunc(nil)}

type failure struct{ code int }

func (f *failure) Error() string { return fmt.Sprint("failure ", f.code) }

type number int

func (n number) Error() string { return "a number" }

func TestOutcomes(t *testing.T) {
	stop := errors.New("the server stops")
	canceled := func(cause error) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(cause)
			return ctx, func() {}
		}
	}
	late := func(cause error) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 0, cause)
		}
	}
	fails := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	obeys := func(ctx context.Context) error { return ctx.Err() }
	wraps := func(ctx context.Context) error { return fmt.Errorf("copying: %w", ctx.Err()) }
	withCause := func(ctx context.Context) error { return context.Cause(ctx) }
	ownTimeout := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 0)
		defer cancel()
		return ctx.Err()
	}
	for _, c := range []struct {
		rule    string
		ctx     func(context.Context) (context.Context, context.CancelFunc) // nil: one that isn't over
		fn      func(context.Context) error
		outcome jobscope.Outcome
		kind    any // error.type
		message any // error.message
	}{
		{"nil", nil, fails(nil), jobscope.OK, nil, nil},
		{"nil, although it was canceled", canceled(stop), fails(nil), jobscope.OK, nil, nil},
		{"nil, although it is late", late(nil), fails(nil), jobscope.OK, nil, nil},

		{"an error", nil, fails(errors.New("no luck")), jobscope.Error, "*errors.errorString", "no luck"},
		{"an error with a type", nil, fails(&failure{7}), jobscope.Error, "*jobscope_test.failure", "failure 7"},
		{"an error that is no pointer", nil, fails(number(7)), jobscope.Error, "jobscope_test.number", "a number"},
		{"of a package", nil, fails(&fs.PathError{Op: "open", Path: "orders", Err: fs.ErrNotExist}), jobscope.Error, "*fs.PathError", "open orders: file does not exist"},
		{"wrapped", nil, fails(fmt.Errorf("a: %w", fmt.Errorf("b: %w", &failure{7}))), jobscope.Error, "*jobscope_test.failure", "a: b: failure 7"},
		{"wrapped, nothing", nil, fails(fmt.Errorf("a: %w", nil)), jobscope.Error, "*fmt.wrapError", "a: %!w(<nil>)"},
		{"joined", nil, fails(errors.Join(&failure{7}, stop)), jobscope.Error, "*errors.joinError", "failure 7\nthe server stops"},
		{"two wrapped", nil, fails(fmt.Errorf("%w, %w", &failure{7}, stop)), jobscope.Error, "*fmt.wrapErrors", "failure 7, the server stops"},
		{"a nil pointer as an error", nil, fails((*failure)(nil)), jobscope.Error, "*jobscope_test.failure", "<nil>"},
		{"an error of its own, although it was canceled", canceled(stop), fails(fs.ErrClosed), jobscope.Error, "*errors.errorString", "file already closed"},
		{"a timeout of its own", nil, ownTimeout, jobscope.Error, "context.deadlineExceededError", "context deadline exceeded"},
		{"a cancel of its own", nil, fails(context.Canceled), jobscope.Error, "*errors.errorString", "context canceled"},
		{"a timeout of its own, although it was canceled", canceled(nil), fails(context.DeadlineExceeded), jobscope.Error, "context.deadlineExceededError", "context deadline exceeded"},

		{"canceled", canceled(nil), obeys, jobscope.Canceled, nil, "context canceled"},
		{"canceled, wrapped", canceled(nil), wraps, jobscope.Canceled, nil, "copying: context canceled"},
		{"canceled with a cause", canceled(stop), obeys, jobscope.Canceled, nil, "the server stops"},
		{"canceled with a cause, wrapped", canceled(stop), wraps, jobscope.Canceled, nil, "copying: context canceled: the server stops"},
		{"joined to a library's error", canceled(nil), fails(errors.Join(&failure{7}, context.Canceled)), jobscope.Canceled, nil, "failure 7\ncontext canceled"},
		{"the cause", canceled(stop), withCause, jobscope.Canceled, nil, "the server stops"},
		{"the cause, wrapped", canceled(stop), fails(fmt.Errorf("copying: %w", stop)), jobscope.Canceled, nil, "copying: the server stops"},

		{"the deadline", late(nil), obeys, jobscope.Deadline, nil, "context deadline exceeded"},
		{"the deadline with a cause", late(stop), obeys, jobscope.Deadline, nil, "the server stops"},
		{"the deadline with a cause, wrapped", late(stop), wraps, jobscope.Deadline, nil, "copying: context deadline exceeded: the server stops"},
		{"the deadline's cause", late(stop), withCause, jobscope.Deadline, nil, "the server stops"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, l := range loggers {
				ctx := t.Context()
				if c.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = c.ctx(ctx)
					defer cancel()
				}
				out := testkit.NewLines()
				_ = jobscope.Run(ctx, "tidy", c.fn, &jobscope.Options{Log: l.log(out)})
				level := map[jobscope.Outcome]string{jobscope.OK: l.info, jobscope.Error: l.err, jobscope.Canceled: l.warn, jobscope.Deadline: l.warn}[c.outcome]
				out.Next(t).Want(t, testkit.Line{
					"level": level, l.msg: "job", "job.name": "tidy", "job.outcome": string(c.outcome), "error.type": c.kind, "error.message": c.message,
					"exception.message": nil, "exception.stacktrace": nil, "scope_ended": nil,
				})
				out.None(t)
			}
		})
	}
}

// An error's own method may panic. That costs its text, and no more.
func TestAnErrorWhoseTextPanics(t *testing.T) {
	out := testkit.NewLines()
	err := jobscope.Run(t.Context(), "tidy", func(context.Context) error { return testkit.PanickingError{} }, &jobscope.Options{Log: slogTo(out).LogAttrs})
	if err != (testkit.PanickingError{}) {
		t.Error("another error has come back")
	}
	line := out.Next(t)
	line.Want(t, testkit.Line{"job.outcome": "error", "error.type": "testkit.PanickingError"})
	if text := fmt.Sprint(line["error.message"]); !strings.Contains(text, "no text") {
		t.Errorf("error.message is %s", text)
	}
}

func explode(with any) { panic(with) }

// A panic is a panic, whatever its value: no job ends in order by http.ErrAbortHandler.
func TestAPanicIsLoggedAndGoesOn(t *testing.T) {
	broken := &failure{7}
	for _, l := range loggers {
		for _, c := range []struct {
			with    any
			message string
		}{
			{"boom", "boom"},
			{broken, "failure 7"},
			{nil, new(runtime.PanicNilError).Error()},
			{http.ErrAbortHandler, "net/http: abort Handler"},
			{context.Canceled, "context canceled"},
			{testkit.PanickingError{}, "%!v(PANIC=Error method: no text)"},
		} {
			t.Run(fmt.Sprintf("%s %T", l.name, c.with), func(t *testing.T) {
				out := testkit.NewLines()
				seen := recovered(func() {
					_ = jobscope.Run(t.Context(), "tidy", func(context.Context) error {
						deep(3, "deep", "yes")
						explode(c.with)
						return nil
					}, &jobscope.Options{Log: l.log(out), ID: id("j-1")})
				})
				if _, isNil := seen.(*runtime.PanicNilError); seen != c.with && !isNil {
					t.Errorf("what goes on is %v", seen)
				}
				line := out.Next(t)
				line.Want(t, testkit.Line{
					"level": l.err, l.msg: "job", "request_id": "j-1", "job.outcome": "panic", "deep": "yes", "scope_ended": nil,
					"exception.message": c.message, "error.type": nil, "error.message": nil,
				})
				if stack := fmt.Sprint(line["exception.stacktrace"]); !strings.Contains(stack, "jobscope_test.explode") {
					t.Errorf("fn isn't in the stack\n%s", stack)
				}
				out.None(t)
			})
		}
	}
}

// Without a line, Run doesn't touch a panic.
func TestAPanicWithoutALog(t *testing.T) {
	before := scope.Current()
	if seen := recovered(func() { _ = jobscope.Run(t.Context(), "tidy", func(context.Context) error { panic("boom") }, nil) }); seen != "boom" {
		t.Errorf("what goes on is %v", seen)
	}
	if scope.Current() != before {
		t.Errorf("afterwards %v is bound", scope.Current())
	}
}

// The line of a job whose options panic has nothing of the request that it is started from.
func TestAPanicInAnOptionIsLoggedToo(t *testing.T) {
	for what, opts := range map[string]*jobscope.Options{
		"Fields":  {Fields: func(context.Context) []slog.Attr { panic("boom") }},
		"ID":      {ID: func() string { panic("boom") }},
		"Headers": {Headers: panickingCarrier{}},
	} {
		out := testkit.NewLines()
		opts.Log = slogTo(out).LogAttrs
		scope.New("request_id", "r-1").Run(func() {
			ctx := scope.NewContext(t.Context(), scope.Current())
			if seen := recovered(func() { _ = jobscope.Run(ctx, "tidy", func(context.Context) error { return nil }, opts) }); seen != "boom" {
				t.Errorf("%s: what goes on is %v", what, seen)
			}
		})
		out.Next(t).Want(t, testkit.Line{"job.outcome": "panic", "exception.message": "boom", "request_id": nil})
		out.None(t)
	}
}

// What Log and Level do to the goroutine goes on to Run's caller, and fn's own panic in any case. The
// task ends, and nothing stays bound.
func TestLogAndLevelThatDoNotReturn(t *testing.T) {
	fns := map[string]func(context.Context) error{
		"returns": func(context.Context) error { return nil },
		"fails":   func(context.Context) error { return errors.New("no luck") },
		"panics":  func(context.Context) error { panic("fn's own") },
		"goexits": func(context.Context) error { runtime.Goexit(); return nil },
	}
	panics, goexits := func() { panic("Log's") }, runtime.Goexit
	for _, c := range []struct {
		fn   string
		log  func()
		want any // what the caller recovers; nil if the goroutine ends
	}{
		{"returns", panics, "Log's"},
		{"returns", goexits, nil},
		{"fails", panics, "Log's"},
		{"fails", goexits, nil},
		{"panics", panics, "fn's own"},
		{"panics", goexits, "fn's own"},
		{"goexits", panics, "Log's"},
		{"goexits", goexits, nil},
	} {
		for where, opts := range map[string]*jobscope.Options{
			"Log": {Log: func(context.Context, slog.Level, string, ...slog.Attr) { c.log() }},
			"Level": {
				Log:   func(context.Context, slog.Level, string, ...slog.Attr) { t.Error("there is a line without a level") },
				Level: func(jobscope.Outcome, error) slog.Level { c.log(); return 0 },
			},
		} {
			var s scope.Scope
			var seen any
			returned := false
			testkit.InTime(t, func() {
				before := scope.Current()
				defer func() {
					seen = recover()
					if scope.Current() != before {
						t.Errorf("%v stays bound", scope.Current())
					}
				}()
				_ = jobscope.Run(context.Background(), "tidy", func(ctx context.Context) error {
					s = scope.Current()
					return fns[c.fn](ctx)
				}, opts)
				returned = true
			})
			if seen != c.want || returned || !s.Ended() {
				t.Errorf("fn %s, %s: the caller sees %v, want %v; Run has returned: %v; the task is over: %v", c.fn, where, seen, c.want, returned, s.Ended())
			}
		}
	}
}

// A Log that ends the goroutine in which Await calls it leaves nothing behind.
func TestALogThatDoesNotReturnIsAwaited(t *testing.T) {
	for _, limit := range []time.Duration{time.Hour, time.Millisecond} { // the task's end, and the timer
		var s scope.Scope
		called, release := make(chan struct{}), make(chan struct{})
		err := jobscope.Run(t.Context(), "tidy", func(context.Context) error {
			s = scope.Current()
			scope.Go(func() { <-release })
			return io.EOF
		}, &jobscope.Options{Await: true, AwaitLimit: limit, Log: func(context.Context, slog.Level, string, ...slog.Attr) {
			close(called)
			runtime.Goexit()
		}})
		if err != io.EOF {
			t.Errorf("Run returns %v", err)
		}
		if limit < time.Second {
			testkit.Receive(t, called, "line")
		}
		close(release)
		testkit.Receive(t, called, "line")
		if err := scope.Wait(t.Context()); err != nil || !s.Ended() {
			t.Errorf("%v; the task is over: %v", err, s.Ended())
		}
	}
}

type panickingCarrier struct{ Map }

func (panickingCarrier) Get(string) string { panic("boom") }

func TestGoexitIsAnOutcome(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			returned := false
			testkit.InTime(t, func() {
				_ = jobscope.Run(t.Context(), "tidy", func(context.Context) error {
					scope.Set("step", 1)
					runtime.Goexit()
					return nil
				}, &jobscope.Options{Log: l.log(out)})
				returned = true
			})
			if returned {
				t.Error("Run has returned")
			}
			out.Next(t).Want(t, testkit.Line{
				"level": l.err, "job.name": "tidy", "step": 1.0, "job.outcome": "goexit",
				"error.type": nil, "error.message": nil, "exception.message": nil, "scope_ended": nil,
			})
			out.None(t)
		})
	}
}

func TestTheLevelIsConfigurable(t *testing.T) {
	broken := errors.New("broken")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx     context.Context
		fn      func(context.Context) error
		outcome jobscope.Outcome
		err     error
	}{
		{t.Context(), func(context.Context) error { return nil }, jobscope.OK, nil},
		{t.Context(), func(context.Context) error { return broken }, jobscope.Error, broken},
		{t.Context(), func(context.Context) error { panic("boom") }, jobscope.Panic, nil},
		{t.Context(), func(context.Context) error { runtime.Goexit(); return nil }, jobscope.Goexit, nil},
		{over, func(ctx context.Context) error { return ctx.Err() }, jobscope.Canceled, context.Canceled},
	} {
		out := testkit.NewLines()
		testkit.InTime(t, func() {
			_ = recovered(func() {
				_ = jobscope.Run(c.ctx, "tidy", c.fn, &jobscope.Options{Log: slogTo(out).LogAttrs, Level: func(o jobscope.Outcome, err error) slog.Level {
					if o != c.outcome || err != c.err {
						t.Errorf("Level is asked about %s and %v, want %s and %v", o, err, c.outcome, c.err)
					}
					return slog.LevelWarn + 1
				}})
			})
		})
		out.Next(t).Want(t, testkit.Line{"level": "WARN+1", "job.outcome": string(c.outcome)})
	}
}

// A foreign SetGoroutineLabels may take the scope from the goroutine; the line has the
// fields of the job's beginning then.
func TestTheLineSurvivesALostScope(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			log := l.log(out)
			run(t, "tidy", func(context.Context) {
				pprof.SetGoroutineLabels(context.Background())
				log(context.Background(), slog.LevelInfo, "lost")
			}, &jobscope.Options{Log: log, ID: id("j-1")})
			if lost := out.Next(t); inherits { // where it isn't in the slot, it can't be lost
				lost.Want(t, testkit.Line{l.msg: "lost", "request_id": nil})
			}
			out.Next(t).Want(t, testkit.Line{l.msg: "job", "request_id": "j-1", "job.name": "tidy", "scope_ended": nil})
		})
	}
}

func TestTotalsAreOnTheLastLine(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			opts := &jobscope.Options{Log: l.log(out)}
			err := jobscope.Run(t.Context(), "outer", func(ctx context.Context) error {
				scope.Add("rows", 2)
				scope.Add("job.name", 1) // the scope has it
				scope.Add("job.outcome", 1)
				l.log(out)(ctx, slog.LevelInfo, "plain")
				return jobscope.Run(ctx, "inner", func(context.Context) error {
					scope.With("attempt", 1).Run(func() { scope.Add("rows", 5) })
					return nil
				}, opts)
			}, opts)
			if err != nil {
				t.Fatal(err)
			}
			out.Next(t).Want(t, testkit.Line{l.msg: "plain", "rows": nil})
			out.Next(t).Want(t, testkit.Line{"job.name": "inner", "rows": 5.0, "job.outcome": "ok"})
			out.Next(t).Want(t, testkit.Line{"job.name": "outer", "rows": 2.0, "job.outcome": "ok"})
		})
	}
}

// A value of a list that can't be shown costs itself alone, and each is asked once.
func TestAListOnTheLastLine(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			log, counter := l.log(out), new(testkit.Counter)
			var logging, asking callback
			err := jobscope.Run(t.Context(), "pack", func(ctx context.Context) error {
				s := scope.Current()
				logging = func() slog.Value { log(ctx, slog.LevelInfo, "inside"); return slog.StringValue("has logged") }
				asking = func() slog.Value {
					inside := s.Totals()
					return slog.AnyValue(inside[len(inside)-1].Value.Any().([]any)[0])
				}
				for _, v := range []any{
					1, "<&>", float32(0.1), math.NaN(), math.Inf(-1), nil, errors.New("no luck"), counter,
					testkit.Resolved("r"), testkit.PanickingLogValue{}, testkit.PanickingError{}, testkit.Endless{}, logging,
					value{slog.GroupValue(slog.Int("a", 1), slog.Float64("b", math.NaN()), slog.Any("c", testkit.Resolved("r")), slog.Group("d", "e", 2))},
					func() {}, testkit.PanickingJSON{}, struct{ A float64 }{math.NaN()}, struct{ A string }{"<&>"}, json.RawMessage("{"), []byte("ab"),
				} {
					scope.Append("list", v)
				}
				scope.Append("asks", asking)
				scope.Append("asks", asking)
				return nil
			}, &jobscope.Options{Log: log})
			if err != nil {
				t.Fatal(err)
			}
			out.Next(t).Want(t, testkit.Line{l.msg: "inside"})
			line := out.Next(t)
			endless := "!PANIC: LogValue of testkit.Endless never ends"
			_, unfinished := json.Marshal(json.RawMessage("{")) // Go 1.27 says it in other words
			line.Want(t, testkit.Line{"job.outcome": "ok", "list": []any{
				1.0, "<&>", 0.1, "!ERROR:json: unsupported value: NaN", "!ERROR:json: unsupported value: -Inf", nil, "no luck", 1.0,
				"resolved r", "!PANIC: no value", "!PANIC: no text", endless, "has logged",
				map[string]any{"a": 1.0, "b": "!ERROR:json: unsupported value: NaN", "c": "resolved r", "d": map[string]any{"e": 2.0}},
				"!ERROR:json: unsupported type: func()", "!PANIC: no JSON", "!ERROR:json: unsupported value: NaN", map[string]any{"A": "<&>"},
				"!ERROR:" + unfinished.Error(), "YWI=",
			}})
			marker := "!ERROR: jobscope_test.callback isn't asked for its text within another value's method"
			line.Want(t, testkit.Line{"asks": []any{marker, marker}})
			out.None(t)
		})
	}
}

type (
	callback func() slog.Value
	value    struct{ v slog.Value }
)

func (c callback) LogValue() slog.Value { return c() }
func (v value) LogValue() slog.Value    { return v.v }

func TestTheLineHasTheFieldsOfTheError(t *testing.T) {
	failure := errors.New("no luck")
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			err := jobscope.Run(t.Context(), "pack", func(context.Context) (err error) {
				scope.Set("batch", 3)
				scope.With("item", "boots", "job.outcome", "x", "batch", 4).Run(func() { err = scope.Error(failure) })
				return fmt.Errorf("packing: %w", err)
			}, &jobscope.Options{Log: l.log(out)})
			if !errors.Is(err, failure) {
				t.Errorf("Run returns %v", err)
			}
			out.Next(t).Want(t, testkit.Line{
				"job.outcome": "error", "error.type": "*errors.errorString", "error.message": "packing: no luck",
				"batch": 3.0, "item": "boots", "scope_ended": nil,
			})
		})
	}
}

func TestTheLineAwaitsTheTask(t *testing.T) {
	out, stop := testkit.NewLines(), make(chan struct{})
	work := func(context.Context) error {
		scope.Go(func() {
			<-stop
			scope.Add("rows", 1)
		})
		return errors.New("no luck")
	}
	log := loggers[0].log(out)
	for _, limit := range []time.Duration{-1, 10 * time.Millisecond} {
		if err := jobscope.Run(t.Context(), "pack", work, &jobscope.Options{Log: log, Await: true, AwaitLimit: limit}); err == nil {
			t.Error("no error")
		}
	}
	out.Next(t).Want(t, testkit.Line{"job.outcome": "error", "scope_running": 1.0, "rows": nil, "level": "ERROR"})
	close(stop)
	out.Next(t).Want(t, testkit.Line{"job.outcome": "error", "scope_running": nil, "rows": 1.0, "scope_ended": nil})
	if err := scope.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	out.None(t)
}

type unwrapPanics struct{}

func (*unwrapPanics) Error() string { return "no luck" }
func (*unwrapPanics) Unwrap() error { panic("no Unwrap") }

func TestAnErrorWhoseUnwrapPanics(t *testing.T) {
	out := testkit.NewLines()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	failure := &unwrapPanics{}
	if err := jobscope.Run(ctx, "pack", func(context.Context) error { return failure }, &jobscope.Options{Log: loggers[0].log(out)}); err != failure {
		t.Errorf("Run returns %v", err)
	}
	out.Next(t).Want(t, testkit.Line{"job.outcome": "error", "error.message": "no luck", "error.type": "*jobscope_test.unwrapPanics"})
}

func TestAFieldOfTheErrorGivesWayToATotal(t *testing.T) {
	out := testkit.NewLines()
	_ = jobscope.Run(t.Context(), "pack", func(context.Context) (err error) {
		scope.Add("rows", 3)
		scope.With("rows", "x", "item", "boots").Run(func() { err = scope.Error(errors.New("no luck")) })
		return err
	}, &jobscope.Options{Log: loggers[0].log(out)})
	out.Next(t).Want(t, testkit.Line{"rows": 3.0, "item": "boots"})
}

// With Await it gives way to what is added while the line is awaited.
func TestAFieldOfTheErrorGivesWayToALaterTotal(t *testing.T) {
	out, returned := testkit.NewLines(), make(chan struct{})
	_ = jobscope.Run(t.Context(), "pack", func(context.Context) (err error) {
		scope.Go(func() { <-returned; scope.Add("rows", 3) })
		scope.With("rows", "x", "item", "boots").Run(func() { err = scope.Error(errors.New("no luck")) })
		return err
	}, &jobscope.Options{Log: loggers[0].log(out), Await: true})
	close(returned)
	out.Next(t).Want(t, testkit.Line{"rows": 3.0, "item": "boots", "scope_ended": nil})
}

func TestAPanicDoesNotAwait(t *testing.T) {
	out, stop := testkit.NewLines(), make(chan struct{})
	func() {
		defer func() { _ = recover() }()
		_ = jobscope.Run(t.Context(), "pack", func(context.Context) error {
			scope.Go(func() { <-stop })
			panic("boom")
		}, &jobscope.Options{Log: loggers[0].log(out), Await: true})
	}()
	out.Next(t).Want(t, testkit.Line{"job.outcome": "panic", "scope_running": nil})
	close(stop)
}

// A job may panic with a value that leads back to itself: package fmt would end the process. So may an
// error's own method.
func TestAPanicWithoutAnEnd(t *testing.T) {
	loop := []any{nil}
	loop[0] = loop
	members := []slog.Attr{{}}
	members[0] = slog.Attr{Key: "a", Value: slog.GroupValue(members...)}
	for _, v := range []any{loop, slog.GroupValue(members...), &members[0]} {
		out := testkit.NewLines()
		p := recovered(func() {
			_ = jobscope.Run(context.Background(), "job", func(context.Context) error { panic(v) }, &jobscope.Options{Log: slogTo(out).LogAttrs})
		})
		if reflect.TypeOf(p) != reflect.TypeOf(v) {
			t.Errorf("another panic: %T", p)
		}
		out.Next(t).Want(t, testkit.Line{"job.outcome": "panic", "exception.message": "!BADVALUE: nested too deep, or too large"})
		_ = jobscope.Run(context.Background(), "job", func(context.Context) error { return scope.Error(panics{v}) }, &jobscope.Options{Log: slogTo(out).LogAttrs})
		out.Next(t).Want(t, testkit.Line{"job.outcome": "error", "error.message": "!PANIC: !BADVALUE: nested too deep, or too large"})
		// log/slog prints a list as fmt does, which has no end for these either.
		text := ""
		err := jobscope.Run(context.Background(), "job", func(context.Context) error {
			scope.Append("list", []any{v})
			scope.Append("list", 1)
			text = scope.Current().String()
			return nil
		}, &jobscope.Options{Log: slog.New(slogh.New(slog.NewTextHandler(io.Discard, nil), nil)).LogAttrs})
		if err != nil || text == "" {
			t.Errorf("%T: %v, %s", v, err, text)
		}
	}
}

type panics struct{ with any }

func (p panics) Error() string { panic(p.with) }
