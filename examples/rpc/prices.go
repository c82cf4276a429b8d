package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/scope"
)

// Code that protoc generates has this name, and a func that makes the handler besides.
const quote = "/example.Prices/Quote"

// servePrices serves Connect.
func servePrices(l net.Listener, _ []string) (stop func(), err error) {
	scoped := connect.WithInterceptors(connectscope.NewInterceptor(&connectscope.Options{ // before other interceptors
		Log:          slog.LogAttrs,
		TrustBaggage: func(context.Context, connectscope.Call) bool { return true }, // as the stock does
	}))
	server := &http.Server{Handler: connect.NewUnaryHandlerSimple(quote, priceOf, scoped)}
	go server.Serve(l)
	return func() { _ = server.Shutdown(context.Background()) }, nil
}

// priceOf serves one call. It knows nothing of ids and headers.
func priceOf(_ context.Context, item *text) (*text, error) {
	scope.Set("item", item.Value)
	scope.Add("db.queries", 1)
	slog.Info("priced", "for", Tenant.GetOr("nobody"))
	return wrapperspb.String("12 EUR"), nil
}
