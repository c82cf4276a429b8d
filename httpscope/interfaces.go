package httpscope

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/felixge/httpsnoop"
)

// answerTo returns the ResponseWriter for the handler of r, which has this mark. It wraps w, and
// has the optional interfaces that w has, and no others. The usual kinds have a type each, which
// takes one allocation; httpsnoop takes one for each method.
func answerTo(w http.ResponseWriter, r *http.Request, m *mark) (*answer, http.ResponseWriter) {
	if own, ok := w.(response); ok {
		_, hijacks := w.(http.Hijacker)
		_, reads := w.(io.ReaderFrom)
		_, pushes := w.(http.Pusher)
		switch {
		case hijacks && reads && !pushes:
			a := &http1Answer{commonAnswer{own: own}}
			a.init(w, r, m)
			return &a.answer, a
		case !hijacks && !reads && pushes:
			a := &http2Answer{commonAnswer{own: own}}
			a.init(w, r, m)
			return &a.answer, a
		}
	}
	switch optional(w) {
	case 0:
		switch flushes, hijacks := behind(w); {
		case hijacks:
			a := new(hijackAnswer)
			a.init(w, r, m)
			return &a.answer, a
		case flushes:
			a := new(flushAnswer)
			a.init(w, r, m)
			return &a.answer, a
		}
		a := new(answer)
		a.init(w, r, m)
		return a, a
	case flusher:
		if _, hijacks := behind(w); hijacks {
			a := new(flushHijackAnswer)
			a.init(w, r, m)
			return &a.answer, a
		}
	case stringWriter | flusher:
		a := new(recorderAnswer)
		a.init(w, r, m)
		return &a.answer, a
	case flusher | hijacker | readerFrom:
		a := new(fancyAnswer)
		a.init(w, r, m)
		return &a.answer, a
	}
	a := new(answer)
	a.init(w, r, m)
	return a, a.snoop()
}

// A response is what both of net/http's own ResponseWriters have.
type response interface {
	http.ResponseWriter
	io.StringWriter
	http.Flusher
	FlushError() error
	closeNotifier
	deadliner
	fullDuplexer
}

type (
	deadliner interface {
		SetReadDeadline(time.Time) error
		SetWriteDeadline(time.Time) error
	}
	fullDuplexer  interface{ EnableFullDuplex() error }
	closeNotifier interface{ CloseNotify() <-chan bool }
)

type commonAnswer struct {
	answer
	own response // its ResponseWriter
}

func (a *commonAnswer) WriteString(s string) (int, error)  { return a.writeString(s) }
func (a *commonAnswer) Flush()                             { _ = a.FlushError() }
func (a *commonAnswer) FlushError() error                  { return a.flush(a.own.FlushError) }
func (a *commonAnswer) CloseNotify() <-chan bool           { return a.own.CloseNotify() }
func (a *commonAnswer) SetReadDeadline(t time.Time) error  { return a.own.SetReadDeadline(t) }
func (a *commonAnswer) SetWriteDeadline(t time.Time) error { return a.own.SetWriteDeadline(t) }
func (a *commonAnswer) EnableFullDuplex() error            { return a.own.EnableFullDuplex() }

// An http1Answer is for HTTP/1, an http2Answer for HTTP/2.
type (
	http1Answer struct{ commonAnswer }
	http2Answer struct{ commonAnswer }
)

func (a *http1Answer) ReadFrom(src io.Reader) (int64, error) {
	return a.readFrom(a.own.(io.ReaderFrom).ReadFrom, src)
}

func (a *http1Answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.hijack(a.own.(http.Hijacker).Hijack)
}

func (a *http2Answer) Push(target string, opts *http.PushOptions) error {
	return a.own.(http.Pusher).Push(target, opts)
}

// A recorderAnswer is for writers like httptest.ResponseRecorder.
type recorderAnswer struct{ answer }

func (a *recorderAnswer) WriteString(s string) (int, error) { return a.writeString(s) }

func (a *recorderAnswer) Flush() {
	a.begin()
	a.ResponseWriter.(http.Flusher).Flush()
	a.wrote(0)
}

// A flushAnswer and a hijackAnswer are for a middleware's writer that has only Unwrap: an
// http.ResponseController finds the rest behind it, and would bypass the answer. A flushHijackAnswer
// is for one that has Flush, too.
type (
	flushAnswer       struct{ answer }
	hijackAnswer      struct{ flushAnswer }
	flushHijackAnswer struct{ hijackAnswer }
)

func (a *flushHijackAnswer) Flush() { _ = a.FlushError() }

func (a *flushAnswer) FlushError() error {
	return a.flush(http.NewResponseController(a.ResponseWriter).Flush)
}

func (a *hijackAnswer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.hijack(http.NewResponseController(a.ResponseWriter).Hijack)
}

// A fancyAnswer is for HTTP/1 behind a writer like those of chi's NewWrapResponseWriter.
type fancyAnswer struct{ answer }

func (a *fancyAnswer) Flush() {
	_ = a.flush(func() error { a.ResponseWriter.(http.Flusher).Flush(); return nil })
}

func (a *fancyAnswer) ReadFrom(src io.Reader) (int64, error) {
	return a.readFrom(a.ResponseWriter.(io.ReaderFrom).ReadFrom, src)
}

func (a *fancyAnswer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.hijack(a.ResponseWriter.(http.Hijacker).Hijack)
}

// behind reports what an http.ResponseController finds behind w.
func behind(w http.ResponseWriter) (flushes, hijacks bool) {
	for next, ok := w.(unwrapper); ok; next, ok = w.(unwrapper) {
		w = next.Unwrap()
		switch w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flushes = true
		}
		_, is := w.(http.Hijacker)
		hijacks = hijacks || is
	}
	return flushes, hijacks
}

type unwrapper interface{ Unwrap() http.ResponseWriter }

// The optional interfaces that other writers may have.
const (
	stringWriter = 1 << iota
	flusher
	hijacker
	readerFrom
	another
)

func optional(w http.ResponseWriter) (have int) {
	if _, ok := w.(io.StringWriter); ok {
		have |= stringWriter
	}
	if _, ok := w.(http.Flusher); ok {
		have |= flusher
	}
	if _, ok := w.(http.Hijacker); ok {
		have |= hijacker
	}
	if _, ok := w.(io.ReaderFrom); ok {
		have |= readerFrom
	}
	switch w.(type) {
	case interface{ FlushError() error }, closeNotifier, http.Pusher, deadliner, fullDuplexer:
		have |= another
	}
	return have
}

// snoop returns a with any optional interfaces that its ResponseWriter has.
func (a *answer) snoop() http.ResponseWriter {
	return httpsnoop.Wrap(a.ResponseWriter, httpsnoop.Hooks{
		Header:      func(httpsnoop.HeaderFunc) httpsnoop.HeaderFunc { return a.Header },
		WriteHeader: func(httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc { return a.WriteHeader },
		Write:       func(httpsnoop.WriteFunc) httpsnoop.WriteFunc { return a.Write },
		WriteString: func(httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc { return a.writeString },
		Flush: func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() { _ = a.flush(func() error { next(); return nil }) }
		},
		ReadFrom: func(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) { return a.readFrom(next, src) }
		},
		Hijack: func(next httpsnoop.HijackFunc) httpsnoop.HijackFunc {
			return func() (net.Conn, *bufio.ReadWriter, error) { return a.hijack(next) }
		},
	})
}
