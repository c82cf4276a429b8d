package grpcscope

import (
	"log/slog"
	"net"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// setFields binds the fields of the call, and sets its id and untrusted baggage. It returns the
// length of the id that was rejected.
func (c *call) setFields() (rejected int) {
	var room [12]slog.Attr
	attrs := room[:0]
	put := func(name, value string) {
		if name != "" && value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	in := func(key string) []string { return metadata.ValueFromIncomingContext(c.Context, key) }
	n := &c.names
	if c.outer.Found() {
		c.id = c.outer.ID
	} else {
		c.id, rejected = c.in.Identify(c.ids(), c.start)
	}
	put(n.requestID, c.id)
	if traceparent := in(propagation.TraceparentHeader); len(traceparent) > 0 {
		attrs = c.in.AppendTrace(attrs, traceparent, in(propagation.TracestateHeader))
	}
	put(n.system, "grpc")
	put(n.service, entry.MethodName(c.rpc.Service))
	put(n.method, entry.MethodName(c.rpc.Method))
	put(n.fullMethod, entry.MethodName(c.rpc.full()))
	if n.clientAddress != "" {
		put(n.clientAddress, c.clientAddress())
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
	key := n.requestID
	if key == "" {
		key = string(RequestID)
	}
	c.id = entry.Agree(key, c.id, !c.outer.Found())
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
