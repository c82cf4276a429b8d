package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	requestID = "req-1"
	traceID   = "4bf92f3577b34da6a3ce929d0e0e4736"
)

// order is the first process. It starts the others, and is the user who calls the shop.
func order() error {
	stock, err1 := start("stock")
	prices, err2 := start("prices")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	shop, err := start("shop", stock.addr, prices.addr)
	if err != nil {
		return err
	}
	err = call("http://" + shop.addr + "/orders/teapot")
	var lines strings.Builder
	for _, p := range []*process{shop, stock, prices} { // the first has clients of the others
		err = errors.Join(err, p.stop(&lines))
	}
	fmt.Print(lines.String())
	if err != nil {
		return err
	}
	return check(lines.String())
}

func call(url string) error {
	req, err := http.NewRequest("POST", url, nil)
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
	answer, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || string(answer) != "one teapot for 12 EUR\n") {
		return fmt.Errorf("the shop says %s: %s", resp.Status, answer)
	}
	http.DefaultClient.CloseIdleConnections()
	return err
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
		case fields.Service != "shop" && fields.User != "":
			return fmt.Errorf("the user has left the shop:\n%s", line)
		}
		written[fields.Service]++
	}
	if len(written) != 3 || written["shop"] != 2 || written["stock"] != 2 || written["prices"] != 2 {
		return fmt.Errorf("want two lines of each service, got %v", written)
	}
	fmt.Println("3 processes, 2 lines each: all carry the same request_id, trace_id and tenant")
	return nil
}
