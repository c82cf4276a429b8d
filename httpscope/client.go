package httpscope

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
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

	// Names is the Names of the [Options] that the fields were set with.
	Names map[Field]string
}

// Transport returns a RoundTripper that sends the scope along with each request: that of
// the request's context or of the goroutine, as [scope.Scope.Pick] chooses. It sends
// X-Request-Id, traceparent (the same trace id, a new span id), and as baggage the fields
// whose keys are declared scope.Propagated. Headers that the request has already stay. A
// request that a redirect led to another origin gets none of them.
//
// A nil base means http.DefaultTransport; nil opts are the defaults. An *http.Transport
// is called with no scope bound: the goroutines that it starts for a connection serve
// other requests later, and would keep this one's scope, and speak for it, until then.
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
	_, t.dials = base.(*http.Transport)
	return t
}

type transport struct {
	base  http.RoundTripper
	dials bool // base starts goroutines that outlive a request
	opts  TransportOptions
}

func (t *transport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if (t.opts.Skip == nil || !t.opts.Skip(req)) && !redirected(req) {
		if s := scope.Current().Pick(req.Context()); s.Len() > 0 {
			// A RoundTripper must not change the request that it is given.
			header := req.Header.Clone()
			if header == nil {
				header = http.Header{}
			}
			req = req.WithContext(req.Context())
			req.Header = header
			propagation.Inject(t.standard(s), headers(header))
		}
	}
	if !t.dials {
		return t.base.RoundTrip(req)
	}
	scope.Outside(func() { resp, err = t.base.RoundTrip(req) })
	return resp, err
}

// standard returns s with the names that package propagation goes by.
func (t *transport) standard(s scope.Scope) scope.Scope {
	for _, f := range []Field{RequestID, TraceID} {
		if name, renamed := t.opts.Names[f]; renamed && name != string(f) {
			s = s.Without(string(f))
			if v, ok := s.Get(name); ok && name != "" {
				s = s.With(string(f), v)
			}
		}
	}
	return s
}

// CloseIdleConnections closes those of the base, for http.Client.CloseIdleConnections.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// redirected reports whether some redirect on the way to req has left the origin of the
// request that the program made.
func redirected(req *http.Request) bool {
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		if !sameOrigin(r.URL, r.Response.Request.URL) {
			return true
		}
	}
	return false
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}

// headers is a propagation.Carrier. Baggage may be spread over several lines.
type headers http.Header

func (h headers) Get(key string) string {
	return strings.Join(http.Header(h).Values(key), ",")
}

func (h headers) Set(key, value string) { http.Header(h).Set(key, value) }

func (h headers) Keys() []string {
	keys := make([]string, 0, len(h))
	for key := range h {
		keys = append(keys, key)
	}
	return keys
}
