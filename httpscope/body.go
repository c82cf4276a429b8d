package httpscope

import (
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
)

// A body is the Body of a handler's request, of HTTP/1. It tells what net/http notes elsewhere.
// Trailers that weren't announced are put into net/http's own request. And at its limit
// http.MaxBytesReader tells net/http's own ResponseWriter, by a method that isn't exported, to
// answer without waiting for the rest of the body, and to close the connection. That it is at its
// limit is a guess here, by how it reads: a handler that stops early may lose its connection
// to that guess, and one that reads through a reader between the two may wait for the rest.
type body struct {
	io.ReadCloser
	received, r *http.Request // net/http's, and the handler's
	tooLarge    atomic.Bool   // the last Read was one that reaches the limit; others may read, and answer meanwhile
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
	if err != nil {
		b.copyTrailer()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			b.timedOut.Store(true)
		}
	}
	// To find its limit exceeded, MaxBytesReader cuts its caller's buffer to what is left and
	// one byte more, and gets all of it. That is the last Read, as it reads no more then.
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
	if b.r.Trailer == nil && b.received.Trailer != nil {
		b.r.Trailer = b.received.Trailer
	}
}

// calledByMaxBytesReader is about the caller of its caller. Others cut buffers too: if
// io.LimitReader does, on either side of a MaxBytesReader, its reader may want the connection
// to stay.
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
		// One that is given w, and exceeds its limit.
		_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
	}
}
