package main

import (
	"log/slog"
	"net/http"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
)

// stock is the service that the shop calls.
func stock() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reservations/{item}", func(w http.ResponseWriter, r *http.Request) {
		scope.Set("item", r.PathValue("item"))
		slog.Info("reserved", "for", Tenant.GetOr("nobody"))
		w.WriteHeader(http.StatusCreated)
	})
	return httpscope.Handler(mux, &httpscope.Options{
		Log: slog.LogAttrs,
		// Only services of ours can reach this one, so it believes what they say. The
		// shop, which anyone can call, doesn't.
		TrustBaggage: func(*http.Request) bool { return true },
	})
}
