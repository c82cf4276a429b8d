package entry

import (
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskscope/taskscope/scope/propagation"
)

// An Incoming makes fields from the headers that a request or call came with. Its methods take all
// values of a header: it may have come in several lines.
type Incoming struct {
	TraceID, ParentSpanID string            // names of the fields; "" leaves one out
	ValidID               func(string) bool // asked about usable ids only
	NewID                 func() string     // nil, and an id that isn't usable, mean the func NewID
}

// Identify returns the id of a request or call that came with these ids, and the length of what
// was rejected. Of several ids none is valid.
func (in *Incoming) Identify(sent []string) (id string, rejected int) {
	if len(sent) == 1 && Usable(sent[0]) && in.ValidID(sent[0]) {
		return strings.Clone(sent[0]), 0
	}
	for i, s := range sent {
		rejected += len(s) + min(i, 1)
	}
	if in.NewID != nil {
		id = in.NewID()
	}
	if !Usable(id) {
		id = NewID(time.Now())
	}
	return id, rejected
}

// AppendTrace appends the fields of the trace. Of two traceparents none counts.
func (in *Incoming) AppendTrace(attrs []slog.Attr, traceparent, tracestate []string) []slog.Attr {
	if len(traceparent) != 1 {
		return attrs
	}
	tp, ok := propagation.ParseTraceparent(traceparent[0])
	if !ok {
		return attrs
	}
	put := func(name, value string) {
		if name != "" && value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	put(in.TraceID, tp.TraceID)
	put(in.ParentSpanID, tp.SpanID)
	if in.TraceID != "" {
		put(propagation.TraceFlagsKey, tp.Flags)
		put(propagation.TraceStateKey, propagation.ParseTracestate(strings.Join(tracestate, ",")))
	}
	return attrs
}

// AppendBaggage appends the fields of baggage that is trusted, except those whose keys attrs has.
func AppendBaggage(attrs []slog.Attr, baggage string) []slog.Attr {
	own := attrs
	for _, a := range propagation.Fields("", "", baggage) {
		if !slices.ContainsFunc(own, func(b slog.Attr) bool { return a.Key == b.Key }) {
			attrs = append(attrs, a)
		}
	}
	return attrs
}

// Join returns attrs, which come from headers, followed by fields, the program's own, which win where
// keys are the same. If fields say that the task belongs to another trace, as when a server begins one
// for each request, what attrs say about the trace is left out. traceID and parentSpanID are the names
// of fields; "" means that attrs have no such field.
func Join(attrs, fields []slog.Attr, traceID, parentSpanID string) []slog.Attr {
	id := func(attrs []slog.Attr) (text string) {
		for _, a := range attrs {
			if a.Key == traceID {
				text = textOf(a.Value)
			}
		}
		return text
	}
	if own := id(fields); traceID != "" && own != "" && own != id(attrs) {
		ofTrace := []string{parentSpanID, propagation.TraceFlagsKey, propagation.TraceStateKey}
		attrs = slices.DeleteFunc(attrs, func(a slog.Attr) bool { return slices.Contains(ofTrace, a.Key) })
	}
	return append(attrs, fields...)
}

// Clip returns a copy of value as valid UTF-8, cut off after 1024 bytes: a client may send a
// megabyte, which would be on every line.
func Clip(value string) string {
	const limit = 1024
	if len(value) > limit {
		end := limit
		for end > limit-utf8.UTFMax && !utf8.RuneStart(value[end]) {
			end--
		}
		value = value[:end] + "…"
	} else {
		value = strings.Clone(value)
	}
	if utf8.ValidString(value) { // looks at eight bytes at a time
		return value
	}
	return strings.ToValidUTF8(value, "\uFFFD")
}

// ProxyID reports whether id is 1 to 256 of the characters A-Z a-z 0-9 . _ - @ : # = + / ~.
func ProxyID(id string) bool {
	return len(id) >= 1 && len(id) <= 256 && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-@:#=+/~", c)
	})
}
