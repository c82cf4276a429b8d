package grpcscope

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// UnaryServerInterceptor returns an interceptor that calls the handler with a scope of the call
// bound to the goroutine, as a task of its own, and in the handler's context. It sets the fields
// of [Field] that are on by default, in addition to those of the process: what was bound where
// UnaryServerInterceptor was called, if a bare scope.Set had begun its task. It answers with the
// call's id as x-request-id: in the header, or, if the answer is an error or the handler has sent
// the header, in the trailer. nil opts are the defaults.
//
// Chain it first, with [StreamServerInterceptor] beside it, or use [ServerOptions]. A call that
// comes through two of these interceptors has one task, and one last line: those of the first.
//
// Inside an httpscope.Handler that serves the same request, where net/http calls the server's method
// ServeHTTP, the call is in the request's task: it has the request's id and adds its fields. If that
// Handler writes a line, that one is the task's last, with its totals. The call has a line of its own
// too, if Log says so. What the handler sets with scope.Set is on the lines of the call alone; what it
// sets with scope.Share is on the request's line too.
func UnaryServerInterceptor(opts *Options) grpc.UnaryServerInterceptor {
	s := newServer(opts)
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		c := s.newCall(ctx, callOf(info.FullMethod))
		err = s.enter(c, func(ctx context.Context) (err error) {
			c.countReceived(req)
			if resp, err = handler(ctx, req); err == nil {
				c.countSent(resp)
			}
			return answer(err)
		})
		return resp, err
	}
}

// StreamServerInterceptor does for streams what [UnaryServerInterceptor] does for unary calls.
// The scope lasts until the handler returns; goroutines that the handler starts inherit it. The id is
// in the header if anything has been sent when the handler fails.
func StreamServerInterceptor(opts *Options) grpc.StreamServerInterceptor {
	s := newServer(opts)
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		c := s.newCall(ss.Context(), callOf(info.FullMethod))
		c.stream = ss
		c.rpc.ClientStream, c.rpc.ServerStream = info.IsClientStream, info.IsServerStream
		return s.enter(c, func(ctx context.Context) error {
			if c.isScoped() {
				ss = newServerStream(ss, c)
			}
			return answer(handler(srv, ss))
		})
	}
}

// ServerOptions returns both interceptors, as options for grpc.NewServer. Give it these before
// other options with interceptors, so that those run within the scope, and no
// grpc.UnaryInterceptor or grpc.StreamInterceptor, which gRPC puts in front of them.
func ServerOptions(opts *Options) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(UnaryServerInterceptor(opts)),
		grpc.ChainStreamInterceptor(StreamServerInterceptor(opts)),
	}
}

// A server is what the interceptors of one Options share.
type server struct {
	base  scope.Scope
	opts  Options
	in    entry.Incoming
	names names
}

func newServer(opts *Options) *server {
	s := &server{base: entry.ProcessWide(scope.Current())}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.CodeToLevel == nil {
		s.opts.CodeToLevel = CodeLevel
	}
	s.in = entry.Incoming{
		TraceID: name(s.opts.Names, TraceID), ParentSpanID: name(s.opts.Names, ParentSpanID),
		ValidID: s.opts.ValidID, NewID: s.opts.NewID,
	}
	if s.in.ValidID == nil {
		s.in.ValidID = propagation.ValidRequestID
	}
	s.names = namesOf(s.opts.Names)
	if s.names.messageID == "" {
		s.opts.PerMessage = false
	}
	return s
}

// A call is one that is being served. It is in the context of its handler.
type call struct {
	context.Context // as the interceptor was given it, with the call's id in its metadata
	*server
	rpc       Call
	stream    grpc.ServerStream // nil for a unary call
	outer     entry.Outer
	sharesID  bool // the answer is that of a call around this one, and gets that one's id
	id        string
	putOnce   sync.Once
	came      []string // the ids that the call came with: see ids
	untrusted string   // members of baggage that came in and aren't trusted
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
	return c.Context.Value(key)
}

// lookAround finds the entry that c is inside of. It returns true if that is another interceptor of
// this package, serving the same call.
func (c *call) lookAround() (same bool) {
	if !entry.InServing(c.Context) {
		return false
	}
	var inner entry.Outer
	// A handler may call another one in this process with its own context.
	if outer, ok := c.Context.Value(callKey{}).(*call); ok && !outer.task.Ended() {
		c.sharesID = grpc.ServerTransportStreamFromContext(outer.Context) == grpc.ServerTransportStreamFromContext(c.Context)
		if c.sharesID && outer.rpc.FullMethod == c.rpc.FullMethod {
			return true
		}
		inner = outer.outer
	}
	c.outer = entry.OuterOf(c.Context, c.ids, inner)
	return false
}

// ids returns the ids that the call came with.
func (c *call) ids() []string {
	if c.came == nil { // each time gRPC makes a copy
		c.came = metadata.ValueFromIncomingContext(c.Context, propagation.RequestIDHeader)
	}
	return c.came
}

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
		good := false
		defer func() { c.putID(good) }() // also if a panic or runtime.Goexit goes on
		if err = c.serve(handle); !c.returned && c.panicked == nil {
			if !c.opts.Recover { // a panic(nil), with GODEBUG=panicnil=1: end took it for a Goexit, after which this isn't reached
				panic(nil)
			}
			err = internalError()
		}
		good = err == nil
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
		c.record.Sent.Add(sizeOf(message))
	}
}

func (c *call) countReceived(message any) {
	if c.record != nil {
		c.record.Received.Add(sizeOf(message))
	}
}

// finish is called when the handler has returned or ended early.
func (c *call) finish(err *error) {
	if c.record != nil {
		code := codeOf(*err)
		c.record.Returned(code == codes.Canceled || code == codes.DeadlineExceeded)
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
		if c.opts.Recover {
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

// internalError is the answer to a call whose panic ends here.
func internalError() error { return status.Error(codes.Internal, "internal error") }
