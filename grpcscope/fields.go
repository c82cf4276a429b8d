package grpcscope

import (
	"cmp"
	"log/slog"
	"net"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// names has the names of the fields; "" for those that are left out.
type names struct {
	requestID, system, service, method, fullMethod, clientAddress, messageID string
	statusCode, status                                                       string
}

func namesOf(m map[Field]string) names {
	return names{
		requestID: name(m, RequestID), system: name(m, System), service: name(m, Service),
		method: name(m, Method), fullMethod: name(m, FullMethod),
		clientAddress: name(m, ClientAddress), messageID: name(m, MessageID),
		statusCode: name(m, StatusCode), status: name(m, Status),
	}
}

// appendCall appends the fields that say which call c is.
func (n *names) appendCall(attrs []slog.Attr, c Call) []slog.Attr {
	put := func(name, value string) {
		if name != "" && value != "" {
			attrs = append(attrs, slog.String(name, entry.MethodName(value)))
		}
	}
	put(n.system, "grpc")
	put(n.service, c.Service)
	put(n.method, c.Method)
	put(n.fullMethod, c.full())
	return attrs
}

// replaceCall returns s with the fields that say which call c is, in place of those of the call that
// is being served.
func (n *names) replaceCall(s scope.Scope, c Call) scope.Scope {
	return entry.Replace(s, n.appendCall(make([]slog.Attr, 0, 4), c), n.system, n.service, n.method, n.fullMethod)
}

// setFields binds the fields of the call, and sets its id and untrusted baggage. It returns the
// length of the id that was rejected.
func (c *call) setFields() (rejected int) {
	var room [12]slog.Attr
	attrs := room[:0]
	in := func(key string) []string { return metadata.ValueFromIncomingContext(c.Context, key) }
	n := &c.names
	if c.outer.Found() {
		c.id = c.outer.ID
	} else {
		c.id, rejected = c.in.Identify(c.ids())
	}
	if n.requestID != "" {
		attrs = append(attrs, slog.String(n.requestID, c.id))
	}
	if traceparent := in(propagation.TraceparentHeader); len(traceparent) > 0 {
		attrs = c.in.AppendTrace(attrs, traceparent, in(propagation.TracestateHeader))
	}
	attrs = n.appendCall(attrs, c.rpc)
	if n.clientAddress != "" {
		if address := c.clientAddress(); address != "" {
			attrs = append(attrs, slog.String(n.clientAddress, entry.Clip(address)))
		}
	}
	if baggage := strings.Join(in(propagation.BaggageHeader), ","); baggage != "" {
		if c.opts.TrustBaggage != nil && c.opts.TrustBaggage(c.Context, c.rpc) {
			attrs = entry.AppendBaggage(attrs, baggage)
		} else {
			c.untrusted = entry.Untrusted(baggage)
		}
	}
	if c.opts.Fields == nil {
		scope.SetAttrs(attrs...)
		return rejected
	}
	scope.SetAttrs(entry.Join(attrs, c.opts.Fields(c.Context, c.rpc), c.in.TraceID, c.in.ParentSpanID)...)
	c.id = entry.SettleID(cmp.Or(n.requestID, string(RequestID)), c.id, !c.outer.Found())
	return rejected
}

// clientAddress returns the address of the peer, without the port.
func (c *call) clientAddress() string {
	p, ok := peer.FromContext(c.Context)
	if !ok || p.Addr == nil {
		return ""
	}
	addr := p.Addr.String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
