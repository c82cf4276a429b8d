// Processwide answers: how do the service's name and version get on every line of the
// process, on those of requests and jobs too? Set them in main, before anything else.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))

	// A bare Set in main lasts until the program ends, and every goroutine inherits it.
	scope.SetAttrs(slog.String("service", "shop"), slog.String("version", "1.4"))
	slog.Info("started")

	// A request is a task of its own. Handler starts it with the fields of the process.
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(http.ResponseWriter, *http.Request) { slog.Info("listing orders") })
	serve(httpscope.Handler(mux, nil))

	// So is a job, and Run starts it with the same fields.
	if err := jobscope.Run(context.Background(), "tidy", tidy, &jobscope.Options{ID: func() string { return "job-1" }}); err != nil {
		slog.Error("not tidied", "err", err)
	}

	// Detach makes a task of its own by hand, and New one that has no field but its own.
	scope.With("job", "audit").Detach().Run(func() { slog.Info("auditing") })
	scope.New("job", "probe").Run(func() { slog.Info("probing") })
}

func tidy(context.Context) error {
	slog.Info("tidying")
	return nil
}

// serve has h answer a request.
func serve(h http.Handler) {
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("X-Request-Id", "req-1")
	h.ServeHTTP(httptest.NewRecorder(), r)
}

// withoutTime makes the output the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
