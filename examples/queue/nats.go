package main

import (
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startNATS starts a NATS server within this process, on a free port.
func startNATS() (url string, stop func(), err error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		return "", nil, err
	}
	stop = func() { s.Shutdown(); s.WaitForShutdown() }
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		stop()
		return "", nil, errors.New("the NATS server doesn't start")
	}
	return s.ClientURL(), stop, nil
}

// withoutVarying makes the output the same each time. The span id of a message is a new
// one.
func withoutVarying(groups []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "http.server.request.duration", "job.duration", "parent_span_id":
		return slog.Attr{}
	}
	return a
}
