package xslogh_test

import (
	"os"

	xslog "golang.org/x/exp/slog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh/xslogh"
)

func ExampleNew() {
	logger := xslog.New(xslogh.New(jsonHandler(os.Stdout), nil))

	scope.New("request_id", "r-1").Run(func() {
		logger.Info("charging card", "cents", 1299)
	})
	logger.Info("idle")
	// Output:
	// {"level":"INFO","msg":"charging card","request_id":"r-1","cents":1299}
	// {"level":"INFO","msg":"idle"}
}

func ExampleNew_group() {
	logger := xslog.New(xslogh.New(jsonHandler(os.Stdout), &logadapters.Options{Group: "scope"}))

	scope.New("request_id", "r-1").Run(func() {
		logger.WithGroup("card").Info("charged", "cents", 1299)
	})
	// Output:
	// {"level":"INFO","msg":"charged","scope":{"request_id":"r-1"},"card":{"cents":1299}}
}
