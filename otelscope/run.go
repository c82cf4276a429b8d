package otelscope

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// Run starts a span, calls fn with the span's ids bound, and ends the span. It returns fn's error as
// it is. The scope is the one that is bound, or that ctx carries, as [logadapters.Pick] chooses, with
// trace_id, span_id and trace_flags; fn's context carries the span and the scope. What was bound
// before is put back whatever fn does. If nothing is bound, the scope is a task that ends with fn. The
// fields of the whole process are of a task that never ends: what fn starts in main, and leaves behind,
// keeps the span's ids without scope_ended, unless it is started in [scope.Outside].
//
// The span starts with the fields that are declared [scope.Traced] as attributes, which a sampler
// sees; an attribute of opts wins. A span that isn't recorded has ids, too. A no-op tracer
// makes none: lines get those of the span that ctx has, and without one they stay as they are.
//
// If fn returns an error, the span's status is Error, it has the attribute error.type if fn has set
// none, and an event named exception. If [scope.Error] has made the error, the event has the Traced
// fields of its scope, those of another task with names like error_scope.user. An error that says that
// ctx is over is no exception: the semantic conventions don't tell errors apart. A panic is recorded in
// the same way, with its stack, and goes on to Run's caller. If fn calls runtime.Goexit, the status is
// Error, error.type is goexit, and there is no event.
//
// Run panics if ctx, t or fn is nil.
func Run(ctx context.Context, t trace.Tracer, name string, fn func(context.Context) error, opts ...trace.SpanStartOption) error {
	switch {
	case ctx == nil:
		panic("otelscope.Run: ctx, the context of the span, is nil")
	case t == nil:
		panic("otelscope.Run: t, the tracer to start the span with, is nil")
	case fn == nil:
		panic("otelscope.Run: fn, the func to run, is nil")
	}
	// A tracer may label the goroutine for profilers, when a span starts and when it ends, from
	// contexts that know no scope. scope.Run puts back what was bound after the span has ended.
	var err error
	scope.Run(func() { err = run(ctx, t, name, fn, opts) })
	return err
}

func run(ctx context.Context, t trace.Tracer, name string, fn func(context.Context) error, opts []trace.SpanStartOption) error {
	s := logadapters.Pick(ctx)
	parent := trace.SpanContextFromContext(ctx)
	ctx, span := t.Start(ctx, name, withTraced(s, opts)...)
	hasIDs := span.SpanContext().IsValid()
	if s == (scope.Scope{}) && hasIDs {
		s = scope.New() // a task that ends with fn
	}
	r := spanRun{span: span, task: s}
	defer r.end()
	s.Run(func() {
		if hasIDs {
			setIDs(span.SpanContext(), parent)
		}
		defer r.notePanic()
		r.err = fn(scope.NewContext(ctx, scope.Current()))
		r.returned = true
	})
	if !r.returned { // a panic(nil), with GODEBUG=panicnil=1: notePanic took it for a Goexit, after which this isn't reached
		r.panicked = new(runtime.PanicNilError)
		panic(nil)
	}
	return r.err
}

// withTraced returns opts and an option with the Traced fields of s that opts don't set.
func withTraced(s scope.Scope, opts []trace.SpanStartOption) []trace.SpanStartOption {
	list := traced(s)
	if len(list) == 0 {
		return opts
	}
	config := trace.NewSpanStartConfig(opts...)
	return append(slices.Clip(opts), trace.WithAttributes(missing(list, config.Attributes())...))
}

// setIDs binds the ids of a span. An entry may have set the parent's id and the trace state of an outer
// span, too: they are replaced by the span's, or removed if the span has none.
func setIDs(span, parent trace.SpanContext) {
	traceID, spanID, flags := idsOf(span)
	if scope.GetOr(spanIDKey, "") == spanID && scope.GetOr(propagation.TraceIDKey, "") == traceID {
		return // a no-op tracer has started no span: what is bound is all right
	}
	parentID, state := "", span.TraceState().String()
	if parent.TraceID() == span.TraceID() && parent.SpanID() != span.SpanID() && parent.HasSpanID() {
		parentID = parent.SpanID().String()
	}
	attrs := append(make([]slog.Attr, 0, 5),
		slog.String(propagation.TraceIDKey, traceID), slog.String(spanIDKey, spanID), slog.String(propagation.TraceFlagsKey, flags))
	for _, outer := range []slog.Attr{slog.String(propagation.ParentSpanIDKey, parentID), slog.String(propagation.TraceStateKey, state)} {
		switch {
		case !scope.Current().Has(outer.Key):
		case outer.Value.String() == "":
			scope.Delete(outer.Key)
		default:
			attrs = append(attrs, outer)
		}
	}
	scope.SetAttrs(attrs...)
}

// A spanRun is one call of Run.
type spanRun struct {
	span     trace.Span
	task     scope.Scope // any scope of the task that fn runs in
	err      error       // what fn has returned
	returned bool        // false if fn has ended with a panic or with runtime.Goexit
	panicked any
	stack    []byte
}

// notePanic is deferred around fn, where the stack still has the function that panicked. The panic goes
// on.
func (r *spanRun) notePanic() {
	if r.returned {
		return
	}
	r.stack = debug.Stack()
	if r.panicked = recover(); r.panicked != nil {
		panic(r.panicked)
	}
}

// end is deferred. It records what went wrong, and ends the span.
func (r *spanRun) end() {
	defer r.span.End()
	if !r.span.IsRecording() {
		return
	}
	switch {
	case r.panicked != nil:
		r.recordPanic()
	case !r.returned:
		r.span.SetAttributes(semconv.ErrorTypeKey.String("goexit"))
		r.span.SetStatus(codes.Error, "runtime.Goexit")
	case r.err != nil:
		r.recordError()
	}
}

func (r *spanRun) recordPanic() {
	name := fmt.Sprintf("%T", r.panicked)
	if err, ok := r.panicked.(error); ok {
		name = typeOf(err)
	}
	r.record(r.panicked, name, semconv.ExceptionStacktrace(valid(string(r.stack))))
}

func (r *spanRun) recordError() { r.record(r.err, typeOf(r.err)) }

// record records what fn has ended with: an event, error.type, unless fn has set it, and the status.
func (r *spanRun) record(what any, name string, more ...attribute.KeyValue) {
	text := valid(values.Text(what))
	// The event's own attributes come first: a span's limit leaves out the last.
	event := append([]attribute.KeyValue{semconv.ExceptionType(name), semconv.ExceptionMessage(text)}, more...)
	fields := slices.DeleteFunc(r.fieldsOf(what), func(a attribute.KeyValue) bool { return has(event, string(a.Key)) })
	r.span.AddEvent(semconv.ExceptionEventName, trace.WithAttributes(append(event, fields...)...))
	if !has(attributesOf(r.span), string(semconv.ErrorTypeKey)) {
		r.span.SetAttributes(semconv.ErrorTypeKey.String(name))
	}
	r.span.SetStatus(codes.Error, text)
}

// fieldsOf returns the Traced fields of an error that scope.Error has made, and nil for anything else.
// Those of another task are in a group, as on lines, so that nobody takes them for the span's.
func (r *spanRun) fieldsOf(v any) []attribute.KeyValue {
	err, ok := v.(error)
	if !ok {
		return nil
	}
	s, ok := scope.ErrorScope(err)
	if !ok {
		return nil
	}
	fields := Attributes(s, scope.Traced)
	if !s.SameTask(r.task) {
		for i := range fields {
			fields[i].Key = logadapters.ErrorScopeKey + "." + fields[i].Key
		}
	}
	return fields
}

// typeOf returns the type of an error as the semantic conventions want it: that of the failure, not
// of a wrapper around it.
func typeOf(err error) (name string) {
	own := func() string { return fmt.Sprintf("%T", logadapters.BareErrors(err)[0]) }
	defer func() {
		if recover() != nil { // from its Unwrap or ErrorType
			name = own()
		}
	}()
	if countErrors(err, maxErrors) == 0 {
		return own()
	}
	return valid(semconv.ErrorType(err).Value.AsString())
}

// maxErrors bounds the errors of a tree that is searched: an error may contain itself, and package
// errors would go round in it without end.
const maxErrors = 1000

// countErrors returns left less the number of errors in err's tree, and at least 0.
func countErrors(err error, left int) int {
	for err != nil && left > 0 {
		left--
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, branch := range e.Unwrap() {
				left = countErrors(branch, left)
			}
			return left
		default:
			return left
		}
	}
	return left
}
