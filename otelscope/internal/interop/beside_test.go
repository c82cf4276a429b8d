package interop

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	ddotel "github.com/DataDog/dd-trace-go/v2/ddtrace/opentelemetry"
	"github.com/DataDog/dd-trace-go/v2/ddtrace/tracer"
	"github.com/google/pprof/profile"
	otelpyroscope "github.com/grafana/otel-profiling-go"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
)

// A slogStamper puts ids of its own on each line before a handler sees it, as instrumentation at
// compile time does.
type slogStamper struct{ slog.Handler }

const theirTrace, theirSpan = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"

func (s slogStamper) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.String("trace_id", theirTrace), slog.String("span_id", theirSpan))
	return s.Handler.Handle(ctx, r)
}

// A zapStamper does it for zap.
type zapStamper struct{ zapcore.Core }

func (s zapStamper) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, s)
}

func (s zapStamper) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return s.Core.Write(e, append(slices.Clone(fields), zap.String("trace_id", theirTrace), zap.String("span_id", theirSpan)))
}

// A line that has ids already keeps them, and has each once. A record of OpenTelemetry that has them
// as attributes gets no others, and one that is given a span's context has those of that span.
func TestIDsThatALineHasStay(t *testing.T) {
	tel := start(t, overGRPC)
	stamped := slog.New(slogStamper{slogh.New(slog.NewJSONHandler(tel.lines, nil), nil)})
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), tel.lines, zap.InfoLevel)
	stampedZap := zap.New(zapStamper{zaph.New(core, nil)})
	bridge := slog.New(slogStamper{otelslog.NewHandler("interop", otelslog.WithLoggerProvider(tel.loggers))})
	ids := testkit.Line{"trace_id": theirTrace, "span_id": theirSpan, "request_id": "r-17"}

	var theirs trace.SpanContext
	_ = otelscope.Run(t.Context(), tel.tracer, "ours", func(context.Context) error {
		scope.Set("request_id", "r-17")
		stamped.Info("hello", "by", "slog")
		stampedZap.Info("hello", zap.String("by", "zap"))
		bridge.Info("hello")
		ctx, span := tel.tracer.Start(context.Background(), "theirs")
		theirs = span.SpanContext()
		tel.otelslog.InfoContext(ctx, "in their context")
		span.End()
		return nil
	})
	for by, line := range tel.written("hello") {
		line.Want(t, ids)
		if line["msg"] != "hello" {
			t.Errorf("%s has written %v", by, line)
		}
	}
	if n := len(tel.written("hello")); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
	spans, logs, _ := tel.flush()
	ours, record := named(t, spans, "ours"), named(t, logs, "hello")
	if record.trace != "" || record.span != "" {
		t.Errorf("the record of a line with the ids %s, %s has %+v", theirTrace, theirSpan, record)
	}
	record.want(t, map[string]any(ids))
	record = named(t, logs, "in their context")
	if record.trace != theirs.TraceID().String() || record.span != theirs.SpanID().String() {
		t.Errorf("the record has the ids %s, %s, want those of its context, %v", record.trace, record.span, theirs)
	}
	record.want(t, map[string]any{"request_id": "r-17", "trace_id": nil, "span_id": nil})
	if theirs.TraceID().String() == ours.trace {
		t.Error("their span is in our trace")
	}
}

// Tracers that label goroutines: the line has the ids of their spans, and the goroutine has the
// labels that it has in the same program without a scope. That is more than docs/labels.md says of spans
// that are started by hand: the tracer of dd-trace-go's bridge labels the goroutine from no context at
// all, so that the scope is lost there, and Run puts it back.
func TestBesideTracersThatWriteLabels(t *testing.T) {
	if !inherits {
		t.Skip("on the portable path labels are other code's affair")
	}
	for _, c := range []struct {
		name     string
		provider func(t *testing.T, tel *telemetry) trace.TracerProvider
		label    string // of an open span's id
	}{
		{"dd-trace-go", datadog, "span id"},
		{"otel-profiling-go", func(_ *testing.T, tel *telemetry) trace.TracerProvider {
			return otelpyroscope.NewTracerProvider(tel.tracers, otelpyroscope.WithSpanIDLabelScope(otelpyroscope.ScopeAllSpans))
		}, "span_id"},
	} {
		for _, given := range []string{"the request's context", "a context without a scope"} {
			t.Run(c.name+", Run given "+given, func(t *testing.T) {
				tel := start(t, overGRPC)
				tr := c.provider(t, tel).Tracer("interop")
				contextFor := func(ctx context.Context) context.Context {
					if given == "a context without a scope" {
						return trace.ContextWithSpan(context.Background(), trace.SpanFromContext(ctx))
					}
					return ctx
				}
				bare := &labelled{t: t, tr: tr, look: func(string) {}, enter: func(h http.Handler) http.Handler { return h },
					run: func(ctx context.Context, fn func(context.Context)) {
						ctx, span := tr.Start(contextFor(ctx), "inner")
						fn(ctx)
						span.End()
					}}
				bare.serve(tel)
				scoped := &labelled{t: t, tr: tr, look: tel.say, enter: entry,
					run: func(ctx context.Context, fn func(context.Context)) {
						scope.Set("tenant", "acme")
						_ = otelscope.Run(contextFor(ctx), tr, "inner", func(ctx context.Context) error {
							scope.Set("step", "inner")
							fn(ctx)
							return nil
						})
					}}
				scoped.serve(tel)

				server, inner := scoped.server, scoped.inner
				if !server.IsValid() || !inner.IsValid() || server.TraceID() != inner.TraceID() || server.SpanID() == inner.SpanID() {
					t.Fatalf("the spans are %v and %v", server, inner)
				}
				for where, sc := range map[string]trace.SpanContext{"outer": server, "outer again": server, "inner": inner, "inner goroutine": inner} {
					tel.wantSaid(where, testkit.Line{"request_id": "r-17", "trace_id": sc.TraceID().String(), "span_id": sc.SpanID().String()})
				}
				tel.wantSaid("inner", testkit.Line{"tenant": "acme", "step": "inner"})
				tel.wantSaid("outer again", testkit.Line{"tenant": "acme", "step": nil})

				for where, want := range bare.seen {
					got := scoped.seen[where]
					for key := range want {
						if got[key] == "" {
							t.Errorf("%s: the label %s is lost; there is %v, and without a scope %v", where, key, got, want)
						}
					}
				}
				outer, again, in := scoped.seen["outer"], scoped.seen["outer again"], scoped.seen["inner"]
				if outer[c.label] == "" || in[c.label] == "" || outer[c.label] == in[c.label] {
					t.Errorf("labels of the outer span %v, of the inner one %v", outer, in)
				}
				if !maps.Equal(in, scoped.seen["inner goroutine"]) {
					t.Errorf("labels in the span %v, in its goroutine %v", in, scoped.seen["inner goroutine"])
				}
				if !maps.Equal(outer, again) {
					t.Errorf("labels before the inner span %v, behind it %v", outer, again)
				}
				if after := scoped.seen["outside"]; after[c.label] != "" {
					t.Errorf("labels when all spans are finished: %v", after)
				}
			})
		}
	}
}

// What Run mends, where spans are started by hand nobody does: docs/labels.md says so.
func TestASpanOfDatadogsBridgeThatIsStartedByHand(t *testing.T) {
	if !inherits {
		t.Skip("on the portable path labels are other code's affair")
	}
	tel := start(t, overGRPC)
	tr := datadog(t, tel).Tracer("interop")
	scope.New("request_id", "r-17").Run(func() {
		ctx := scope.NewContext(t.Context(), scope.Current())
		_ = otelscope.Run(ctx, tr, "enclosing", func(ctx context.Context) error {
			_, span := tr.Start(ctx, "by hand")
			tel.say("open")
			span.End()
			tel.say("finished")
			return nil
		})
		tel.say("behind the enclosing Run")
	})
	tel.wantSaid("open", testkit.Line{"request_id": nil, "trace_id": nil})
	tel.wantSaid("finished", testkit.Line{"request_id": nil, "trace_id": nil})
	tel.wantSaid("behind the enclosing Run", testkit.Line{"request_id": "r-17", "trace_id": nil})
}

// datadog starts dd-trace-go's bridge, beside a stub of the agent.
func datadog(t *testing.T, _ *telemetry) trace.TracerProvider {
	t.Setenv("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false") // these have nothing to do with labels
	t.Setenv("DD_REMOTE_CONFIGURATION_ENABLED", "false")
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	t.Cleanup(agent.Close)
	p := ddotel.NewTracerProvider(tracer.WithAgentURL(agent.URL), tracer.WithLogStartup(false))
	t.Cleanup(func() { _ = p.Shutdown() })
	return p
}

// A labelled is a program whose spans label goroutines.
type labelled struct {
	t     *testing.T
	tr    trace.Tracer
	enter func(http.Handler) http.Handler // what is inside the server's span
	run   func(ctx context.Context, fn func(context.Context))
	look  func(where string)

	server, inner trace.SpanContext
	seen          map[string]map[string]string // the labels at each place
}

// serve serves a request. The program has a label of its own.
func (p *labelled) serve(tel *telemetry) {
	p.seen = map[string]map[string]string{}
	look := func(where string) {
		p.look(where)
		p.seen[where] = labels(p.t)
	}
	h := p.enter(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p.server = trace.SpanContextFromContext(r.Context())
		look("outer")
		p.run(r.Context(), func(ctx context.Context) {
			p.inner = trace.SpanContextFromContext(ctx)
			look("inner")
			spawned(func() { look("inner goroutine") })
		})
		look("outer again")
	}))
	url, client := serve(p.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pprof.Do(r.Context(), pprof.Labels("app", "shop"), func(ctx context.Context) {
			ctx, span := p.tr.Start(ctx, "server")
			h.ServeHTTP(w, r.WithContext(ctx))
			span.End()
			p.seen["outside"] = labels(p.t)
		})
	}))
	get(p.t, client, url, "X-Request-Id", "r-17")
}

// labels returns the labels of the running goroutine as a goroutine profile has them.
// One goroutine at a time may call it.
//
//go:noinline
func labels(t testing.TB) map[string]string {
	var out bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&out, 0); err != nil {
		t.Error(err)
	}
	p, err := profile.ParseData(out.Bytes())
	if err != nil {
		t.Error(err)
		return nil
	}
	for _, sample := range p.Sample {
		if !slices.ContainsFunc(sample.Location, func(at *profile.Location) bool {
			return slices.ContainsFunc(at.Line, func(l profile.Line) bool { return strings.HasSuffix(l.Function.Name, "interop.labels") })
		}) {
			continue
		}
		found := map[string]string{}
		for k, v := range sample.Label {
			if k != "taskscope" { // shows where pprof.Do has copied labels
				found[k] = strings.Join(v, ",")
			}
		}
		return found
	}
	t.Error("the running goroutine is not in the goroutine profile")
	return nil
}
