package slogh_test

import (
	"context"
	"log"
	"log/slog"
	"os"
	"strings"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// handler writes to the standard output, without the time.
func handler() slog.Handler {
	return slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: noTime})
}

// The handler goes around the one that is there. slog.SetDefault makes the functions of
// slog and of the old log package write through it.
func ExampleNew() {
	old, flags := slog.Default(), log.Flags()
	defer func() { slog.SetDefault(old); log.SetOutput(os.Stderr); log.SetFlags(flags) }()

	slog.SetDefault(slog.New(slogh.New(handler(), nil)))

	scope.New("request_id", "r-1").Run(func() {
		slog.Info("charging card", "cents", 1299)
		log.Printf("card %s", "charged")
	})
	slog.Info("idle")
	// Output:
	// {"level":"INFO","msg":"charging card","request_id":"r-1","cents":1299}
	// {"level":"INFO","msg":"card charged","request_id":"r-1"}
	// {"level":"INFO","msg":"idle"}
}

// A line that is given the context of another task is stamped with that task's scope.
func ExampleHandler_Handle() {
	logger := slog.New(slogh.New(handler(), nil))
	ctx := scope.NewContext(context.Background(), scope.New("job", "import-7"))

	scope.New("worker", 3).Run(func() {
		logger.Info("waiting")
		logger.InfoContext(ctx, "taking over")
	})
	// Output:
	// {"level":"INFO","msg":"waiting","worker":3}
	// {"level":"INFO","msg":"taking over","job":"import-7"}
}

// The scope's fields stay outside the groups of the logger.
func ExampleHandler_WithGroup() {
	logger := slog.New(slogh.New(handler(), nil)).WithGroup("sql").With("table", "cards")

	scope.New("request_id", "r-1").Run(func() {
		logger.Info("query", "rows", 2)
	})
	// Output:
	// {"level":"INFO","msg":"query","request_id":"r-1","sql":{"table":"cards","rows":2}}
}

func ExampleNew_group() {
	logger := slog.New(slogh.New(handler(), &logadapters.Options{Group: "scope"}))

	scope.New("request_id", "r-1", "user", "ann").Run(func() {
		logger.Info("signed in", "user", 17)
	})
	// Output:
	// {"level":"INFO","msg":"signed in","scope":{"request_id":"r-1","user":"ann"},"user":17}
}

func ExampleNew_filter() {
	logger := slog.New(slogh.New(handler(), &logadapters.Options{
		Filter: func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "email" {
				_, domain, _ := strings.Cut(a.Value.String(), "@")
				return slog.String("email_domain", domain), true
			}
			return a, a.Key != "password"
		},
	}))

	scope.New("request_id", "r-1", "email", "ann@example.com", "password", "x").Run(func() {
		logger.Info("signed in")
	})
	// Output:
	// {"level":"INFO","msg":"signed in","request_id":"r-1","email_domain":"example.com"}
}

func ExampleNew_maxFields() {
	logger := slog.New(slogh.New(handler(), &logadapters.Options{MaxFields: 2}))

	scope.New("a", 1, "b", 2, "c", 3, "d", 4).Run(func() {
		logger.Info("only the newest")
	})
	// Output:
	// {"level":"INFO","msg":"only the newest","c":3,"d":4,"scope_dropped":2}
}

func ExampleNew_duplicates() {
	for _, d := range []logadapters.Duplicates{logadapters.EventWins, logadapters.ScopeWins, logadapters.KeepBoth} {
		logger := slog.New(slogh.New(handler(), &logadapters.Options{Duplicates: d}))
		scope.New("user", "of the scope").Run(func() {
			logger.Info("hello", "user", "of the line")
		})
	}
	// Output:
	// {"level":"INFO","msg":"hello","user":"of the line"}
	// {"level":"INFO","msg":"hello","user":"of the scope"}
	// {"level":"INFO","msg":"hello","user":"of the scope","user":"of the line"}
}

// The one line at start-up. It is compiled and not run: what it prints has a time in it.
func ExampleNew_startUp() {
	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(os.Stdout, nil), nil)))
}
