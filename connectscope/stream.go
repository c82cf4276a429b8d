package connectscope

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
)

// A handlerConn is a stream with the scope of its call.
type handlerConn struct {
	connect.StreamingHandlerConn
	call     *call
	messages entry.Messages
}

func newHandlerConn(conn connect.StreamingHandlerConn, c *call) *handlerConn {
	return &handlerConn{conn, c, entry.Messages{Key: c.names.messageID, Task: c.task}}
}

// RequestHeader returns the header with the call's id.
func (s *handlerConn) RequestHeader() http.Header { return s.call.rpc.Header }

func (s *handlerConn) Send(m any) error {
	s.call.putIDOnce()
	err := s.StreamingHandlerConn.Send(m)
	if err == nil && m != nil { // nil sends the header
		s.call.countSent(m)
	}
	return err
}

func (s *handlerConn) Receive(m any) error {
	if s.call.opts.PerMessage {
		s.messages.End()
	}
	err := s.StreamingHandlerConn.Receive(m)
	if err != nil {
		return err
	}
	s.call.countReceived(m)
	if s.call.opts.PerMessage {
		s.messages.Begin()
	}
	return nil
}

// A clientConn calls Connect with no scope bound: sending and receiving may connect anew.
type clientConn struct {
	connect.StreamingClientConn
	call  *outgoing
	begin sync.Once

	// The call's line waits for what is being sent or received: it counts the message.
	mu     sync.Mutex
	busy   int // how many calls of Send and Receive are going on
	over   bool
	err    error // if it is over
	failed error // what Send has returned; it becomes err if nothing is received
}

// send is called before the header is sent: with the first message or with the end.
func (s *clientConn) send() {
	s.begin.Do(func() { s.call.send(s.StreamingClientConn.RequestHeader()) })
}

func (s *clientConn) Send(m any) error {
	s.send()
	return s.message(m, s.call.countSent, s.StreamingClientConn.Send, s.fail)
}

func (s *clientConn) CloseRequest() (err error) {
	s.send()
	scope.Outside(func() { err = s.StreamingClientConn.CloseRequest() })
	if s.call.record != nil {
		s.set(func() { s.fail(err) })
	}
	return err
}

func (s *clientConn) Receive(m any) error {
	return s.message(m, s.call.countReceived, s.StreamingClientConn.Receive, s.end)
}

// message has a message sent or received, and counts it. failed is told what has gone wrong.
func (s *clientConn) message(m any, count func(any), do func(any) error, failed func(error)) (err error) {
	done := false
	if s.call.record != nil {
		s.set(func() { s.busy++ })
		defer func() {
			if done && err == nil && m != nil { // nil sends the header
				count(m)
			}
			s.set(func() {
				s.busy--
				failed(err)
			})
		}()
	}
	scope.Outside(func() { err, done = do(m), true })
	return err
}

func (s *clientConn) ResponseHeader() (h http.Header) {
	scope.Outside(func() { h = s.StreamingClientConn.ResponseHeader() })
	return h
}

func (s *clientConn) ResponseTrailer() (h http.Header) {
	scope.Outside(func() { h = s.StreamingClientConn.ResponseTrailer() })
	return h
}

var errClosed = connect.NewError(connect.CodeCanceled, errors.New("the stream was closed before its end"))

func (s *clientConn) CloseResponse() (err error) {
	scope.Outside(func() { err = s.StreamingClientConn.CloseResponse() })
	s.finished(errClosed)
	return err
}

// fail notes what has gone wrong when sending. io.EOF says that Receive knows more.
func (s *clientConn) fail(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
}

// end notes that nothing more will be received. io.EOF says that nothing has gone wrong.
func (s *clientConn) end(err error) {
	if err == nil || s.over {
		return
	}
	if s.over = true; !errors.Is(err, io.EOF) {
		s.err = err
	}
}

// finished is called when the call has been given up, on whichever goroutine.
func (s *clientConn) finished(err error) {
	if s.call.record == nil {
		return
	}
	s.set(func() {
		if s.over {
			return
		}
		if s.over, s.err = true, err; s.failed != nil {
			s.err = s.failed
		}
	})
}

// set changes the state, and has the line written if nothing is in its way.
func (s *clientConn) set(change func()) {
	s.mu.Lock()
	change()
	write, err := s.over && s.busy == 0, s.err
	s.mu.Unlock()
	if write {
		s.call.end(err)
	}
}

// sizeOf returns how long m is as a protocol buffer, without compression, if that is asked for
// and m can tell.
func sizeOf(m any, wanted bool) (size int, ok bool) {
	message, ok := m.(proto.Message)
	if !ok || !wanted {
		return 0, false
	}
	defer func() {
		if recover() != nil { // a message of the program's own making
			size, ok = 0, false
		}
	}()
	return proto.Size(message), true
}
