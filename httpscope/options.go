package httpscope

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/taskscope/taskscope/scope/propagation"
)

// Options says how [Handler] makes a request's scope. nil means the zero Options, which
// are the defaults.
type Options struct {
	// Skip reports whether a request is passed on without a scope of its own, an id and
	// an access-log line: health checks, say. nil skips none.
	Skip func(*http.Request) bool

	// Names has other names for some of the fields. An empty name leaves the field out.
	// A name for a field that is off by default turns it on. Give a name for RequestID
	// or TraceID to [TransportOptions] too.
	Names map[Field]string

	// Fields returns further fields for the scope. nil adds none. It is called before
	// the scope has any, and its fields replace those of Handler that have their names. A
	// request id among them is the request's id, in its header and in the answer too, if a
	// header can hold it; inside another Handler, whose id stays, it is dropped. If the trace id
	// among them isn't that of the client's traceparent, nothing else is taken from that.
	Fields func(*http.Request) []slog.Attr

	// ValidID reports whether the X-Request-Id that a client has sent may be the id of its
	// request. nil means [PlainID]; [ProxyID] takes the formats of more proxies. It is asked
	// only about 1 to 1024 printable ASCII characters without a space at either end:
	// anything else is replaced by a new id. Give [TransportOptions] one that
	// takes all ids that this one and NewID let in, or Transport won't send them.
	ValidID func(string) bool

	// NewID makes the id of a request that comes without a valid one. nil means the func
	// [NewID]. An id that no header can hold is replaced by one of the func NewID.
	NewID func() string

	// BadID is told the length in bytes of an X-Request-Id that was rejected, within
	// the new scope. Of several such headers it is the length of all, joined by commas.
	// nil tells nobody.
	BadID func(r *http.Request, length int)

	// TrustBaggage reports whether to take fields from the baggage header of a request:
	// those whose keys are declared scope.Propagated, within the limits of the
	// specification. nil trusts nobody, and so should a server on the open internet. The
	// header stays in the request in any case; [Transport] sends none on that isn't trusted.
	TrustBaggage func(*http.Request) bool

	// Route returns the route of a request, such as /users/{id}, for its last line: for a
	// router other than http.ServeMux. It is asked at the end, when the router has found it, and
	// given the request that the handler was given. Routers that leave the route in a copy of it,
	// as chi and gorilla/mux do, need a middleware: see docs/frameworks.md. "" means that it
	// doesn't know. nil asks nobody. For an http.ServeMux that is behind a middleware that copies
	// the request, or behind http.TimeoutHandler, use [MuxRoute]. What the handler has set as
	// http.route stays.
	Route func(*http.Request) string

	// AccessPath adds url.path to the last line of a request that has no route, such as
	// one that isn't found. Like [Path], it may be personal data.
	AccessPath bool

	// Finish is called when the handler has returned or ended early, before the last line and
	// within the request's scope, with the context that the handler was given. It can hand on what
	// is known only then, such as the fields that the handler has set and scope.Current().Totals()
	// so far; what it sets is on the last line. nil calls nothing.
	Finish func(context.Context)

	// Log writes one line for each request, at its end, within its scope: with all that
	// the handler has set on its goroutine, however deep. nil writes none.
	//
	// Its message is "request". It has http.server.request.duration in seconds, and
	// http.response.body.size and http.response.status_code as the handler has answered. The totals
	// of the request, made by scope.Add and its like, come last; if a Handler around this one
	// writes a line, they are on that one. What else the line has, and its level:
	//
	//   - An answer: Info, and Error for a status from 500 on.
	//   - A panic: exception.message and exception.stacktrace, at Error. The panic goes on to
	//     net/http, which logs it once more, outside the request's scope.
	//   - http.ErrAbortHandler: error.type abort, at Warn.
	//   - runtime.Goexit: error.type goexit, at Error.
	//   - The client went away before an answer began: error.type client_closed, at Warn, with
	//     no status. The sign of that is that the request's context was canceled by then, with no
	//     cause of its own: a server that cancels its BaseContext should give a cause. A client
	//     that closes only its sending side looks the same.
	//   - The context's deadline passed, and there was no answer: error.type timeout, at Warn,
	//     with no status. A middleware around Handler may have answered. The same goes for an
	//     answer that came too late, so that an http.TimeoutHandler right around Handler dropped it.
	//   - The connection was hijacked before an answer: no status.
	//
	// An early end without an answer has no status either. An answer that other code gives after
	// the handler has returned isn't seen, as with an echo.Echo that has Handler as its middleware:
	// put Handler around the Echo. http.TimeoutHandler calls its handler in another goroutine, and
	// this line doesn't get the fields that are set there; around Handler it may answer in its place.
	//
	// A panic or a runtime.Goexit in Log, Finish or Route goes on to the caller, unless the
	// handler has panicked: then that panic does. A panic of any option but Skip and Log is on the line.
	Log LogFunc

	// Await delays the line until the task of the request is over: the handler has returned, and
	// all that it has started with scope.Go is done. A goroutine of its own writes the line then, and
	// scope.Wait waits for it. What was added up and shared meanwhile is on it too. Status, size,
	// duration and level are as the handler has left them. A Handler inside another one that writes
	// a line doesn't wait, nor does one whose handler has ended with a panic or with runtime.Goexit.
	// A Log that panics ends the program there.
	Await bool

	// AwaitLimit is how long Await waits after the handler has returned. If the task isn't over
	// then, the line is written all the same, and scope_running says how many calls of scope.Run,
	// Go and Wrap are still going on. 0 or less means 30 seconds.
	AwaitLimit time.Duration
}

// A LogFunc writes a line. With log/slog it is the method LogAttrs of a logger; zaph.LogAttrs and
// zeroh.LogAttrs make one.
type LogFunc func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr)

// A Field is one of the fields that Handler sets, by its default name. Names are those of
// the OpenTelemetry semantic conventions where these have one.
type Field string

const (
	RequestID    Field = propagation.RequestIDKey    // from X-Request-Id or Fields, or new
	TraceID      Field = propagation.TraceIDKey      // from traceparent
	ParentSpanID Field = propagation.ParentSpanIDKey // from traceparent
	Method       Field = "http.request.method"
	Route        Field = "http.route" // of an http.ServeMux pattern, without method and host

	// Off by default: these may be personal data.
	ClientAddress Field = "client.address" // the peer of the connection, without the port
	UserAgent     Field = "user_agent.original"
	Path          Field = "url.path"
	Query         Field = "url.query"
)

func (f Field) personal() bool {
	switch f {
	case ClientAddress, UserAgent, Path, Query:
		return true
	}
	return false
}

// name returns the name of f, or "" if it is left out.
func name(names map[Field]string, f Field) string {
	if name, ok := names[f]; ok {
		return name
	}
	if f.personal() {
		return ""
	}
	return string(f)
}
