package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// work takes n jobs from the queue. Each runs with the fields that its message brought.
func work(jobs *nats.Subscription, n int) error {
	for range n {
		msg, err := jobs.NextMsg(10 * time.Second)
		if err != nil {
			return err
		}
		propagation.Extract(headers{msg.Header}).Run(func() { pack(string(msg.Data)) })
	}
	slog.Info("all packed") // belongs to no request
	// What the jobs have started with scope.Go may take a while longer.
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return scope.Wait(grace)
}

// pack knows nothing of requests, headers and queues.
func pack(item string) {
	scope.Set("item", item)
	slog.Info("packing")
	label()
}

func label() { slog.Info("label printed", "for", Tenant.GetOr("nobody")) }
