package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

func init() { add(9, "OpenTelemetry", otelRecord, otelSpan, otelRequest) }

var orderID = scope.NewKey[string]("order.id", scope.Traced)

func bridge(processors ...sdklog.Processor) *slog.Logger {
	var opts []sdklog.LoggerProviderOption
	for _, p := range append(processors, sdklog.NewSimpleProcessor(discard{})) {
		opts = append(opts, sdklog.WithProcessor(p))
	}
	return slog.New(otelslog.NewHandler("bench", otelslog.WithLoggerProvider(sdklog.NewLoggerProvider(opts...))))
}

// otelRecord compares a log record that the processor stamps with one that has the same fields from
// the bridge's own With.
func otelRecord() table {
	args := args(4)
	plain, stamped := bridge(), bridge(otelscope.NewLogProcessor(nil))
	child := plain.With(args...)
	ctx, span := sdktrace.NewTracerProvider().Tracer("bench").Start(context.Background(), "bench")
	defer span.End()
	ids := scope.New(args...)
	for _, a := range otelscope.SpanFields(ctx) {
		ids = ids.With(a)
	}
	line := func(l *slog.Logger) func() { return func() { l.Info("hello", "path", "/x", "status", 200) } }
	inContext := func(l *slog.Logger) func() {
		return func() { l.InfoContext(ctx, "hello", "path", "/x", "status", 200) }
	}
	return table{name: "OpenTelemetry log record, 4 fields", about: "A record of otelslog with two fields of its own, to an exporter that discards it. The fields are attached by the bridge's own With, or by otelscope's processor from the scope that is bound.", rows: []row{
		{"otelslog, With child", 0, func(n int) { repeat(n, line(child)) }},
		{"taskscope otelscope", 1.00, under(scope.New(args...), line(stamped))},
		{"otelslog, With child, a span's context", 0, func(n int) { repeat(n, inContext(child)) }},
		{"taskscope otelscope, a span's context", 0, under(scope.New(args...), inContext(stamped))},
		{"taskscope otelscope, the span's ids from the scope", 0, under(ids, line(stamped))},
		{"otelslog, no further fields", 0, func(n int) { repeat(n, line(plain)) }},
		{"taskscope otelscope, no scope bound", 0, func(n int) { repeat(n, line(stamped)) }},
	}}
}

// otelSpan compares a span around some code, whose lines have its ids, by hand and with otelscope.Run.
func otelSpan() table {
	base, stamped := slog.New(slogBase()).With("request_id", id), slog.New(slogh.New(slogBase(), nil))
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(sdktrace.NewSimpleSpanProcessor(spanSink{}))).Tracer("bench")
	ctx, span := tracer.Start(context.Background(), "request")
	defer span.End()
	request := scope.New("request_id", id)
	for _, a := range otelscope.SpanFields(ctx) {
		request = request.With(a)
	}
	byHand := func(lines int) func(n int) {
		return times(func() {
			ctx, span := tracer.Start(ctx, "charge")
			defer span.End()
			sc := trace.SpanContextFromContext(ctx)
			l := base.With("trace_id", sc.TraceID().String(), "span_id", sc.SpanID().String())
			repeat(lines, func() { l.InfoContext(ctx, "charged", "amount", 12) })
		})
	}
	scoped := func(lines int) func(n int) {
		return under(request, func() {
			_ = otelscope.Run(ctx, tracer, "charge", func(ctx context.Context) error {
				repeat(lines, func() { stamped.Info("charged", "amount", 12) })
				return nil
			})
		})
	}
	return table{name: "A span with lines", references: 2, about: "A span of a request, and lines of slog in it that have its ids and the request's id. By hand the ids are put on a child logger; otelscope.Run binds them, for lines of any logger, other goroutines and the context.", rows: []row{
		{"span, ids by hand, 1 line", 0, byHand(1)},
		{"span, ids by hand, 5 lines", 0, byHand(5)},
		{"taskscope otelscope.Run, 1 line", 0, scoped(1)},
		{"taskscope otelscope.Run, 5 lines", 0, scoped(5)},
		{"span alone", 0, times(func() { _, span := tracer.Start(ctx, "charge"); span.End() })},
		{"taskscope otelscope.Run, no line", 0, scoped(0)},
	}}
}

// A spanSink is a span exporter that discards.
type spanSink struct{}

func (spanSink) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (spanSink) Shutdown(context.Context) error                             { return nil }

// otelRequest compares a request whose records and span get the scope's fields by hand with one where
// otelscope does it, and with one that has no scope.
func otelRequest() table {
	otel := func(h http.Handler, processors ...sdktrace.SpanProcessor) http.Handler {
		opts := []sdktrace.TracerProviderOption{}
		for _, p := range append(processors, sdktrace.NewSimpleSpanProcessor(spanSink{})) {
			opts = append(opts, sdktrace.WithSpanProcessor(p))
		}
		return otelhttp.NewHandler(h, "bench", otelhttp.WithTracerProvider(sdktrace.NewTracerProvider(opts...)),
			otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()), otelhttp.WithPropagators(propagation.TraceContext{}))
	}
	plain, stamped := bridge(), bridge(otelscope.NewLogProcessor(nil))
	attached := func(r *http.Request, id string) {
		ctx, span := r.Context(), trace.SpanFromContext(r.Context())
		l := plain.With("request_id", id, "http.request.method", r.Method, orderID.Name(), "o-7")
		l.InfoContext(ctx, "charging", "amount", 12)
		l.InfoContext(ctx, "charged", "amount", 12)
		span.SetAttributes(attribute.String(orderID.Name(), "o-7"))
	}
	byHand := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !httpscope.PlainID(id) {
			id = httpscope.NewID()
		}
		w.Header()["X-Request-Id"] = []string{id}
		attached(r, id)
		_, _ = io.WriteString(w, "ok")
	})
	without := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		orderID.Set("o-7")
		attached(r, r.Header.Get("X-Request-Id"))
		_, _ = io.WriteString(w, "ok")
	}), &httpscope.Options{Fields: fieldsByHand})
	scoped := func(l *slog.Logger) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			orderID.Set("o-7")
			l.Info("charging", "amount", 12)
			l.Info("charged", "amount", 12)
			_, _ = io.WriteString(w, "ok")
		})
	}
	empty := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	whole := httpscope.Handler(scoped(stamped), &httpscope.Options{Fields: otelscope.Fields, Finish: otelscope.Finish})
	with := func() http.Handler { return otel(whole, otelscope.NewSpanProcessor(nil)) }
	return table{name: "A request with OpenTelemetry", connection: true, about: "A handler behind otelhttp and httpscope sets a field and writes two records through otelslog, over a loopback connection that is kept alive, to exporters that discard. In both of the first two rows the scope has the ids of the span, for lines of any logger; the records have these ids, the request's id, the method and the field; and the span has the field as an attribute. The first row does it with a func for httpscope's Fields, a child logger, the span's context and SetAttributes; the second with otelscope. The third has no httpscope: the handler takes or makes an id and answers with it, but nothing has a scope, and the request that is passed on has neither the id nor a context that knows it. The row without otelscope has unstamped records. In the last three rows the handler is called directly.", note: "Called directly, what is more than by hand is mostly made for this request alone: what records and the span get of its scopes, which two records don't earn back, and the reading of the span's attributes, so that Finish leaves them as they are.", rows: []row{
		{"httpscope, otelhttp, otelslog, by hand", 0, requests(otel(without), "")},
		{"the same with otelscope", 1.10, requests(with(), "")},
		{"otelhttp, otelslog, by hand, no httpscope", 0, requests(otel(byHand), "")},
		{"taskscope httpscope, no otelscope", 0, requests(otel(httpscope.Handler(scoped(plain), nil)), "")},
		{"otelhttp, an empty handler", 0, requests(otel(empty), "")},
		{"httpscope, otelhttp, otelslog, by hand, called directly", 0, direct(otel(without))},
		{"the same with otelscope, called directly", 0, direct(with())},
		{"otelhttp, otelslog, by hand, no httpscope, called directly", 0, direct(otel(byHand))},
	}}
}

// fieldsByHand is what otelscope.Fields does, as a program would write it.
func fieldsByHand(r *http.Request) []slog.Attr {
	sc := trace.SpanContextFromContext(r.Context())
	return []slog.Attr{
		slog.String("trace_id", sc.TraceID().String()),
		slog.String("span_id", sc.SpanID().String()),
		slog.String("trace_flags", sc.TraceFlags().String()),
	}
}
