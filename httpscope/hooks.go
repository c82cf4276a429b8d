package httpscope

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"reflect"
	"runtime"
	"sync"
	"weak"

	"github.com/taskscope/taskscope/scope"
)

// An *http.Transport calls functions of the program for a request: on goroutines of its own,
// and with no scope bound, since goroutines of connections start there. So each of these
// functions is wrapped, and runs within the scope of its request.

// A hookContext is the context of a request whose hooks have a scope.
type hookContext struct {
	context.Context
	scope scope.Scope
}

type hookKey struct{}

func (c *hookContext) Value(key any) any {
	switch key {
	case hookKey{}:
		return c.scope
	case traceKey:
		return nil // so that WithClientTrace doesn't call the old trace too
	}
	return c.Context.Value(key)
}

// traceKey is the key of the trace in a context, which httptrace doesn't export.
var traceKey = func() (key any) {
	httptrace.ContextClientTrace(asked{context.Background(), &key})
	return key
}()

// An asked is a context that notes for which key it is asked.
type asked struct {
	context.Context
	key *any
}

func (a asked) Value(key any) any {
	*a.key = key
	return nil
}

// hooked returns a context like ctx for a request whose hooks run within s.
func hooked(ctx context.Context, s scope.Scope) context.Context {
	hooked := context.Context(&hookContext{ctx, s})
	if trace := httptrace.ContextClientTrace(ctx); trace != nil {
		hooked = httptrace.WithClientTrace(hooked, within(s, trace))
	}
	return hooked
}

// call calls fn, within the scope that ctx has for hooks, if there is one.
func call(ctx context.Context, fn func()) {
	if s, ok := ctx.Value(hookKey{}).(scope.Scope); ok {
		s.Run(fn)
		return
	}
	fn()
}

// hooks has the transports that hook has been given.
var hooks struct {
	sync.Mutex
	seen map[weak.Pointer[http.Transport]]struct{}
}

// shared is net/http's own transport, unless a package that was initialized earlier has put
// another in its place. It may be in use, so writing to it, even the value that is there already,
// would be a data race.
var shared, _ = http.DefaultTransport.(*http.Transport)

// hook makes t call the functions of its fields within the scope of the request. It leaves
// those alone that call nothing of the program: http.ProxyFromEnvironment, and the dialer of
// http.DefaultTransport. Any other net.Dialer may have a Control.
func hook(t *http.Transport) {
	hooks.Lock()
	defer hooks.Unlock()
	w := weak.Make(t)
	if _, again := hooks.seen[w]; again {
		return
	}
	if hooks.seen == nil {
		hooks.seen = map[weak.Pointer[http.Transport]]struct{}{}
	}
	hooks.seen[w] = struct{}{}
	runtime.AddCleanup(t, func(w weak.Pointer[http.Transport]) {
		hooks.Lock()
		defer hooks.Unlock()
		delete(hooks.seen, w)
	}, w)

	if proxy := t.Proxy; proxy != nil && !same(proxy, http.ProxyFromEnvironment) {
		t.Proxy = func(r *http.Request) (u *url.URL, err error) {
			call(r.Context(), func() { u, err = proxy(r) })
			return u, err
		}
	}
	//lint:ignore SA1019 programs still have it
	if dial := hookDial(t.DialContext, t.Dial); dial != nil && (t != shared || !same(t.DialContext, new(net.Dialer).DialContext)) {
		t.DialContext = dial
	}
	//lint:ignore SA1019 programs still have it
	if dial := hookDial(t.DialTLSContext, t.DialTLS); dial != nil {
		t.DialTLSContext = dial
	}
	if header := t.GetProxyConnectHeader; header != nil {
		t.GetProxyConnectHeader = func(ctx context.Context, proxy *url.URL, target string) (h http.Header, err error) {
			call(ctx, func() { h, err = header(ctx, proxy, target) })
			return h, err
		}
	}
	if respond := t.OnProxyConnectResponse; respond != nil {
		t.OnProxyConnectResponse = func(ctx context.Context, proxy *url.URL, req *http.Request, resp *http.Response) (err error) {
			call(ctx, func() { err = respond(ctx, proxy, req, resp) })
			return err
		}
	}
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// hookDial returns what to dial with instead, or nil if there is neither. Like net/http it uses old
// only if there is no dial.
func hookDial(dial dialFunc, old func(network, addr string) (net.Conn, error)) dialFunc {
	if dial == nil && old != nil {
		dial = func(_ context.Context, network, addr string) (net.Conn, error) { return old(network, addr) }
	}
	if dial == nil {
		return nil
	}
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		call(ctx, func() { conn, err = dial(ctx, network, addr) })
		return conn, err
	}
}

// same reports whether f and g have the same code.
func same[F any](f, g F) bool { return reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer() }

// within returns a trace that calls the hooks of t within s. A hook that a later Go adds is
// called, too, but with no scope.
func within(s scope.Scope, t *httptrace.ClientTrace) *httptrace.ClientTrace {
	c := *t
	c.GetConn = in1(s, t.GetConn)
	c.GotConn = in1(s, t.GotConn)
	c.PutIdleConn = in1(s, t.PutIdleConn)
	c.GotFirstResponseByte = in0(s, t.GotFirstResponseByte)
	c.Got100Continue = in0(s, t.Got100Continue)
	c.Got1xxResponse = got1xx(s, t.Got1xxResponse)
	c.DNSStart = in1(s, t.DNSStart)
	c.DNSDone = in1(s, t.DNSDone)
	c.ConnectStart = in2(s, t.ConnectStart)
	c.ConnectDone = connectDone(s, t.ConnectDone)
	c.TLSHandshakeStart = in0(s, t.TLSHandshakeStart)
	c.TLSHandshakeDone = in2(s, t.TLSHandshakeDone)
	c.WroteHeaderField = in2(s, t.WroteHeaderField)
	c.WroteHeaders = in0(s, t.WroteHeaders)
	c.Wait100Continue = in0(s, t.Wait100Continue)
	c.WroteRequest = in1(s, t.WroteRequest)
	return &c
}

func in0(s scope.Scope, fn func()) func() {
	if fn == nil {
		return nil
	}
	return s.Wrap(fn)
}

func in1[A any](s scope.Scope, fn func(A)) func(A) {
	if fn == nil {
		return nil
	}
	return func(a A) { s.Run(func() { fn(a) }) }
}

func in2[A, B any](s scope.Scope, fn func(A, B)) func(A, B) {
	if fn == nil {
		return nil
	}
	return func(a A, b B) { s.Run(func() { fn(a, b) }) }
}

func connectDone(s scope.Scope, fn func(string, string, error)) func(string, string, error) {
	if fn == nil {
		return nil
	}
	return func(network, addr string, err error) { s.Run(func() { fn(network, addr, err) }) }
}

type got1xxFunc = func(int, textproto.MIMEHeader) error

func got1xx(s scope.Scope, fn got1xxFunc) got1xxFunc {
	if fn == nil {
		return nil
	}
	return func(code int, header textproto.MIMEHeader) (err error) {
		s.Run(func() { err = fn(code, header) })
		return err
	}
}
