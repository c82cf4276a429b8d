package interop

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// work is what a handler does, whatever it serves. It says what it does with loggers that get no
// context, on goroutines of plain go statements too.
func work(ctx context.Context, tel *telemetry) {
	tenant.Set("acme")
	tel.say("outer")
	spawned(func() { tel.say("outer goroutine") })
	_ = otelscope.Run(ctx, tel.tracer, "inner", func(ctx context.Context) error {
		tel.say("inner")
		spawned(func() { tel.say("inner goroutine") })
		_ = otelscope.Run(ctx, tel.tracer, "innermost", func(context.Context) error {
			tel.say("innermost")
			return nil
		})
		tel.say("inner again")
		return nil
	})
	tel.say("outer again")
	spawned(func() { tel.say("last goroutine") })
}

// inherits reports whether the goroutine of a plain go statement has a scope.
var inherits = scope.Carrier() != "portable"

// spawned calls fn in a goroutine of a plain go statement, and waits for its end.
func spawned(fn func()) {
	done := make(chan struct{})
	child := func() {
		defer close(done)
		fn()
	}
	if inherits {
		go child()
	} else {
		scope.Go(child)
	}
	<-done
}

// wantWork checks the lines and records of work: outer are the ids that they have outside Run.
func (tel *telemetry) wantWork(trace, outer any) {
	tel.t.Helper()
	spans, _, _ := tel.flush()
	inner, innermost := named(tel.t, spans, "inner"), named(tel.t, spans, "innermost")
	if innermost.parent != inner.span || innermost.trace != inner.trace {
		tel.t.Errorf("the spans are %+v and %+v", inner, innermost)
	}
	for _, msg := range []string{"outer", "outer goroutine", "outer again", "last goroutine"} {
		tel.wantSaid(msg, testkit.Line{"trace_id": trace, "span_id": outer, "tenant": "acme"})
	}
	for _, msg := range []string{"inner", "inner goroutine", "inner again"} {
		tel.wantSaid(msg, testkit.Line{"trace_id": inner.trace, "span_id": inner.span, "tenant": "acme"})
	}
	tel.wantSaid("innermost", testkit.Line{"trace_id": inner.trace, "span_id": innermost.span, "tenant": "acme"})
}

// serverSpan waits for the span of the server, which ends when the answer is under way.
func (tel *telemetry) serverSpan(is func(item) bool) (span item) {
	tel.t.Helper()
	testkit.Eventually(tel.t, "the server's span arrives", func() bool {
		spans, _, _ := tel.flush()
		at := slices.IndexFunc(spans, is)
		if at >= 0 {
			span = spans[at]
		}
		return at >= 0
	})
	return span
}

func fromRemote(i item) bool { return i.parent == remoteSpan }

// The recommended order: otelhttp outside, so that there is a span when the scope begins and until
// it is finished.
func TestHTTPScopeInsideOtelhttp(t *testing.T) {
	for _, remote := range []bool{true, false} {
		t.Run(fmt.Sprintf("with a traceparent %v", remote), func(t *testing.T) {
			tel := start(t, overGRPC)
			url, client := serve(t, tel.otelhttp(entry(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { work(r.Context(), tel) }))))
			header, is := []string{"X-Request-Id", "r-17"}, func(i item) bool { return i.parent == "" }
			if remote {
				header, is = append(header, "Traceparent", traceparent), fromRemote
			}
			get(t, client, url, header...)
			server := tel.serverSpan(is)
			if remote && server.trace != remoteTrace {
				t.Errorf("the trace is %s", server.trace)
			}
			tel.wantWork(server.trace, server.span)
			server.want(t, map[string]any{"request_id": "r-17", "tenant": "acme"})
			spans, _, _ := tel.flush()
			if inner := named(t, spans, "inner"); inner.trace != server.trace || inner.parent != server.span {
				t.Errorf("the spans are %+v and %+v", server, inner)
			}
		})
	}
}

// The other order: there is no span yet when the scope begins. It has the trace id that the client
// has sent, if any, and no span id; the handler gets the rest from Run. What Finish would add comes
// when the span has ended.
func TestHTTPScopeOutsideOtelhttp(t *testing.T) {
	for _, remote := range []bool{true, false} {
		t.Run(fmt.Sprintf("with a traceparent %v", remote), func(t *testing.T) {
			tel := start(t, overGRPC)
			url, client := serve(t, entry(tel.otelhttp(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { work(r.Context(), tel) }))))
			header, is := []string{"X-Request-Id", "r-17"}, func(i item) bool { return i.parent == "" }
			var trace any
			if remote {
				header, is, trace = append(header, "Traceparent", traceparent), fromRemote, remoteTrace
			}
			get(t, client, url, header...)
			server := tel.serverSpan(is)
			tel.wantWork(trace, nil)
			spans, _, _ := tel.flush()
			if inner := named(t, spans, "inner"); inner.trace != server.trace || inner.parent != server.span {
				t.Errorf("the spans are %+v and %+v", server, inner)
			}
			server.want(t, map[string]any{"request_id": "r-17", "tenant": nil})
		})
	}
}

// A service that calls another one sends each header once, whichever transport is the outer one,
// and the other one's span hangs on that of the call.
func TestEachHeaderIsSentOnce(t *testing.T) {
	type calls struct{ order, server, within string }
	var all []calls
	for _, order := range []string{"httpscope.Transport around otelhttp's", "otelhttp's around httpscope.Transport"} {
		for _, server := range []string{"httpscope inside otelhttp", "httpscope outside otelhttp"} {
			for _, within := range []string{"the handler", "a Run"} {
				all = append(all, calls{order, server, within})
			}
		}
	}
	for _, c := range all {
		for _, remote := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, %s, in %s, with a traceparent %v", c.order, c.server, c.within, remote), func(t *testing.T) {
				order, within := c.order, c.within
				tel := start(t, overGRPC)
				base := http.DefaultTransport.(*http.Transport).Clone()
				t.Cleanup(base.CloseIdleConnections)
				instrument := func(rt http.RoundTripper) http.RoundTripper {
					return otelhttp.NewTransport(rt, otelhttp.WithTracerProvider(tel.tracers), otelhttp.WithMeterProvider(tel.meters), otelhttp.WithPropagators(propagator))
				}
				client := &http.Client{}
				if strings.HasPrefix(order, "otelhttp") {
					client.Transport = instrument(httpscope.Transport(base, nil))
				} else {
					client.Transport = httpscope.Transport(instrument(base), nil)
				}

				var sent http.Header
				opts := &httpscope.Options{Fields: otelscope.Fields, Finish: otelscope.Finish, TrustBaggage: func(*http.Request) bool { return true }}
				stock := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					sent = r.Header.Clone()
					tel.say("reserving")
				}), opts)
				stockURL, _ := serve(t, tel.otelhttp(stock))
				call := func(ctx context.Context) error {
					member, err := baggage.NewMember("region", "eu")
					if err != nil {
						return err
					}
					bag, err := baggage.FromContext(ctx).SetMember(member)
					if err != nil {
						return err
					}
					req, err := http.NewRequestWithContext(baggage.ContextWithBaggage(ctx, bag), "GET", stockURL+"/stock", nil)
					if err != nil {
						return err
					}
					resp, err := client.Do(req)
					if err != nil {
						return err
					}
					return resp.Body.Close()
				}
				h := http.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					tenant.Set("acme")
					ctx, err := r.Context(), error(nil)
					if within == "a Run" {
						err = otelscope.Run(ctx, tel.tracer, "reserve", call)
					} else {
						err = call(ctx)
					}
					if err != nil {
						t.Error(err)
					}
				}))
				if c.server == "httpscope inside otelhttp" {
					h = tel.otelhttp(entry(h))
				} else {
					h = entry(tel.otelhttp(h))
				}
				url, browser := serve(t, h)
				header, is, states := []string{"X-Request-Id", "r-17"}, func(i item) bool { return i.parent == "" }, []string(nil)
				if remote {
					header, is, states = append(header, "Traceparent", traceparent, "Tracestate", "vendor=1"), fromRemote, []string{"vendor=1"}
				}
				get(t, browser, url, header...)

				caller := tel.serverSpan(is)
				trace := caller.trace
				if remote && trace != remoteTrace {
					t.Errorf("another trace: %+v", caller)
				}
				if within == "a Run" {
					caller = tel.serverSpan(func(i item) bool { return i.name == "reserve" })
				}
				outgoing := tel.serverSpan(func(i item) bool { return i.parent == caller.span && i.name == "HTTP GET" })
				incoming := tel.serverSpan(func(i item) bool { return i.parent == outgoing.span })
				for _, s := range []item{outgoing, incoming} {
					if s.trace != trace {
						t.Errorf("another trace: %+v", s)
					}
					s.want(t, map[string]any{"request_id": "r-17", "tenant": "acme"})
				}
				for key, want := range map[string][]string{
					"Traceparent":  {"00-" + trace + "-" + outgoing.span + "-01"},
					"Tracestate":   states,
					"X-Request-Id": {"r-17"},
				} {
					if !slices.Equal(sent[key], want) {
						t.Errorf("%s is sent as %q, want %q", key, sent[key], want)
					}
				}
				if bags := sent["Baggage"]; len(bags) != 1 {
					t.Errorf("baggage is sent as %q", bags)
				} else if members := strings.Split(bags[0], ","); !slices.Equal(slices.Sorted(slices.Values(members)), []string{"region=eu", "tenant=acme"}) {
					t.Errorf("the members of the baggage are %q", members)
				}
				tel.wantSaid("reserving", testkit.Line{"request_id": "r-17", "tenant": "acme", "trace_id": trace, "span_id": incoming.span})
			})
		}
	}
}

// Without the request's context otelhttp begins a trace, as it does without a scope. It is still one
// header, without the state of the request's trace, and the id of the request goes along.
func TestACallWithoutTheContext(t *testing.T) {
	tel := start(t, overGRPC)
	var sent http.Header
	stockURL, _ := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent = r.Header.Clone() }))
	base := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(base.CloseIdleConnections)
	instrument := func(rt http.RoundTripper) http.RoundTripper {
		return otelhttp.NewTransport(rt, otelhttp.WithTracerProvider(tel.tracers), otelhttp.WithMeterProvider(tel.meters), otelhttp.WithPropagators(propagator))
	}
	for _, transport := range []http.RoundTripper{httpscope.Transport(instrument(base), nil), instrument(httpscope.Transport(base, nil))} {
		scope.New("request_id", "r-17", "tenant", "acme", "trace_id", remoteTrace, "span_id", remoteSpan, "trace_flags", "01", "trace_state", "vendor=1").Run(func() {
			resp, err := (&http.Client{Transport: transport}).Get(stockURL)
			must(t, err)
			resp.Body.Close()
		})
		if len(sent["Traceparent"]) != 1 || sent.Get("Tracestate") != "" || !slices.Equal(sent["Baggage"], []string{"tenant=acme"}) || !slices.Equal(sent["X-Request-Id"], []string{"r-17"}) {
			t.Errorf("sent %v", sent)
		}
	}
}

// A client doesn't speak for the service: a field stands in place of a member of its name that came in and isn't
// trusted, however that was written, and though OpenTelemetry has written it anew.
func TestBaggageOfAClientReplacesNoField(t *testing.T) {
	type instrument = func(http.RoundTripper) http.RoundTripper
	alone := func(i instrument, base http.RoundTripper) http.RoundTripper { return i(base) }
	around := func(i instrument, base http.RoundTripper) http.RoundTripper { return httpscope.Transport(i(base), nil) }
	inside := func(i instrument, base http.RoundTripper) http.RoundTripper { return i(httpscope.Transport(base, nil)) }
	for _, c := range []struct {
		name       string
		propagator propagation.TextMapPropagator
		transport  func(instrument, http.RoundTripper) http.RoundTripper
	}{
		{"otelhttp's transport", propagator, alone},
		{"httpscope.Transport around it", propagator, around},
		{"httpscope.Transport inside it", propagator, inside},
		{"httpscope.Transport inside it, and OpenTelemetry's own propagator", propagation.Baggage{}, inside},
	} {
		tel := start(t, overGRPC)
		options := []otelhttp.Option{otelhttp.WithTracerProvider(tel.tracers), otelhttp.WithMeterProvider(tel.meters), otelhttp.WithPropagators(c.propagator)}
		var sent http.Header
		stockURL, _ := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent = r.Header.Clone() }))
		base := http.DefaultTransport.(*http.Transport).Clone()
		t.Cleanup(base.CloseIdleConnections)
		out := &http.Client{Transport: c.transport(func(rt http.RoundTripper) http.RoundTripper { return otelhttp.NewTransport(rt, options...) }, base)}
		url, client := serve(t, otelhttp.NewHandler(entry(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			tenant.Set("acme")
			req, err := http.NewRequestWithContext(r.Context(), "GET", stockURL, nil)
			must(t, err)
			if r.URL.Path == "/proxy" {
				req.Header["Baggage"] = r.Header["Baggage"]
			}
			resp, err := out.Do(req)
			must(t, err)
			resp.Body.Close()
		})), "server", options...))
		for _, path := range []string{"/", "/proxy"} {
			for _, evil := range []string{"tenant=evil", "tenant=%65vil", " tenant = evil ;p=q", "tenant=evil%FF%FF", "x=1,tenant=evil", "tenant=first,tenant=evil"} {
				get(t, client, url+path, "Baggage", evil)
				if got := strings.Join(sent["Baggage"], ","); !strings.Contains(got, "tenant=acme") || strings.Count(got, "tenant") != 1 {
					t.Errorf("%s, %s: after %q is sent %q", c.name, path, evil, got)
				}
			}
		}
	}
}
