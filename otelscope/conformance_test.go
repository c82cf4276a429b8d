package otelscope_test

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
	"github.com/taskscope/taskscope/otelscope"
)

// conformant is a logger of OpenTelemetry's API as adaptertest sees it.
type conformant struct {
	logger   otellog.Logger
	attached []attribute.KeyValue
}

func (l conformant) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	if ctx == nil { // a bridge always has one
		ctx = context.Background()
	}
	ctx = quiet{ctx}
	var r otellog.Record
	r.SetBody(attribute.StringValue(msg))
	r.AddAttributes(l.attached...)
	r.AddAttributes(conformantAttributes(fields)...)
	l.logger.Emit(ctx, r)
}

// A quiet context has no value where that of another panics. The SDK, which looks for a span, would
// panic without the adapter, too.
type quiet struct{ context.Context }

func (c quiet) Value(key any) (v any) {
	defer func() { _ = recover() }()
	return c.Context.Value(key)
}

func (l conformant) Disabled(ctx context.Context, msg string, fields ...adaptertest.Field) {
	if l.logger.Enabled(ctx, otellog.EnabledParameters{Severity: otellog.SeverityDebug}) {
		l.Log(ctx, msg, fields...)
	}
}

func (l conformant) With(fields ...adaptertest.Field) adaptertest.Logger {
	return conformant{l.logger, append(slices.Clip(l.attached), conformantAttributes(fields)...)}
}

func (l conformant) Group(string) adaptertest.Logger { panic("the API has no groups") }

func conformantAttributes(fields []adaptertest.Field) (attrs []attribute.KeyValue) {
	for _, f := range fields {
		if group, ok := f.Value.(adaptertest.Group); ok && f.Key == "" {
			attrs = append(attrs, conformantAttributes(group)...)
		} else {
			attrs = append(attrs, attribute.KeyValue{Key: attribute.Key(f.Key), Value: otelscope.LogValueOf(f.Attr().Value)})
		}
	}
	return attrs
}

// A lineWriter writes each record as a JSON object, with its keys in their alphabetical order.
type lineWriter struct{ w io.Writer }

func (lineWriter) Enabled(_ context.Context, p sdklog.EnabledParameters) bool {
	return p.Severity != otellog.SeverityDebug
}

func (l lineWriter) OnEmit(_ context.Context, r *sdklog.Record) error {
	line := map[string]any{"the text": plain(r.Body())}
	r.WalkAttributes(func(a attribute.KeyValue) bool {
		line[string(otelscope.KeyOf(string(a.Key)))] = plain(a.Value) // the processor's keys are UTF-8
		return true
	})
	if r.TraceID().IsValid() {
		line["the trace"] = r.TraceID().String() + r.SpanID().String() + r.TraceFlags().String()
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = l.w.Write(append(text, '\n'))
	return err
}

func (lineWriter) Shutdown(context.Context) error   { return nil }
func (lineWriter) ForceFlush(context.Context) error { return nil }

// plain returns v as encoding/json knows it.
func plain(v attribute.Value) any {
	switch v.Type() {
	case attribute.MAP:
		object := map[string]any{}
		for _, m := range v.AsMap() {
			object[string(m.Key)] = plain(m.Value)
		}
		return object
	case attribute.SLICE:
		list := []any{}
		for _, item := range v.AsSlice() {
			list = append(list, plain(item))
		}
		return list
	case attribute.FLOAT64:
		return v.String() // NaN is no JSON
	}
	return v.AsInterface()
}

func TestConformance(t *testing.T) {
	logger := func(processors ...sdklog.Processor) otellog.Logger {
		var opts []sdklog.LoggerProviderOption
		for _, p := range processors {
			opts = append(opts, sdklog.WithProcessor(p))
		}
		return sdklog.NewLoggerProvider(opts...).Logger("conformance")
	}
	a := adaptertest.Adapter{
		New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
			var own *otelscope.LogOptions
			if opts != nil {
				own = &otelscope.LogOptions{Group: opts.Group, Filter: opts.Filter, MaxFields: opts.MaxFields, Ended: opts.Ended}
			}
			return conformant{logger: logger(otelscope.NewLogProcessor(own), lineWriter{w})}
		},
		Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
			return conformant{logger(lineWriter{w}), conformantAttributes(fields)}
		},
		Twice: func(w io.Writer) adaptertest.Logger {
			return conformant{logger: logger(otelscope.NewLogProcessor(nil), otelscope.NewLogProcessor(nil), lineWriter{w})}
		},
		// There is one way to settle two attributes with a key, so the cases that choose aren't for us.
		Lacks: adaptertest.Groups | adaptertest.EventKeys,
	}
	adaptertest.Run(t, a)
	adaptertest.RunGenerated(t, a, 3000)
}
