package connectscope

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// A server is the interceptor on the side of handlers.
type server struct {
	base  scope.Scope
	opts  Options
	in    entry.Incoming
	names names
}

func newServer(opts Options) *server {
	s := &server{base: entry.ProcessWide(scope.Current()), opts: opts, names: namesOf(opts.Names)}
	if s.opts.CodeToLevel == nil {
		s.opts.CodeToLevel = CodeLevel
	}
	s.in = entry.Incoming{
		TraceID: name(opts.Names, TraceID), ParentSpanID: name(opts.Names, ParentSpanID),
		ValidID: opts.ValidID, NewID: opts.NewID,
	}
	if s.in.ValidID == nil {
		s.in.ValidID = propagation.ValidRequestID
	}
	s.opts.PerMessage = entry.PerMessage(opts.PerMessage, s.names.messageID)
	return s
}

// unary serves a unary call.
func (s *server) unary(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) (resp connect.AnyResponse, err error) {
	c := &call{Context: ctx, server: s, rpc: callOf(req.Spec(), req.Peer(), req.Header())}
	if c.info, _ = connect.CallInfoForHandlerContext(ctx); c.info != nil {
		c.header = c.info.ResponseHeader
	}
	err = s.serve(c, func(ctx context.Context) (err error) {
		if c.ctx == nil { // it has no scope of its own
			resp, err = next(ctx, req)
			return err
		}
		c.count(&c.received, req.Any())
		if resp, err = next(ctx, req); err == nil && resp != nil {
			c.count(&c.sent, resp.Any())
			resp = withoutID(resp)
		}
		return err
	})
	if err == nil {
		return resp, nil
	}
	if c.ctx != nil {
		err = errorWithoutID(err)
	}
	return nil, err
}

// stream serves a stream. The scope lasts until the handler returns; goroutines that the handler
// starts inherit it.
func (s *server) stream(ctx context.Context, conn connect.StreamingHandlerConn, next connect.StreamingHandlerFunc) error {
	c := &call{Context: ctx, server: s, rpc: callOf(conn.Spec(), conn.Peer(), conn.RequestHeader()), header: conn.ResponseHeader}
	c.info, _ = connect.CallInfoForHandlerContext(ctx) // of a call around this one
	err := s.serve(c, func(ctx context.Context) error {
		if c.ctx != nil { // it has a scope of its own
			conn = newHandlerConn(conn, c)
		}
		return next(ctx, conn)
	})
	if c.ctx != nil {
		err = errorWithoutID(err)
	}
	return err
}

// A call is one that is being served. It is in the context of its handler.
type call struct {
	context.Context // as the interceptor was given it
	*server
	rpc       Call
	info      connect.CallInfo // in Context; nil if there is none
	adopted   *callInfo        // what the handler sees in its place; nil if it is the same
	header    func() http.Header
	putLast   sync.Once
	outer     entry.Outer
	start     time.Time
	id        string
	untrusted string // members of baggage that came in and aren't trusted
	task      scope.Scope
	ctx       context.Context // the handler's; nil until it is called
	watch     entry.CancelWatch

	received, sent entry.Tally
	returned       bool // the handler has; false if it has ended with a panic or with runtime.Goexit
	panicked       any
	err            error // that the handler has returned, or that the call is answered with
	canceledBy     string
}

type callKey struct{}

func (c *call) Value(key any) any {
	switch key {
	case callKey{}:
		return c
	case entry.UntrustedKey{}:
		return c.untrusted // "" too: it is this call's, and no other's
	}
	value := c.Context.Value(key)
	if c.adopted != nil {
		if info, ok := value.(connect.CallInfo); ok && info == c.info {
			return c.adopted
		}
	}
	return value
}

// inside returns the call that is being served where c comes from, and whether it is c itself,
// with another interceptor of this package around this one. A handler may call another one in
// this process with its own context: then that has a CallInfo of its own.
func (c *call) inside() (outer *call, same bool) {
	outer, _ = c.Context.Value(callKey{}).(*call)
	if outer == nil || outer.task.Ended() {
		return nil, false
	}
	info, _ := connect.CallInfoForHandlerContext(outer)
	return outer, outer.rpc.Spec.Procedure == c.rpc.Spec.Procedure && info == c.info
}

// ids returns the ids that the call came with.
func (c *call) ids() []string { return c.rpc.Header[idHeader] }

// serve calls handle with the context for the handler.
func (s *server) serve(c *call, handle func(context.Context) error) (err error) {
	outer, same := c.inside()
	switch {
	case same:
		return handle(c.Context)
	case s.skips(c):
		// What it sets must not stay on the goroutine either: it may serve other calls.
		scope.Run(func() { err = handle(c.Context) })
		return err
	}
	var inner entry.Outer
	if outer != nil {
		inner = outer.outer
	}
	c.outer = entry.OuterOf(c.Context, c.ids, inner)
	serve := func() {
		if err = c.serve(handle); !c.returned && c.panicked == nil {
			entry.NilPanic(c.opts.Recover)
			err = internalError()
		}
	}
	if c.outer.Found() {
		c.outer.Run(c.Context, serve)
	} else {
		s.base.Detach().Run(serve)
	}
	return err
}

// skips reports what Skip says of c. What Skip sets doesn't stay on the goroutine.
func (s *server) skips(c *call) (skip bool) {
	if s.opts.Skip != nil {
		scope.Run(func() { skip = s.opts.Skip(c.Context, c.rpc) })
	}
	return skip
}

// serve runs in the task of the call.
func (c *call) serve(handle func(context.Context) error) (err error) {
	c.start, c.task = time.Now(), scope.Current()
	if c.opts.Log != nil || c.opts.Recover {
		defer c.end(&err)
	}
	rejected := c.setFields()
	c.task = scope.Current()
	c.adoptID()
	c.ctx = scope.NewContext(c, c.task)
	if c.opts.Log != nil {
		c.watch.Start(c.Context, c.start)
	}
	defer c.finish(&err)
	if rejected > 0 && c.opts.BadID != nil {
		c.opts.BadID(c.ctx, rejected)
	}
	err = handle(c.ctx)
	c.returned = true
	return err
}

// count counts a message for the last line, if one is written.
func (c *call) count(t *entry.Tally, message any) {
	if c.opts.Log != nil {
		t.Add(sizeOf(message, c.opts.Sizes))
	}
}

// finish is called when the handler has returned or ended early.
func (c *call) finish(err *error) {
	c.putIDOnce()
	if c.opts.Log != nil {
		code := codeOf(*err)
		c.canceledBy = c.watch.Who(code == connect.CodeCanceled || code == connect.CodeDeadlineExceeded)
	}
	if c.opts.Finish == nil {
		return
	}
	if p := recover(); p != nil {
		defer panic(p) // and not what Finish may panic with
	}
	c.opts.Finish(c.ctx)
}

// end is the last that is done within the scope. It is a deferred call: unless the options say
// that it is recovered, a panic goes on.
func (c *call) end(err *error) {
	if c.panicked = recover(); c.panicked != nil {
		c.returned = false // also if it was Finish that has panicked
		if c.recovers() {
			*err = internalError()
		} else {
			defer panic(c.panicked)
		}
	}
	c.err = *err
	if c.opts.Log != nil {
		if c.ctx == nil { // an option has panicked
			c.ctx = scope.NewContext(c, scope.Current())
		}
		c.log()
	}
}

// recovers reports whether the panic ends here. net/http knows ErrAbortHandler.
func (c *call) recovers() bool { return c.opts.Recover && c.panicked != http.ErrAbortHandler }

// internalError is what a panic that ends here is answered with.
func internalError() error {
	return connect.NewError(connect.CodeInternal, errors.New("internal error"))
}
