package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/bridges/otelzap"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutlog"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/otelscope"
)

var payments metric.Int64Counter

// setUp starts the providers, and makes slog's and zap's global loggers write to them. What is
// otelscope's stands in front of what exports: README.md shows these lines.
func setUp(ctx context.Context, out io.Writer) (shutdown func(context.Context) error, err error) {
	spans, records, metrics, err := exporters(ctx, out)
	if err != nil {
		return nil, err
	}
	tracers := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(otelscope.NewSpanProcessor(nil)), // in front of what exports
		sdktrace.WithBatcher(spans))
	loggers := sdklog.NewLoggerProvider(
		sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), // in front of what exports
		sdklog.WithProcessor(sdklog.NewBatchProcessor(records)))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics)))
	otel.SetTracerProvider(tracers)
	otel.SetMeterProvider(meters)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, otelscope.Propagator()))

	slog.SetDefault(slog.New(otelslog.NewHandler("shop", otelslog.WithLoggerProvider(loggers))))
	zap.ReplaceGlobals(zap.New(otelzap.NewCore("shop", otelzap.WithLoggerProvider(loggers))))
	if payments, err = meters.Meter("shop").Int64Counter("payments"); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return errors.Join(tracers.Shutdown(ctx), loggers.Shutdown(ctx), meters.Shutdown(ctx))
	}, nil
}

// exporters returns those to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, or, if there is
// none, those that print.
func exporters(ctx context.Context, out io.Writer) (spans sdktrace.SpanExporter, records sdklog.Exporter, metrics sdkmetric.Exporter, err error) {
	var errs [3]error
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		spans, errs[0] = otlptracehttp.New(ctx)
		records, errs[1] = otlploghttp.New(ctx)
		metrics, errs[2] = otlpmetrichttp.New(ctx)
	} else {
		spans, errs[0] = stdouttrace.New(stdouttrace.WithWriter(out))
		records, errs[1] = stdoutlog.New(stdoutlog.WithWriter(out))
		metrics, errs[2] = stdoutmetric.New(stdoutmetric.WithWriter(out))
	}
	return spans, records, metrics, errors.Join(errs[:]...)
}
