//go:build !binary_log

package zeroh_test

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// The hook goes to the logger that all others come from: here to the global one.
func ExampleNew() {
	old := log.Logger
	defer func() { log.Logger = old }()

	log.Logger = zerolog.New(os.Stdout).Hook(zeroh.New(nil))

	scope.New("request_id", "r-1").Run(func() {
		log.Info().Int("cents", 1299).Msg("charging card")
		child := log.With().Str("module", "billing").Logger()
		child.Warn().Msg("slow")
	})
	log.Info().Msg("idle")
	// Output:
	// {"level":"info","cents":1299,"request_id":"r-1","message":"charging card"}
	// {"level":"warn","module":"billing","request_id":"r-1","message":"slow"}
	// {"level":"info","message":"idle"}
}

// A line that is given the context of another task is stamped with that task's scope.
func ExampleNew_context() {
	logger := zerolog.New(os.Stdout).Hook(zeroh.New(nil))
	ctx := scope.NewContext(context.Background(), scope.New("job", "import-7"))

	scope.New("worker", 3).Run(func() {
		logger.Info().Msg("waiting")
		logger.Info().Ctx(ctx).Msg("taking over")
	})
	// Output:
	// {"level":"info","worker":3,"message":"waiting"}
	// {"level":"info","job":"import-7","message":"taking over"}
}

// For is for a program that hands its loggers on itself, and for a function that logs many
// lines: the fields are in the logger, behind those that it had.
func ExampleFor() {
	logger := zeroh.For(zerolog.New(os.Stdout).With().Str("module", "import").Logger(), nil)

	scope.New("request_id", "r-1").Run(func() {
		logger.Info().Msg("begin")
		rows := logger.L()
		for i := range 2 {
			rows.Info().Int("row", i).Msg("imported")
		}
	})
	logger.Info().Msg("idle")
	// Output:
	// {"level":"info","module":"import","request_id":"r-1","message":"begin"}
	// {"level":"info","module":"import","request_id":"r-1","row":0,"message":"imported"}
	// {"level":"info","module":"import","request_id":"r-1","row":1,"message":"imported"}
	// {"level":"info","module":"import","message":"idle"}
}

func ExampleNew_group() {
	logger := zerolog.New(os.Stdout).Hook(zeroh.New(&logadapters.Options{Group: "scope"}))

	scope.New("request_id", "r-1", "user", "ann").Run(func() {
		logger.Info().Int("user", 17).Msg("signed in")
	})
	// Output:
	// {"level":"info","user":17,"scope":{"request_id":"r-1","user":"ann"},"message":"signed in"}
}

func ExampleNew_filter() {
	logger := zerolog.New(os.Stdout).Hook(zeroh.New(&logadapters.Options{
		Filter: func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "email" {
				_, domain, _ := strings.Cut(a.Value.String(), "@")
				return slog.String("email_domain", domain), true
			}
			return a, a.Key != "password"
		},
	}))

	scope.New("request_id", "r-1", "email", "ann@example.com", "password", "x").Run(func() {
		logger.Info().Msg("signed in")
	})
	// Output:
	// {"level":"info","request_id":"r-1","email_domain":"example.com","message":"signed in"}
}

func ExampleNew_maxFields() {
	logger := zerolog.New(os.Stdout).Hook(zeroh.New(&logadapters.Options{MaxFields: 2}))

	scope.New("a", 1, "b", 2, "c", 3, "d", 4).Run(func() {
		logger.Info().Msg("only the newest")
	})
	// Output:
	// {"level":"info","c":3,"d":4,"scope_dropped":2,"message":"only the newest"}
}

// zerolog shows a hook none of the event's keys, so a key can be there twice.
func ExampleNew_duplicates() {
	logger := zerolog.New(os.Stdout).Hook(zeroh.New(nil))

	scope.New("user", "of the scope").Run(func() {
		logger.Info().Str("user", "of the line").Msg("hello")
	})
	// Output:
	// {"level":"info","user":"of the line","user":"of the scope","message":"hello"}
}

// LogAttrs is for code that logs with log/slog's attributes.
func ExampleLogAttrs() {
	logger := zerolog.New(os.Stdout).Hook(zeroh.New(nil))
	logAttrs := zeroh.LogAttrs(&logger)

	scope.New("request_id", "r-1").Run(func() {
		logAttrs(context.Background(), slog.LevelWarn, "slow", slog.Int("ms", 912))
	})
	// Output:
	// {"level":"warn","ms":912,"request_id":"r-1","message":"slow"}
}

// The one line at start-up. It is compiled and not run: what it prints has a time in it.
func ExampleNew_startUp() {
	log.Logger = log.Hook(zeroh.New(nil))
}
