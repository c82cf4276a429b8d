package httpscope

import (
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// setFields binds the fields of r, and sets the id and the untrusted baggage of e. It returns
// the length of the id that was rejected.
func (h *handler) setFields(r *http.Request, e *exchange) (rejected int) {
	var room [13]slog.Attr
	attrs := room[:0]
	// A client's string is kept as a copy: as a part of a longer one it would keep all of that.
	put := func(name, value string) {
		if name != "" && value != "" {
			attrs = append(attrs, slog.String(name, clip(value)))
		}
	}
	if e.outer != nil {
		e.id = e.outer.id
	} else {
		e.id, rejected = h.identify(r, e.start)
	}
	if h.names.requestID != "" {
		attrs = append(attrs, slog.String(h.names.requestID, e.id))
	}
	if tp := r.Header["Traceparent"]; len(tp) == 1 { // two are as good as none
		if tp, ok := propagation.ParseTraceparent(tp[0]); ok {
			put(h.names.traceID, tp.TraceID)
			put(h.names.parentSpanID, tp.SpanID)
			if h.names.traceID != "" {
				put(propagation.TraceFlagsKey, tp.Flags)
				put(propagation.TraceStateKey, propagation.ParseTracestate(strings.Join(r.Header["Tracestate"], ",")))
			}
		}
	}
	if h.names.method != "" {
		attrs = append(attrs, slog.String(h.names.method, method(r.Method)))
	}
	put(h.names.route, h.routeBeforehand(r, e))
	if h.names.clientAddress != "" {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		put(h.names.clientAddress, host)
	}
	if h.names.userAgent != "" {
		put(h.names.userAgent, r.UserAgent())
	}
	put(h.names.path, r.URL.Path)
	put(h.names.query, r.URL.RawQuery)
	if baggage := strings.Join(r.Header["Baggage"], ","); baggage != "" {
		if h.opts.TrustBaggage == nil || !h.opts.TrustBaggage(r) {
			if e.untrusted = tooLong; len(baggage) <= maxBaggage {
				e.untrusted = strings.Clone(baggage)
			}
		} else {
			own := attrs
			for _, a := range propagation.Fields("", "", baggage) {
				if !slices.ContainsFunc(own, func(b slog.Attr) bool { return a.Key == b.Key }) {
					attrs = append(attrs, a)
				}
			}
		}
	}
	if h.opts.Fields == nil {
		scope.SetAttrs(attrs...)
		return rejected
	}
	scope.SetAttrs(entry.Join(attrs, h.opts.Fields(r), h.names.traceID, h.names.parentSpanID, propagation.TraceFlagsKey, propagation.TraceStateKey)...)
	h.agree(e)
	return rejected
}

// identify returns the id of a request that no other Handler has seen, and the length of the
// one that was rejected.
func (h *handler) identify(r *http.Request, now time.Time) (id string, rejected int) {
	sent := r.Header[idHeader]
	if len(sent) == 1 && entry.Usable(sent[0]) && h.opts.ValidID(sent[0]) { // of several, none is valid
		return strings.Clone(sent[0]), 0
	}
	for i, s := range sent {
		rejected += len(s) + min(i, 1)
	}
	if h.opts.NewID != nil {
		id = h.opts.NewID()
	}
	if !entry.Usable(id) {
		id = entry.NewID(now)
	}
	return id, rejected
}

// agree makes the id that [Options.Fields] has set the request's, or the reverse where it
// can't be.
func (h *handler) agree(e *exchange) {
	key := h.names.requestID
	if key == "" {
		key = string(RequestID)
	}
	e.id = entry.Agree(key, e.id, e.outer == nil)
}

// clip returns a copy of value as valid UTF-8, and of one that is longer than a field should
// be the start: a client may send a megabyte, and it would be on every line.
func clip(value string) string {
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

// method returns the method as the semantic conventions want it: an unknown one could be
// any text that a client sends. What it returns isn't m, which is a part of the request line.
func method(m string) string {
	for _, known := range methods {
		if m == known {
			return known
		}
	}
	return "_OTHER"
}

var methods = [...]string{"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "QUERY"}
