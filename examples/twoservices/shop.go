package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
)

// Tenant may leave the process: that is what Propagated says. Both services declare it.
var Tenant = scope.NewKey[string]("tenant", scope.Propagated)

// shop is the service that users call. It calls the stock.
func shop(stockURL string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{item}", func(w http.ResponseWriter, r *http.Request) {
		Tenant.Set("acme")       // as the login says
		scope.Set("user", "eve") // isn't Propagated, so it stays here
		slog.Info("placing order")
		if err := reserve(stockURL, r.PathValue("item")); err != nil {
			slog.Error("not reserved", "err", err)
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "thank you")
	})
	return httpscope.Handler(mux, &httpscope.Options{Log: slog.LogAttrs})
}

// services is the client for other services of ours.
var services = &http.Client{Transport: httpscope.Transport(nil, nil), Timeout: 10 * time.Second}

// reserve isn't given a context or an id, and its call carries the request's all the same.
func reserve(stockURL, item string) error {
	resp, err := services.Post(stockURL+"/reservations/"+item, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("the stock says %s", resp.Status)
	}
	return nil
}
