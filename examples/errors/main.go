// Errors answers: an error is logged far from where it went wrong. How does the line say which
// order, which shard, which attempt it was about? Return scope.Error(err) where it happens.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

var errNoStock = errors.New("out of stock")

// reserve fails for one item, with what it knows at that moment.
func reserve(items []string) (err error) {
	for i, item := range items {
		scope.With("item", item, "position", i+1).Run(func() {
			if item == "umbrella" {
				err = scope.Error(errNoStock)
			}
		})
		if err != nil {
			return fmt.Errorf("reserving: %w", err)
		}
	}
	return nil
}

// place logs the error where it is handled: the line has the item, too.
func place(order int, items ...string) error {
	scope.Set("order", order)
	err := reserve(items)
	if errors.Is(err, errNoStock) {
		slog.Warn("order waits", "err", err)
	}
	return err
}

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))

	var failed error
	scope.New("request_id", "req-1").Run(func() { failed = place(7, "boots", "umbrella") })

	// Elsewhere, in a task of its own: the fields of the other one are kept apart.
	scope.New("job", "report").Run(func() { slog.Info("the last failure", "err", failed) })
}

// withoutTime makes the output the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
