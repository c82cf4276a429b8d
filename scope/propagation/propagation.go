package propagation

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope"
)

// A Carrier is the headers of a message. It has the methods of OpenTelemetry's
// propagation.TextMapCarrier, so those work as they are.
type Carrier interface {
	Get(key string) string
	Set(key, value string)
	Keys() []string
}

// The headers, and the fields that they become.
const (
	RequestIDHeader   = "x-request-id"
	TraceparentHeader = "traceparent"
	TracestateHeader  = "tracestate"
	BaggageHeader     = "baggage"

	RequestIDKey    = "request_id"
	TraceIDKey      = "trace_id"
	ParentSpanIDKey = "parent_span_id"
	TraceFlagsKey   = "trace_flags"
	TraceStateKey   = "trace_state"
)

// These are kept to be passed on; they are of no use on a log line.
var (
	_ = scope.NewKey[string](TraceFlagsKey, scope.Hidden)
	_ = scope.NewKey[string](TraceStateKey, scope.Hidden)
)

// Inject writes the fields of s that may leave the process into c. A header that is
// there already stays, except that members are added to baggage, and that a traceparent that
// isn't valid is replaced. tracestate belongs to the traceparent: the two are written, and stay,
// together. A value that its header can't hold is left out.
//
// Where there is a context too, give Inject what a log line would get:
// scope.Current().Pick(ctx).
func Inject(s scope.Scope, c Carrier) {
	var id, state string
	tp := Traceparent{SpanID: newSpanID()}
	for key, value := range s.All() {
		switch key {
		case RequestIDKey:
			id, _ = text(s, value)
		case TraceIDKey:
			tp.TraceID, _ = text(s, value)
		case TraceFlagsKey:
			tp.Flags, _ = text(s, value)
		case TraceStateKey:
			state, _ = text(s, value)
		}
	}
	if ValidRequestID(id) && lookup(c, RequestIDHeader) == "" {
		c.Set(RequestIDHeader, id)
	}
	if header := tp.String(); header != "" {
		if _, traced := ParseTraceparent(lookup(c, TraceparentHeader)); !traced {
			c.Set(TraceparentHeader, header)
			if state = ParseTracestate(state); state != "" || lookup(c, TracestateHeader) != "" {
				c.Set(TracestateHeader, state)
			}
		}
	}
	had := lookup(c, BaggageHeader)
	if header := appendBaggage(had, s); header != had {
		c.Set(BaggageHeader, header)
	}
}

// Extract returns a scope with what c carries, as a task of its own. Baggage is taken
// for the keys that are declared [scope.Propagated] here; its values are strings. Extract
// trusts the sender of the message with these: a server on the open internet should not
// (httpscope doesn't, unless told to).
func Extract(c Carrier) scope.Scope {
	args := []any{}
	for _, a := range Fields(lookup(c, RequestIDHeader), lookup(c, TraceparentHeader), lookup(c, BaggageHeader)) {
		args = append(args, a)
		if a.Key == TraceFlagsKey { // the trace is valid
			if state := ParseTracestate(lookup(c, TracestateHeader)); state != "" {
				args = append(args, slog.String(TraceStateKey, state))
			}
		}
	}
	return scope.New(args...)
}

// lookup returns the value of the header of this name. Not every carrier knows that
// upper and lower case are the same in a header: NATS and Kafka keep what the sender
// wrote. If there are several, and none in lower case, it returns "": which one to believe
// would be a guess.
func lookup(c Carrier, name string) string {
	if value := c.Get(name); value != "" {
		return value
	}
	found := ""
	for _, key := range c.Keys() {
		if key == name || !strings.EqualFold(key, name) {
			continue
		}
		if value := c.Get(key); value != "" {
			if found != "" {
				return ""
			}
			found = value
		}
	}
	return found
}

// Fields returns the fields that come from these values of the three headers; "" means that a
// header isn't there. The fields have copies, so they keep no long header in memory.
func Fields(requestID, traceparent, baggage string) (attrs []slog.Attr) {
	if ValidRequestID(requestID) {
		attrs = append(attrs, slog.String(RequestIDKey, strings.Clone(requestID)))
	}
	if tp, ok := ParseTraceparent(traceparent); ok {
		attrs = append(attrs,
			slog.String(TraceIDKey, tp.TraceID),
			slog.String(ParentSpanIDKey, tp.SpanID),
			slog.String(TraceFlagsKey, tp.Flags))
	}
	return append(attrs, parseBaggage(baggage)...)
}

// ValidRequestID reports whether id is 1 to 128 of the characters A-Z a-z 0-9 . _ -.
func ValidRequestID(id string) bool {
	return len(id) >= 1 && len(id) <= 128 && all(id, isPlain)
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

func all(s string, is func(c byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

// text returns v, a value of s, as a header shows it, and whether there is anything to send. A method
// of v may send something too, with s: that gets plain values only, or the method would call itself.
func text(s scope.Scope, v slog.Value) (text string, ok bool) {
	if values.IsPlain(v) {
		return textOf(v)
	}
	s.Internal().Ask(func() { text, ok = textOf(v) })
	return text, ok
}

// textOf is text for a value whose methods may be called. If one panics, there is nothing to send:
// slog's and fmt's text for that, with a stack trace in it, is for the log of this process alone.
func textOf(v slog.Value) (text string, ok bool) {
	defer func() {
		if recover() != nil {
			text, ok = "", false
		}
	}()
	v, ends := values.Unwrap(v)
	if !ends {
		return "", false
	}
	if v.Kind() == slog.KindAny {
		switch x := v.Any().(type) {
		case nil:
			return "", false
		case slog.Attr, *slog.Attr, *slog.Value: // their String has no end for what contains itself
		case error:
			return x.Error(), true
		case fmt.Stringer:
			return x.String(), true
		}
	}
	return values.String(v)
}
