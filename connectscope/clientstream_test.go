package connectscope_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/connectscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

// badIs is an error with a method that panics.
type badIs struct{ error }

func (badIs) Is(error) bool { panic("oops") }

// A failing stream fails with an error.
type failing struct {
	never
	err error
}

func (s failing) Send(any) error      { return s.err }
func (s failing) Receive(any) error   { return s.err }
func (s failing) CloseRequest() error { return s.err }

// An error whose methods panic is returned as it is, and leaves nothing locked.
func TestAStreamsErrorThatPanics(t *testing.T) {
	logger, lines := logs()
	in := connectscope.NewInterceptor(&connectscope.Options{Client: &connectscope.ClientOptions{Log: logger.LogAttrs}})
	err := badIs{errOops}
	for name, do := range map[string]func(connect.StreamingClientConn) error{
		"Send":         func(s connect.StreamingClientConn) error { return s.Send(new(text)) },
		"Receive":      func(s connect.StreamingClientConn) error { return s.Receive(new(text)) },
		"CloseRequest": func(s connect.StreamingClientConn) error { return s.CloseRequest() },
	} {
		conn := in.WrapStreamingClient(func(_ context.Context, spec connect.Spec) connect.StreamingClientConn {
			return failing{never{spec}, err}
		})(t.Context(), connect.Spec{Procedure: bidirect, StreamType: connect.StreamTypeBidi, IsClient: true})
		if got := do(conn); got != err {
			t.Errorf("%s returns %v", name, got)
		}
		_ = conn.CloseResponse()
		lines.Next(t).Want(t, testkit.Line{"rpc.connect_rpc.error_code": "unknown", "error.message": "oops"})
	}
	lines.None(t)
}

// A stream that one goroutine sends to, that another one receives from, and that is canceled at any
// time has one line.
func TestOneLineForEachStream(t *testing.T) {
	h := &handler{stream: func(_ context.Context, s stream) error {
		for n := 0; n < 50; n++ {
			m, err := s.receive()
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if n == 30 && rand.IntN(3) == 0 {
				return connect.NewError(connect.CodeAborted, errOops)
			}
			if err := s.send(m); err != nil {
				return err
			}
		}
		return nil
	}}
	type said struct {
		sent, received int64
		code           string
	}
	var all sync.Map // id -> chan said
	log := func(ctx context.Context, _ slog.Level, _ string, attrs ...slog.Attr) {
		var s said
		for _, a := range attrs {
			switch a.Key {
			case "rpc.client.requests_per_rpc":
				s.sent = a.Value.Int64()
			case "rpc.client.responses_per_rpc":
				s.received = a.Value.Int64()
			case "rpc.connect_rpc.error_code":
				s.code = a.Value.String()
			}
		}
		c, _ := all.Load(scope.GetOr("request_id", ""))
		c.(chan said) <- s
	}
	conn := dial(t, serve(t, h.mux()), connect.ProtocolConnect, scoped(&connectscope.Options{Client: &connectscope.ClientOptions{Log: log}}))
	call := func(id string) {
		lines := make(chan said, 10)
		all.Store(id, lines)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := conn.of[bidirect].CallBidiStream(ctx)
		var want said
		var wg sync.WaitGroup
		wg.Go(func() {
			for range rand.IntN(100) {
				if s.Send(wrapperspb.String("hello")) != nil {
					break
				}
				want.sent++
			}
			if rand.IntN(3) == 0 {
				cancel()
			} else {
				_ = s.CloseRequest()
			}
		})
		wg.Go(func() {
			_, err := s.Receive()
			for ; err == nil; _, err = s.Receive() {
				want.received++
			}
			if !errors.Is(err, io.EOF) {
				want.code = connect.CodeOf(err).String()
			}
		})
		if rand.IntN(3) == 0 {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			cancel()
		}
		wg.Wait()
		_ = s.CloseResponse()
		select {
		case got := <-lines:
			// What is received or sent once the context has ended may come after the line.
			if got != want && (ctx.Err() == nil || got.code != "canceled" && got.code != want.code || got.sent > want.sent || got.received > want.received) {
				t.Errorf("the line says %+v, want %+v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("no line, %+v", want)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range scopekit.Amount(100, 20) {
				id := fmt.Sprint(i, " ", n)
				scope.New("request_id", id).Run(func() { call(id) })
			}
		})
	}
	wg.Wait()
	all.Range(func(id, c any) bool {
		if n := len(c.(chan said)); n > 0 {
			t.Errorf("%s has %d lines", id, n+1)
		}
		return true
	})
}
