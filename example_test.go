package taskscope_test

import (
	"log/slog"
	"os"

	"github.com/rs/zerolog/log"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// The one line at start-up, for each logger. These are compiled and not run: what they
// print has a time in it.

func Example_slog() {
	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(os.Stdout, nil), nil)))
}

func Example_zap() {
	logger, err := zap.NewProduction(zaph.WrapCore(nil))
	if err != nil {
		panic(err)
	}
	zap.ReplaceGlobals(logger)
}

func Example_zerolog() {
	log.Logger = log.Hook(zeroh.New(nil))
}
