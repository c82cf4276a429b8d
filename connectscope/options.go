package connectscope

import (
	"context"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"github.com/taskscope/taskscope/scope/propagation"
)

// Options says how [NewInterceptor] makes a call's scope, and, by Client, what a client sends of
// it. nil means the zero Options, which are the defaults.
type Options struct {
	// Client is for the calls of clients. Everything else here, except Names, is for those of
	// handlers. nil means the defaults.
	Client *ClientOptions

	// Skip reports whether a call is passed on without a scope of its own, an id and a last
	// line. [HealthOrReflection] is one. nil skips none.
	Skip func(context.Context, Call) bool

	// Names has other names for some of the fields. An empty name leaves the field out.
	// A name for a field that is off by default turns it on. Clients look for the ids under these
	// names: without one for RequestID or TraceID that id isn't sent on.
	Names map[Field]string

	// Fields returns further fields for the scope. nil adds none. It is called within the call's
	// task, before the scope has any field but the process's, with Connect's context: in that it
	// finds the span of an interceptor around this one. Its fields replace those of the interceptor
	// that have their names. A request id among them is the call's id, in the answer too, if a
	// header can hold it; inside an httpscope.Handler, whose id stays, it is dropped. If the
	// trace id among them isn't that of the client's traceparent, nothing else is taken from that.
	Fields func(context.Context, Call) []slog.Attr

	// ValidID reports whether the X-Request-Id that a client has sent may be the id of its
	// call. nil means what httpscope.PlainID says: 1 to 128 of the characters
	// A-Z a-z 0-9 . _ -. It is asked only about 1 to 1024 printable ASCII characters without a
	// space at either end: anything else is replaced by a new id. Give [ClientOptions] one that
	// takes all ids that this one and NewID let in, or they won't be sent.
	ValidID func(string) bool

	// NewID makes the id of a call that comes without a valid one. nil makes what
	// httpscope.NewID makes, a UUID of version 7. An id that a header can't hold is replaced by
	// one of these.
	NewID func() string

	// BadID is told the length in bytes of an X-Request-Id that was rejected, within the new
	// scope. Of several such values it is the length of all, joined by commas. nil tells nobody.
	BadID func(ctx context.Context, length int)

	// TrustBaggage reports whether to take fields from the baggage of a call: those whose keys
	// are declared scope.Propagated, within the limits of the specification. nil trusts nobody,
	// and so should a server on the open internet. The header stays as it came in any case;
	// clients with an interceptor, and httpscope.Transport, send none on that isn't trusted.
	TrustBaggage func(context.Context, Call) bool

	// PerMessage gives each message that a stream receives a scope of its own, with
	// rpc.message.id, counted from 1. Receive binds it to the goroutine that calls it, in place of
	// that of the message before, and so it does at the end of the stream:
	//
	//   - What was set for a message is gone with the next Receive. For what the last line must have,
	//     use scope.Share and scope.Add; it has the last message's own fields only if the
	//     handler returns without another Receive.
	//   - Goroutines may take turns to receive: what each had set before its first message stays
	//     with it. A goroutine that was started for a message keeps its scope until it receives another
	//     message, and one that isn't in the call's task gets no such scope.
	//   - Call Receive outside of a Run that began after the first message. It puts back what was
	//     bound before that message, without the fields of the Run; and when the Run returns, the
	//     message before it is bound again.
	//   - The handler of a server stream gets none: Connect has received its one message, and the
	//     end behind it, before it calls the handler.
	PerMessage bool

	// Recover ends a panic, and answers the call with connect.CodeInternal. false lets the panic
	// go on, to connect.WithRecover or another interceptor around this one or, where there is
	// none, to net/http, which logs it once more and closes the connection or the stream. The
	// client isn't told the panic's text. http.ErrAbortHandler always goes on.
	Recover bool

	// Finish is called when the handler has returned or ended early, before the last line and
	// within the call's scope, with the context that the handler was given. It can hand on what is
	// known only then, such as the fields that the handler has set and scope.Current().Totals()
	// so far; what it sets is on the last line. nil calls nothing.
	Finish func(context.Context)

	// Log writes one line for each call, at its end, within its scope: with all that the handler
	// has set on its goroutine, however deep. nil writes none. There is none for what Connect
	// answers itself, before interceptors: a request in a protocol that it doesn't know, a unary
	// call whose message doesn't arrive. An httpscope.Handler around it has a line for these.
	//
	// Its message is "call". It has rpc.connect_rpc.error_code if the call is by the Connect protocol
	// and is answered with an error, and rpc.grpc.status_code if it is by gRPC or gRPC-Web, as the
	// handler and the interceptors inside this one have answered; what goes wrong when Connect sends
	// that answer isn't seen. It has rpc.server.call.duration in seconds, for a unary call from when
	// its message has arrived, and for streams rpc.server.requests_per_rpc and
	// rpc.server.responses_per_rpc, the numbers of messages that were received and sent. The totals
	// of the call, made by scope.Add and its like, come last; inside an httpscope.Handler that writes
	// a line they are on that one. If scope.Error has made the error, the line has the fields of its
	// scope. What else the line has:
	//
	//   - An error: error.message, as the client gets it. That of connect.NewNotModifiedError doesn't
	//     count as one where it answers a GET: such a line has no code.
	//   - A panic: exception.message and exception.stacktrace, at Error. Unless Recover is set
	//     there is no code: whoever ends the panic chooses it.
	//   - http.ErrAbortHandler: error.type abort, at Warn, with no code.
	//   - runtime.Goexit: error.type goexit, at Error, with no code.
	//   - A call that was over before the handler was, and one whose code says that it was
	//     canceled or took too long: rpc.canceled_by, which is deadline, client or handler. It is
	//     the deadline if the call's deadline has passed. A client may see that a little before the
	//     server does, so a call that is canceled at most 50 ms, and a tenth of its time, before its
	//     deadline counts too. It is the handler if nothing else has ended the call, or if its
	//     context was canceled with a cause. Otherwise it is the client. net/http gives
	//     no cause: a lost connection, and the method Close of a server, look like the client.
	//
	// A panic or a runtime.Goexit in Skip, Log, CodeToLevel or Finish goes on to whoever called the
	// interceptor, unless the handler has panicked and Recover isn't set: then that panic does. A
	// panic of Finish is on the line, and Recover treats it as one of the handler. It ends none of
	// the others.
	Log LogFunc

	// Sizes adds rpc.server.request.size and rpc.server.response.size to the line: how many bytes
	// the messages are together, as protocol buffers and not compressed, if all of them are
	// protocol buffers. To know that, each is measured once more.
	Sizes bool

	// CodeToLevel returns the level of the line. A call without an error has the code 0. nil
	// means [CodeLevel].
	CodeToLevel func(connect.Code) slog.Level

	// Await delays the line until the task of the call is over: the handler has returned, and all
	// that it has started with scope.Go is done. A goroutine of its own writes the line then, and
	// scope.Wait waits for it. What was added up and shared meanwhile is on it too. Code, duration
	// and level are as the handler has left them. The line of a panic or of runtime.Goexit is
	// written at once, and so is that of a call inside an httpscope.Handler that writes a line. A
	// Log that panics ends the program there.
	Await bool

	// AwaitLimit is how long Await waits after the handler has returned. If the task isn't over
	// then, the line is written all the same, and scope_running says how many calls of scope.Run,
	// Go and Wrap are still going on. 0 or less means 30 seconds.
	AwaitLimit time.Duration
}

// A LogFunc writes a line. With log/slog it is the method LogAttrs of a logger; zaph.LogAttrs and
// zeroh.LogAttrs make one. An httpscope.LogFunc is one, too.
type LogFunc = func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr)

// A Field is one of the fields that the interceptor sets, by its default name. Names are those
// of the OpenTelemetry semantic conventions where these have one.
type Field string

const (
	RequestID    Field = propagation.RequestIDKey     // from X-Request-Id or Fields, or new
	TraceID      Field = propagation.TraceIDKey       // from traceparent
	ParentSpanID Field = propagation.ParentSpanIDKey  // from traceparent
	System       Field = "rpc.system"                 // connect_rpc, grpc or grpc_web
	Service      Field = "rpc.service"                // with its package: acme.user.v1.UserService
	Method       Field = "rpc.method"                 // GetUser
	ErrorCode    Field = "rpc.connect_rpc.error_code" // as Connect has it: not_found; only on the lines that Log writes
	StatusCode   Field = "rpc.grpc.status_code"       // a number; only on the lines that Log writes
	MessageID    Field = "rpc.message.id"             // with Options.PerMessage, which does nothing without a name for it

	// Off by default. These are what newer conventions have in place of System, of Service and
	// Method, and of ErrorCode and StatusCode: see [NewerNames].
	SystemName Field = "rpc.system.name"          // connectrpc or grpc
	FullMethod Field = "rpc.method.full"          // acme.user.v1.UserService/GetUser
	Status     Field = "rpc.response.status_code" // not_found, and in gRPC NOT_FOUND; only on the lines that Log writes

	// Off by default: it may be personal data.
	ClientAddress Field = "client.address" // the peer of the connection, without the port
)

// NewerNames returns the Names by which the fields are called in the semantic conventions for
// RPC since version 1.40: rpc.system.name, rpc.method with the service in it, and
// rpc.response.status_code as a text.
func NewerNames() map[Field]string {
	return map[Field]string{
		System:     "",
		SystemName: string(SystemName),
		Service:    "",
		Method:     "",
		FullMethod: "rpc.method",
		ErrorCode:  "",
		StatusCode: "",
		Status:     string(Status),
	}
}

// name returns the name of f, or "" if it is left out.
func name(names map[Field]string, f Field) string {
	if name, ok := names[f]; ok {
		return name
	}
	switch f {
	case SystemName, FullMethod, Status, ClientAddress:
		return ""
	}
	return string(f)
}

// HealthOrReflection reports whether a call is one of the services for health checks and for
// reflection that gRPC has, as packages grpchealth and grpcreflect serve them. It is an
// [Options.Skip].
func HealthOrReflection(_ context.Context, c Call) bool {
	switch c.Service {
	case "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection":
		return true
	}
	return false
}

// CodeLevel returns the level that is usual for a code, as go-grpc-middleware has it for servers:
// Info for what a client does wrong in the ordinary course, and for no error; Warn for what may
// need a look; Error for what a server does wrong, and for codes that Connect doesn't know.
func CodeLevel(code connect.Code) slog.Level {
	switch code {
	case 0, connect.CodeCanceled, connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeAlreadyExists, connect.CodeUnauthenticated:
		return slog.LevelInfo
	case connect.CodeDeadlineExceeded, connect.CodePermissionDenied, connect.CodeResourceExhausted, connect.CodeFailedPrecondition,
		connect.CodeAborted, connect.CodeOutOfRange, connect.CodeUnavailable:
		return slog.LevelWarn
	}
	return slog.LevelError
}
