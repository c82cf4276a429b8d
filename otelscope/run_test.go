package otelscope_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// While fn runs the ids of its span are bound, and then those of before.
func TestRunBindsTheIDsOfItsSpan(t *testing.T) {
	tracer, spans := newTracer()
	l, k := newLogger(nil)
	check := func(ctx context.Context) {
		t.Helper()
		ids := idsOf(trace.SpanContextFromContext(ctx))
		want(t, "bound", bound(), ids)
		emit(l, background) // without the span's context
		wantLines(t, k, "hello request_id=r-1 ["+ids+"]")
		if s, ok := scope.FromContext(ctx); !ok || s != scope.Current() {
			t.Errorf("the context has %v", s)
		}
	}
	scope.New("request_id", "r-1").Run(func() {
		before := scope.Current()
		err := otelscope.Run(background, tracer, "outer", func(ctx context.Context) error {
			check(ctx)
			if err := otelscope.Run(ctx, tracer, "inner", func(ctx context.Context) error { check(ctx); return nil }); err != nil {
				t.Error(err)
			}
			check(ctx)
			return nil
		})
		if err != nil || scope.Current() != before {
			t.Errorf("%v; bound is %v", err, scope.Current())
		}
	})
	inner, outer := spans.Ended()[0], spans.Ended()[1]
	if inner.Name() != "inner" || inner.Parent().SpanID() != outer.SpanContext().SpanID() || inner.Status().Code != codes.Unset {
		t.Errorf("%s, child of %v, %v", inner.Name(), inner.Parent(), inner.Status())
	}
}

func TestRunWithNothingBound(t *testing.T) {
	tracer, _ := newTracer()
	scope.Outside(func() {
		_ = otelscope.Run(background, tracer, "work", func(ctx context.Context) error {
			want(t, "bound", bound(), idsOf(trace.SpanContextFromContext(ctx)))
			return nil
		})
		want(t, "bound afterwards", scope.Current().String(), "")
	})
}

// The scope is the one that a line with ctx would have.
func TestRunPicksTheScope(t *testing.T) {
	tracer, spans := newTracer()
	scope.New("t.user", "bound").Run(func() {
		ctx := scope.NewContext(background, scope.New("t.user", "ctx's"))
		_ = otelscope.Run(ctx, tracer, "work", func(ctx context.Context) error {
			want(t, "bound", scope.GetOr("t.user", ""), "ctx's")
			return nil
		})
		want(t, "bound afterwards", scope.GetOr("t.user", ""), "bound")
	})
	want(t, "span", text(spans.Ended()[0].Attributes()), "t.user=ctx's")
}

// A sampler sees the Traced fields, each once, and the caller's own in their place.
func TestASamplerSeesTheTracedFields(t *testing.T) {
	var seen []string
	tracer, spans := newTracer(sdktrace.WithSampler(sampler(func(p sdktrace.SamplingParameters) sdktrace.SamplingDecision {
		seen = append(seen, text(p.Attributes))
		return sdktrace.RecordAndSample
	})))
	nothing := func(context.Context) error { return nil }
	scope.New("t.user", "ann", "t.late", 1, "other", 2).Run(func() {
		_ = otelscope.Run(background, tracer, "work", nothing)
		_ = otelscope.Run(background, tracer, "work", nothing, trace.WithAttributes(attribute.String("t.user", "own"), attribute.Int("n", 1)), trace.WithSpanKind(trace.SpanKindClient))
	})
	for i, attrs := range []string{"t.user=ann t.late=1", "t.user=own n=1 t.late=1"} {
		want(t, "the sampler", seen[i], attrs)
		want(t, "the span", text(spans.Ended()[i].Attributes()), attrs)
	}
	if kind := spans.Ended()[1].SpanKind(); kind != trace.SpanKindClient {
		t.Errorf("kind %v", kind)
	}
}

type sampler func(sdktrace.SamplingParameters) sdktrace.SamplingDecision

func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{Decision: s(p), Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
}
func (sampler) Description() string { return "a test's" }

// A span that isn't recorded has ids all the same.
func TestASpanThatIsDroppedStampsLines(t *testing.T) {
	tracer, spans := newTracer(sdktrace.WithSampler(sdktrace.NeverSample()))
	_ = otelscope.Run(background, tracer, "work", func(ctx context.Context) error {
		sc := trace.SpanContextFromContext(ctx)
		want(t, "bound", bound(), idsOf(sc))
		want(t, "flags", scope.GetOr("trace_flags", ""), "00")
		return errors.New("boom")
	})
	if n := len(spans.Ended()); n != 0 {
		t.Errorf("%d spans", n)
	}
}

// A tracer that makes no ids leaves the lines alone.
func TestANoopTracerBindsNothing(t *testing.T) {
	tracer := noop.NewTracerProvider().Tracer("test")
	scope.New("request_id", "r-1", "trace_id", traceID).Run(func() {
		before := scope.Current()
		called := false
		_ = otelscope.Run(background, tracer, "work", func(ctx context.Context) error {
			called = true
			if scope.Current() != before {
				t.Errorf("bound is %v", scope.Current())
			}
			return nil
		})
		if !called {
			t.Error("fn wasn't called")
		}
	})
	for _, s := range []scope.Scope{{}, scope.New("trace_id", "1", "span_id", spanID), scope.New("trace_id", traceID, "span_id", "1")} {
		s.Run(func() {
			_ = otelscope.Run(remote(), tracer, "work", func(context.Context) error {
				want(t, "a remote parent's ids", bound(), traceID+"/"+spanID+"/01")
				return nil
			})
		})
	}
}

// What an entry has taken from a request's headers is of the outer span: it follows.
func TestRunTakesParentAndStateAlong(t *testing.T) {
	tracer, _ := newTracer(sdktrace.WithSampler(sampler(func(sdktrace.SamplingParameters) sdktrace.SamplingDecision { return sdktrace.RecordAndSample })))
	entry := scope.New("trace_id", traceID, "span_id", spanID, "parent_span_id", "1111111111111111", "trace_state", "a=1")
	entry.Run(func() {
		_ = otelscope.Run(remote(), tracer, "child", func(ctx context.Context) error {
			want(t, "the parent", scope.GetOr("parent_span_id", ""), spanID)
			if _, ok := scope.Get("trace_state"); ok {
				t.Error("a state is left that the span doesn't have")
			}
			return nil
		})
		state, _ := trace.ParseTraceState("b=2")
		ctx := trace.ContextWithRemoteSpanContext(background, trace.SpanContextFromContext(remote()).WithTraceState(state))
		_ = otelscope.Run(ctx, tracer, "child", func(context.Context) error {
			want(t, "the state", scope.GetOr("trace_state", ""), "b=2")
			return nil
		})
		_ = otelscope.Run(remote(), tracer, "root", func(ctx context.Context) error {
			if _, ok := scope.Get("parent_span_id"); ok {
				t.Error("a new root has a parent")
			}
			return nil
		}, trace.WithNewRoot())
	})
	entry.Run(func() {
		before := scope.Current()
		_ = otelscope.Run(remote(), noop.Tracer{}, "none", func(ctx context.Context) error {
			if scope.Current() != before {
				t.Errorf("without a span of its own: %v", scope.Current())
			}
			return nil
		})
		ctx := trace.ContextWithSpanContext(background, trace.SpanContextFromContext(remote()).WithSpanID(trace.SpanID{7}))
		_ = otelscope.Run(ctx, noop.Tracer{}, "none", func(ctx context.Context) error {
			want(t, "the context's span", bound(), idsOf(trace.SpanContextFromContext(ctx)))
			if v, ok := scope.Get("parent_span_id"); ok {
				t.Errorf("a span that is its parent's has the parent %v", v)
			}
			return nil
		})
	})
	_ = otelscope.Run(remote(), tracer, "child", func(ctx context.Context) error {
		if _, ok := scope.Get("parent_span_id"); ok {
			t.Error("a parent's id is bound that nobody has asked for")
		}
		return nil
	})
}

// outcome describes how a span ended: its status, attributes and events.
func outcome(span sdktrace.ReadOnlySpan) string {
	text := fmt.Sprintf("%v %q %s", span.Status().Code, span.Status().Description, text(span.Attributes()))
	for _, e := range span.Events() {
		text += " / " + e.Name
		for _, a := range e.Attributes {
			if a.Key == "exception.stacktrace" {
				if !strings.Contains(a.Value.AsString(), "otelscope_test.explode") {
					text += " a stack without the function that panicked: " + a.Value.AsString()
				}
				a.Value = attribute.StringValue("…")
			}
			text += fmt.Sprintf(" %s=%s", a.Key, a.Value)
		}
	}
	return text
}

//go:noinline
func explode(v any) { panic(v) }

type typedError struct{}

func (typedError) Error() string     { return "typed" }
func (typedError) ErrorType() string { return "out_of_stock" }

// A rawError isn't UTF-8, which an exporter would lose the batch for.
type rawError struct{}

func (rawError) Error() string     { return "raw\xff" }
func (rawError) ErrorType() string { return "type\xff" }

type badError struct{}

func (badError) Error() string     { panic("no text") }
func (badError) ErrorType() string { panic("no type") }

// A loopError leads back to itself: errors.As has no end for it.
type loopError struct{}

func (loopError) Error() string { return "loop" }
func (e loopError) Unwrap() []error {
	return []error{e, e}
}

// A selfError wraps itself alone.
type selfError struct{}

func (selfError) Error() string   { return "self" }
func (e selfError) Unwrap() error { return e }

// An endlessError panics with a value that package fmt has no end for.
type endlessError struct{}

func (endlessError) Error() string { panic(endless()) }

// A worseError panics with what panics with what panics: package fmt gives up.
type worseError struct{}

func (worseError) Error() string { panic(badError{}) }

func TestWhatASpanSaysOfItsEnd(t *testing.T) {
	tracer, spans := newTracer()
	boom := errors.New("boom")
	canceled, cancel := context.WithCancel(background)
	cancel()
	in := func(s scope.Scope, err error) (marked error) {
		s.Run(func() { marked = scope.Error(err) })
		return fmt.Errorf("deep: %w", marked)
	}
	fields := []any{"t.user", "ann", "t.hidden", "x", "t.redacted", "x", "untraced", 1}
	scoped := func(err error) error { return in(scope.With(fields...), err) }
	another := func(err error) error { return in(scope.New(fields...), err) } // from a cache, say
	for _, c := range []struct {
		name string
		fn   func() error
		want string
		err  error
		ends string // what Run ends with if it doesn't return
	}{
		{"no error", func() error { return nil }, `Unset "" `, nil, ""},
		{"an error", func() error { return boom },
			`Error "boom" error.type=*errors.errorString / exception exception.type=*errors.errorString exception.message=boom`, boom, ""},
		{"a wrapped error", func() error { return fmt.Errorf("a: %w", typedError{}) },
			`Error "a: typed" error.type=out_of_stock / exception exception.type=out_of_stock exception.message=a: typed`, typedError{}, ""},
		{"an error with a scope", func() error { return scoped(boom) },
			`Error "deep: boom" error.type=*errors.errorString / exception exception.type=*errors.errorString exception.message=deep: boom t.user=ann t.redacted=[REDACTED]`, boom, ""},
		{"an error with the scope of another task", func() error { return another(boom) },
			`Error "deep: boom" error.type=*errors.errorString / exception exception.type=*errors.errorString exception.message=deep: boom error_scope.t.user=ann error_scope.t.redacted=[REDACTED]`, boom, ""},
		{"a cancellation", func() error { return canceled.Err() },
			`Error "context canceled" error.type=*errors.errorString / exception exception.type=*errors.errorString exception.message=context canceled`, context.Canceled, ""},
		{"an error that isn't UTF-8", func() error { return rawError{} },
			"Error \"raw\uFFFD\" error.type=type\uFFFD / exception exception.type=type\uFFFD exception.message=raw\uFFFD", rawError{}, ""},
		{"an error that panics", func() error { return badError{} },
			`Error "%!v(PANIC=Error method: no text)" error.type=otelscope_test.badError / exception exception.type=otelscope_test.badError exception.message=%!v(PANIC=Error method: no text)`, badError{}, ""},
		{"an error that leads back to itself", func() error { return loopError{} },
			`Error "loop" error.type=otelscope_test.loopError / exception exception.type=otelscope_test.loopError exception.message=loop`, loopError{}, ""},
		{"an error that wraps itself", func() error { return selfError{} },
			`Error "self" error.type=otelscope_test.selfError / exception exception.type=otelscope_test.selfError exception.message=self`, selfError{}, ""},
		{"an error that panics endlessly", func() error { return endlessError{} },
			`Error "!PANIC: !BADVALUE: nested too deep, or too large" error.type=github.com/taskscope/taskscope/otelscope_test.endlessError / exception exception.type=github.com/taskscope/taskscope/otelscope_test.endlessError exception.message=!PANIC: !BADVALUE: nested too deep, or too large`, endlessError{}, ""},
		{"one that has a scope, too", func() error { return scope.Error(endlessError{}) },
			`Error "!PANIC: !BADVALUE: nested too deep, or too large" error.type=github.com/taskscope/taskscope/otelscope_test.endlessError / exception exception.type=github.com/taskscope/taskscope/otelscope_test.endlessError exception.message=!PANIC: !BADVALUE: nested too deep, or too large`, endlessError{}, ""},
		{"an error that panics with one that does", func() error { return worseError{} },
			`Error "!PANIC: text of otelscope_test.worseError" error.type=github.com/taskscope/taskscope/otelscope_test.worseError / exception exception.type=github.com/taskscope/taskscope/otelscope_test.worseError exception.message=!PANIC: text of otelscope_test.worseError`, worseError{}, ""},
		{"a panic with a value that leads back to itself", func() error { explode(endless()); return nil },
			`Error "!BADVALUE: nested too deep, or too large" error.type=[]interface {} / exception exception.type=[]interface {} exception.message=!BADVALUE: nested too deep, or too large exception.stacktrace=…`, nil, "panic"},
		{"a panic with a group that leads back to itself", func() error { explode(endlessGroup()); return nil },
			`Error "!BADVALUE: nested too deep, or too large" error.type=slog.Value / exception exception.type=slog.Value exception.message=!BADVALUE: nested too deep, or too large exception.stacktrace=…`, nil, "panic"},
		{"a panic with what has a text of that", func() error { explode([]any{panicsEndlessly{}}); return nil },
			`Error "!BADVALUE: nested too deep, or too large" error.type=[]interface {} / exception exception.type=[]interface {} exception.message=!BADVALUE: nested too deep, or too large exception.stacktrace=…`, nil, "panic"},
		{"a panic", func() error { explode("boom"); return nil },
			`Error "boom" error.type=string / exception exception.type=string exception.message=boom exception.stacktrace=…`, nil, "panic boom"},
		{"a panic with an error", func() error { explode(scoped(typedError{})); return nil },
			`Error "deep: typed" error.type=out_of_stock / exception exception.type=out_of_stock exception.message=deep: typed exception.stacktrace=… t.user=ann t.redacted=[REDACTED]`, nil, "panic deep: typed"},
		{"Goexit", func() error { runtime.Goexit(); return nil }, `Error "runtime.Goexit" error.type=goexit`, nil, "goexit"},
	} {
		spans.Reset()
		ended := make(chan string, 1)
		go func() {
			scope.New("request_id", "r-1").Run(func() {
				before := scope.Current()
				ends := "goexit"
				defer func() {
					if p := recover(); p != nil {
						ends = "panic"
						switch p.(type) {
						case []any, slog.Value: // without an end
						default:
							ends += fmt.Sprint(" ", p)
						}
					}
					if scope.Current() != before {
						t.Errorf("%s: bound is %v", c.name, scope.Current())
					}
					ended <- ends
				}()
				err := otelscope.Run(background, tracer, "work", func(context.Context) error { return c.fn() })
				if ends = ""; err != c.err && !errors.Is(err, c.err) {
					t.Errorf("%s: Run returns %v", c.name, err)
				}
			})
		}()
		want(t, c.name+", ends", testkit.Receive(t, ended, "end"), c.ends)
		if n := len(spans.Ended()); n != 1 {
			t.Errorf("%s: %d spans", c.name, n)
			continue
		}
		want(t, c.name, outcome(spans.Ended()[0]), c.want)
	}
}

// A labelling tracer binds what it likes when a span starts and ends, and labels the goroutine from a context
// without a scope.
type labelling struct {
	trace.Tracer
	starts func() // what Start does then
}

func (l labelling) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	pprof.SetGoroutineLabels(pprof.WithLabels(background, pprof.Labels("span", "open")))
	scope.Set("set by", "a tracer")
	l.starts()
	ctx, span := l.Tracer.Start(ctx, name, opts...)
	return ctx, labellingSpan{span}
}

type labellingSpan struct{ trace.Span }

func (s labellingSpan) End(opts ...trace.SpanEndOption) {
	pprof.SetGoroutineLabels(background)
	scope.Set("set by", "a span's end")
	s.Span.End(opts...)
}

// Whatever a tracer does to the goroutine, Run puts back what was bound, however it ends.
func TestRunPutsBackWhatATracerChanges(t *testing.T) {
	tracer, _ := newTracer()
	for what, starts := range map[string]func(){"starts": func() {}, "panics": func() { panic("no span") }, "Goexit": runtime.Goexit} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			scope.New("request_id", "r-1").Run(func() {
				before := scope.Current()
				defer func() {
					if _ = recover(); scope.Current() != before {
						t.Errorf("%s: bound is %v", what, scope.Current())
					}
				}()
				_ = otelscope.Run(background, labelling{tracer, starts}, "work", func(ctx context.Context) error {
					want(t, "bound", scope.GetOr("request_id", "")+" "+bound(), "r-1 "+idsOf(trace.SpanContextFromContext(ctx)))
					return nil
				})
			})
		}()
		testkit.Receive(t, done, "end")
	}
}

// What Run adds to the options stays away from a slice of its caller's, which has room for more.
func TestRunLeavesTheOptionsAlone(t *testing.T) {
	tracer, _ := newTracer()
	opts := append(make([]trace.SpanStartOption, 0, 2), trace.WithSpanKind(trace.SpanKindClient))
	scope.New("t.user", "ann").Run(func() {
		_ = otelscope.Run(background, tracer, "work", func(context.Context) error { return nil }, opts...)
	})
	if behind := opts[:2][1]; behind != nil {
		t.Errorf("behind the caller's options is %v", behind)
	}
}

// A status that fn has set itself stays, as the API says.
func TestASpanThatSaysOK(t *testing.T) {
	tracer, spans := newTracer()
	_ = otelscope.Run(background, tracer, "work", func(ctx context.Context) error {
		trace.SpanFromContext(ctx).SetStatus(codes.Ok, "")
		return errors.New("expected")
	})
	if got := spans.Ended()[0].Status().Code; got != codes.Ok {
		t.Errorf("status %v", got)
	}
}

// What the event says itself is there once: a field of its name gives way. And fn knows best of what type
// its error is.
func TestWhatAnErrorSaysWins(t *testing.T) {
	_ = scope.NewKey[string]("exception.message", scope.Traced)
	tracer, spans := newTracer()
	scope.New("exception.message", "a field", "t.user", "ann").Run(func() {
		_ = otelscope.Run(background, tracer, "work", func(ctx context.Context) error {
			trace.SpanFromContext(ctx).SetAttributes(attribute.String("error.type", "declined"))
			return scope.Error(errors.New("boom"))
		})
	})
	want(t, "span", outcome(spans.Ended()[0]), `Error "boom" exception.message=a field t.user=ann error.type=declined / exception exception.type=*errors.errorString exception.message=boom t.user=ann`)
}

// Limits of the SDK leave out fields, and not what events and records say themselves.
func TestLimitsLeaveOutFieldsFirst(t *testing.T) {
	limits := sdktrace.NewSpanLimits()
	limits.AttributePerEventCountLimit = 3
	tracer, spans := newTracer(sdktrace.WithRawSpanLimits(limits))
	scope.New("t.user", "ann", "t.late", 1).Run(func() {
		_ = otelscope.Run(background, tracer, "work", func(context.Context) error { return scope.Error(errors.New("boom")) },
			trace.WithAttributes(attribute.Int("own", 1)))
	})
	want(t, "span", outcome(spans.Ended()[0]), `Error "boom" own=1 t.user=ann t.late=1 error.type=*errors.errorString / exception exception.type=*errors.errorString exception.message=boom t.user=ann`)
	k := new(records)
	l := sdklog.NewLoggerProvider(sdklog.WithAttributeCountLimit(2), sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), sdklog.WithProcessor(k)).Logger("test")
	scope.New("a", 1, "b", 2).Run(func() { emit(l, background, attribute.Int("own", 1)) })
	wantLines(t, k, "hello own=1 a=1")
}

// With the old meaning of panic(nil) it is a panic, too.
func TestAPanicWithNilGoesOn(t *testing.T) {
	for _, setting := range []string{"panicnil=0", "panicnil=1"} {
		t.Setenv("GODEBUG", setting)
		tracer, spans := newTracer()
		returned := false
		func() {
			defer func() { _ = recover() }()
			_ = otelscope.Run(background, tracer, "work", func(context.Context) error { explode(nil); return nil })
			returned = true
		}()
		if returned {
			t.Errorf("%s: Run has returned", setting)
		}
		text := new(runtime.PanicNilError).Error() // Go 1.27 has another than 1.26
		want(t, setting, outcome(spans.Ended()[0]), `Error "`+text+`" error.type=*runtime.PanicNilError / exception exception.type=*runtime.PanicNilError exception.message=`+text+` exception.stacktrace=…`)
	}
}

// fn may end its span itself.
func TestASpanThatHasEnded(t *testing.T) {
	tracer, spans := newTracer()
	err := errors.New("boom")
	got := otelscope.Run(background, tracer, "work", func(ctx context.Context) error {
		trace.SpanFromContext(ctx).End()
		return err
	})
	if got != err || len(spans.Ended()) != 1 || len(spans.Ended()[0].Events()) != 0 {
		t.Errorf("%v, %d spans", got, len(spans.Ended()))
	}
}

func TestRunRefusesWhatItCantUse(t *testing.T) {
	tracer, _ := newTracer()
	fn := func(context.Context) error { return nil }
	for text, call := range map[string]func(){
		"otelscope.Run: ctx, the context of the span, is nil":         func() { _ = otelscope.Run(noContext, tracer, "", fn) },
		"otelscope.Run: t, the tracer to start the span with, is nil": func() { _ = otelscope.Run(background, nil, "", fn) },
		"otelscope.Run: fn, the func to run, is nil":                  func() { _ = otelscope.Run(background, tracer, "", nil) },
	} {
		func() {
			defer func() { want(t, "panic", fmt.Sprint(recover()), text) }()
			call()
		}()
	}
}
