// Background answers: how does work that goes on after the response keep the request's
// fields, and how do I wait for it at shutdown? Start it with scope.Go, then scope.Wait.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// These channels put what happens at the same time into one order, for the output.
var (
	answered   = make(chan struct{}) // closed when the handler has returned
	connecting = make(chan struct{}) // closed when the receipt is on its way
	mailUp     = make(chan struct{}) // closed when the mail server answers
	over       = make(chan struct{}) // closed when all work of the request is done
	polled     = make(chan struct{}) // closed when poll has returned
)

func handle() {
	scope.Go(sendReceipt)
	go poll()
	slog.Info("answered")
}

// sendReceipt is part of the request: the request isn't over before it returns.
func sendReceipt() {
	<-answered
	slog.Info("connecting to the mail server")
	close(connecting)
	<-mailUp
	scope.Set("mail_id", 7) // this goroutine has a copy: nobody else sees it
	slog.Info("receipt sent")
}

// poll was started by a plain go, so nobody knows that it is still running. It keeps
// its fields, but once the request is over its lines carry scope_ended.
func poll() {
	defer close(polled)
	<-over
	slog.Info("still polling")
}

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))

	scope.New("request_id", "req-1").Run(handle)
	close(answered)
	<-connecting

	// Shutdown has a limit. When it is reached, the error says how many are left.
	hurry, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	fmt.Println(scope.Wait(hurry))

	close(mailUp)
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := scope.Wait(grace); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("all background work is done")

	close(over)
	<-polled
}

// withoutTime makes the output the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
