package connectscope

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/headers"
	"github.com/taskscope/taskscope/scope"
)

// A handlerConn is a stream with the scope of its call.
type handlerConn struct {
	connect.StreamingHandlerConn
	call     *call
	messages entry.Messages // used with Options.PerMessage
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
	state entry.ClientStream // used if the call has a line
}

// send is called before the header is sent: with the first message or with the end.
func (s *clientConn) send() {
	s.begin.Do(func() { s.call.send(headers.Header(s.StreamingClientConn.RequestHeader())) })
}

func (s *clientConn) Send(m any) error {
	s.send()
	return s.message(m, s.StreamingClientConn.Send, func(err error) {
		if err != nil {
			s.fail(err)
		} else if m != nil { // nil sends the header
			s.call.countSent(m)
		}
	})
}

func (s *clientConn) CloseRequest() (err error) {
	s.send()
	scope.Outside(func() { err = s.StreamingClientConn.CloseRequest() })
	if s.call.record != nil && err != nil {
		s.fail(err)
	}
	return err
}

func (s *clientConn) Receive(m any) error {
	return s.message(m, s.StreamingClientConn.Receive, func(err error) {
		switch {
		case err == nil:
			s.call.countReceived(m)
		case isEOF(err):
			s.state.End(nil)
		default:
			s.state.End(err)
		}
	})
}

// message calls do, which sends or receives m. If the call has a line, note is told the result.
func (s *clientConn) message(m any, do func(any) error, note func(error)) (err error) {
	if s.call.record != nil {
		s.state.Begin()
		defer s.state.Done()
	}
	scope.Outside(func() { err = do(m) })
	if s.call.record != nil {
		note(err)
	}
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
	if s.call.record != nil {
		s.state.Close(errClosed)
	}
	return err
}

// fail notes what has gone wrong when sending. io.EOF says that Receive knows more.
func (s *clientConn) fail(err error) {
	if !isEOF(err) {
		s.state.Fail(err)
	}
}

// isEOF reports whether err is io.EOF. One whose methods panic isn't: without a line nobody would
// have called them.
func isEOF(err error) (is bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, io.EOF)
}

// sizeOf returns how long m is as a protocol buffer, without compression, if that is asked for
// and m can tell.
func sizeOf(m any, wanted bool) (size int, ok bool) {
	message, ok := m.(proto.Message)
	if !ok || !wanted {
		return 0, false
	}
	defer func() {
		if recover() != nil { // a message type of the program's own
			size, ok = 0, false
		}
	}()
	return proto.Size(message), true
}
