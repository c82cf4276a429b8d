// Rpc answers: how does a request keep one id from HTTP through gRPC and Connect? Each service
// enters by its entry, and calls by its interceptor. See shop.go, stock.go and prices.go.
//
// The services are processes of their own: the program starts itself three times. It ends with 1
// if a line of one of them doesn't carry what it should.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// Tenant may leave the process: that is what Propagated says. All services declare it.
var Tenant = scope.NewKey[string]("tenant", scope.Propagated)

// services serves each on a listener, until the returned func is called. A service is given the
// addresses of the services that it calls.
var services = map[string]func(l net.Listener, addrs []string) (stop func(), err error){
	"shop":   serveShop,
	"stock":  serveStock,
	"prices": servePrices,
}

func main() {
	run := order
	if len(os.Args) > 1 {
		run = func() error { return serve(os.Args[1], os.Args[2:]) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rpc:", err)
		os.Exit(1)
	}
}

// serve is a process with one of the services. It prints its address and then what it logs, and
// ends when the first one closes its input.
func serve(service string, addrs []string) error {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutVarying})
	slog.SetDefault(slog.New(slogh.New(handler, nil)).With("service", service))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stop, err := services[service](l, addrs)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Println(l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// withoutVarying makes the output the same each time. The span id of a call is a new one.
func withoutVarying(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "parent_span_id" || strings.HasSuffix(a.Key, ".duration") {
		return slog.Attr{}
	}
	return a
}
