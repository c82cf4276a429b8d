package main

import (
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

func zapBefore(requestID string) {
	config := zapConfig()
	logger := zap.Must(config.Build())
	zap.ReplaceGlobals(logger)

	placeOrderWithZap()
}

func zapAfter(requestID string) {
	config := zapConfig()
	logger := zap.Must(config.Build(zaph.WrapCore(nil))) // changed
	zap.ReplaceGlobals(logger)

	scope.New("request_id", requestID).Run(placeOrderWithZap) // changed
}

// zapConfig is zap's own for production, to standard output and without a time.
func zapConfig() zap.Config {
	config := zap.NewProductionConfig()
	config.OutputPaths = []string{"stdout"}
	config.EncoderConfig.TimeKey = ""
	config.DisableCaller = true
	return config
}
