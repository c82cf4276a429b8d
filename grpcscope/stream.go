package grpcscope

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
)

// A serverStream is a stream with the scope of its call.
type serverStream struct {
	grpc.ServerStream
	call     *call
	messages entry.Messages // used with Options.PerMessage
}

func newServerStream(ss grpc.ServerStream, c *call) *serverStream {
	return &serverStream{ss, c, entry.Messages{Key: c.names.messageID, Task: c.task}}
}

// Context returns the handler's context.
func (s *serverStream) Context() context.Context { return s.call.ctx }

// SetHeader leaves out a request id: the answer has one. gRPC would send both.
func (s *serverStream) SetHeader(md metadata.MD) error {
	return s.ServerStream.SetHeader(withoutID(md))
}

// SendHeader leaves out a request id, as SetHeader does, and sends the call's.
func (s *serverStream) SendHeader(md metadata.MD) error {
	s.call.putID(true)
	return s.ServerStream.SendHeader(withoutID(md))
}

// SetTrailer leaves out a request id, too.
func (s *serverStream) SetTrailer(md metadata.MD) { s.ServerStream.SetTrailer(withoutID(md)) }

// SendMsg sends the header with the call's id, if nothing has.
func (s *serverStream) SendMsg(m any) error {
	s.call.putID(true)
	err := s.ServerStream.SendMsg(m)
	if err != nil {
		s.call.noteFailure(err)
		return err
	}
	s.call.countSent(m)
	return nil
}

func (s *serverStream) RecvMsg(m any) error {
	if s.call.opts.PerMessage {
		s.messages.End()
	}
	err := s.ServerStream.RecvMsg(m)
	if err != nil {
		s.call.noteFailure(err)
		return err
	}
	s.call.countReceived(m)
	if s.call.opts.PerMessage {
		s.messages.Begin()
	}
	return nil
}

// noteFailure is called when a message wasn't sent or received. gRPC answers with that error at
// once and ends the call, unless the call was over before.
func (c *call) noteFailure(err error) {
	if c.record == nil || err == io.EOF || c.Context.Err() == nil {
		return
	}
	switch codeOf(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable: // the call was over
	default:
		c.record.Answered()
	}
}

// A clientStream calls gRPC with no scope bound: sending and receiving may connect anew.
type clientStream struct {
	grpc.ClientStream
	call  *outgoing
	state entry.ClientStream // used if the call has a line
}

// Header may find that the call has failed. RecvMsg tells whether the stream has.
func (s *clientStream) Header() (md metadata.MD, err error) {
	if s.call.record != nil {
		s.state.Begin()
		defer s.state.Done()
	}
	scope.Outside(func() { md, err = s.ClientStream.Header() })
	return md, err
}

func (s *clientStream) CloseSend() (err error) {
	scope.Outside(func() { err = s.ClientStream.CloseSend() })
	return err
}

func (s *clientStream) SendMsg(m any) error {
	return s.message(m, s.ClientStream.SendMsg, func(err error) {
		switch err {
		case nil:
			s.call.countSent(m)
		case io.EOF: // RecvMsg knows more
		default:
			s.state.End(err)
		}
	})
}

func (s *clientStream) RecvMsg(m any) error {
	return s.message(m, s.ClientStream.RecvMsg, func(err error) {
		switch {
		case err == nil:
			s.call.countReceived(m)
			if !s.call.rpc.ServerStream { // this is the one message
				s.state.End(nil)
			}
		case err == io.EOF:
			s.state.End(nil)
		default:
			s.state.End(err)
		}
	})
}

// message calls do, which sends or receives m. If the call has a line, note is told the result.
func (s *clientStream) message(m any, do func(any) error, note func(error)) (err error) {
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

// finished is called by gRPC when a call has ended, on any goroutine, and when the context has ended. An
// interceptor inside may make several calls for the stream, or none.
func (s *clientStream) finished(err error) { s.state.Finish(err, s.call.ctx.Err() != nil) }

// sizeOf returns how long m is when it is encoded, without compression, if m can tell.
func sizeOf(m any) (size int, ok bool) {
	message, ok := m.(proto.Message)
	if !ok {
		return 0, false
	}
	defer func() {
		if recover() != nil { // a message type of the program's own
			size, ok = 0, false
		}
	}()
	return proto.Size(message), true
}
