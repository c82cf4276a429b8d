package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

const (
	requestID = "req-1"
	traceID   = "4bf92f3577b34da6a3ce929d0e0e4736"
)

// order is the user who calls the shop.
func order(shopURL string) error {
	req, err := http.NewRequest("POST", shopURL+"/orders/teapot", nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Request-Id", requestID)
	req.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	req.Header.Set("Baggage", "tenant=of-someone-else")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the shop says %s", resp.Status)
	}
	return nil
}

// check reports a line that doesn't carry the request, and a service that hasn't written
// its two lines.
func check(lines string) error {
	written := map[string]int{}
	for line := range strings.Lines(lines) {
		var fields struct {
			Service, Tenant, User string
			RequestID             string `json:"request_id"`
			TraceID               string `json:"trace_id"`
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			return fmt.Errorf("not a line of JSON: %w\n%s", err, line)
		}
		switch {
		case fields.RequestID != requestID, fields.TraceID != traceID, fields.Tenant != "acme":
			return fmt.Errorf("a line without the request's fields:\n%s", line)
		case fields.Service == "stock" && fields.User != "":
			return fmt.Errorf("the user has left the shop:\n%s", line)
		}
		written[fields.Service]++
	}
	if written["shop"] != 2 || written["stock"] != 2 {
		return fmt.Errorf("want two lines of each service, got %v", written)
	}
	fmt.Println("2 processes, 2 lines each: all carry the same request_id, trace_id and tenant")
	return nil
}

// withoutVarying makes the output the same each time. The span id of the shop's call is
// a new one.
func withoutVarying(groups []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "http.server.request.duration", "parent_span_id":
		return slog.Attr{}
	}
	return a
}
