// Package otelscope hands the fields of the running goroutine's scope to OpenTelemetry: to log
// records, spans, metrics and baggage. Lines of slog, zap and zerolog get the ids of the current span
// in return.
//
// These lines at start-up are all that it takes:
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
// # Which fields go where
//
// A log record has all fields of the scope, as a line has. The other signals have what its key's
// declaration says, and nothing else:
//
//	var User = scope.NewKey[string]("enduser.id", scope.Traced)       // on spans
//	var Tenant = scope.NewKey[string]("tenant", scope.Measured)       // on measurements
//	var Region = scope.NewKey[string]("cloud.region", scope.Propagated) // in baggage
//
// In all of them a scope.Hidden field doesn't appear and a scope.Redacted one shows [REDACTED], but
// for baggage, which package propagation sends as it is. These are the context-scoped
// attributes of OpenTelemetry's proposal 4931: an item's own attribute wins over a field of its
// name; nothing is propagated unless it is declared so; an asynchronous instrument has none.
//
// # Whose span it is
//
// No span is bound when it starts: one that ends out of order, elsewhere or never would leave its ids
// on the goroutine. What encloses the work binds them, and puts back what was there before:
//
//   - an entry, with [Fields] as the option Fields of httpscope, or [SpanFields] of jobscope: the
//     ids are those of the span that is current there;
//   - [Run], for a span round a func.
//
// So a line has the ids of the innermost of these, also if a library has started a span meanwhile. A
// record that is logged with the context of a span has the ids of that.
//
// # With otelhttp
//
// Put httpscope's Handler inside otelhttp's:
//
//	handler := httpscope.Handler(mux, &httpscope.Options{Fields: otelscope.Fields, Finish: otelscope.Finish})
//	handler = otelhttp.NewHandler(handler, "shop")
//
// Then each line of the request has the ids of the server's span, and [Finish] gives the span what
// the request has set and added up. With httpscope outside there is no span yet when it enters: lines
// have the trace_id of the request's traceparent, if it has one, and those inside [Run] the ids of its
// span, and for Finish it is too late, as otelhttp has ended its span.
//
// # Values
//
// README.md has a table of what each kind of value becomes. Groups of a span's or a measurement's
// attributes are flat, with names like group.member. Text that isn't UTF-8 is made so, since exporters
// would lose the batch. A value that leads back to itself, or has more than 10,000 others in it, shows
// that it does, and a method that panics costs its own attribute.
//
// # Errors
//
// The error that a record brings reaches the processor as text, so the fields of scope.Error don't:
// wrap the handler of otelslog with slogh, or the core of otelzap with zaph, where they should. Such
// a record is stamped once. Run puts those that are Traced on the exception's event.
//
// # What it costs
//
// What a record or a span gets is remembered with the scope. From then on a record costs what it
// does with the same attributes of its own, in nanoseconds and allocations, and a [MetricOption] a
// look-up. Run adds some eighteen allocations to a span.
package otelscope
