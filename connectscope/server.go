package connectscope

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"

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
	if s.names.messageID == "" {
		s.opts.PerMessage = false
	}
	return s
}

// unary serves a unary call.
func (s *server) unary(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) (resp connect.AnyResponse, err error) {
	c := s.newCall(ctx, callOf(req.Spec(), req.Peer(), req.Header()))
	c.get = req.HTTPMethod() == http.MethodGet
	if c.info, _ = connect.CallInfoForHandlerContext(ctx); c.info != nil {
		c.answer = c.info
	}
	err = s.enter(c, func(ctx context.Context) (err error) {
		if !c.isScoped() {
			resp, err = next(ctx, req)
			return err
		}
		c.countReceived(req.Any())
		if resp, err = next(ctx, req); err == nil && resp != nil {
			c.countSent(resp.Any())
			resp = withoutID(resp)
		}
		return err
	})
	if err == nil {
		return resp, nil
	}
	if c.isScoped() {
		err = errorWithoutID(err)
	}
	return nil, err
}

// stream serves a stream. The scope lasts until the handler returns; goroutines that the handler
// starts inherit it.
func (s *server) stream(ctx context.Context, conn connect.StreamingHandlerConn, next connect.StreamingHandlerFunc) error {
	c := s.newCall(ctx, callOf(conn.Spec(), conn.Peer(), conn.RequestHeader()))
	c.answer = conn
	c.info, _ = connect.CallInfoForHandlerContext(ctx) // of a call around this one
	err := s.enter(c, func(ctx context.Context) error {
		if c.isScoped() {
			conn = newHandlerConn(conn, c)
		}
		return next(ctx, conn)
	})
	if c.isScoped() {
		err = errorWithoutID(err)
	}
	return err
}

// A call is one that is being served. It is in the context of its handler.
type call struct {
	context.Context // as the interceptor was given it
	*server
	rpc       Call
	get       bool             // it is a GET
	info      connect.CallInfo // in Context; nil if there is none
	adopted   *callInfo        // what the handler sees in its place; nil if it is the same
	answer    answer           // nil if something other than Connect has called the interceptor
	putOnce   sync.Once
	outer     entry.Outer
	id        string
	untrusted string // members of baggage that came in and aren't trusted
	task      scope.Scope
	ctx       context.Context // the handler's; nil until it is called
	record    *entry.Record   // nil without Options.Log
	returned  bool            // the handler has; false if it has ended with a panic or with runtime.Goexit
	panicked  any
}

// newCall returns the call that comes with ctx.
func (s *server) newCall(ctx context.Context, rpc Call) *call {
	c, record := entry.WithRecord[call](s.opts.Log != nil)
	*c = call{Context: ctx, server: s, rpc: rpc, record: record}
	return c
}

// isScoped reports whether this interceptor has given c its scope: c isn't skipped, and no interceptor
// of this package around this one serves it.
func (c *call) isScoped() bool { return c.ctx != nil }

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

// lookAround finds the entry that c is inside of. It returns true if that is another interceptor of
// this package, serving the same call.
func (c *call) lookAround() (same bool) {
	if !entry.InServing(c.Context) {
		return false
	}
	var inner entry.Outer
	// A handler may call another one in this process with its own context: then that call has a
	// CallInfo of its own.
	if outer, ok := c.Context.Value(callKey{}).(*call); ok && !outer.task.Ended() {
		info, _ := connect.CallInfoForHandlerContext(outer)
		if outer.rpc.Spec.Procedure == c.rpc.Spec.Procedure && info == c.info {
			return true
		}
		inner = outer.outer
	}
	c.outer = entry.OuterOf(c.Context, c.ids, inner)
	return false
}

// ids returns the ids that the call came with.
func (c *call) ids() []string { return c.rpc.Header[idHeader] }

// enter calls handle with the context for the handler.
func (s *server) enter(c *call, handle func(context.Context) error) (err error) {
	same := c.lookAround()
	switch {
	case same:
		return handle(c.Context)
	case s.skips(c):
		// What it sets must not stay on the goroutine either: it may serve other calls.
		scope.Run(func() { err = handle(c.Context) })
		return err
	}
	inTask := func() {
		if err = c.serve(handle); !c.returned && c.panicked == nil {
			if !c.opts.Recover { // a panic(nil), with GODEBUG=panicnil=1: end took it for a Goexit, after which this isn't reached
				panic(nil)
			}
			err = internalError()
		}
	}
	if c.outer.Found() {
		c.outer.Run(c.Context, inTask)
	} else {
		s.base.Detach().Run(inTask)
	}
	return err
}

// skips reports what Skip says of c. What Skip sets ends with it.
func (s *server) skips(c *call) (skip bool) {
	if s.opts.Skip != nil {
		scope.Run(func() { skip = s.opts.Skip(c.Context, c.rpc) })
	}
	return skip
}

// serve calls handle in the task of the call.
func (c *call) serve(handle func(context.Context) error) (err error) {
	c.task = scope.Current()
	if c.record != nil || c.opts.Recover {
		defer c.end(&err)
	}
	rejected := c.setFields()
	c.task = scope.Current()
	c.adoptID()
	c.ctx = scope.NewContext(c, c.task)
	if c.record != nil {
		c.record.Watch(c.Context)
	}
	defer c.finish(&err)
	if rejected > 0 && c.opts.BadID != nil {
		c.opts.BadID(c.ctx, rejected)
	}
	err = handle(c.ctx)
	c.returned = true
	return err
}

// countSent and countReceived count a message for the last line, if one is written.
func (c *call) countSent(message any) {
	if c.record != nil {
		c.record.Sent.Add(sizeOf(message, c.opts.Sizes))
	}
}

func (c *call) countReceived(message any) {
	if c.record != nil {
		c.record.Received.Add(sizeOf(message, c.opts.Sizes))
	}
}

// finish is called when the handler has returned or ended early.
func (c *call) finish(err *error) {
	c.putIDOnce()
	if c.answer != nil {
		maps.DeleteFunc(c.answer.ResponseTrailer(), isID)
	}
	if c.record != nil {
		code := codeOf(*err)
		c.record.Returned(code == connect.CodeCanceled || code == connect.CodeDeadlineExceeded)
	}
	if c.opts.Finish == nil {
		return
	}
	if p := recover(); p != nil {
		defer panic(p) // not with what Finish may panic with
	}
	c.opts.Finish(c.ctx)
}

// end is deferred, and comes last within the scope. A panic goes on, unless Options.Recover ends it.
func (c *call) end(err *error) {
	if c.panicked = recover(); c.panicked != nil {
		c.returned = false // also if it was Finish that has panicked
		if c.recovers() {
			*err = internalError()
		} else {
			defer panic(c.panicked)
		}
	}
	if c.record != nil {
		if c.ctx == nil { // an option has panicked
			c.ctx = scope.NewContext(c, scope.Current())
		}
		c.log(*err)
	}
}

// recovers reports whether the panic ends here. net/http knows ErrAbortHandler.
func (c *call) recovers() bool { return c.opts.Recover && c.panicked != http.ErrAbortHandler }

// internalError is the answer to a call whose panic ends here.
func internalError() error {
	return connect.NewError(connect.CodeInternal, errors.New("internal error"))
}
