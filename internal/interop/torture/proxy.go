package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"

	"github.com/taskscope/taskscope/httpscope"
)

var proxyCases = []scenario{{"httputil.ReverseProxy", []form{
	{
		name: "a plain `http.Transport`, whose hooks log", shows: of(another, wrong), may: of(late),
		why: "a connection is dialled in the first request that needs it, and its read and write loops keep that one's scope. Put `httpscope.Transport` around it",
		run: func(t *trial) {
			t.proxy(func(base *http.Transport) http.RoundTripper { return base })
		},
	},
	{
		name: "`httpscope.Transport`, whose hooks log", recommended: true,
		run: func(t *trial) {
			t.proxy(func(base *http.Transport) http.RoundTripper { return httpscope.Transport(base, nil) })
		},
	},
}}}

// proxy sends tasks through a proxy to a backend. The proxy keeps two connections, so that some
// are dialled anew all the time.
func (t *trial) proxy(around func(*http.Transport) http.RoundTripper) {
	backend := t.start(httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.work(taskOf(r), "backend")
		if t.random(taskOf(r), "abort").IntN(32) == 0 {
			panic(http.ErrAbortHandler)
		}
	}), nil))
	base := &http.Transport{
		MaxIdleConnsPerHost: 2,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			t.line(ctx.Value(ownerKey{}).(string) + left) // the request may have got another connection meanwhile
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	target := got(url.Parse(backend.URL))
	proxy := &httputil.ReverseProxy{
		Transport: around(base),
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			id, ctx := taskOf(r.In), r.Out.Context()
			t.work(id, "rewrite")
			r.SetURL(target)
			r.Out = r.Out.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
				GotConn:              func(httptrace.GotConnInfo) { t.line(id) },
				WroteHeaders:         func() { t.line(id + left) }, // may be called when the answer has come
				WroteRequest:         func(httptrace.WroteRequestInfo) { t.line(id + left) },
				GotFirstResponseByte: func() { t.line(id) },
			}))
		},
		ModifyResponse: func(r *http.Response) error {
			t.work(taskOf(r.Request), "modify")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			t.work(taskOf(r), "error")
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	t.serve(httpscope.Handler(proxy, &httpscope.Options{Log: t.accessLine}))
	base.CloseIdleConnections()
	backend.Close()
}
