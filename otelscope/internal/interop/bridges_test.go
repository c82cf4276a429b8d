package interop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/bridges/otelzap"
	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
)

// A processor sees an error as text. A bridge that is wrapped as any other handler or core sees the
// error itself, and its record has the fields of scope.Error, and each field once.
func TestABridgeThatIsWrapped(t *testing.T) {
	tel := start(t, overGRPC)
	wrapped := slog.New(slogh.New(otelslog.NewHandler("interop", otelslog.WithLoggerProvider(tel.loggers)), nil))
	wrappedZap := zap.New(zaph.New(otelzap.NewCore("interop", otelzap.WithLoggerProvider(tel.loggers)), nil))
	_ = otelscope.Run(t.Context(), tel.tracer, "ours", func(context.Context) error {
		scope.Set("request_id", "r-17")
		var err error
		scope.With("item", "umbrella").Run(func() { err = scope.Error(errors.New("out of stock")) })
		tel.otelslog.Info("bare", "err", err)
		wrapped.Info("slogh", "err", err)
		wrappedZap.Info("zaph", zap.Error(err))
		return nil
	})
	spans, logs, _ := tel.flush()
	ours := named(t, spans, "ours")
	for name, attrs := range map[string]map[string]any{
		"bare":  {"item": nil, "trace_id": nil},
		"slogh": {"item": "umbrella", "trace_id": ours.trace},
		"zaph":  {"item": "umbrella", "trace_id": ours.trace},
	} {
		record := named(t, logs, name)
		record.want(t, map[string]any{"request_id": "r-17"})
		record.want(t, attrs)
		if record.trace != ours.trace || record.span != ours.span {
			t.Errorf("%s: the ids %s, %s, want those of %+v", name, record.trace, record.span, ours)
		}
	}
}

// A logger that writes to a stamped handler or core, and to a bridge beside it, has its fields and
// ids on both, each once.
func TestLinesBesideRecords(t *testing.T) {
	tel := start(t, overGRPC)
	both := slog.New(slog.NewMultiHandler(slog.Default().Handler(), tel.otelslog.Handler()))
	bothZap := zap.New(zapcore.NewTee(zap.L().Core(), tel.otelzap.Core()))
	_ = otelscope.Run(t.Context(), tel.tracer, "ours", func(context.Context) error {
		scope.Set("request_id", "r-17")
		both.Info("slog")
		bothZap.Info("zap")
		return nil
	})
	spans, logs, _ := tel.flush()
	ours := named(t, spans, "ours")
	for _, by := range []string{"slog", "zap"} {
		tel.written(by)[""].Want(t, testkit.Line{"request_id": "r-17", "trace_id": ours.trace, "span_id": ours.span})
		record := named(t, logs, by)
		record.want(t, map[string]any{"request_id": "r-17", "trace_id": nil, "span_id": nil})
		if record.trace != ours.trace || record.span != ours.span {
			t.Errorf("%s: the ids %s, %s, want those of %+v", by, record.trace, record.span, ours)
		}
	}
}

// An adapter around a bridge knows what is bound. If a record's context has another span, its ids are those of the
// record, and no attribute says something else.
func TestABridgeThatIsWrappedAndAnotherSpan(t *testing.T) {
	tel := start(t, overGRPC)
	wrapped := slog.New(slogh.New(otelslog.NewHandler("interop", otelslog.WithLoggerProvider(tel.loggers)), nil))
	wrappedZap := zap.New(zaph.New(otelzap.NewCore("interop", otelzap.WithLoggerProvider(tel.loggers)), nil))
	var theirs trace.SpanContext
	_ = otelscope.Run(t.Context(), tel.tracer, "ours", func(context.Context) error {
		ctx, span := tel.tracer.Start(context.Background(), "theirs")
		defer span.End()
		theirs = span.SpanContext()
		scope.Set("request_id", "r-17")
		wrapped.InfoContext(ctx, "slogh", "a", 1)
		wrappedZap.Info("zaph", zaph.Context(ctx), zap.Int("a", 1))
		return nil
	})
	_, logs, _ := tel.flush()
	for _, name := range []string{"slogh", "zaph"} {
		record := named(t, logs, name)
		record.want(t, map[string]any{"request_id": "r-17", "a": int64(1), "trace_id": nil, "span_id": nil})
		if record.trace != theirs.TraceID().String() || record.span != theirs.SpanID().String() {
			t.Errorf("%s: the ids %s, %s, want those of %v", name, record.trace, record.span, theirs)
		}
	}
}

// A kept is a processor that keeps the last record's attribute k.
type kept struct{ value attribute.Value }

func (*kept) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (*kept) Shutdown(context.Context) error                         { return nil }
func (*kept) ForceFlush(context.Context) error                       { return nil }
func (k *kept) OnEmit(_ context.Context, r *sdklog.Record) error {
	k.value = attribute.Value{}
	r.WalkAttributes(func(a attribute.KeyValue) bool {
		if a.Key == "k" {
			k.value = a.Value
		}
		return true
	})
	return nil
}

type celsius float64

func (c celsius) String() string { return fmt.Sprintf("%.1f °C", float64(c)) }

type digest []byte

type code int

type secret struct{}

func (secret) MarshalJSON() ([]byte, error) { return []byte(`"***"`), nil }

type plain struct{ X int }

// README.md says that values on records are those of otelslog, and names what differs.
func TestValuesAreThoseOfOtelslog(t *testing.T) {
	k := new(kept)
	logger := slog.New(otelslog.NewHandler("interop", otelslog.WithLoggerProvider(
		sdklog.NewLoggerProvider(sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), sdklog.WithProcessor(k)))))
	for _, c := range []struct {
		value   any
		differs bool
	}{
		{true, false}, {int8(7), false}, {uint(7), false}, {1.5, false}, {"x", false}, {time.Second, false}, {time.Unix(1, 5), false},
		{[]byte("x"), false}, {[]string{"a", "b"}, false}, {[]any{1, "b"}, false}, {map[string]int{"a": 1}, false},
		{slog.GroupValue(slog.Int("a", 1)), false}, {plain{1}, false}, {&plain{1}, false}, {nil, false},
		{uint64(math.MaxUint64), true}, {celsius(21.5), true}, {digest("x"), true}, {errors.New("boom"), true},
		{netip.MustParseAddr("::1"), false}, {secret{}, true}, {[]any{netip.MustParseAddr("::1")}, false}, {time.Time{}, true}, {"\xff", true}, {complex(1, 2), false},
		{[]error{errors.New("boom")}, false}, {map[int]int{1: 2}, false}, {[3]byte{1}, true}, {make(chan int), true}, {uint64(1) << 40, false},
		{map[string]any{"a": celsius(1)}, true}, {code(1), true},
	} {
		logger.Info("own", "k", c.value)
		own := k.value
		scope.New(slog.Any("k", c.value)).Run(func() { logger.Info("a field") })
		if same := reflect.DeepEqual(own, k.value); same == c.differs {
			t.Errorf("%T %v: otelslog has %v %v, otelscope %v %v", c.value, c.value, own.Type(), own, k.value.Type(), k.value)
		}
	}
}
