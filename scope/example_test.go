package scope_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/taskscope/taskscope/scope"
)

// show prints what is bound, as a log line would be stamped with it.
func show(message string) {
	var b strings.Builder
	b.WriteString(message)
	for k, v := range scope.Current().All() {
		fmt.Fprintf(&b, " %s=%v", k, v)
	}
	fmt.Println(b.String())
}

// Where a request enters, give it a scope. Everything that it calls has it.
func Example() {
	charge := func(cents int) {
		scope.Set("cents", cents)
		show("charging card")
	}
	scope.New("request_id", "r-1").Run(func() {
		show("request")
		charge(1250)
	})
	show("idle")
	// Output:
	// request request_id=r-1
	// charging card request_id=r-1 cents=1250
	// idle
}

// A goroutine has the scope of the one that started it, as of that moment.
func Example_inheritance() {
	scope.New("request_id", "r-1").Run(func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			scope.Set("step", "audit")
			show("in the goroutine:")
		}()
		<-done
		show("where it was started:")
	})
	// Output:
	// in the goroutine: request_id=r-1 step=audit
	// where it was started: request_id=r-1
}

func ExampleSet() {
	scope.New("request_id", "r-1").Run(func() {
		scope.Set("user", "alice")
		scope.Set("items", 3)
		scope.Set("user", "bob") // keeps its place
		show("order")
	})
	// Output: order request_id=r-1 user=bob items=3
}

func ExampleSetAttrs() {
	scope.New().Run(func() {
		scope.SetAttrs(
			slog.String("method", "GET"),
			slog.Int("status", 200),
			slog.Duration("took", 12*time.Millisecond),
		)
		show("served")
	})
	// Output: served method=GET status=200 took=12ms
}

func ExampleGet() {
	scope.New("attempt", 2).Run(func() {
		v, ok := scope.Get("attempt")
		fmt.Printf("%v (%T) %v\n", v, v, ok)
		_, ok = scope.Get("user")
		fmt.Println(ok)
	})
	// Output:
	// 2 (int) true
	// false
}

func ExampleGetOr() {
	scope.New("attempt", 2).Run(func() {
		fmt.Println(scope.GetOr("attempt", 1))
		fmt.Println(scope.GetOr("user", "anonymous"))
		fmt.Println(scope.GetOr("attempt", "not a string"))
	})
	// Output:
	// 2
	// anonymous
	// not a string
}

func ExampleDelete() {
	scope.New("request_id", "r-1", "step", "parse", "line", 7).Run(func() {
		scope.Delete("step", "line")
		show("parsed")
	})
	// Output: parsed request_id=r-1
}

func ExampleClear() {
	scope.New("request_id", "r-1", "user", "alice").Run(func() {
		scope.Clear()
		show("anonymous statistics")
	})
	// Output: anonymous statistics
}

func ExampleCurrent() {
	var kept scope.Scope
	scope.New("request_id", "r-1").Run(func() {
		kept = scope.Current() // a value, to be used elsewhere
	})
	kept.Run(func() { show("later") })
	// Output: later request_id=r-1
}

func ExampleWith() {
	scope.New("request_id", "r-1").Run(func() {
		scope.With("shard", 4).Run(func() { show("query") })
		show("done")
	})
	// Output:
	// query request_id=r-1 shard=4
	// done request_id=r-1
}

// What a function sets ends with the Run around it.
func ExampleRun() {
	scope.New("request_id", "r-1").Run(func() {
		scope.Run(func() {
			scope.Set("table", "orders")
			show("query")
		})
		show("done")
	})
	// Output:
	// query request_id=r-1 table=orders
	// done request_id=r-1
}

// Go is for background work that belongs to the task: the task is live until it is done.
func ExampleGo() {
	scope.New("request_id", "r-1").Run(func() {
		scope.Go(func() { show("sending receipt") })
	})
	if err := scope.Wait(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: sending receipt request_id=r-1
}

// Timers, callbacks and pools inherit nothing, or the wrong thing: wrap what they call.
func ExampleWrap() {
	done := make(chan struct{})
	scope.New("request_id", "r-1").Run(func() {
		time.AfterFunc(time.Millisecond, scope.Wrap(func() {
			defer close(done)
			show("reminder")
		}))
	})
	<-done
	// Output: reminder request_id=r-1
}

// A shutdown waits for background work, for a limited time.
func ExampleWait() {
	release := make(chan struct{})
	scope.Go(func() { <-release })

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := scope.Wait(ctx)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	close(release)
	fmt.Println(scope.Wait(context.Background()))
	// Output:
	// true
	// <nil>
}

// Code that also runs where plain go statements inherit nothing can ask first.
func ExampleCarrier() {
	scope.New("request_id", "r-1").Run(func() {
		done := make(chan struct{})
		work := func() {
			defer close(done)
			show("working")
		}
		if scope.Carrier() == "portable" {
			scope.Go(work)
		} else {
			go work()
		}
		<-done
	})
	// Output: working request_id=r-1
}

func ExampleNew() {
	s := scope.New("request_id", "r-1", slog.Int("attempt", 1))
	s.Run(func() { show("start") })
	// Output: start request_id=r-1 attempt=1
}

// The zero Scope is empty. Work that must not be stamped, such as dialling a connection
// that others will use, runs under it.
func ExampleScope() {
	var none scope.Scope
	scope.New("request_id", "r-1").Run(func() {
		none.Run(func() { show("dialling") })
	})
	// Output: dialling
}

func ExampleScope_With() {
	base := scope.New("service", "shop")
	for _, id := range []string{"r-1", "r-2"} {
		base.With("request_id", id).Run(func() { show("request") })
	}
	// Output:
	// request service=shop request_id=r-1
	// request service=shop request_id=r-2
}

func ExampleScope_Without() {
	scope.New("request_id", "r-1", "user", "alice").Run(func() {
		scope.Current().Without("user").Run(func() { show("statistics") })
	})
	// Output: statistics request_id=r-1
}

// A job that a request queues and that goes on by itself is a task in its own right.
func ExampleScope_Detach() {
	var job scope.Scope
	request := scope.New("request_id", "r-1")
	request.Run(func() { job = scope.Current().Detach() })
	job.Run(func() {
		show("rebuilding index")
		fmt.Println("of the request:", job.SameTask(request))
	})
	// Output:
	// rebuilding index request_id=r-1
	// of the request: false
}

func ExampleScope_Get() {
	s := scope.New("attempt", 2, slog.Int("status", 200))
	attempt, _ := s.Get("attempt")
	status, _ := s.Get("status") // an Attr's int has no width
	fmt.Printf("%T %T\n", attempt, status)
	// Output: int int64
}

func ExampleScope_Len() {
	fmt.Println(scope.New("a", 1, "b", 2).Len(), scope.Scope{}.Len())
	// Output: 2 0
}

// What a scope holds can be sent to something that isn't a logger.
func ExampleScope_All() {
	s := scope.New("request_id", "r-1", "attempt", 2)
	for key, value := range s.All() {
		fmt.Println(key, value.Kind(), value)
	}
	// Output:
	// request_id String r-1
	// attempt Int64 2
}

func ExampleScope_Run() {
	scope.New("request_id", "r-1").Run(func() {
		func() {
			defer func() { fmt.Println("recovered:", recover()) }()
			scope.New("job", 7).Run(func() {
				show("working")
				panic("boom")
			})
		}()
		show("afterwards") // what was bound is back
	})
	// Output:
	// working job=7
	// recovered: boom
	// afterwards request_id=r-1
}

func ExampleScope_Go() {
	scope.New("job", 7).Go(func() { show("working") })
	if err := scope.Wait(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: working job=7
}

// Each job of a pool has the scope of whoever sent it.
func ExampleScope_Wrap() {
	jobs := make(chan func(), 2)
	for i := range 2 {
		jobs <- scope.New("job", i).Wrap(func() { show("working") })
	}
	close(jobs)
	for job := range jobs {
		job()
	}
	// Output:
	// working job=0
	// working job=1
}

func ExampleScope_Ended() {
	s := scope.New("request_id", "r-1")
	s.Run(func() { fmt.Println(s.Ended()) })
	fmt.Println(s.Ended())
	// Output:
	// false
	// true
}

func ExampleScope_SameTask() {
	s := scope.New("request_id", "r-1")
	s.Run(func() {
		scope.Set("user", "alice")
		fmt.Println(s.SameTask(scope.Current()))
	})
	fmt.Println(s.SameTask(scope.New("request_id", "r-1")))
	// Output:
	// true
	// false
}

// A context from NewContext carries a scope to code that is given one, and keeps the
// goroutine's own through code that sets profiler labels.
func ExampleNewContext() {
	scope.New("request_id", "r-1").Run(func() {
		ctx := scope.NewContext(context.Background(), scope.Current())
		pprof.Do(ctx, pprof.Labels("endpoint", "/pay"), func(context.Context) {
			show("profiled")
		})
	})
	// Output: profiled request_id=r-1
}

func ExampleFromContext() {
	ctx := scope.NewContext(context.Background(), scope.New("request_id", "r-1"))
	// … in a worker that was handed ctx and nothing else:
	if s, ok := scope.FromContext(ctx); ok {
		s.Run(func() { show("working") })
	}
	// Output: working request_id=r-1
}

// Keys are declared once, as package variables.
var (
	userKey    = scope.NewKey[string]("example_user")
	attemptKey = scope.NewKey[int]("example_attempt")
	tokenKey   = scope.NewKey[string]("example_token", scope.Redacted)
)

func ExampleNewKey() {
	scope.New(userKey.Attr("alice")).Run(func() {
		attemptKey.Set(2)
		show("login")
	})
	// Output: login example_user=alice example_attempt=2
}

func ExampleKey() {
	scope.New().Run(func() {
		attemptKey.Set(attemptKey.GetOr(0) + 1)
		attemptKey.Set(attemptKey.GetOr(0) + 1)
		fmt.Println(attemptKey.Get())
	})
	// Output: 2 true
}

func ExampleKey_Name() {
	scope.New(userKey.Attr("alice"), "step", 1).Run(func() {
		scope.Delete(userKey.Name())
		show("logged out")
	})
	// Output: logged out step=1
}

func ExampleKey_Set() {
	scope.New().Run(func() {
		userKey.Set("alice") // a string, or it doesn't compile
		show("login")
	})
	// Output: login example_user=alice
}

func ExampleKey_Get() {
	scope.New(attemptKey.Attr(2)).Run(func() {
		attempt, ok := attemptKey.Get()
		fmt.Printf("%d (%T) %v\n", attempt, attempt, ok)
	})
	// Output: 2 (int) true
}

func ExampleKey_GetOr() {
	fmt.Println(userKey.GetOr("anonymous"))
	// Output: anonymous
}

func ExampleKey_Attr() {
	scope.New().Run(func() {
		scope.SetAttrs(userKey.Attr("alice"), attemptKey.Attr(2))
		show("login")
	})
	// Output: login example_user=alice example_attempt=2
}

// A policy belongs to the name, so it holds for plain Set as well.
func ExamplePolicy() {
	scope.NewKey[string](tokenKey.Name(), scope.Propagated) // adds to Redacted
	policy := scope.Policy("example_token")
	fmt.Println("redacted:", policy&scope.Redacted != 0)
	fmt.Println("propagated:", policy&scope.Propagated != 0)
	fmt.Println("hidden:", policy&scope.Hidden != 0)
	// Output:
	// redacted: true
	// propagated: true
	// hidden: false
}

// What is started inside a task and serves others too must not inherit.
func ExampleOutside() {
	scope.New("request_id", "r-1").Run(func() {
		show("request:")
		scope.Outside(func() { show("opening the pool:") })
		show("request:")
	})
	// Output:
	// request: request_id=r-1
	// opening the pool:
	// request: request_id=r-1
}

func ExampleScope_String() {
	fmt.Println(scope.New("request_id", "r-1", "user", "ann lee"))
	// Output: request_id=r-1 user="ann lee"
}

// A scope is logged as a group: here the job's, on a line of another task.
func ExampleScope_LogValue() {
	var b strings.Builder
	logger := slog.New(slog.NewTextHandler(&b, nil))
	logger.Info("queued", "job", scope.New("job_id", 7, "user", "u1"))
	fmt.Println(b.String()[strings.Index(b.String(), "msg="):])
	// Output: msg=queued job.job_id=7 job.user=u1
}

// A logger or a client that is given a context goes by Pick.
func ExampleScope_Pick() {
	scope.New("request_id", "r-1").Run(func() {
		ctx := scope.NewContext(context.Background(), scope.With("user", "u1"))
		scope.Set("step", 2)
		fmt.Println(scope.Current().Pick(ctx))

		other := scope.NewContext(ctx, scope.New("request_id", "r-2"))
		fmt.Println(scope.Current().Pick(other))
	})
	// Output:
	// request_id=r-1 step=2 user=u1
	// request_id=r-2
}
