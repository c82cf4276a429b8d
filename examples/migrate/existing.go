package main

import (
	"log"
	"log/slog"

	zlog "github.com/rs/zerolog/log"
	"go.uber.org/zap"
)

// The existing code. It takes no ctx and no logger, and has no request_id.

func placeOrderWithZap() {
	zap.L().Info("placing order", zap.Int("items", 2))
	reserveWithZap()
}

func reserveWithZap() {
	zap.S().Infow("stock reserved", "warehouse", "north")
}

func placeOrderWithZerolog() {
	zlog.Info().Int("items", 2).Msg("placing order")
	reserveWithZerolog()
}

func reserveWithZerolog() {
	zlog.Info().Str("warehouse", "north").Msg("stock reserved")
}

func placeOrderWithSlog() {
	slog.Info("placing order", "items", 2)
	reserveWithSlog()
}

func reserveWithSlog() {
	slog.Default().WithGroup("stock").Info("stock reserved", "warehouse", "north")
	log.Print("a line of the old log package")
}
