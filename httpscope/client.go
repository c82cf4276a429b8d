package httpscope

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/headers"
	"github.com/taskscope/taskscope/scope"
)

// TransportOptions says what [Transport] sends. nil means the zero TransportOptions,
// which are the defaults.
type TransportOptions struct {
	// Skip reports whether a request is sent as it is: to services of other people, say.
	// nil skips none.
	Skip func(*http.Request) bool

	// ValidID reports whether an id may be sent as X-Request-Id: the scope's, or one that
	// the request has already, which is replaced otherwise. It is asked only about what a
	// header can hold. nil means [ProxyID].
	ValidID func(string) bool

	// Names is the Names of the [Options] that the fields were set with. It is read once.
	Names map[Field]string
}

// Transport returns a RoundTripper that sends the scope along with each request: that of
// the request's context or of the goroutine, as [scope.Scope.Pick] chooses. It sends
// X-Request-Id, traceparent (the same trace id, a new span id) with its tracestate, and as
// baggage the fields whose keys are declared scope.Propagated. Headers that the request has
// already stay, whatever case their keys are in, unless they aren't valid: so a proxy passes
// traceparent on as it came. Baggage that came in with the request that is being served, and that
// [Options.TrustBaggage] didn't trust, is removed where a proxy sends it on, if the context of the
// new request is derived from that of the served one. A request that a redirect led to another
// origin gets none of these headers.
//
// A nil base means http.DefaultTransport; nil opts are the defaults. Transport panics if base
// is a nil *http.Transport.
//
// An *http.Transport is called with no scope bound: the goroutines that it starts for a
// connection serve other requests later, and would keep this one's scope, and log with it,
// until then. These functions of the program are called with the request's scope: the hooks
// of an httptrace.ClientTrace, and base's Proxy, DialContext, DialTLSContext, Dial, DialTLS,
// GetProxyConnectHeader and OnProxyConnectResponse. For that Transport sets fields of base,
// so call it before base is used. Whatever else base calls has no scope: the Body and GetBody of
// a request, the callbacks of a TLSClientConfig, RoundTrippers of RegisterProtocol and
// TLSNextProto, and the Control of a net.Dialer that was put into http.DefaultTransport.
//
// Another base is called with the scope, for what it logs; give an *http.Transport inside
// it a Transport of its own, with Skip, if its connections matter.
func Transport(base http.RoundTripper, opts *TransportOptions) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	t := &transport{base: base}
	if opts != nil {
		t.opts = *opts
	}
	t.out = entry.Outgoing{RequestID: name(t.opts.Names, RequestID), TraceID: name(t.opts.Names, TraceID), ValidID: t.opts.ValidID}
	if dialer, ok := base.(*http.Transport); ok {
		if dialer == nil {
			panic("httpscope.Transport: base, the transport to send with, is a nil *http.Transport")
		}
		t.dials = true
		hook(dialer)
	}
	return t
}

type transport struct {
	base  http.RoundTripper
	dials bool // base starts goroutines that outlive a request
	opts  TransportOptions
	out   entry.Outgoing
}

// skips reports what Skip says of req. What Skip sets ends with it.
func (t *transport) skips(req *http.Request) (skip bool) {
	if t.opts.Skip != nil {
		scope.Run(func() { skip = t.opts.Skip(req) })
	}
	return skip
}

func (t *transport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	s := scope.Current().Pick(req.Context())
	if !t.skips(req) {
		if header := t.header(req, s); header != nil {
			// A RoundTripper must not change the request that it is given.
			req = req.WithContext(req.Context())
			req.Header = header
		}
	}
	if !t.dials {
		return t.base.RoundTrip(req)
	}
	if s.Len() > 0 {
		req = req.WithContext(hooked(req.Context(), s))
	}
	scope.Outside(func() { resp, err = t.base.RoundTrip(req) })
	return resp, err
}

// header returns a changed copy of req's header, with what s adds, or nil if nothing changes.
func (t *transport) header(req *http.Request, s scope.Scope) http.Header {
	h := &headers.Copy{Header: headers.Header(req.Header)}
	entry.DropUntrusted(req.Context(), h)
	if s.Len() > 0 && !redirected(req) {
		t.out.Send(s, h)
	}
	return h.Changed()
}

// CloseIdleConnections closes those of the base, for http.Client.CloseIdleConnections.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// redirected reports whether some redirect on the way to req has left the origin of the
// program's own request.
func redirected(req *http.Request) bool {
	hops := 0
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		// A program that sets Response itself may have made a cycle.
		if hops++; hops > 1000 || !sameOrigin(r.URL, r.Response.Request.URL) {
			return true
		}
	}
	return false
}

func sameOrigin(a, b *url.URL) bool {
	return a != nil && b != nil && a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}
