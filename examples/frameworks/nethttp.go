package frameworks

import (
	"log/slog"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/zaph"
)

// limited has a time limit around mux. The Handler outside answers with the id, and the one
// inside knows the route.
func limited(mux *http.ServeMux, limit time.Duration) http.Handler {
	return httpscope.Handler(http.TimeoutHandler(httpscope.Handler(mux, nil), limit, "too slow"), &httpscope.Options{Log: slog.LogAttrs})
}

// zapsLog is Options.Log for zap, without a stack of httpscope's own frames on the line of each 5xx.
func zapsLog(logger *zap.Logger) httpscope.LogFunc {
	return zaph.LogAttrs(logger.WithOptions(zap.AddStacktrace(zap.DPanicLevel), zap.WithCaller(false)))
}
