// Httpserver answers: how does each request of my HTTP server get an id, fields of its
// own and an access-log line? Wrap the mux in httpscope.Handler.
//
//	go run ./examples/httpserver          # sends itself two requests, ends
//	go run ./examples/httpserver -serve   # keeps serving, for curl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", showOrder)
	mux.HandleFunc("POST /orders/{id}", placeOrder)
	return httpscope.Handler(mux, &httpscope.Options{
		Log: slog.LogAttrs, // a line at the end, with all that was set on the way
	})
}

func showOrder(w http.ResponseWriter, r *http.Request) {
	scope.Set("order", r.PathValue("id"))
	scope.Set("cache", "miss") // ends with the request, not with the connection
	slog.Info("no such order")
	http.NotFound(w, r)
}

func placeOrder(w http.ResponseWriter, r *http.Request) {
	scope.Set("order", r.PathValue("id"))
	charge()
	answered := r.Context().Done() // closed when the handler has returned
	scope.Go(func() { <-answered; sendReceipt() })
	fmt.Fprintln(w, "thank you")
}

// Below the handlers, nobody is given a context, a logger or an id.

func charge() {
	slog.Info("charging card")
	scope.Set("paid", true)
}

func sendReceipt() { slog.Info("receipt sent") }

func main() {
	serving := flag.Bool("serve", false, "keep serving, for curl")
	addr := flag.String("addr", "127.0.0.1:8080", "the address for -serve")
	flag.Parse()
	if !*serving {
		*addr = "127.0.0.1:0" // a free port
	}
	options := &slog.HandlerOptions{ReplaceAttr: withoutTimes}
	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(os.Stdout, options), nil)))
	if err := run(*addr, *serving); err != nil {
		slog.Error("httpserver", "err", err)
		os.Exit(1)
	}
}

func run(addr string, serving bool) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	if serving {
		fmt.Printf("serving until Ctrl-C; in another terminal:\n\n  curl -i -X POST http://%s/orders/7\n\n", l.Addr())
		interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		select {
		case <-interrupted.Done():
		case err := <-served:
			return err
		}
	} else {
		err = sendRequests("http://" + l.Addr().String())
	}
	// First the requests may finish, then the work that they have started with scope.Go.
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(grace), scope.Wait(grace))
}
