package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
)

// serveShop serves HTTP. The shop calls the stock by gRPC and the prices by Connect.
func serveShop(l net.Listener, addrs []string) (stop func(), err error) {
	stock, err := grpc.NewClient(addrs[0], append(grpcscope.DialOptions(nil), plaintext)...) // behind other interceptors
	if err != nil {
		return nil, err
	}
	sends := connect.WithInterceptors(connectscope.NewInterceptor(nil)) // behind other interceptors
	prices := connect.NewClient[text, text](http.DefaultClient, "http://"+addrs[1]+quote, sends)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{item}", func(w http.ResponseWriter, r *http.Request) {
		Tenant.Set("acme")       // as the login says
		scope.Set("user", "eve") // isn't Propagated, so it stays here
		slog.Info("placing order")
		answer, err := place(r.Context(), stock, prices, wrapperspb.String(r.PathValue("item")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, answer)
	})
	server := &http.Server{Handler: httpscope.Handler(mux, &httpscope.Options{Log: slog.LogAttrs})}
	go server.Serve(l)
	return func() { _, _ = server.Shutdown(context.Background()), stock.Close() }, nil
}

var plaintext = grpc.WithTransportCredentials(insecure.NewCredentials())

type text = wrapperspb.StringValue

// place makes both calls. It knows nothing of ids, metadata and headers.
func place(ctx context.Context, stock *grpc.ClientConn, prices *connect.Client[text, text], item *text) (string, error) {
	reserved := new(text)
	if err := stock.Invoke(ctx, reserve, item, reserved); err != nil {
		return "", err
	}
	price, err := prices.CallUnary(ctx, connect.NewRequest(item))
	if err != nil {
		return "", err
	}
	return reserved.Value + " for " + price.Msg.Value, nil
}
