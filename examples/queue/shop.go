package main

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

const subject = "taskscope.example.orders"

// Tenant may leave the process: that is what Propagated says. Sender and worker declare it.
var Tenant = scope.NewKey[string]("tenant", scope.Propagated)

// headers are those of a message, for package propagation. Get and Set are there already.
type headers struct{ nats.Header }

func (h headers) Keys() []string { return slices.Collect(maps.Keys(h.Header)) }

// shop answers requests, and leaves the work to a worker.
func shop(nc *nats.Conn) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{item}", func(w http.ResponseWriter, r *http.Request) {
		Tenant.Set("acme")
		msg := nats.NewMsg(subject)
		msg.Data = []byte(r.PathValue("item"))
		propagation.Inject(scope.Current(), headers{msg.Header})
		if err := nc.PublishMsg(msg); err != nil {
			slog.Error("not queued", "err", err)
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		slog.Info("order queued")
		w.WriteHeader(http.StatusAccepted)
	})
	return httpscope.Handler(mux, &httpscope.Options{Log: slog.LogAttrs})
}
