package entry_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/entry"
)

func TestClientStream(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	for name, tc := range map[string]struct {
		do   func(s *entry.ClientStream)
		want []error
	}{
		"goes on":   {func(s *entry.ClientStream) { s.Begin(); s.Done() }, nil},
		"ends well": {func(s *entry.ClientStream) { s.Begin(); s.End(nil); s.Done(); s.End(a) }, []error{nil}},
		"the first end counts": {func(s *entry.ClientStream) {
			s.Begin()
			s.Begin()
			s.End(a)
			s.Done()
			s.End(b)
			s.Done()
		}, []error{a}},
		"waits":                          {func(s *entry.ClientStream) { s.Begin(); s.End(a) }, nil},
		"sending fails":                  {func(s *entry.ClientStream) { s.Fail(a) }, nil},
		"sending fails, receiving ends":  {func(s *entry.ClientStream) { s.Fail(a); s.End(b) }, []error{b}},
		"sending fails, closed":          {func(s *entry.ClientStream) { s.Fail(a); s.Close(b) }, []error{a}},
		"closed":                         {func(s *entry.ClientStream) { s.Close(a); s.Close(b) }, []error{a}},
		"closed while busy":              {func(s *entry.ClientStream) { s.Begin(); s.Close(a); s.End(b); s.Done() }, []error{a}},
		"finished":                       {func(s *entry.ClientStream) { s.Finish(a, false); s.Finish(b, true) }, []error{a}},
		"finished while busy":            {func(s *entry.ClientStream) { s.Begin(); s.Finish(a, false); s.Done() }, nil},
		"finished while busy, then ends": {func(s *entry.ClientStream) { s.Begin(); s.Finish(a, false); s.End(b); s.Done() }, []error{b}},
		"canceled while busy": {func(s *entry.ClientStream) {
			s.Begin()
			s.Begin()
			s.Finish(a, true)
			s.Finish(b, true)
			s.Done()
			s.Done()
		}, []error{a}},
		"canceled while busy, then ends": {func(s *entry.ClientStream) { s.Begin(); s.Finish(a, true); s.End(nil); s.Done() }, []error{nil}},
	} {
		var got []error
		s := &entry.ClientStream{}
		s.Open(func(err error) { got = append(got, err) })
		s.Finish(b, false) // opening counts as busy
		s.Done()
		if tc.do(s); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// Whatever comes together, there is one line, and nothing is going on when it is written.
func TestClientStreamWritesOnce(t *testing.T) {
	for range 1000 {
		var lines, busy atomic.Int64
		s := &entry.ClientStream{}
		s.Open(func(error) {
			if lines.Add(1); busy.Load() > 0 {
				t.Error("the line didn't wait")
			}
		})
		var wg sync.WaitGroup
		for _, do := range []func(){func() { s.End(nil) }, func() { s.Finish(nil, true) }, func() { s.Close(nil) }, func() {}} {
			s.Begin()
			busy.Add(1)
			wg.Go(do)
			wg.Go(func() {
				do()
				busy.Add(-1)
				s.Done()
			})
		}
		s.Done()
		wg.Wait()
		if n := lines.Load(); n != 1 {
			t.Fatalf("%d lines", n)
		}
	}
}

func TestClientStreamWatchesUntilItIsOver(t *testing.T) {
	for _, over := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		canceled := make(chan bool, 1)
		s := &entry.ClientStream{}
		s.Open(func(error) {})
		s.Watch(ctx, func() { canceled <- true })
		if over {
			s.End(nil)
		}
		s.Done()
		if cancel(); !over {
			<-canceled
			continue
		}
		time.Sleep(10 * time.Millisecond)
		if len(canceled) > 0 {
			t.Error("the context is watched when the stream is over")
		}
	}
}
