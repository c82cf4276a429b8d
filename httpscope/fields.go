package httpscope

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
)

// gatewayPrefix begins the headers that grpc-gateway sends on without it: another way for a client to send
// what a header of ours says.
const gatewayPrefix = "Grpc-Metadata-"

// setFields binds the fields of r, and sets the id and the untrusted baggage of e. It returns
// the length of the id that was rejected.
func (h *handler) setFields(r *http.Request, e *exchange) (rejected int) {
	var room [13]slog.Attr
	attrs := room[:0]
	// Clip copies what a client sends: it may be a part of a long string, which it would keep in memory.
	put := func(name, value string) {
		if name != "" && value != "" {
			attrs = append(attrs, slog.String(name, entry.Clip(value)))
		}
	}
	if e.outer != nil {
		e.id = e.outer.id
	} else {
		e.id, rejected = h.in.Identify(r.Header[idHeader])
	}
	if h.names.requestID != "" {
		attrs = append(attrs, slog.String(h.names.requestID, e.id))
	}
	attrs = h.in.AppendTrace(attrs, r.Header["Traceparent"], r.Header["Tracestate"])
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
	baggage, byGateway := strings.Join(r.Header["Baggage"], ","), strings.Join(r.Header[gatewayPrefix+"Baggage"], ",")
	if baggage != "" || byGateway != "" {
		if h.opts.TrustBaggage != nil && h.opts.TrustBaggage(r) {
			attrs = entry.AppendBaggage(attrs, baggage)
		} else {
			if byGateway != "" {
				baggage += "," + byGateway
			}
			e.untrusted = entry.Untrusted(baggage)
		}
	}
	if h.opts.Fields == nil {
		scope.SetAttrs(attrs...)
		return rejected
	}
	scope.SetAttrs(entry.Join(attrs, h.opts.Fields(r), h.names.traceID, h.names.parentSpanID)...)
	e.id = entry.SettleID(cmp.Or(h.names.requestID, string(RequestID)), e.id, e.outer == nil)
	return rejected
}

// method returns the method as the semantic conventions want it: an unknown one could be
// any text that a client sends. It returns a constant, not m, which is a part of the request line.
func method(m string) string {
	for _, known := range methods {
		if m == known {
			return known
		}
	}
	return "_OTHER"
}

var methods = [...]string{"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "QUERY"}
