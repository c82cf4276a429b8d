package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
)

// work takes n jobs from the queue. Each runs with the fields that its message has brought,
// and has a line at its end.
func work(jobs *nats.Subscription, n int) error {
	for range n {
		msg, err := jobs.NextMsg(10 * time.Second)
		if err != nil {
			return err
		}
		err = jobscope.Run(context.Background(), "pack", func(context.Context) error {
			pack(string(msg.Data))
			return nil
		}, &jobscope.Options{
			Log:          slog.LogAttrs,
			Headers:      headers{msg.Header},
			TrustBaggage: true, // only the shop writes to this queue
		})
		if err != nil {
			return err
		}
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
