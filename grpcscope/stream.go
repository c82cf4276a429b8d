package grpcscope

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// A serverStream is a stream with the scope of its call.
type serverStream struct {
	grpc.ServerStream
	call     *call
	messages entry.Messages // with Options.PerMessage
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

func withoutID(md metadata.MD) metadata.MD {
	if _, ok := md[propagation.RequestIDHeader]; ok { // gRPC refuses a key in upper case
		md = md.Copy()
		delete(md, propagation.RequestIDHeader)
	}
	return md
}

// SendMsg sends the header with the call's id, if nothing has.
func (s *serverStream) SendMsg(m any) error {
	s.call.putID(true)
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.call.countSent(m)
	}
	return err
}

func (s *serverStream) RecvMsg(m any) error {
	if s.call.opts.PerMessage {
		s.messages.End()
	}
	err := s.ServerStream.RecvMsg(m)
	if err != nil {
		return err
	}
	s.call.countReceived(m)
	if s.call.opts.PerMessage {
		s.messages.Begin()
	}
	return nil
}

// A clientStream calls gRPC with no scope bound: sending and receiving may connect anew.
type clientStream struct {
	grpc.ClientStream
	call *outgoing

	// The call's line waits for what is being sent or received: it counts the message.
	mu   sync.Mutex
	busy int // how many calls of SendMsg and RecvMsg are going on
	over bool
	err  error // if it is over
}

func (s *clientStream) Header() (md metadata.MD, err error) {
	scope.Outside(func() { md, err = s.ClientStream.Header() })
	return md, err
}

func (s *clientStream) CloseSend() (err error) {
	scope.Outside(func() { err = s.ClientStream.CloseSend() })
	return err
}

func (s *clientStream) SendMsg(m any) error {
	return s.message(m, s.call.countSent, s.ClientStream.SendMsg)
}

func (s *clientStream) RecvMsg(m any) error {
	return s.message(m, s.call.countReceived, s.ClientStream.RecvMsg)
}

// message has a message sent or received, and counts it.
func (s *clientStream) message(m any, count func(any), do func(any) error) (err error) {
	done := false
	if s.call.record != nil {
		s.set(func() { s.busy++ })
		defer func() {
			if done && err == nil {
				count(m)
			}
			s.set(func() { s.busy-- })
		}()
	}
	scope.Outside(func() { err, done = do(m), true })
	return err
}

// finished is called by gRPC when the call has ended, on whichever goroutine.
func (s *clientStream) finished(err error) { s.set(func() { s.over, s.err = true, err }) }

// set changes the state, and has the line written if nothing is in its way.
func (s *clientStream) set(change func()) {
	s.mu.Lock()
	change()
	write, err := s.over && s.busy == 0, s.err
	s.mu.Unlock()
	if write {
		s.call.end(err)
	}
}

// sizeOf returns how long m is when it is encoded, without compression, if m can tell.
func sizeOf(m any) (size int, ok bool) {
	message, ok := m.(proto.Message)
	if !ok {
		return 0, false
	}
	defer func() {
		if recover() != nil { // a message of the program's own making
			size, ok = 0, false
		}
	}()
	return proto.Size(message), true
}
