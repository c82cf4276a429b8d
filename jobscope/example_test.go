package jobscope_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
	"github.com/taskscope/taskscope/slogh"
)

// exampleLogger writes what the examples can show: no times and durations.
func exampleLogger() *slog.Logger {
	return slog.New(slogh.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "job.duration" {
				return slog.Attr{}
			}
			return a
		},
	}), nil))
}

// counted returns a function for Options.ID whose ids the examples can show.
func counted() func() string {
	n := 0
	return func() string { n++; return fmt.Sprint("j-", n) }
}

func ExampleRun() {
	logger := exampleLogger()
	err := jobscope.Run(context.Background(), "tidy", func(context.Context) error {
		scope.Set("rows", 12)
		logger.Info("tidying") // from wherever the job leads, without a context
		return errors.New("disk full")
	}, &jobscope.Options{
		Log: logger.LogAttrs, // or zaph.LogAttrs(zapLogger), zeroh.LogAttrs(&zerologLogger)
		ID:  counted(),
	})
	fmt.Println(err)
	// Output:
	// level=INFO msg=tidying request_id=j-1 job.name=tidy rows=12
	// level=ERROR msg=job request_id=j-1 job.name=tidy rows=12 job.outcome=error error.type=*errors.errorString error.message="disk full"
	// disk full
}

// A cron scheduler calls a func() when it is time, and each call is a job. Start it in main, so that
// its goroutine has the fields of the process and no others.
func Example_cron() {
	opts := &jobscope.Options{Log: exampleLogger().LogAttrs, ID: counted()}
	job := func(name string, fn func(context.Context) error) func() {
		return func() { _ = jobscope.Run(context.Background(), name, fn, opts) } // the line has the error
	}

	var c cron // say cron.New() of github.com/robfig/cron/v3
	c.AddFunc("@hourly", job("tidy", func(context.Context) error { scope.Add("files", 12); return nil }))
	c.AddFunc("@daily", job("report", func(context.Context) error { return errors.New("disk full") }))
	c.midnight()
	// Output:
	// level=INFO msg=job request_id=j-1 job.name=tidy job.outcome=ok files=12
	// level=ERROR msg=job request_id=j-2 job.name=report job.outcome=error error.type=*errors.errorString error.message="disk full"
}

// cron stands for a scheduler.
type cron []func()

func (c *cron) AddFunc(_ string, fn func()) { *c = append(*c, fn) }

func (c cron) midnight() {
	for _, fn := range c {
		fn()
	}
}

// Each tick is a job. One that fails doesn't end the others.
func Example_ticker() {
	opts := &jobscope.Options{Log: exampleLogger().LogAttrs, ID: counted()}
	ctx, stop := context.WithCancelCause(context.Background())

	runs := 0
	tidy := func(ctx context.Context) error {
		switch runs++; runs {
		case 2:
			return errors.New("disk full")
		case 3:
			stop(errors.New("shutting down")) // from elsewhere, in a program
			return ctx.Err()
		}
		return nil
	}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
			_ = jobscope.Run(ctx, "tidy", tidy, opts)
		case <-ctx.Done():
		}
	}
	// Output:
	// level=INFO msg=job request_id=j-1 job.name=tidy job.outcome=ok
	// level=ERROR msg=job request_id=j-2 job.name=tidy job.outcome=error error.type=*errors.errorString error.message="disk full"
	// level=WARN msg=job request_id=j-3 job.name=tidy job.outcome=canceled error.message="shutting down"
}

// A worker runs one job after the other on one goroutine. What a job sets ends with it. (Work
// that belongs to the request which submits it is no job of its own: submit scope.Wrap(work).)
func Example_workerPool() {
	logger := exampleLogger()
	images := make(chan string)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for image := range images {
				_ = jobscope.Run(context.Background(), "resize", func(context.Context) error {
					if image == "cat.png" {
						scope.Set("alpha", true)
					}
					return nil
				}, &jobscope.Options{
					Log: logger.LogAttrs,
					ID:  func() string { return image }, // the work has an id already
				})
			}
		})
	}
	for _, image := range []string{"cat.png", "dog.jpg", "owl.jpg"} {
		images <- image
	}
	close(images)
	workers.Wait()
	// Unordered output:
	// level=INFO msg=job request_id=cat.png job.name=resize alpha=true job.outcome=ok
	// level=INFO msg=job request_id=dog.jpg job.name=resize job.outcome=ok
	// level=INFO msg=job request_id=owl.jpg job.name=resize job.outcome=ok
}

// A carrier is the headers of a message, here in a plain map. That of OpenTelemetry, a
// propagation.MapCarrier, works as it is.
type carrier map[string]string

func (c carrier) Get(key string) string { return c[key] }
func (c carrier) Set(key, value string) { c[key] = value }
func (c carrier) Keys() []string        { return slices.Collect(maps.Keys(c)) }

// Region may leave the process. Sender and consumer declare it.
var Region = scope.NewKey[string]("region", scope.Propagated)

// A consumer of messages has the id of the request that has sent one, and its trace. It is a
// task of its own all the same. examples/queue has it with NATS.
func Example_consumer() {
	type message struct {
		headers carrier
		body    string
	}
	queue := make(chan message, 2)
	for _, order := range []string{"o-1", "o-2"} { // the sender
		scope.New("request_id", "r-"+order, Region.Attr("eu")).Run(func() {
			headers := carrier{}
			propagation.Inject(scope.Current(), headers)
			queue <- message{headers, order}
		})
	}
	close(queue)

	logger := exampleLogger()
	for msg := range queue {
		err := jobscope.Run(context.Background(), "ship", func(context.Context) error {
			scope.Set("order", msg.body)
			if msg.body == "o-2" {
				return errors.New("out of stock")
			}
			return nil
		}, &jobscope.Options{
			Log:          logger.LogAttrs,
			Headers:      msg.headers,
			TrustBaggage: true, // only our own services write to this queue
		})
		fmt.Println("acknowledged:", err == nil)
	}
	// Output:
	// level=INFO msg=job request_id=r-o-1 job.name=ship region=eu order=o-1 job.outcome=ok
	// acknowledged: true
	// level=ERROR msg=job request_id=r-o-2 job.name=ship region=eu order=o-2 job.outcome=error error.type=*errors.errorString error.message="out of stock"
	// acknowledged: false
}

// A job that is tried several times is one task with one id, and one last line. Each line says
// which attempt it is of: the field is replaced, so no line has two.
func Example_retry() {
	logger := exampleLogger()
	send := func(attempt int) error {
		if attempt < 3 {
			return errors.New("connection refused")
		}
		return nil
	}
	_ = jobscope.Run(context.Background(), "send", func(context.Context) error {
		for attempt := 1; ; attempt++ {
			scope.Set("attempt", attempt)
			err := send(attempt)
			if err == nil || attempt == 5 {
				return err
			}
			logger.Warn("not sent, trying again", "err", err)
		}
	}, &jobscope.Options{Log: logger.LogAttrs, ID: counted()})
	// Output:
	// level=WARN msg="not sent, trying again" request_id=j-1 job.name=send attempt=1 err="connection refused"
	// level=WARN msg="not sent, trying again" request_id=j-1 job.name=send attempt=2 err="connection refused"
	// level=INFO msg=job request_id=j-1 job.name=send attempt=3 job.outcome=ok
}

// A job that a request starts is a task of its own. What it is to know of the request, it takes
// from the context that it is given.
func ExampleOptions() {
	logger := exampleLogger()
	scope.New("request_id", "r-1", "user", "u1").Run(func() { // as httpscope.Handler does it
		ctx := scope.NewContext(context.Background(), scope.Current())
		_ = jobscope.Run(ctx, "reindex", func(context.Context) error { return errors.New("locked by another") }, &jobscope.Options{
			Log: logger.LogAttrs,
			ID:  counted(),
			Fields: func(ctx context.Context) []slog.Attr {
				request, _ := scope.FromContext(ctx)
				id, _ := request.Get("request_id")
				return []slog.Attr{slog.Any("started_by", id)}
			},
			Level: func(o jobscope.Outcome, err error) slog.Level {
				if o == jobscope.Error {
					return slog.LevelWarn // it is tried again
				}
				return slog.LevelInfo
			},
		})
		logger.Info("started")
	})
	// Output:
	// level=WARN msg=job request_id=j-1 job.name=reindex started_by=r-1 job.outcome=error error.type=*errors.errorString error.message="locked by another"
	// level=INFO msg=started request_id=r-1 user=u1
}
