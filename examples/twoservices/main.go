// Twoservices answers: how do the id, the trace and chosen fields of a request get to the
// next service? Call it through httpscope.Transport. See shop.go and stock.go.
//
// The two are processes of their own here: the program starts itself a second time, as
// the stock. It ends with 1 if a line of one of them doesn't carry what it should.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/taskscope/taskscope/slogh"
)

func main() {
	run := placeOrder
	if len(os.Args) == 2 && os.Args[1] == "stock" {
		run = serveStock
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "twoservices:", err)
		os.Exit(1)
	}
}

// serveStock is the second process. It prints its address and then what it logs, and
// ends when the first one closes its input.
func serveStock() error {
	logTo(os.Stdout, "stock")
	server, url, err := serve(stock())
	if err != nil {
		return err
	}
	fmt.Println(url)
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, server.Shutdown(context.Background()))
}

// placeOrder is the first process: the shop, and a user who calls it.
func placeOrder() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	second := exec.Command(self, "stock")
	second.Stderr = os.Stderr
	input, err1 := second.StdinPipe()
	output, err2 := second.StdoutPipe()
	if err := errors.Join(err1, err2, second.Start()); err != nil {
		return err
	}
	stockLines := bufio.NewReader(output)
	stockURL, err := stockLines.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the stock doesn't start: %w", err)
	}

	var lines bytes.Buffer
	logTo(&lines, "shop")
	server, shopURL, err := serve(shop(strings.TrimSpace(stockURL)))
	if err != nil {
		return err
	}
	err = errors.Join(order(shopURL), server.Shutdown(context.Background()), input.Close())
	_, readErr := lines.ReadFrom(stockLines)
	if err := errors.Join(err, readErr, second.Wait()); err != nil {
		return err
	}
	fmt.Print(lines.String())
	return check(lines.String())
}

func logTo(w io.Writer, service string) {
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: withoutVarying})
	slog.SetDefault(slog.New(slogh.New(handler, nil)).With("service", service))
}

// serve serves h on a free port until the server is shut down.
func serve(h http.Handler) (server *http.Server, url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	server = &http.Server{Handler: h}
	go server.Serve(l)
	return server, "http://" + l.Addr().String(), nil
}
