package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskscope/taskscope/scope"
)

// The self-check sends clients*rounds requests, clients of them at a time, each client
// on one connection.
const clients, rounds = 4, 3

// linesPerRequest is how many lines a checkout writes with each logger.
var linesPerRequest = map[string]int{"slog": 3, "zap": 3, "zerolog": 3}

// selfcheck serves h on a free port, sends it requests, and reports a line that doesn't
// carry the id of its own request, a line too many, and a line too few.
func selfcheck(out io.Writer, h http.Handler) error {
	rec := &recorder{out: out}
	logTo(rec)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, l, together(h)) }()
	connections, err := sendRequests("http://" + l.Addr().String())
	stop()
	if err := errors.Join(err, <-served); err != nil {
		return err
	}

	counts := map[string]int{}
	for _, line := range rec.lines {
		logger, err := check(line)
		if err != nil {
			return err
		}
		counts[logger]++
	}
	for logger, n := range linesPerRequest {
		if counts[logger] != n*clients*rounds {
			return fmt.Errorf("%s wrote %d lines, not %d", logger, counts[logger], n*clients*rounds)
		}
	}
	if connections >= clients*rounds {
		return fmt.Errorf("%d connections for %d requests: they were not kept alive", connections, clients*rounds)
	}
	fmt.Fprintf(out, "\n%d requests, %d at a time, on %d kept-alive connections; carrier: %s\n", clients*rounds, clients, connections, scope.Carrier())
	fmt.Fprintf(out, "slog %d, zap %d, zerolog %d lines: each carries the id of its own request\n", counts["slog"], counts["zap"], counts["zerolog"])
	return nil
}

// orderOf finds the order that a line is about. The order has come to the code as an
// argument and the id through the scope, so each checks the other.
var orderOf = regexp.MustCompile(`order-(\d+)`)

// check returns the logger that wrote line, and an error if line doesn't carry the id of
// the request that it is about.
func check(line string) (logger string, err error) {
	var fields struct {
		Logger, From string
		RequestID    string `json:"request_id"`
		ScopeEnded   bool   `json:"scope_ended"`
	}
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return "", fmt.Errorf("not a line of JSON: %w\n%s", err, line)
	}
	order := orderOf.FindStringSubmatch(line)
	if order == nil {
		return "", fmt.Errorf("a line that names no order:\n%s", line)
	}
	forked := fields.From == "go" || fields.From == "errgroup"
	switch want := "req-" + order[1]; {
	case fields.RequestID == "" && forked && scope.Carrier() == "portable":
		// The one carrier whose scopes a plain go statement doesn't inherit.
	case fields.RequestID != want:
		return "", fmt.Errorf("a line of request %q carries %q:\n%s", want, fields.RequestID, line)
	case fields.ScopeEnded:
		return "", fmt.Errorf("a line whose request was over:\n%s", line)
	}
	return fields.Logger, nil
}

// sendRequests sends order-1 with the id req-1, and so on, and returns how many
// connections it took.
func sendRequests(server string) (connections int32, err error) {
	var dialled atomic.Int32
	transport := &http.Transport{
		MaxConnsPerHost: clients, MaxIdleConnsPerHost: clients,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(context.Background())
	for c := range clients {
		g.Go(func() error {
			for round := range rounds {
				if err := send(ctx, client, server, c*rounds+round+1); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return dialled.Load(), err
}

func send(ctx context.Context, client *http.Client, server string, n int) error {
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s/checkout/order-%d", server, n), nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Request-Id", fmt.Sprintf("req-%d", n))
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// together holds each request back until all clients have sent one, so that it is sure
// that requests are served at the same time.
func together(h http.Handler) http.Handler {
	var mu sync.Mutex
	waiting, all := 0, make(chan struct{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		mine := all
		if waiting++; waiting == clients {
			close(all)
			waiting, all = 0, make(chan struct{})
		}
		mu.Unlock()
		select {
		case <-mine:
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// A recorder passes lines on and keeps them. The three loggers make one Write per line.
type recorder struct {
	mu    sync.Mutex
	out   io.Writer
	lines []string
}

func (r *recorder) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, strings.TrimSpace(string(line)))
	return r.out.Write(line)
}

// serveForCurl serves on addr until ctx ends.
func serveForCurl(ctx context.Context, addr string, out io.Writer) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	logTo(out)
	fmt.Fprintf(out, "serving until Ctrl-C; in another terminal:\n\n  curl -H 'X-Request-Id: req-1' 'http://%s/checkout/order-1'\n\n", l.Addr())
	return serve(ctx, l, routes())
}
