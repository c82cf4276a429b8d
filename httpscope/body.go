package httpscope

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
)

// A body is the Body of a request of HTTP/1. It makes up for what http.MaxBytesReader can't
// do by way of a ResponseWriter that isn't net/http's own: at its limit it tells that one, by a
// method that isn't exported, to answer without waiting for the rest of the body, and to close
// the connection.
type body struct {
	io.ReadCloser
	tooLarge atomic.Bool // the last Read was one that reaches the limit; others may read, and answer meanwhile
}

// watch makes b the body of r, if it has one that matters.
func (b *body) watch(r *http.Request) {
	if r.ProtoMajor != 1 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	b.ReadCloser = r.Body
	r.Body = b
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	// To find its limit exceeded, MaxBytesReader cuts its caller's buffer to what is left and
	// one byte more, and gets all of it. That is the last Read, as it reads no more then.
	if reached := n == len(p) && n < cap(p) && calledByMaxBytesReader(); reached != b.tooLarge.Load() {
		b.tooLarge.Store(reached)
	}
	return n, err
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
