package connectscope

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"

	"connectrpc.com/connect"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/headers"
	"github.com/taskscope/taskscope/scope"
)

// ClientOptions says what the interceptor sends with a client's calls, and what is logged of
// them. nil means the zero ClientOptions, which are the defaults.
type ClientOptions struct {
	// Skip reports whether a call is sent as it is, and not logged: one to other people's services,
	// say. nil skips none. The header of a stream isn't known yet.
	Skip func(context.Context, Call) bool

	// ValidID reports whether an id may be sent as X-Request-Id: the scope's, or one that
	// the call has already, which is replaced otherwise. It is asked only about what a header
	// can hold. nil means what httpscope.ProxyID says.
	ValidID func(string) bool

	// Names is the Names of the [Options] that the fields were set with. nil means those of the
	// Options that this is in. It is read once.
	Names map[Field]string

	// Log writes one line for each call when it has ended, within the scope of whoever makes
	// it, in which Service, Method and so on are those of this call. nil writes none.
	//
	// Its message is "outgoing call". It has the code, as the line of a server has it,
	// rpc.client.call.duration in seconds, and, as there, the numbers of messages and the error's
	// message. A stream that is closed before its end is canceled. One that is neither received to
	// its end nor closed nor canceled has no line, and neither has a call that ends with a panic or
	// with runtime.Goexit.
	//
	// A stream is over with the first error of Receive; and when its context ends, whatever is received
	// afterwards. Its line is written then, perhaps on a goroutine of the context's: a Log or
	// CodeToLevel that panics there ends the program.
	Log LogFunc

	// Sizes adds rpc.client.request.size and rpc.client.response.size to the line: how many bytes
	// the messages are together, as in [Options].
	Sizes bool

	// CodeToLevel returns the level of the line. nil means [CodeLevel].
	CodeToLevel func(connect.Code) slog.Level
}

// A client is the interceptor on the side of clients.
type client struct {
	opts  ClientOptions
	out   entry.Outgoing
	names names
}

func newClient(opts Options) *client {
	c := &client{}
	if opts.Client != nil {
		c.opts = *opts.Client
	}
	if c.opts.Names == nil {
		c.opts.Names = opts.Names
	}
	if c.opts.CodeToLevel == nil {
		c.opts.CodeToLevel = CodeLevel
	}
	c.names = namesOf(c.opts.Names)
	c.out = entry.Outgoing{RequestID: c.names.requestID, TraceID: name(c.opts.Names, TraceID), ValidID: c.opts.ValidID}
	return c
}

// unary makes a unary call.
func (c *client) unary(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) (resp connect.AnyResponse, err error) {
	call := c.call(ctx, callOf(req.Spec(), req.Peer(), req.Header()))
	call.ask(ctx)
	// The request may be used for another call, with an id of its own.
	header := &headers.Copy{Header: headers.Header(req.Header())}
	call.send(header)
	if changed := header.Changed(); changed != nil {
		req = &request{req, changed}
	}
	call.countSent(req.Any())
	scope.Outside(func() { resp, err = next(call.ctx, req) })
	if err == nil && !isNil(resp) {
		call.countReceived(resp.Any())
	}
	call.end(err)
	return resp, err
}

// isNil reports whether an interceptor has answered with nothing, or with a nil *connect.Response,
// whose methods would panic. Connect's clients pass both on.
func isNil(resp connect.AnyResponse) bool {
	if resp == nil {
		return true
	}
	v := reflect.ValueOf(resp)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// A request has a header of its own.
type request struct {
	connect.AnyRequest
	header http.Header
}

func (r *request) Header() http.Header { return r.header }

// stream opens a stream.
func (c *client) stream(ctx context.Context, spec connect.Spec, next connect.StreamingClientFunc) connect.StreamingClientConn {
	call := c.call(ctx, callOf(spec, connect.Peer{}, nil))
	s := &clientConn{call: call}
	scope.Outside(func() { s.StreamingClientConn = next(call.ctx, spec) })
	call.rpc.Peer = s.Peer()
	call.ask(ctx) // nothing has been sent yet
	if call.record != nil {
		s.state.Open(call.end)
		s.state.Watch(ctx, func() { s.state.Close(ctx.Err()) })
		s.state.Done()
	}
	return s
}

// An outgoing is a call that the program makes.
type outgoing struct {
	*client
	rpc     Call
	ctx     context.Context // to call Connect with
	scope   scope.Scope     // of whoever makes the call
	skipped bool
	record  *entry.Record // nil if no line is written
}

func (c *client) call(ctx context.Context, rpc Call) *outgoing {
	o, record := entry.WithRecord[outgoing](c.opts.Log != nil)
	*o = outgoing{client: c, rpc: rpc, ctx: ctx, scope: scope.Current().Pick(ctx), record: record}
	if o.scope.Len() > 0 {
		o.ctx = scope.NewContext(ctx, o.scope)
	}
	return o
}

// ask asks Skip about the call. What Skip sets ends with it.
func (o *outgoing) ask(ctx context.Context) {
	if o.opts.Skip != nil {
		scope.Run(func() { o.skipped = o.opts.Skip(ctx, o.rpc) })
	}
	if o.skipped {
		o.record = nil
	}
}

// send puts what the scope sends into header.
func (o *outgoing) send(header entry.Header) {
	if o.skipped {
		return
	}
	entry.DropUntrusted(o.ctx, header)
	if o.scope.Len() > 0 {
		o.out.Send(o.scope, header)
	}
}

// countSent and countReceived count a message for the call's line, if one is written.
func (o *outgoing) countSent(message any) {
	if o.record != nil {
		o.record.Sent.Add(sizeOf(message, o.opts.Sizes))
	}
}

func (o *outgoing) countReceived(message any) {
	if o.record != nil {
		o.record.Received.Add(sizeOf(message, o.opts.Sizes))
	}
}

// end writes the call's line.
func (o *outgoing) end(err error) {
	if o.record == nil {
		return
	}
	err = failure(err)
	code := o.rpc.codeOf(err)
	attrs := o.names.appendCode(make([]slog.Attr, 0, 8), o.rpc, code)
	attrs = o.record.AppendClient(attrs, o.rpc.streams())
	if err != nil {
		attrs = append(attrs, slog.String("error.message", messageOf(err)))
	}
	s := o.names.replaceCall(o.scope, o.rpc)
	s.Run(func() { o.opts.Log(scope.NewContext(o.ctx, s), o.opts.CodeToLevel(code), "outgoing call", attrs...) })
}
