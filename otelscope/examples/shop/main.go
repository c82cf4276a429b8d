// Shop answers: how do the records, spans and metrics of a request carry its fields? They are
// set once, and loggers and code further down know nothing of them. otelhttp begins the span,
// httpscope inside it the scope, and otelscope hands the fields on; see telemetry.go.
//
//	go -C otelscope/examples/shop run .
//	OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 go -C otelscope/examples/shop run .
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// What may be done with a field is declared once. Records have all fields; a plan is one of a
// few, so that it is safe to measure by.
var (
	_        = scope.NewKey[string]("request_id", scope.Traced)
	Customer = scope.NewKey[string]("customer", scope.Traced, scope.Propagated)
	Plan     = scope.NewKey[string]("plan", scope.Traced, scope.Measured)
)

func shop() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{item}", func(w http.ResponseWriter, r *http.Request) {
		Customer.Set("c-42")
		Plan.Set("gold")
		slog.Info("order received", "item", r.PathValue("item"))
		if err := otelscope.Run(r.Context(), otel.Tracer("shop"), "charge", charge); err != nil {
			http.Error(w, "try another card", http.StatusPaymentRequired)
		}
	})
	h := httpscope.Handler(mux, &httpscope.Options{
		Fields: otelscope.Fields, // trace_id and span_id of otelhttp's span
		Finish: otelscope.Finish, // what is known at the end, on that span
		Log:    slog.LogAttrs,
	})
	return otelhttp.NewHandler(h, "shop")
}

// charge knows neither the request nor the customer.
func charge(ctx context.Context) error {
	scope.Add("cards.tried", 1)
	zap.L().Info("charging card")
	payments.Add(ctx, 1, otelscope.MetricOption(scope.Current()))
	done := make(chan struct{})
	go func() { slog.Info("receipt printed"); close(done) }() // in the span, too
	<-done
	if id := scope.GetOr("request_id", ""); id == "req-2" {
		return scope.Error(errors.New("declined"))
	}
	return nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	shutdown, err := setUp(ctx, out)
	if err != nil {
		return err
	}
	server := httptest.NewServer(shop())
	for i, item := range []string{"teapot", "kettle"} {
		req, err := http.NewRequest("POST", server.URL+"/orders/"+item, nil)
		if err != nil {
			return err
		}
		req.Header.Set("X-Request-Id", fmt.Sprint("req-", i+1))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
	}
	server.Close() // waits for the requests' spans
	return shutdown(ctx)
}
