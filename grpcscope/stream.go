package grpcscope

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// A serverStream is a stream with the scope of its call.
type serverStream struct {
	grpc.ServerStream
	call *call

	// With Options.PerMessage. Only one goroutine at a time may call RecvMsg.
	message int64       // the number of the last one
	outside scope.Scope // what was bound before the first one
}

// Context returns the handler's context.
func (s *serverStream) Context() context.Context { return s.call.ctx }

// SetHeader leaves out a request id: the answer has one. gRPC would send both.
func (s *serverStream) SetHeader(md metadata.MD) error {
	return s.ServerStream.SetHeader(withoutID(md))
}

// SendHeader leaves out a request id, as SetHeader does.
func (s *serverStream) SendHeader(md metadata.MD) error {
	return s.ServerStream.SendHeader(withoutID(md))
}

func withoutID(md metadata.MD) metadata.MD {
	if _, ok := md[propagation.RequestIDHeader]; ok { // gRPC refuses a key in upper case
		md = md.Copy()
		delete(md, propagation.RequestIDHeader)
	}
	return md
}

func (s *serverStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.call.count(&s.call.sent, m)
	}
	return err
}

func (s *serverStream) RecvMsg(m any) error {
	mine := s.call.opts.PerMessage && s.endMessage()
	err := s.ServerStream.RecvMsg(m)
	if err != nil {
		return err
	}
	s.call.count(&s.call.received, m)
	s.message++
	if mine {
		s.outside.With(slog.Int64(s.call.names.messageID, s.message)).Internal().Bind()
	}
	return nil
}

// endMessage puts back what was bound before the first message. It reports whether the goroutine
// is one of the call's: on others nothing must stay bound.
func (s *serverStream) endMessage() bool {
	now := scope.Current()
	switch {
	case !now.SameTask(s.call.task):
		return false
	case s.message > 0 && now.Has(s.call.names.messageID):
		s.outside.Internal().Bind()
	default: // the first, or a goroutine that was started before it
		s.outside = now
	}
	return true
}

// A clientStream calls gRPC with no scope bound: sending and receiving may connect anew.
type clientStream struct {
	grpc.ClientStream
	call *outgoing

	// The call's line waits for a RecvMsg that is going on, and so for its message.
	mu        sync.Mutex
	receiving bool
	over      bool
	err       error // if it is over
}

func (s *clientStream) Header() (md metadata.MD, err error) {
	scope.Outside(func() { md, err = s.ClientStream.Header() })
	return md, err
}

func (s *clientStream) CloseSend() (err error) {
	scope.Outside(func() { err = s.ClientStream.CloseSend() })
	return err
}

func (s *clientStream) SendMsg(m any) (err error) {
	s.call.count(&s.call.sent, m) // before the line, which may be written meanwhile
	scope.Outside(func() { err = s.ClientStream.SendMsg(m) })
	return err
}

func (s *clientStream) RecvMsg(m any) (err error) {
	if s.call.logs {
		s.set(func() { s.receiving = true })
		defer func() {
			if err == nil {
				s.call.received.add(m)
			}
			s.set(func() { s.receiving = false })
		}()
	}
	scope.Outside(func() { err = s.ClientStream.RecvMsg(m) })
	return err
}

// finished is called by gRPC when the call has ended, on whichever goroutine.
func (s *clientStream) finished(err error) { s.set(func() { s.over, s.err = true, err }) }

// set changes the state, and has the line written if nothing is in its way.
func (s *clientStream) set(change func()) {
	s.mu.Lock()
	change()
	write, err := s.over && !s.receiving, s.err
	s.mu.Unlock()
	if write {
		s.call.end(err)
	}
}

// A tally counts messages. Goroutines may share it.
type tally struct {
	messages, bytes, unsized atomic.Int64
}

func (t *tally) add(m any) {
	t.messages.Add(1)
	if size, ok := sizeOf(m); ok {
		t.bytes.Add(int64(size))
	} else {
		t.unsized.Add(1)
	}
}

// appendSize appends how many bytes all messages are, if that is known.
func (t *tally) appendSize(attrs []slog.Attr, key string) []slog.Attr {
	if t.unsized.Load() > 0 || t.messages.Load() == 0 {
		return attrs
	}
	return append(attrs, slog.Int64(key, t.bytes.Load()))
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
