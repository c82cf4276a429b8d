package entry

import (
	"context"
	"sync"
)

// A ClientStream finds out when a stream that a client has opened is over, and has its line written
// then, once. The line counts messages, so it waits for those that are being sent or received.
type ClientStream struct {
	write func(err error)
	stop  func() bool // ends Watch

	mu      sync.Mutex
	busy    int // calls of Begin without their Done
	over    bool
	err     error // if it is over
	failed  error // what sending has failed with
	left    bool  // it was canceled while it was busy
	leftErr error
	written bool
}

// Open is called before the stream is opened, and is the first Begin. write writes the line.
func (s *ClientStream) Open(write func(err error)) {
	s.write = write
	s.Begin()
}

// Watch has canceled called when ctx ends, unless the line was written before: so a context that lives
// on keeps no call in memory. It comes between Open and the first Done.
func (s *ClientStream) Watch(ctx context.Context, canceled func()) {
	s.stop = context.AfterFunc(ctx, canceled)
}

// Begin is called before a message is sent or received.
func (s *ClientStream) Begin() { s.set(func() { s.busy++ }) }

// Done is called when that has returned, and after what went wrong was noted.
func (s *ClientStream) Done() {
	s.set(func() {
		if s.busy--; s.busy == 0 && s.left {
			s.end(s.leftErr)
		}
	})
}

// End notes that the stream is over. nil is an end with no error. The first End counts.
func (s *ClientStream) End(err error) { s.set(func() { s.end(err) }) }

// Fail notes an error of sending, in case receiving, which says more, never tells: it counts if the
// stream is closed.
func (s *ClientStream) Fail(err error) { s.set(func() { s.failed = err }) }

// Close ends a stream that the client gives up, whatever it still receives.
func (s *ClientStream) Close(err error) {
	s.set(func() {
		if s.failed != nil {
			err = s.failed
		}
		s.end(err)
	})
}

// Finish notes that one attempt has ended. A stream may be tried again, so it is over only if nothing
// is being sent or received, which may say more. canceled means that it won't be tried again: then it
// is over as soon as nothing is being sent or received, unless that has said how it ended.
func (s *ClientStream) Finish(err error, canceled bool) {
	s.set(func() {
		switch {
		case s.busy == 0:
			s.end(err)
		case canceled && !s.left:
			s.left, s.leftErr = true, err
		}
	})
}

func (s *ClientStream) end(err error) {
	if !s.over {
		s.over, s.err = true, err
	}
}

// set changes the state, and writes the line if it is time. change must not call the program's code:
// if that panicked, the state would stay locked.
func (s *ClientStream) set(change func()) {
	s.mu.Lock()
	change()
	write, err := s.over && s.busy == 0 && !s.written, s.err
	s.written = s.written || write
	s.mu.Unlock()
	if write {
		if s.stop != nil {
			s.stop()
		}
		s.write(err)
	}
}
