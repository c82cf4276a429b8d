package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// The ids that a client sends.
const (
	remoteTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	remoteSpan  = "00f067aa0ba902b7"
	traceparent = "00-" + remoteTrace + "-" + remoteSpan + "-01"
)

// entry returns h with a scope for each request that has the ids of the current span, and that
// hands on what is known at the end.
func entry(h http.Handler) http.Handler {
	return httpscope.Handler(h, &httpscope.Options{Fields: otelscope.Fields, Finish: otelscope.Finish})
}

// shop is a handler whose request has something of each signal. It ends when what it has
// started has ended.
func shop(tel *telemetry) http.Handler {
	orders, err := tel.meters.Meter("shop").Int64Counter("orders")
	must(tel.t, err)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant.Set("acme")
		plan.Set("gold")
		scope.Set("card", "4111")
		scope.Set("token", "s3cr3t")
		tel.say("charging")
		scope.Add("db.queries", 2)
		err := otelscope.Run(r.Context(), tel.tracer, "charge", func(ctx context.Context) error {
			scope.Set("attempt", 1)
			tel.say("inside")
			orders.Add(ctx, 1, otelscope.MetricOption(scope.Current()))
			return scope.Error(errors.New("declined"))
		})
		tel.say("behind")
		if err != nil {
			http.Error(w, err.Error(), http.StatusPaymentRequired)
		}
	})
}

func TestASignalOfEachKindCarriesTheSameID(t *testing.T) {
	for _, e := range exportings {
		t.Run(e.name, func(t *testing.T) {
			tel := start(t, e)
			url, client := serve(t, tel.otelhttp(entry(shop(tel))))
			get(t, client, url, "X-Request-Id", "r-17", "Traceparent", traceparent)

			var server item
			testkit.Eventually(t, "the server's span arrives", func() bool { // it ends when the answer is under way
				spans, _, _ := tel.flush()
				at := slices.IndexFunc(spans, func(i item) bool { return i.parent == remoteSpan })
				if at >= 0 {
					server = spans[at]
				}
				return at >= 0
			})
			spans, logs, metrics := tel.flush()
			charge, orders := named(t, spans, "charge"), named(t, metrics, "orders")
			if charge.trace != remoteTrace || charge.parent != server.span || server.trace != remoteTrace {
				t.Errorf("the spans are %+v and %+v", server, charge)
			}
			fields := map[string]any{"request_id": "r-17", "tenant": "acme", "card": "[REDACTED]", "token": nil, "plan": nil}
			server.want(t, fields)
			charge.want(t, fields)
			orders.want(t, map[string]any{"request_id": "r-17", "plan": "gold", "token": nil, "card": nil, "tenant": nil})
			if want := []string{"exception: declined"}; !slices.Equal(charge.events, want) {
				t.Errorf("the inner span has %q, want %q", charge.events, want)
			}

			outer := testkit.Line{"request_id": "r-17", "trace_id": remoteTrace, "span_id": server.span, "tenant": "acme", "plan": "gold", "card": "[REDACTED]", "token": nil}
			tel.wantSaid("charging", outer)
			tel.wantSaid("behind", outer)
			inner := testkit.Line{"request_id": "r-17", "trace_id": remoteTrace, "span_id": charge.span, "tenant": "acme"}
			tel.wantSaid("inside", inner)
			for _, l := range logs {
				if l.flags != 1 {
					t.Errorf("a record has the trace flags %d: %+v", l.flags, l)
				}
				if l.attrs["trace_id"] != nil || l.attrs["span_id"] != nil {
					t.Errorf("a record's ids are attributes as well: %+v", l)
				}
			}
		})
	}
}

// A span that isn't sampled stamps lines and records all the same. It is sent nowhere.
func TestASpanThatIsDropped(t *testing.T) {
	tel := start(t, overGRPC, sdktrace.WithSampler(sdktrace.NeverSample()))
	url, client := serve(t, tel.otelhttp(entry(shop(tel))))
	get(t, client, url, "X-Request-Id", "r-17")
	lines := tel.written("charging")
	id, span := lines["slog"]["trace_id"], lines["slog"]["span_id"]
	if id == nil || span == nil {
		t.Fatalf("no ids on the line: %v", lines["slog"])
	}
	tel.wantSaid("charging", testkit.Line{"request_id": "r-17", "trace_id": id, "span_id": span})
	tel.wantSaid("behind", testkit.Line{"request_id": "r-17", "trace_id": id, "span_id": span})
	inside := tel.written("inside")["slog"]["span_id"]
	if inside == nil || inside == span {
		t.Errorf("the inner span is %v, the outer one %v", inside, span)
	}
	tel.wantSaid("inside", testkit.Line{"request_id": "r-17", "trace_id": id, "span_id": inside})
	spans, logs, metrics := tel.flush()
	if len(spans) != 0 {
		t.Errorf("spans have arrived: %v", spans)
	}
	named(t, metrics, "orders").want(t, map[string]any{"request_id": "r-17", "plan": "gold"})
	for _, l := range logs {
		if l.flags != 0 {
			t.Errorf("a record of a span that isn't sampled has the flags %d", l.flags)
		}
	}
}

// Whatever becomes of the exporters, lines are written, stamped and in no time.
func TestNothingHoldsUpALine(t *testing.T) {
	const requests = 60 // of 15 lines and records each
	for _, c := range []struct {
		name  string
		fails func(*telemetry)
	}{
		{"all is well", func(*telemetry) {}},
		{"the receiver doesn't answer", func(tel *telemetry) { tel.receiver.block() }},
		{"the receiver refuses", func(tel *telemetry) { tel.receiver.refuse() }},
		{"the receiver is gone", func(tel *telemetry) { tel.receiver.stop() }},
		{"the providers are shut down", func(tel *telemetry) { tel.shutdown() }},
	} {
		for _, e := range exportings {
			t.Run(c.name+", "+e.name, func(t *testing.T) {
				e.queue = 64 // is full soon
				tel := start(t, e)
				h := tel.otelhttp(entry(shop(tel)))
				url, client := serve(t, h)
				c.fails(tel)
				var longest time.Duration
				for i := range requests {
					began := time.Now()
					get(t, client, url, "X-Request-Id", fmt.Sprint("r-", i))
					longest = max(longest, time.Since(began))
				}
				t.Logf("the longest of %d requests has taken %v; %d exports", requests, longest, tel.receiver.exports())
				// An export is given up after two seconds: no request has waited for one.
				if limit := attempt / 2; longest > limit {
					t.Errorf("a request has taken %v", longest)
				}
				stamped := 0
				for _, text := range tel.lines.Lines() {
					if line := parse(t, text); line["request_id"] != nil && line["tenant"] == "acme" {
						stamped++
					}
				}
				if want := requests * 9; stamped != want {
					t.Errorf("%d lines are stamped, want %d", stamped, want)
				}
			})
		}
	}
}

// Shutdown hands on what there is, and ends when its context does.
func TestShutdownSendsWhatIsLeft(t *testing.T) {
	for _, e := range exportings {
		t.Run(e.name, func(t *testing.T) {
			tel := start(t, e)
			_ = otelscope.Run(t.Context(), tel.tracer, "last", func(context.Context) error {
				scope.Set("request_id", "r-17")
				tel.say("last words")
				return nil
			})
			tel.shutdown()
			spans, logs, _ := tel.receiver.received()
			last := named(t, spans, "last")
			if len(logs) != 2 || logs[0].span != last.span || logs[1].attrs["request_id"] != "r-17" {
				t.Errorf("the span is %+v, the records are %+v", last, logs)
			}
		})
	}
	t.Run("to a receiver that doesn't answer", func(t *testing.T) {
		tel := start(t, overGRPC)
		tel.receiver.block()
		scope.New("request_id", "r-17").Run(func() { tel.say("last words") })
		began := time.Now()
		tel.shutdown()
		if took := time.Since(began); took > 3*attempt {
			t.Errorf("it has taken %v", took)
		}
	})
}
