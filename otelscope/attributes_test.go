package otelscope_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

func TestAttributesAreThoseOfThePolicy(t *testing.T) {
	s := scope.New("request_id", "r-1", "t.user", "ann", "t.tenant", "acme", "t.both", 3, "t.hidden", "x", "t.redacted", "x", "t.region", "eu")
	s.Run(func() { scope.Share("t.late", "shared") })
	for p, attrs := range map[scope.KeyOption]string{
		scope.Traced:                  "t.user=ann t.both=3 t.redacted=[REDACTED] t.late=shared",
		scope.Measured:                "t.tenant=acme t.both=3 t.redacted=[REDACTED]",
		scope.Propagated:              "t.region=eu",
		scope.Profiled:                "",
		scope.Traced | scope.Measured: "t.both=3 t.redacted=[REDACTED]",
		scope.Traced | scope.Measured | scope.Redacted: "t.redacted=[REDACTED]",
		scope.Traced | scope.Propagated:                "",
		scope.Hidden:                                   "",
		scope.Hidden | scope.Traced:                    "",
		0:                                              "",
		1 << 7:                                         "",
		255:                                            "",
	} {
		for range 2 {
			got := otelscope.Attributes(s, p) // the task is over: that plays no part
			want(t, "attributes", text(got), attrs)
			if len(got) > 0 {
				got[0] = attribute.String("changed", "by the caller")
			}
		}
	}
	if got := otelscope.Attributes(scope.Scope{}, scope.Traced); got != nil {
		t.Errorf("of the zero Scope: %v", got)
	}
}

func TestAPolicyThatComesLateHoldsForAttributes(t *testing.T) {
	late := testkit.NewName("attributes_test_late")
	s := scope.New(late, "x")
	want(t, "before", text(otelscope.Attributes(s, scope.Traced)), "")
	_ = scope.NewKey[string](late, scope.Traced)
	want(t, "Traced", text(otelscope.Attributes(s, scope.Traced)), late+"=x")
	_ = scope.NewKey[string](late, scope.Redacted)
	want(t, "Redacted", text(otelscope.Attributes(s, scope.Traced)), late+"=[REDACTED]")
	_ = scope.NewKey[string](late, scope.Hidden)
	want(t, "Hidden", text(otelscope.Attributes(s, scope.Traced)), "")
}

// A group's members are attributes of their own, with the group's name in front.
func TestGroupsAreFlat(t *testing.T) {
	_ = scope.NewKey[any]("g", scope.Traced)
	_ = scope.NewKey[any]("g.token", scope.Hidden)
	_ = scope.NewKey[any]("g.card", scope.Redacted)
	group := slog.Group("g", slog.Int("a", 1), slog.Group("b", slog.String("c", "x")), slog.String("token", "x"), slog.String("card", "x"), slog.Any("nothing", nil))
	s := scope.New(group)
	want(t, "attributes", text(otelscope.Attributes(s, scope.Traced)), "g.a=1 g.b.c=x g.card=[REDACTED]")

	tracer, spans := newTracer()
	s.Run(func() {
		ctx, span := tracer.Start(background, "work")
		otelscope.Finish(ctx)
		span.End()
	})
	want(t, "a span", text(spans.Ended()[0].Attributes()), "g.a=1 g.b.c=x g.card=[REDACTED]")

	_ = scope.NewKey[any]("g.a", scope.Traced)
	want(t, "a field of that name", text(otelscope.Attributes(s.With("g.a", 2), scope.Traced)), "g.a=2 g.b.c=x g.card=[REDACTED]")
	s = scope.New(group) // of a task that isn't over: what is remembered of s is what the next is made of
	_ = otelscope.Attributes(s, scope.Traced)
	_ = otelscope.Attributes(s.With("g.a", 3), scope.Traced)
	want(t, "the scope before", text(otelscope.Attributes(s, scope.Traced)), "g.a=1 g.b.c=x g.card=[REDACTED]")
	want(t, "a group after a field", text(otelscope.Attributes(scope.New("g.a", 2, "t.user", "ann").With(group), scope.Traced)), "g.a=1 t.user=ann g.b.c=x g.card=[REDACTED]")
	want(t, "a group that is empty", text(otelscope.Attributes(scope.New(slog.Group("g")), scope.Traced)), "")
}

// What is remembered of a scope is what those that are made of it begin with. They share nothing else.
func TestScopesThatAreMadeOfOne(t *testing.T) {
	s := scope.New("t.user", "ann", "t.redacted", "x", "t.both", 1)
	_ = otelscope.Attributes(s, scope.Traced)
	one, other := s.With("t.late", "one"), s.With("t.late", "other")
	for range 2 {
		for late, s := range map[string]scope.Scope{"one": one, "other": other} {
			want(t, "attributes", text(otelscope.Attributes(s, scope.Traced)), "t.user=ann t.redacted=[REDACTED] t.both=1 t.late="+late)
		}
	}
	tracer, spans := newTracer()
	s.Run(func() {})
	_, span := tracer.Start(scope.NewContext(background, s), "late") // has scope_ended in front of them
	span.End()
	want(t, "a late span", text(spans.Ended()[0].Attributes()), "scope_ended=true t.user=ann t.redacted=[REDACTED] t.both=1")
	want(t, "the scope itself", text(otelscope.Attributes(s, scope.Traced)), "t.user=ann t.redacted=[REDACTED] t.both=1")
}

// A group that is too large, or too deep, is no attributes, but one that says so.
func TestAGroupMayBeTooLarge(t *testing.T) {
	members := make([]slog.Attr, 10_001)
	for i := range members {
		members[i] = slog.Int(fmt.Sprint("m", i), i)
	}
	deep := slog.IntValue(1)
	for range 40 {
		deep = slog.GroupValue(slog.Attr{Key: "a", Value: deep})
	}
	for _, v := range []slog.Value{slog.GroupValue(members...), deep} {
		got := otelscope.Attributes(scope.New(slog.Attr{Key: "t.user", Value: v}, "t.late", 1), scope.Traced)
		want(t, "attributes", text(got), "t.user=!BADVALUE: nested too deep, or too large t.late=1")
	}
	got := otelscope.Attributes(scope.New(slog.Attr{Key: "t.user", Value: slog.GroupValue(members[:2000]...)}), scope.Traced)
	if len(got) != 2000 {
		t.Errorf("%d attributes of 2000 members", len(got))
	}
}

func TestNothingIsNoAttribute(t *testing.T) {
	var nowhere *net.IPNet
	s := scope.New("t.user", nil, "t.late", nowhere, "t.both", 1, "t.tenant", nowhere)
	want(t, "attributes", text(otelscope.Attributes(s, scope.Traced)), "t.both=1")
	want(t, "a measurement", text(config(otelscope.MetricOption(s))), "t.both=1")
}

// A LogValuer is asked anew each time, and a method that panics costs its own attribute.
func TestValuesWithMethods(t *testing.T) {
	counter := new(testkit.Counter)
	s := scope.New("t.user", counter, "t.late", testkit.PanickingLogValue{}, "t.both", testkit.PanickingError{})
	want(t, "first", text(otelscope.Attributes(s, scope.Traced)), "t.user=1 t.late=!PANIC: no value t.both=!PANIC: no text")
	want(t, "then", text(otelscope.Attributes(s, scope.Traced)), "t.user=2 t.late=!PANIC: no value t.both=!PANIC: no text")
	want(t, "a measurement", text(config(otelscope.MetricOption(s))), "t.both=!PANIC: no text")
}

// config returns the attributes that an option gives a measurement.
func config(o ...metric.AddOption) []attribute.KeyValue {
	set := metric.NewAddConfig(o).Attributes()
	return set.ToSlice()
}

func TestMetricOption(t *testing.T) {
	s := scope.New("request_id", "r-1", "t.user", "ann", "t.tenant", "acme", "t.hidden", "x", "t.redacted", "x")
	want(t, "zero", text(config(otelscope.MetricOption(scope.Scope{}))), "")
	want(t, "nothing Measured", text(config(otelscope.MetricOption(scope.New("t.user", "ann")))), "")
	want(t, "nil alone", text(config(otelscope.MetricOption(scope.New("t.tenant", nil)))), "")
	want(t, "some", text(config(otelscope.MetricOption(s))), "t.redacted=[REDACTED] t.tenant=acme")
	if otelscope.MetricOption(s) != otelscope.MetricOption(s) {
		t.Error("the option isn't remembered")
	}
	s.Run(func() {
		scope.Share("t.both", 1)
		want(t, "shared", text(config(otelscope.MetricOption(scope.Current()))), "t.both=1 t.redacted=[REDACTED] t.tenant=acme")
	})
	want(t, "the task is over", text(config(otelscope.MetricOption(s.With("t.tenant", "other")))), "t.both=1 t.redacted=[REDACTED] t.tenant=other")
	own := metric.WithAttributes(attribute.String("t.tenant", "own"), attribute.Int("n", 1))
	want(t, "with its own behind", text(config(otelscope.MetricOption(s), own)), "n=1 t.both=1 t.redacted=[REDACTED] t.tenant=own")
	for _, option := range []metric.MeasurementOption{otelscope.MetricOption(s), otelscope.MetricOption(scope.Scope{})} {
		_, ofSet := option.(interface{ Set(attribute.Set) })
		_, ofList := option.(interface{ Set([]attribute.KeyValue) })
		if ofSet || ofList { // those of metric.WithAttributeSet and metric.WithAttributes have one
			t.Errorf("%T can be changed, and all measurements share it", option)
		}
	}
}

// One measurement for each tenant, through the SDK.
func TestMeasurementsByTenant(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	charged, err := meter.Int64Counter("charged")
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"acme", "other", "acme"} {
		scope.New("t.tenant", tenant, "request_id", "r").Run(func() {
			charged.Add(background, 1, otelscope.MetricOption(scope.Current()))
		})
	}
	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range data.ScopeMetrics[0].Metrics[0].Data.(metricdata.Sum[int64]).DataPoints {
		got = append(got, text(p.Attributes.ToSlice())+": "+attribute.Int64Value(p.Value).String())
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"t.tenant=acme: 2", "t.tenant=other: 1"}) {
		t.Errorf("points %q", got)
	}
}
