package httpscope

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// An answer is the ResponseWriter that a handler is given. It sends the request's id once,
// whatever the handler, or a proxy, has done to the header, and knows what was answered.
type answer struct {
	http.ResponseWriter                     // the one that Handler was given
	server              http.ResponseWriter // the one that the outermost Handler was given: perhaps net/http's own
	ctx                 context.Context     // that of the request that Handler was given
	id                  string
	own, sent           [1]string // id, to be put into the headers of the answer and of the request
	body                body
	mark                *mark // of the request

	code     int // 0 iff no header was written
	bytes    int64
	hijacked bool
	ctxErr   error // that of the request's context, if it had ended before the answer began
}

// init makes a the answer to r, which has this mark, by way of w.
func (a *answer) init(w http.ResponseWriter, r *http.Request, m *mark) {
	a.server = w
	if outer, ok := w.(interface{ outermost() http.ResponseWriter }); ok {
		a.server = outer.outermost()
	}
	a.ResponseWriter, a.ctx, a.mark, a.id, a.sent[0] = w, r.Context(), m, m.id, m.id
	a.putID()
}

func (a *answer) outermost() http.ResponseWriter { return a.server }

const idHeader = "X-Request-Id"

// putID makes id the only one in the header.
func (a *answer) putID() {
	h := a.ResponseWriter.Header()
	if h == nil { // no writer should return that
		return
	}
	if v := h[idHeader]; len(v) != 1 || v[0] != a.id {
		a.own[0] = a.id
		h[idHeader] = a.own[:]
	}
	if len(h) == 1 {
		return
	}
	for key := range h {
		if len(key) == len(idHeader) && key != idHeader && strings.EqualFold(key, idHeader) {
			delete(h, key)
		}
	}
}

// begin is called before the first part of an answer is written. A status of 1xx other than 101 is
// no answer yet.
func (a *answer) begin() {
	if a.code != 0 || a.hijacked {
		return
	}
	a.putID()
	a.body.closeIfTooLarge(a.server)
	a.ctxErr = a.ctx.Err()
}

// wrote is called when n bytes of the answer were written: 0 if only its header was.
func (a *answer) wrote(n int64) {
	if a.hijacked {
		return
	}
	a.bytes += n
	if a.code == 0 {
		a.code = http.StatusOK
	}
}

// end is called when the handler has returned or ended early. If there is no answer yet, net/http, or
// a middleware that recovers, will answer now.
func (a *answer) end() {
	if a.code == 0 {
		a.begin()
		return
	}
	// A middleware may send the header only now. net/http has its copy already, and would make another.
	if _, own := a.ResponseWriter.(response); !own && !a.hijacked {
		a.putID()
	}
	a.body.closeIfTooLarge(a.server)
	if a.ctx.Err() != context.DeadlineExceeded || a.hijacked {
		return
	}
	// http.TimeoutHandler drops what the handler has answered when the time is over, and says so only at
	// the next Write. All is written by now, and to write nothing more changes nothing.
	if _, err := a.ResponseWriter.Write(nil); errors.Is(err, http.ErrHandlerTimeout) {
		a.code, a.bytes, a.ctxErr = 0, 0, context.DeadlineExceeded
	}
}

// Header has the id only once, also after Hijack: httputil.ReverseProxy writes the header to the
// connection, with what the service behind it has answered.
func (a *answer) Header() http.Header {
	if a.hijacked {
		a.putID()
	}
	return a.ResponseWriter.Header()
}

func (a *answer) WriteHeader(code int) {
	final := code >= 200 || code == http.StatusSwitchingProtocols
	if final {
		a.begin()
	}
	a.ResponseWriter.WriteHeader(code) // panics if code isn't valid
	if final && a.code == 0 && !a.hijacked {
		a.code = code
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	n, err := a.ResponseWriter.Write(p)
	a.wrote(int64(n))
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// The optional methods. Each must be there only if the ResponseWriter has it.

func (a *answer) writeString(s string) (int, error) {
	a.begin()
	n, err := io.WriteString(a.ResponseWriter, s)
	a.wrote(int64(n))
	return n, err
}

func (a *answer) readFrom(next func(io.Reader) (int64, error), src io.Reader) (int64, error) {
	a.begin()
	n, err := next(src)
	if n > 0 { // else nothing was sent, no header either
		a.wrote(n)
	}
	return n, err
}

func (a *answer) flush(next func() error) error {
	a.begin()
	err := next()
	if !errors.Is(err, http.ErrNotSupported) {
		a.wrote(0)
	}
	return err
}

func (a *answer) hijack(next func() (net.Conn, *bufio.ReadWriter, error)) (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := next()
	if err == nil {
		a.hijacked = true
		a.mark.over.Store(true)
	}
	return conn, buf, err
}
