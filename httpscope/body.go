package httpscope

import (
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// A body is the Body of a handler's HTTP/1 request. It passes on two things that net/http tells
// only its own request and ResponseWriter. Trailers that weren't announced are put into the request.
// And an http.MaxBytesReader at its limit tells the ResponseWriter, by an unexported method, to
// answer without waiting for the rest of the body, and to close the connection. That it is at its
// limit is guessed here, from how it reads: a handler that stops early may lose its connection
// to a wrong guess, and one that reads through a reader between the two may wait for the rest.
type body struct {
	io.ReadCloser
	received, r *http.Request // net/http's, and the handler's
	trailer     sync.Mutex    // for r.Trailer: one goroutine may close the body while another reads it
	tooLarge    atomic.Bool   // the last Read reached the limit; atomic, as one goroutine may read while another answers
	timedOut    atomic.Bool
}

// watch makes b the body of r, a copy of received, if it has one that matters.
func (b *body) watch(received, r *http.Request) {
	if r.ProtoMajor != 1 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	b.ReadCloser, b.received, b.r = r.Body, received, r
	r.Body = b
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF: // after any other error, Close may read on and write the received trailer
		b.copyTrailer()
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.timedOut.Store(true)
	}
	// MaxBytesReader cuts its caller's buffer to what is left and one byte more. If all of that
	// is read, the limit is exceeded, and this was the last Read.
	if reached := n == len(p) && n < cap(p) && calledByMaxBytesReader(); reached != b.tooLarge.Load() {
		b.tooLarge.Store(reached)
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close() // reads on, up to a point
	b.copyTrailer()
	return err
}

// copyTrailer gives the handler the trailers of a body that has ended.
func (b *body) copyTrailer() {
	b.trailer.Lock()
	defer b.trailer.Unlock()
	if b.r.Trailer == nil && b.received.Trailer != nil {
		b.r.Trailer = b.received.Trailer
	}
}

// calledByMaxBytesReader reports whether its caller was called by a MaxBytesReader. An
// io.LimitedReader cuts buffers too: with one on either side of the MaxBytesReader nothing is
// guessed, as whoever reads from it may want the connection to stay.
func calledByMaxBytesReader() bool {
	var pcs [2]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	caller, _ := frames.Next()
	if caller.Function != "net/http.(*maxBytesReader).Read" {
		return false
	}
	caller, _ = frames.Next()
	return caller.Function != "io.(*LimitedReader).Read"
}

// closeIfTooLarge tells w, as MaxBytesReader would, that its limit has been exceeded.
func (b *body) closeIfTooLarge(w http.ResponseWriter) {
	if b.tooLarge.CompareAndSwap(true, false) {
		// A MaxBytesReader that has w, and exceeds its limit.
		_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
	}
}
