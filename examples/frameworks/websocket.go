package frameworks

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/coder/websocket"
)

// echo answers one message of a WebSocket with the same.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		slog.Error("no WebSocket", "err", err)
		return
	}
	defer conn.CloseNow()
	kind, message, err := conn.Read(r.Context())
	slog.Info("message", "text", string(message))
	err = errors.Join(err, conn.Write(r.Context(), kind, message), conn.Close(websocket.StatusNormalClosure, ""))
	if err != nil {
		slog.Error("broken WebSocket", "err", err)
	}
}
