// Workerpool answers: my workers live as long as the process; how do their lines carry
// the fields of the request that a job comes from? Submit scope.Wrap(job).
package main

import (
	"log/slog"
	"os"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// A pool is any pool: this one, or a library's. It knows nothing of scopes.
type pool chan func()

func newPool(workers int) pool {
	jobs := make(pool)
	for range workers {
		go func() {
			for job := range jobs {
				job()
			}
		}()
	}
	return jobs
}

// do has a worker run job, and waits for it.
func (p pool) do(job func()) {
	done := make(chan struct{})
	p <- func() { defer close(done); job() }
	<-done
}

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))

	resizers := newPool(2)
	for _, id := range []string{"req-1", "req-2", "req-3"} {
		scope.New("request_id", id).Run(func() {
			scope.Set("user", "user-of-"+id)

			// The workers were started before there was a request, so they have no fields.
			// Had the first request started them, all lines would have that one's.
			resizers.do(func() { slog.Info("resized, not wrapped") })

			// Wrap takes along what is bound here and now.
			resizers.do(scope.Wrap(func() {
				slog.Info("resized")
				scope.Set("width", 640) // ends with the job: the next one doesn't see it
				slog.Info("stored")
			}))

			slog.Info("answered")
		})
	}
	close(resizers)
}

// withoutTime makes the output the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
