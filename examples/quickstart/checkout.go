package main

import (
	"log"
	"log/slog"

	zlog "github.com/rs/zerolog/log"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/taskscope/taskscope/scope"
)

// checkout is the business code. The order is its own argument; the request's id isn't.
// answered is closed when the handler has returned.
func checkout(order string, answered <-chan struct{}) {
	slog.Info("checkout", "from", "handler", "order", order)
	charge(order)

	audited := make(chan struct{})
	go func() {
		defer close(audited)
		slog.Info("audited", "from", "go", "order", order)
	}()
	<-audited

	var g errgroup.Group
	g.Go(func() error { return reserve(order) })
	g.Go(func() error { return ship(order) })
	if err := g.Wait(); err != nil {
		zap.L().Error("not shipped", zap.Error(err), zap.String("order", order))
		return
	}
	log.Printf("%s is on its way", order)

	scope.Go(func() {
		<-answered
		sendReceipt(order)
	})
}

func charge(order string) {
	zap.L().Info("charging card", zap.String("from", "deep"), zap.String("order", order))
	askBank(order)
}

func askBank(order string) {
	zlog.Info().Str("from", "deeper").Str("order", order).Msg("bank said yes")
}

func reserve(order string) error {
	zap.L().Info("stock reserved", zap.String("from", "errgroup"), zap.String("order", order))
	return nil
}

func ship(order string) error {
	zlog.Info().Str("from", "errgroup").Str("order", order).Msg("courier booked")
	return nil
}

func sendReceipt(order string) {
	zap.L().Info("sending receipt", zap.String("from", "scope.Go"), zap.String("order", order))
	zlog.Info().Str("from", "scope.Go").Str("order", order).Msg("receipt sent")
}
