// Processwide answers: how do the service's name and version get on every line of the
// process, on those of requests and jobs too? Set them in main, before anything else.
package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/taskscope/taskscope/httpscope"
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

	// So is a job: Detach makes a task of its own with the same fields.
	scope.With("job", "tidy").Detach().Run(func() { slog.Info("tidying") })

	// New is for what should have no field but its own.
	scope.New("job", "probe").Run(func() { slog.Info("probing") })
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
