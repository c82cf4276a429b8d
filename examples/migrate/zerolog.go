package main

import (
	"os"

	"github.com/rs/zerolog"
	zlog "github.com/rs/zerolog/log"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

func zerologBefore(requestID string) {
	zlog.Logger = zerolog.New(os.Stdout)

	placeOrderWithZerolog()
}

func zerologAfter(requestID string) {
	zlog.Logger = zerolog.New(os.Stdout).Hook(zeroh.New(nil)) // changed

	scope.New("request_id", requestID).Run(placeOrderWithZerolog) // changed
}
