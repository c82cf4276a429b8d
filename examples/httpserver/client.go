package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// sendRequests sends two requests, one after the other on one connection.
func sendRequests(server string) error {
	client := &http.Client{Timeout: 10 * time.Second}
	return errors.Join(
		send(client, "GET", server+"/orders/6", "req-1"),
		send(client, "POST", server+"/orders/7", "req-2"),
	)
}

func send(client *http.Client, method, url, id string) error {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Request-Id", id) // without it, the server would make one up
	req.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// withoutTimes makes the output the same each time.
func withoutTimes(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == "http.server.request.duration") {
		return slog.Attr{}
	}
	return a
}
