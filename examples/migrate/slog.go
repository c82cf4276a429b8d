package main

import (
	"log/slog"
	"os"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func slogBefore(requestID string) {
	handler := slog.NewJSONHandler(os.Stdout, withoutTime)
	slog.SetDefault(slog.New(handler))

	placeOrderWithSlog()
}

func slogAfter(requestID string) {
	handler := slog.NewJSONHandler(os.Stdout, withoutTime)
	slog.SetDefault(slog.New(slogh.New(handler, nil))) // changed

	scope.New("request_id", requestID).Run(placeOrderWithSlog) // changed
}

// withoutTime makes the output the same each time.
var withoutTime = &slog.HandlerOptions{
	ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	},
}
