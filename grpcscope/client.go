package grpcscope

import (
	"context"
	"log/slog"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
)

// ClientOptions says what a client's interceptors send, and what is logged of a call. nil means
// the zero ClientOptions, which are the defaults.
type ClientOptions struct {
	// Skip reports whether a call is sent as it is, and not logged: one to other people's services,
	// say. nil skips none.
	Skip func(context.Context, Call) bool

	// ValidID reports whether an id may be sent as x-request-id: the scope's, or one that
	// the call has already, which is replaced otherwise. It is asked only about what metadata
	// can hold. nil means what httpscope.ProxyID says.
	ValidID func(string) bool

	// Names is the Names of the [Options] that the fields were set with. It is read once.
	Names map[Field]string

	// Log writes one line for each call when it has ended, within the scope of whoever makes
	// it, in which Service, Method and so on are those of this call. nil writes none.
	//
	// Its message is "outgoing call". It has rpc.grpc.status_code, rpc.client.call.duration in
	// seconds, and, as on the line of a server, the numbers and sizes of messages and the error's
	// message. There is no line for a stream that is neither received to its end nor canceled, and
	// whose connection isn't closed, nor for a call that ends with a panic or with runtime.Goexit.
	//
	// A stream that interceptors inside this one open again has one line. It is over with the first
	// error of RecvMsg, or of SendMsg other than io.EOF; and when its context ends, whatever is
	// received afterwards. Its line is written then, perhaps on a goroutine of gRPC's or of the
	// context's: a Log or CodeToLevel that panics there ends the program.
	Log LogFunc

	// CodeToLevel returns the level of the line. nil means [CodeLevel].
	CodeToLevel func(codes.Code) slog.Level
}

// UnaryClientInterceptor returns an interceptor that sends the scope along with each call: that
// of the call's context or of the goroutine, as scope.Scope.Pick chooses. It sends
// x-request-id, traceparent (the same trace id, a new span id) with its tracestate, and as
// baggage the fields whose keys are declared scope.Propagated. Metadata that the call has
// already stays, unless it isn't valid: so a proxy passes traceparent on as it came. Baggage
// that came in with the call or request that is being served, and that its TrustBaggage didn't
// trust, is removed where a proxy sends it on, if the context is derived from the served one's.
// nil opts are the defaults.
//
// gRPC is called with no scope bound: the goroutines that it starts for a connection when it is
// first used, or used again, serve other calls later, and would keep this one's scope, and log
// with it, until then. What it calls for the call has the scope in its context: interceptors inside
// this one, stats handlers, credentials. Chain it last, with [StreamClientInterceptor] beside
// it, or use [DialOptions].
func UnaryClientInterceptor(opts *ClientOptions) grpc.UnaryClientInterceptor {
	c := newClient(opts)
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) (err error) {
		call := c.call(ctx, callOf(method))
		call.countSent(req)
		scope.Outside(func() { err = invoke(call.ctx, method, req, reply, conn, call.within(opts)...) })
		if err == nil {
			call.countReceived(reply)
		}
		call.end(err)
		return err
	}
}

// StreamClientInterceptor does for streams what [UnaryClientInterceptor] does for unary calls.
func StreamClientInterceptor(opts *ClientOptions) grpc.StreamClientInterceptor {
	c := newClient(opts)
	return func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (stream grpc.ClientStream, err error) {
		rpc := callOf(method)
		rpc.ClientStream, rpc.ServerStream = desc.ClientStreams, desc.ServerStreams
		call := c.call(ctx, rpc)
		opts = call.within(opts)
		s := &clientStream{call: call}
		if call.record != nil {
			s.state.Open(call.end)
			opts = append(opts, grpc.OnFinish(s.finished))
		}
		scope.Outside(func() { s.ClientStream, err = open(call.ctx, desc, conn, method, opts...) })
		if call.record != nil {
			if err != nil {
				s.state.End(err)
			} else {
				s.state.Watch(ctx, func() { s.finished(status.FromContextError(ctx.Err()).Err()) })
			}
			s.state.Done()
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// DialOptions returns both interceptors, as options for grpc.NewClient. Give it these behind
// other options with interceptors. grpc.NewClient itself starts goroutines: call it in main, or
// in scope.Outside.
func DialOptions(opts *ClientOptions) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(UnaryClientInterceptor(opts)),
		grpc.WithChainStreamInterceptor(StreamClientInterceptor(opts)),
	}
}

// A client is what the interceptors of one ClientOptions share.
type client struct {
	opts  ClientOptions
	out   entry.Outgoing
	names names
}

func newClient(opts *ClientOptions) *client {
	c := &client{}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.CodeToLevel == nil {
		c.opts.CodeToLevel = CodeLevel
	}
	c.names = namesOf(c.opts.Names)
	c.out = entry.Outgoing{RequestID: c.names.requestID, TraceID: name(c.opts.Names, TraceID), ValidID: c.opts.ValidID}
	return c
}

// An outgoing is a call that the program makes.
type outgoing struct {
	*client
	rpc    Call
	ctx    context.Context // to call gRPC with
	scope  scope.Scope     // of whoever makes the call
	record *entry.Record   // nil if no line is written
}

// skips reports whether a call is sent as it is. What Skip sets ends with it.
func (c *client) skips(ctx context.Context, rpc Call) (skip bool) {
	if c.opts.Skip != nil {
		scope.Run(func() { skip = c.opts.Skip(ctx, rpc) })
	}
	return skip
}

func (c *client) call(ctx context.Context, rpc Call) *outgoing {
	o, record := entry.WithRecord[outgoing](c.opts.Log != nil)
	*o = outgoing{client: c, rpc: rpc, ctx: ctx, scope: scope.Current().Pick(ctx), record: record}
	if c.skips(ctx, rpc) {
		o.record = nil
	} else {
		md := &outgoingMD{ctx: ctx}
		entry.DropUntrusted(ctx, md)
		if o.scope.Len() > 0 {
			c.out.Send(o.scope, md)
		}
		o.ctx = md.context()
	}
	if o.scope.Len() > 0 {
		o.ctx = scope.NewContext(o.ctx, o.scope)
	}
	return o
}

// within returns opts with functions that run within the scope: gRPC calls them with none bound.
func (o *outgoing) within(opts []grpc.CallOption) []grpc.CallOption {
	opts = slices.Clone(opts) // the caller's stay as they are
	for i, opt := range opts {
		if f, ok := opt.(grpc.OnFinishCallOption); ok && f.OnFinish != nil {
			opts[i] = grpc.OnFinish(func(err error) { o.scope.Run(func() { f.OnFinish(err) }) })
		}
	}
	return opts
}

// countSent and countReceived count a message for the call's line, if one is written.
func (o *outgoing) countSent(message any) {
	if o.record != nil {
		o.record.Sent.Add(sizeOf(message))
	}
}

func (o *outgoing) countReceived(message any) {
	if o.record != nil {
		o.record.Received.Add(sizeOf(message))
	}
}

// end writes the call's line.
func (o *outgoing) end(err error) {
	if o.record == nil {
		return
	}
	err = answer(err) // an interceptor inside may have made it with scope.Error
	code := codeOf(err)
	attrs := o.names.appendCode(make([]slog.Attr, 0, 8), code)
	attrs = o.record.AppendClient(attrs, o.rpc.streams())
	if err != nil {
		attrs = append(attrs, slog.String("error.message", messageOf(err)))
	}
	s := o.names.replaceCall(o.scope, o.rpc)
	s.Run(func() { o.opts.Log(scope.NewContext(o.ctx, s), o.opts.CodeToLevel(code), "outgoing call", attrs...) })
}
