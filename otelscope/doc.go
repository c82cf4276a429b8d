// Package otelscope hands the fields of the running goroutine's scope to OpenTelemetry: to log
// records, spans, metrics and baggage. In return, lines that slog, zap and zerolog write through
// taskscope's adapters have the ids of the current span.
//
// Three things are registered at start-up, besides what any program with OpenTelemetry does:
//
//	logs := sdklog.NewLoggerProvider(
//		sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), // in front of what exports
//		sdklog.WithProcessor(sdklog.NewBatchProcessor(logExporter)))
//	spans := sdktrace.NewTracerProvider(
//		sdktrace.WithSpanProcessor(otelscope.NewSpanProcessor(nil)),
//		sdktrace.WithBatcher(spanExporter))
//	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(
//		propagation.TraceContext{}, otelscope.Propagator()))
//
// Loggers write to logs through a bridge, such as otelslog, and tracers come from spans, which
// otel.SetTracerProvider gives to libraries. The module's folder examples/shop is a whole program.
//
// # Which fields go where
//
// A log record has all fields of the scope, as a line has. The other signals have those whose keys
// are declared for them:
//
//	var User = scope.NewKey[string]("enduser.id", scope.Traced)         // on spans
//	var Tenant = scope.NewKey[string]("tenant", scope.Measured)         // on measurements that are given MetricOption
//	var Region = scope.NewKey[string]("cloud.region", scope.Propagated) // in baggage
//
// A scope.Hidden field is on none of them, and a scope.Redacted one shows [REDACTED]. Baggage is the
// exception: package propagation sends values as they are. The semantics are those of
// OpenTelemetry's proposal OTEP 4931, context-scoped attributes: an item's own attribute wins over a
// field of its name; nothing is propagated unless it is declared so; an asynchronous instrument has
// no fields.
//
// # Whose span it is
//
// Starting a span binds nothing, because one that ends out of order, elsewhere or never would leave
// its ids on the goroutine. What encloses the work binds the ids, and puts back what was there before:
//
//   - an entry, with [Fields] as the option Fields of httpscope, or [SpanFields] as that of jobscope:
//     the ids are those of the span that is current there;
//   - [Run], which starts a span, calls a func, and ends the span.
//
// So a line has the ids of the innermost of these, even if a library has started a span in between. A
// record that is logged with the context of a span has the ids of that span.
//
// # With otelhttp
//
// Put httpscope's Handler inside otelhttp's:
//
//	handler := httpscope.Handler(mux, &httpscope.Options{Fields: otelscope.Fields, Finish: otelscope.Finish})
//	handler = otelhttp.NewHandler(handler, "shop")
//
// Then each line of the request has the ids of the server's span, and [Finish] gives the span what
// the request has set and added up. With httpscope outside, there is no span yet when the scope
// begins. Lines have the trace_id of the request's traceparent, if it has one, and lines inside [Run]
// the ids of its span. Finish comes too late: otelhttp has ended its span.
//
// # Values
//
// README.md has a table of what each kind of value becomes. On spans and measurements groups are
// flat: their members are attributes with names like group.member. Text that isn't UTF-8 gets
// replacement characters, because an exporter would lose the whole batch. A value that contains
// itself, or more than 10,000 others, becomes a text that says so. If a method of a value panics,
// that value's attribute shows !PANIC, and the others are as ever.
//
// # Errors
//
// The error that a record brings reaches the processor as text, without the fields of scope.Error.
// To have them there, wrap the handler of otelslog with slogh, or the core of otelzap with zaph. Such
// a record is still stamped once. [Run] puts those fields that are Traced on the exception's event.
//
// # What isn't an error
//
// nil options are the defaults. Where nothing is bound, and the context carries no scope, each signal
// is as it would be without this package. A nil context means one without a scope and without a span,
// except for Run and the propagator's Extract, which panic without one.
//
// # What it costs
//
// What a record or a span gets is remembered with the scope, unless a value is a LogValuer, which is
// asked each time. From then on a record allocates as much as with the same attributes of its own,
// and a [MetricOption] costs a look-up. README.md says what Run costs.
package otelscope
