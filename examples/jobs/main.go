// Jobs answers: how does each cron run, and each message of a queue, get an id, its fields, and
// one line that says how it ended? Call it with jobscope.Run.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"

	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutVarying})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))
	scope.Set("service", "shop") // on the lines of all jobs, too
	ctx, stop := context.WithCancelCause(context.Background())

	for range 2 { // or for range ticker.C
		_ = jobscope.Run(ctx, "tidy", tidy, &jobscope.Options{
			Log: slog.LogAttrs, // one line at the end, with all that tidy has set
			ID:  nextID,        // left out, it is a UUID, which this output couldn't show
		})
	}

	for _, msg := range []message{
		{headers{"X-Request-Id": "req-1"}, "teapot"},
		{headers{"X-Request-Id": "req-2"}, "kettle"},
		{headers{}, "broken"},
	} {
		consume(ctx, msg)
	}

	stop(errors.New("the server stops"))
	consume(ctx, message{headers{"X-Request-Id": "req-3"}, "too late"})
}

var tidied int

func tidy(context.Context) error {
	tidied++
	scope.Set("rows", 10*tidied)
	slog.Info("tidying")
	if tidied == 2 {
		return errors.New("disk full")
	}
	return nil
}

type message struct {
	headers headers
	item    string
}

// headers are those of a message. Each client library has such a type; Keys is what most lack.
type headers map[string]string

func (h headers) Get(key string) string { return h[key] }
func (h headers) Set(key, value string) { h[key] = value }
func (h headers) Keys() []string        { return slices.Collect(maps.Keys(h)) }

func consume(ctx context.Context, msg message) {
	defer func() { _ = recover() }() // the line has it; a consumer goes on
	err := jobscope.Run(ctx, "pack", msg.pack, &jobscope.Options{
		Log:     slog.LogAttrs, // a line at the end, which says how it ended
		Headers: msg.headers,   // the id of the request that has sent the message
		ID:      nextID,
	})
	slog.Info("answered the queue", "acknowledged", err == nil) // belongs to no job
}

func (m message) pack(ctx context.Context) error {
	scope.Set("item", m.item)
	if m.item == "broken" {
		panic("in pieces")
	}
	return ctx.Err()
}

var lastID int

func nextID() string { lastID++; return fmt.Sprint("job-", lastID) }

// withoutVarying makes the output the same each time.
func withoutVarying(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && slices.Contains([]string{slog.TimeKey, "job.duration", "exception.stacktrace"}, a.Key) {
		return slog.Attr{}
	}
	return a
}
