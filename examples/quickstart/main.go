// Quickstart serves HTTP requests with slog, zap and zerolog side by side. No function
// below handle is given a context or a logger, and every line carries its request's id.
//
//	go run ./examples/quickstart          # sends itself requests, checks each line, ends
//	go run ./examples/quickstart -serve   # keeps serving, for curl
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/rs/zerolog"
	zlog "github.com/rs/zerolog/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

func main() {
	serving := flag.Bool("serve", false, "keep serving, for curl")
	addr := flag.String("addr", "127.0.0.1:8080", "the address for -serve")
	flag.Parse()

	var err error
	if *serving {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		err = serveForCurl(ctx, *addr, os.Stdout)
	} else {
		err = selfcheck(os.Stdout, routes())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// logTo sets the three loggers up. slogh, zaph and zeroh are all that is new here.
func logTo(w io.Writer) {
	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(w, nil), nil)).With("logger", "slog"))

	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(w), zap.InfoLevel)
	zap.ReplaceGlobals(zap.New(core, zaph.WrapCore(nil)).With(zap.String("logger", "zap")))

	zlog.Logger = zerolog.New(w).Hook(zeroh.New(nil)).With().Str("logger", "zerolog").Logger()
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/checkout/{order}", handle)
	return mux
}

// handle is where a request enters: the one place that knows of scopes.
func handle(w http.ResponseWriter, r *http.Request) {
	id := cmp.Or(r.Header.Get("X-Request-Id"), rand.Text())
	scope.New("request_id", id).Run(func() {
		checkout(r.PathValue("order"), r.Context().Done())
		fmt.Fprintln(w, "thank you")
	})
}

// serve serves until ctx ends. Then it lets the requests finish, and after them the work
// that they have started with scope.Go.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return err
	}
	return scope.Wait(grace)
}
