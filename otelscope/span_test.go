package otelscope_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// A span has what is declared Traced, and nothing else; what it has itself stays.
func TestASpanStartsWithTheTracedFields(t *testing.T) {
	tracer, spans := newTracer()
	start := func(ctx context.Context, opts ...trace.SpanStartOption) {
		_, span := tracer.Start(ctx, "work", opts...)
		span.End()
	}
	start(background)
	scope.New("request_id", "r-1").Run(func() { start(background) })
	scope.New("request_id", "r-1", "t.user", "ann", "t.hidden", "x", "t.redacted", "x", "t.tenant", "acme").Run(func() {
		start(background)
		start(background, trace.WithAttributes(attribute.String("t.user", "own"), attribute.Int("n", 1)))
		scope.Share("t.both", "shared")
		start(background)
		start(scope.NewContext(background, scope.New("t.user", "other task's")))
		start(scope.NewContext(background, scope.With("t.late", "added")))
		scope.Delete("t.user", "t.redacted")
		start(background)
	})
	for i, attrs := range []string{
		"", "",
		"t.user=ann t.redacted=[REDACTED]",
		"t.user=own n=1 t.redacted=[REDACTED]",
		"t.user=ann t.redacted=[REDACTED] t.both=shared",
		"t.user=other task's",
		"t.user=ann t.redacted=[REDACTED] t.late=added t.both=shared",
		"t.both=shared",
	} {
		want(t, "span", text(spans.Ended()[i].Attributes()), attrs)
	}
}

func TestASpanOfATaskThatIsOverSaysSo(t *testing.T) {
	tracer, spans := newTracer()
	for _, s := range []scope.Scope{scope.New("t.user", "ann"), scope.New("request_id", "r-1")} {
		s.Run(func() {})
		_, span := tracer.Start(scope.NewContext(background, s), "late")
		span.End()
	}
	s := scope.New("t.user", "ann")
	s.Run(func() {})
	_, span := tracer.Start(scope.NewContext(background, s), "late", trace.WithAttributes(attribute.String("t.user", "own")))
	span.End()
	want(t, "with Traced fields", text(spans.Ended()[0].Attributes()), "scope_ended=true t.user=ann")
	want(t, "with none that the span takes", text(spans.Ended()[2].Attributes()), "t.user=own")
	want(t, "without", text(spans.Ended()[1].Attributes()), "")
}

// A limit of the SDK leaves out a field before the mark that says something of it.
func TestALimitDoesntLeaveOutThatATaskIsOver(t *testing.T) {
	s := scope.New("t.user", "ann", "t.late", 3)
	s.Run(func() {})
	ctx := scope.NewContext(background, s)
	for limit, want := range []string{"", "own=1", "own=1 scope_ended=true", "own=1 scope_ended=true t.user=ann"} {
		limits := sdktrace.NewSpanLimits()
		limits.AttributeCountLimit = limit
		tracer, spans := newTracer(sdktrace.WithRawSpanLimits(limits))
		_, span := tracer.Start(ctx, "late", trace.WithAttributes(attribute.Int("own", 1)))
		span.End()
		if got := text(spans.Ended()[0].Attributes()); got != want {
			t.Errorf("a span with %d attributes: %q, want %q", limit, got, want)
		}
		k := new(records)
		l := sdklog.NewLoggerProvider(sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), sdklog.WithProcessor(k), sdklog.WithAttributeCountLimit(limit))
		emit(l.Logger("test"), ctx, attribute.Int("own", 1))
		wantLines(t, k, strings.TrimSpace("hello "+want))
	}
}

// The span processor has nothing to do but in OnStart.
func TestTheSpanProcessorOnlyStarts(t *testing.T) {
	p := otelscope.NewSpanProcessor(new(otelscope.SpanOptions))
	p.OnEnd(nil)
	if err := p.ForceFlush(background); err != nil {
		t.Error(err)
	}
	if err := p.Shutdown(background); err != nil {
		t.Error(err)
	}
}

func TestFieldsAreTheIDsOfTheCurrentSpan(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	if got := otelscope.Fields(r); got != nil {
		t.Errorf("without a span: %v", got)
	}
	if got := otelscope.Fields(nil); got != nil {
		t.Errorf("without a request: %v", got)
	}
	if got := otelscope.SpanFields(noContext); got != nil {
		t.Errorf("without a context: %v", got)
	}
	trace16, _ := trace.TraceIDFromHex(traceID)
	if got := otelscope.SpanFields(trace.ContextWithSpanContext(background, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace16}))); got != nil {
		t.Errorf("without a span's id: %v", got)
	}
	fields := otelscope.Fields(r.WithContext(remote()))
	want(t, "Fields", slog.GroupValue(fields...).String(), "[trace_id="+traceID+" span_id="+spanID+" trace_flags=01]")
	tracer, _ := newTracer()
	ctx, span := tracer.Start(remote(), "server")
	defer span.End()
	scope.New().Run(func() {
		scope.SetAttrs(otelscope.SpanFields(ctx)...)
		want(t, "SpanFields", bound(), idsOf(span.SpanContext()))
	})
}

func TestWithoutFinishASpanHasWhatItHasStartedWith(t *testing.T) {
	tracer, spans := newTracer()
	scope.New("t.user", "ann").Run(func() {
		_, span := tracer.Start(background, "server")
		scope.Set("t.late", 3)
		span.End()
	})
	want(t, "span", text(spans.Ended()[0].Attributes()), "t.user=ann")
}

// Finish brings what came after the span's start. What is there stays.
func TestFinishAddsWhatCameLate(t *testing.T) {
	tracer, spans := newTracer()
	scope.New("t.user", "ann", "request_id", "r-1").Run(func() {
		ctx, span := tracer.Start(background, "server", trace.WithAttributes(attribute.String("rows", "own")))
		scope.Set("t.user", "changed")
		scope.Set("t.late", 3)
		scope.Share("t.both", true)
		scope.Set("t.hidden", "x")
		scope.Set("t.tenant", "acme") // Measured alone
		scope.Add("rows", 1)
		scope.Add("db.queries", 2)
		scope.Add("t.redacted", 1)
		scope.Add("t.hidden_total", 1)
		scope.Add("t.sent", 1) // Hidden
		scope.Add("wait", 1500*time.Millisecond)
		scope.Append("items", "umbrella")
		scope.Append("items", "boots")
		scope.Append("broken", testkit.PanickingString{})
		scope.Append("gaps", (*int)(nil))
		otelscope.Finish(ctx)
		otelscope.Finish(ctx) // once more changes nothing
		span.End()
		otelscope.Finish(ctx) // nor after the end
	})
	want(t, "span", text(spans.Ended()[0].Attributes()), "rows=own t.user=ann t.late=3 t.both=true db.queries=2 t.redacted=[REDACTED]"+
		" t.hidden_total=1 wait=1.5 items=[\"umbrella\",\"boots\"] broken=[\"{}\"] gaps=[null]")
}

// A job has no option for it, and calls it itself.
func TestAJobCallsFinish(t *testing.T) {
	tracer, spans := newTracer()
	_ = otelscope.Run(background, tracer, "pack", func(ctx context.Context) error {
		return jobscope.Run(ctx, "pack", func(ctx context.Context) error {
			defer otelscope.Finish(ctx)
			scope.Set("t.user", "ann")
			scope.Add("rows", 3)
			return nil
		}, &jobscope.Options{Fields: otelscope.SpanFields})
	})
	want(t, "span", text(spans.Ended()[0].Attributes()), "t.user=ann rows=3")
}

// Finish looks once, so it may take another way to a scope's fields than the start of a span does.
func TestFinishGivesWhatTheStartGives(t *testing.T) {
	for _, key := range []string{"t.any", "t.other", "t.shared", "k\xff", "k\xfe", logadapters.EndedKey} {
		_ = scope.NewKey[any](key, scope.Traced)
	}
	tracer, _ := newTracer()
	for _, args := range [][]any{
		{},
		{"request_id", "r-1"},
		{"t.any", 1},
		{"t.any", uint64(math.MaxUint64), "t.other", true, "t.user", "not UTF-8: \xff"},
		{"t.user", "ann", "t.redacted", "x", "t.hidden", "x", "request_id", "r-1", "t.both", ""},
		{"k\xff", "first", "k\xfe", "second"},
		{logadapters.EndedKey, "a field", "t.user", "ann"},
		{logadapters.EndedKey, "a field"},
		{"t.any", 1.5, "t.other", time.Second},
		{"t.any", slog.GroupValue(slog.Int("a", 1), slog.Int("t.hidden", 2)), "t.any.a", "own"},
		{"t.any", nil, "t.other", testkit.PanickingString{}},
	} {
		s := scope.New(args...)
		check := func(when string) {
			ctx := scope.NewContext(background, s)
			_, atStart := tracer.Start(ctx, "start")
			_, bare := tracer.Start(background, "finish")
			otelscope.Finish(trace.ContextWithSpan(ctx, bare))
			want(t, fmt.Sprint(args, " ", when), attributes(bare), attributes(atStart))
		}
		check("before its task")
		s.Run(func() {
			scope.Share("t.shared", 1)
			scope.Outside(func() { check("in its task") })
		})
		check("after its task")
	}
}

func attributes(span trace.Span) string { return text(span.(sdktrace.ReadOnlySpan).Attributes()) }

// What is remembered of a scope is shared by all spans that end in it.
func TestFinishesOfOneScopeShareNothingThatChanges(t *testing.T) {
	tracer, spans := newTracer()
	s := scope.New("t.user", "ann", "t.late", 3, "t.both", 1)
	var all sync.WaitGroup
	for i := range 4 {
		ctx, span := tracer.Start(background, "work")
		own := scope.NewContext(ctx, s)
		all.Go(func() {
			defer span.End()
			span.SetAttributes(attribute.Int("own", i))
			otelscope.Finish(own)
		})
		s.Run(func() { scope.Add(fmt.Sprint("total", i), 1) })
	}
	all.Wait()
	for _, span := range spans.Ended() {
		if got := text(span.Attributes()); !strings.Contains(got, "t.user=ann t.late=3 t.both=1") {
			t.Errorf("a span has %s", got)
		}
	}
}

// Keys are compared as they are on a span, which is UTF-8.
func TestASpansOwnAttributeWinsOverARenamedField(t *testing.T) {
	_ = scope.NewKey[string]("k\xff", scope.Traced)
	own := trace.WithAttributes(attribute.String("k\uFFFD", "own"), attribute.String("rows\uFFFD", "own"))
	tracer, spans := newTracer()
	scope.New("k\xff", "field").Run(func() {
		scope.Add("rows\xff", 1)
		ctx, span := tracer.Start(background, "work", own)
		otelscope.Finish(ctx)
		span.End()
		_ = otelscope.Run(background, tracer, "work", func(context.Context) error { return nil }, own)
		ctx, span = tracer.Start(background, "work")
		otelscope.Finish(ctx)
		span.End()
	})
	for i, attrs := range []string{"k\uFFFD=own rows\uFFFD=own", "k\uFFFD=own rows\uFFFD=own", "k\uFFFD=field rows\uFFFD=1"} {
		want(t, "span", text(spans.Ended()[i].Attributes()), attrs)
	}
}

// A member of a group that is flat is a field as others: a total of its name gives way.
func TestATotalGivesWayToALateField(t *testing.T) {
	_ = scope.NewKey[any]("late.group", scope.Traced)
	tracer, spans := newTracer()
	scope.New().Run(func() {
		ctx, span := tracer.Start(background, "work")
		scope.Set("late.group", slog.GroupValue(slog.String("rows", "field")))
		scope.Add("late.group.rows", 1)
		otelscope.Finish(ctx)
		span.End()
	})
	want(t, "span", text(spans.Ended()[0].Attributes()), "late.group.rows=field")
}

// readless is a span that can't be read, as one of another implementation.
type readless struct {
	trace.Span
	dropped bool
	attrs   []attribute.KeyValue
	given   []attribute.KeyValue // by the last call, as it was given
}

func (s *readless) IsRecording() bool { return !s.dropped }
func (s *readless) SetAttributes(kv ...attribute.KeyValue) {
	s.attrs, s.given = append(s.attrs, kv...), kv
}

func TestFinishWithOtherSpans(t *testing.T) {
	scope.New("t.user", "ann").Run(func() {
		scope.Add("rows", 1)
		otelscope.Finish(noContext)
		otelscope.Finish(background)
		otelscope.Finish(remote())
		span := &readless{Span: noop.Span{}}
		otelscope.Finish(trace.ContextWithSpan(background, span))
		want(t, "a span that can't be read", text(span.attrs), "t.user=ann rows=1")
		span = &readless{Span: noop.Span{}, dropped: true}
		otelscope.Finish(trace.ContextWithSpan(background, span))
		want(t, "a span that isn't recording", text(span.attrs), "")
		other := scope.New("t.user", "other task's")
		span = &readless{Span: noop.Span{}}
		otelscope.Finish(trace.ContextWithSpan(scope.NewContext(background, other), span))
		want(t, "the context of another task", text(span.attrs), "t.user=other task's")
	})
}

// What a span is given is its own: another implementation may sort it, as attribute.NewSet does.
func TestASpanMayChangeWhatFinishGivesIt(t *testing.T) {
	_ = scope.NewKey[any]("t.any", scope.Traced)
	for _, v := range []any{1, 1.5} { // what isn't remembered, and what is
		s := scope.New("t.user", "ann", "t.any", v)
		for range 2 {
			span := &readless{Span: noop.Span{}}
			otelscope.Finish(trace.ContextWithSpan(scope.NewContext(background, s), span))
			want(t, "a span", text(span.attrs), fmt.Sprint("t.user=ann t.any=", v))
			clear(span.given)
		}
	}
}

// A nil context is one without a scope and without a span, for whatever takes one.
func TestANilContext(t *testing.T) {
	tracer, spans := newTracer()
	scope.New("t.user", "ann", "t.region", "eu").Run(func() {
		l, k := newLogger(nil)
		emit(l, background)
		r := k.all[0]
		r.SetAttributes()
		if err := otelscope.NewLogProcessor(nil).OnEmit(noContext, &r); err != nil {
			t.Error(err)
		}
		want(t, "a record", describe(r), "hello t.user=ann t.region=eu")
		var span trace.Span
		scope.Outside(func() { _, span = tracer.Start(background, "work") })
		otelscope.NewSpanProcessor(nil).OnStart(noContext, span.(sdktrace.ReadWriteSpan))
		span.End()
		want(t, "a span", text(spans.Ended()[0].Attributes()), "t.user=ann")
	})
	for what, call := range map[string]func(){
		"Run":     func() { _ = otelscope.Run(noContext, tracer, "", func(context.Context) error { return nil }) },
		"Extract": func() { otelscope.Propagator().Extract(noContext, propagation.MapCarrier{"baggage": "a=1"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s doesn't panic", what)
				}
			}()
			call()
		}()
	}
}

// What a value's method does while a span starts doesn't come back to itself.
func TestASpanThatAValueStarts(t *testing.T) {
	tracer, spans := newTracer()
	v := spanning(func() {
		_, span := tracer.Start(background, "inner")
		span.End()
	})
	scope.New("t.user", v, "t.late", "x").Run(func() {
		ctx := scope.NewContext(background, scope.Current())
		testkit.InTime(t, func() {
			_, span := tracer.Start(ctx, "outer")
			span.End()
		})
	})
	ended := spans.Ended()
	want(t, "outer", text(ended[len(ended)-1].Attributes()), "t.user=said t.late=x")
	for _, span := range ended[:len(ended)-1] {
		if strings.Contains(text(span.Attributes()), "t.user") {
			t.Errorf("an inner span has %v", span.Attributes())
		}
	}
}

type spanning func()

func (v spanning) LogValue() slog.Value { v(); return slog.StringValue("said") }

// Nor does what the method of a total's value does while Finish asks it.
func TestATotalThatFinishes(t *testing.T) {
	tracer, spans := newTracer()
	scope.New("t.user", "ann").Run(func() {
		ctx, span := tracer.Start(background, "work")
		calls := 0
		scope.Append("items", finishing(func() {
			if calls++; calls < 100 { // a test that fails must end
				otelscope.Finish(ctx)
			}
		}))
		scope.Add("rows", 1)
		otelscope.Finish(ctx)
		span.End()
		want(t, "calls of its method", fmt.Sprint(calls), "1")
	})
	want(t, "span", text(spans.Ended()[0].Attributes()), `t.user=ann rows=1 items=["said"]`)
}

type finishing func()

func (v finishing) MarshalJSON() ([]byte, error) { v(); return []byte(`"said"`), nil }
