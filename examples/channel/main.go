// Channel answers: my code hands its events to one goroutine that logs them; how does each
// line keep the fields of the request that it comes from? Send scope.Current() along, and
// Run it where the line is written.
package main

import (
	"log/slog"
	"os"
	"sync"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// An event is what goes through the channel: what has happened, and in which scope.
type event struct {
	in   scope.Scope
	text string
}

var (
	events = make(chan event, 100)
	writer sync.WaitGroup
)

// report is called anywhere. A scope is one word: sending it copies no field.
func report(text string) {
	events <- event{in: scope.Current(), text: text}
}

// write is the one goroutine that logs. main starts it, so it has no fields of its own.
func write() {
	for e := range events {
		e.in.Run(func() { slog.Info(e.text) })
	}
}

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))
	writer.Go(write)

	report("started") // in no request
	for _, id := range []string{"req-1", "req-2"} {
		scope.New("request_id", id).Run(func() {
			report("order taken")
			scope.Set("paid", true)
			report("order paid")
		})
	}
	close(events)
	writer.Wait()
}

// withoutTime makes the output the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
