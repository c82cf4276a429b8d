// Queue answers: how do the id and chosen fields of a request get through a message queue
// to the worker? propagation.Inject puts them into the message's headers, and jobscope.Run
// takes them out. See shop.go and worker.go.
//
//	go -C examples/queue run .                             # with a NATS server of its own
//	go -C examples/queue run . -nats nats://127.0.0.1:4222 # with a real one
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/taskscope/taskscope/slogh"
)

func main() {
	url := flag.String("nats", "", "the URL of a NATS server; empty means to start one")
	flag.Parse()
	if err := run(*url, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(1)
	}
}

func run(natsURL string, out io.Writer) error {
	handler := slog.NewJSONHandler(out, &slog.HandlerOptions{ReplaceAttr: withoutVarying})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))

	if natsURL == "" {
		url, stop, err := startNATS()
		if err != nil {
			return err
		}
		defer stop()
		natsURL = url
	}
	nc, err := nats.Connect(natsURL)
	if err != nil {
		return err
	}
	defer nc.Close()
	// The subscription is there before the first message is sent. Its worker starts only
	// when the requests are over, so that the lines have one order.
	jobs, err := nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	if err := sendRequests(shop(nc)); err != nil {
		return err
	}
	return work(jobs, 2)
}

// sendRequests serves h and sends it two requests.
func sendRequests(h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	url := "http://" + l.Addr().String()
	return errors.Join(
		send(url+"/orders/teapot", "req-1", "4bf92f3577b34da6a3ce929d0e0e4736"),
		send(url+"/orders/kettle", "req-2", "0af7651916cd43dd8448eb211c80319c"),
		server.Shutdown(context.Background()))
}

func send(url, requestID, traceID string) error {
	req, err := http.NewRequest("POST", url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Request-Id", requestID)
	req.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
