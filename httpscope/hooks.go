package httpscope

import (
	"context"
	"crypto/tls"
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
// and with no scope bound, since goroutines of connections start there. Each of these
// functions is called within the scope of its request, and that is gone when it returns.

// A hookContext is the context of a request whose hooks have a scope.
type hookContext struct {
	context.Context
	scope scope.Scope
}

type hookKey struct{}

func (c *hookContext) Value(key any) any {
	if key == (hookKey{}) {
		return c.scope
	}
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil // so that WithClientTrace doesn't add it to the one that takes its place
	}
	return v
}

// hooked returns a context like ctx for a request whose hooks are to have s.
func hooked(ctx context.Context, s scope.Scope) context.Context {
	hooked := context.Context(&hookContext{ctx, s})
	if trace := httptrace.ContextClientTrace(ctx); trace != nil {
		hooked = httptrace.WithClientTrace(hooked, within(s, trace))
	}
	return hooked
}

// call calls fn within the scope for hooks that ctx has, or just so.
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

// hook makes t call the functions of its fields within the scope of the request. It leaves
// those alone that are net/http's and net's own, as http.DefaultTransport has them: it is in
// use, perhaps, so that to write even what is there already would be a data race.
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
	if dial := hookDial(t.DialContext, t.Dial); dial != nil {
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

// hookDial returns what to dial with instead, or nil: like net/http, by old only if there is no
// dial.
func hookDial(dial dialFunc, old func(network, addr string) (net.Conn, error)) dialFunc {
	if dial == nil && old != nil {
		dial = func(_ context.Context, network, addr string) (net.Conn, error) { return old(network, addr) }
	}
	if dial == nil || same(dial, new(net.Dialer).DialContext) {
		return nil
	}
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		call(ctx, func() { conn, err = dial(ctx, network, addr) })
		return conn, err
	}
}

// same reports whether f and g have the same code.
func same[F any](f, g F) bool { return reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer() }

// within returns a trace that calls the hooks of t within s.
func within(s scope.Scope, t *httptrace.ClientTrace) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:              in1(s, t.GetConn),
		GotConn:              in1(s, t.GotConn),
		PutIdleConn:          in1(s, t.PutIdleConn),
		GotFirstResponseByte: in0(s, t.GotFirstResponseByte),
		Got100Continue:       in0(s, t.Got100Continue),
		Got1xxResponse:       got1xx(s, t.Got1xxResponse),
		DNSStart:             in1(s, t.DNSStart),
		DNSDone:              in1(s, t.DNSDone),
		ConnectStart:         in2(s, t.ConnectStart),
		ConnectDone:          connectDone(s, t.ConnectDone),
		TLSHandshakeStart:    in0(s, t.TLSHandshakeStart),
		TLSHandshakeDone:     in2[tls.ConnectionState, error](s, t.TLSHandshakeDone),
		WroteHeaderField:     in2(s, t.WroteHeaderField),
		WroteHeaders:         in0(s, t.WroteHeaders),
		Wait100Continue:      in0(s, t.Wait100Continue),
		WroteRequest:         in1(s, t.WroteRequest),
	}
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
