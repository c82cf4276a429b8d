// Package otelscope hands the fields of the running goroutine's scope to OpenTelemetry: to log
// records, spans, metrics and baggage.
package otelscope
