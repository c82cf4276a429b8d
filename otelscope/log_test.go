package otelscope_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

var background = context.Background()

func TestARecordHasTheFieldsOfTheScope(t *testing.T) {
	l, k := newLogger(nil)
	emit(l, background)
	scope.New("request_id", "r-1", "n", 2).Run(func() {
		emit(l, background)
		scope.Share("user", "ann")
		emit(l, background, attribute.Bool("own", true))
		emit(l, scope.NewContext(background, scope.New("job", "j-1"))) // of another task
		emit(l, scope.NewContext(background, scope.With("step", "s")))
	})
	wantLines(t, k,
		"hello",
		"hello request_id=r-1 n=2",
		"hello own=true request_id=r-1 n=2 user=ann",
		"hello job=j-1",
		"hello request_id=r-1 n=2 step=s user=ann")
}

func TestARecordsOwnAttributeWins(t *testing.T) {
	l, k := newLogger(nil)
	scope.New("request_id", "r-1", "user", "scope", "n", 2).Run(func() {
		for range 2 { // the second time from what is remembered
			emit(l, background, attribute.String("user", "own"))
			emit(l, background, attribute.Int("n", 1), attribute.String("user", "own"), attribute.String("request_id", "own"))
		}
		emit(l, background)
	})
	wantLines(t, k,
		"hello user=own request_id=r-1 n=2",
		"hello n=1 user=own request_id=own",
		"hello user=own request_id=r-1 n=2",
		"hello n=1 user=own request_id=own",
		"hello request_id=r-1 user=scope n=2")
}

// Also where the field's key is another one on a record, which is UTF-8.
func TestARecordsOwnAttributeWinsOverARenamedField(t *testing.T) {
	l, k := newLogger(nil)
	grouped, kg := newLogger(&otelscope.LogOptions{Group: "g\xff"})
	scope.New("a", 1).Run(func() { // whose key is none of those that change
		emit(grouped, background, attribute.String("g\uFFFD", "own"))
	})
	wantLines(t, kg, "hello g\uFFFD=own")
	scope.New("a", 1, "k\xff", "field").Run(func() {
		emit(l, background)
		wantLines(t, k, "hello a=1 k\uFFFD=field")
		scope.Set("b", 2) // what is remembered of the scope before is used again
		for _, key := range []string{"other", "k\uFFFD", "g\uFFFD"} {
			emit(l, background, attribute.String(key, "own"))
			emit(grouped, background, attribute.String(key, "own"))
		}
	})
	wantLines(t, k, "hello other=own a=1 k\uFFFD=field b=2", "hello k\uFFFD=own a=1 b=2", "hello g\uFFFD=own a=1 k\uFFFD=field b=2")
	wantLines(t, kg, "hello other=own g\uFFFD={\"a\":1,\"b\":2,\"k\uFFFD\":\"field\"}", "hello k\uFFFD=own g\uFFFD={\"a\":1,\"b\":2,\"k\uFFFD\":\"field\"}", "hello g\uFFFD=own")
}

// A record has the ids of the scope if it has none, and never as attributes too.
func TestWhoseIDsARecordHas(t *testing.T) {
	ids := "[" + traceID + "/" + spanID + "/01]"
	other := "00000000000000000000000000000001"
	noSpan := "0000000000000000"
	remoteSpan := trace.SpanContextFromContext(remote())
	for _, c := range []struct {
		name   string
		fields []any
		ctx    context.Context
		own    []attribute.KeyValue
		want   string
	}{
		{"all of them", []any{"trace_id", traceID, "span_id", spanID, "trace_flags", "01"}, background, nil, "hello " + ids},
		{"as attributes", []any{slog.String("trace_id", traceID), slog.String("span_id", spanID), slog.String("trace_flags", "01")}, background, nil, "hello " + ids},
		{"the record's span wins", []any{"trace_id", other, "span_id", spanID, "trace_flags", "00"}, remote(), nil, "hello " + ids},
		{"a trace alone", []any{"trace_id", other, "trace_flags", "01"}, background, nil, "hello [" + other + "/" + noSpan + "/01]"},
		{"no flags", []any{"trace_id", traceID, "span_id", spanID}, background, nil, "hello [" + traceID + "/" + spanID + "/00]"},
		{"bad flags", []any{"trace_id", traceID, "span_id", spanID, "trace_flags", "zz"}, background, nil, "hello [" + traceID + "/" + spanID + "/00]"},
		{"a digit too few", []any{"trace_id", traceID, "span_id", spanID, "trace_flags", "1"}, background, nil, "hello [" + traceID + "/" + spanID + "/00]"},
		{"flags of another type", []any{"trace_id", traceID, "span_id", spanID, "trace_flags", 1}, background, nil, "hello [" + traceID + "/" + spanID + "/00]"},
		{"of OpenTelemetry's types", []any{"trace_id", remoteSpan.TraceID(), "span_id", remoteSpan.SpanID(), "trace_flags", remoteSpan.TraceFlags()}, background, nil, "hello " + ids},
		{"what leads back to itself", []any{"trace_id", endless(), "span_id", endless(), "trace_flags", endless()}, background, nil,
			"hello trace_id=!BADVALUE: nested too deep, or too large span_id=!BADVALUE: nested too deep, or too large"},
		{"what panics", []any{"trace_id", testkit.PanickingString{}}, background, nil, "hello trace_id=!PANIC: no text"},
		{"a span alone", []any{"span_id", spanID}, background, nil, "hello"},
		{"another's format", []any{"trace_id", "123456", "span_id", "7"}, background, nil, "hello trace_id=123456 span_id=7"},
		{"zeros", []any{"trace_id", "00000000000000000000000000000000"}, background, nil, "hello trace_id=00000000000000000000000000000000"},
		{"an attribute of the record", []any{"trace_id", traceID, "span_id", spanID}, background, []attribute.KeyValue{attribute.String("trace_id", other)}, "hello trace_id=" + other},
		{"the same as an attribute", []any{"trace_id", traceID, "span_id", spanID, "trace_flags", "01"}, background,
			[]attribute.KeyValue{attribute.String("trace_id", traceID), attribute.String("span_id", spanID)}, "hello trace_id=" + traceID + " span_id=" + spanID + " " + ids},
		{"another span as an attribute", []any{"trace_id", traceID, "span_id", spanID}, background,
			[]attribute.KeyValue{attribute.String("trace_id", traceID), attribute.String("span_id", "7")}, "hello trace_id=" + traceID + " span_id=7"},
		{"another trace as an attribute, and the same span", []any{"trace_id", traceID, "span_id", spanID}, background,
			[]attribute.KeyValue{attribute.String("trace_id", other), attribute.String("span_id", spanID)}, "hello trace_id=" + other + " span_id=" + spanID},
		{"the scope's as attributes, and a span of another trace", []any{"trace_id", other, "span_id", "0000000000000007"}, remote(),
			[]attribute.KeyValue{attribute.Int("a", 1), attribute.String("trace_id", other), attribute.String("span_id", "0000000000000007"), attribute.Int("z", 2)}, "hello a=1 z=2 " + ids},
		{"the scope's as attributes, and another span", []any{"trace_id", traceID, "span_id", "0000000000000007"}, remote(),
			[]attribute.KeyValue{attribute.String("trace_id", traceID), attribute.String("span_id", "0000000000000007")}, "hello trace_id=" + traceID + " " + ids},
		{"the scope's as attributes, and its span", []any{"trace_id", traceID, "span_id", spanID}, remote(),
			[]attribute.KeyValue{attribute.String("trace_id", traceID), attribute.String("span_id", spanID)}, "hello trace_id=" + traceID + " span_id=" + spanID + " " + ids},
		{"another's as attributes, and a span", []any{"trace_id", traceID, "span_id", spanID}, remote(),
			[]attribute.KeyValue{attribute.String("trace_id", other), attribute.Int("span_id", 7)}, "hello trace_id=" + other + " span_id=7 " + ids},
		{"a parent, and the scope's own span", []any{"trace_id", traceID, "span_id", spanID, "parent_span_id", "p"}, remote(), nil, "hello parent_span_id=p " + ids},
		{"a parent, and another span", []any{"trace_id", traceID, "span_id", "0000000000000007", "parent_span_id", "p"}, remote(), nil, "hello " + ids},
		{"a parent, and a span of its trace", []any{"trace_id", traceID, "parent_span_id", "p"}, remote(), nil, "hello parent_span_id=p " + ids},
		{"a parent, and a span of another trace", []any{"trace_id", other, "parent_span_id", "p"}, remote(), nil, "hello " + ids},
		{"a parent alone", []any{"parent_span_id", "p"}, remote(), nil, "hello parent_span_id=p " + ids},
		{"a parent as an attribute, and another span", []any{"trace_id", other, "span_id", spanID, "parent_span_id", "p"}, trace.ContextWithSpanContext(background, trace.SpanContextFromContext(remote()).WithSpanID(trace.SpanID{7})),
			[]attribute.KeyValue{attribute.Int("a", 1), attribute.String("parent_span_id", "p")}, "hello a=1 [" + traceID + "/0700000000000000/01]"},
		{"another parent as an attribute", []any{"trace_id", other, "parent_span_id", "p"}, remote(),
			[]attribute.KeyValue{attribute.String("parent_span_id", "own")}, "hello parent_span_id=own " + ids},
		{"another parent's type as an attribute", []any{"trace_id", other}, remote(), []attribute.KeyValue{attribute.Int("parent_span_id", 7)}, "hello parent_span_id=7 " + ids},
		{"a parent as an attribute, and a span of its trace", []any{"trace_id", traceID, "parent_span_id", "p"}, remote(),
			[]attribute.KeyValue{attribute.String("parent_span_id", "p"), attribute.Int("z", 1)}, "hello parent_span_id=p z=1 " + ids},
		{"a parent, and a record without a span", []any{"trace_id", traceID, "span_id", spanID, "trace_flags", "01", "parent_span_id", "p"}, background, nil, "hello parent_span_id=p " + ids},
		{"other fields, and another span", []any{"trace_id", other, "a", 1}, remote(), nil, "hello a=1 " + ids},
		{"other fields, one on the record, and a parent", []any{"trace_id", other, "a", 1, "parent_span_id", "p"}, remote(), []attribute.KeyValue{attribute.Int("a", 2)}, "hello a=2 " + ids},
		{"both", []any{"trace_id", traceID}, remote(), []attribute.KeyValue{attribute.String("trace_id", traceID)}, "hello trace_id=" + traceID + " " + ids},
	} {
		for _, opts := range []*otelscope.LogOptions{
			nil,
			{MaxFields: 2},
			{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, true }},
		} {
			l, k := newLogger(opts)
			twice := func() {
				for range 2 {
					emit(l, c.ctx, c.own...)
				}
			}
			scope.New(c.fields...).Run(twice)
			scope.New().Run(func() {
				for key, value := range scope.New(c.fields...).All() {
					scope.ShareAttrs(slog.Attr{Key: key, Value: value})
				}
				twice()
			})
			if got := k.take(); !slices.Equal(got, []string{c.want, c.want, c.want, c.want}) {
				t.Errorf("%s, %+v: %q, want %q", c.name, opts, got, c.want)
			}
		}
	}
}

// Ids aren't fields that MaxFields counts or Filter renames: a record would lose its trace.
func TestIDsStandAsideOfTheOptions(t *testing.T) {
	ids := " [" + traceID + "/" + spanID + "/01]"
	fields := []any{"trace_id", traceID, "a", 1, "span_id", spanID, "trace_flags", "01", "b", 2, "c", 3}
	for want, opts := range map[string]*otelscope.LogOptions{
		"hello c=3 scope_dropped=2" + ids:                  {MaxFields: 1},
		"hello app.a=1 app.b=2 app.c=3" + ids:              {Filter: func(a slog.Attr) (slog.Attr, bool) { a.Key = "app." + a.Key; return a, true }},
		"hello app.b=2 scope_dropped=1" + ids:              {MaxFields: 1, Filter: func(a slog.Attr) (slog.Attr, bool) { a.Key = "app." + a.Key; return a, a.Key != "app.c" }},
		`hello task={"a":1,"b":2,"c":3}` + ids:             {Group: "task"},
		`hello task={"b":2,"c":3,"scope_dropped":1}` + ids: {Group: "task", MaxFields: 2},
		"hello scope_ended=true a=1 b=2 c=3" + ids:         {},
		"hello a=1 b=2 c=3" + ids:                          {MaxFields: -1},
		"hello scope_ended=true":                           {Ended: logadapters.DropEnded},
		"hello scope_ended=true ":                          {Ended: logadapters.DropEnded, MaxFields: 1},
	} {
		l, k := newLogger(opts)
		s := scope.New(fields...)
		if opts.Ended == logadapters.DropEnded || want == "hello scope_ended=true a=1 b=2 c=3"+ids {
			s.Run(func() {})
			emit(l, scope.NewContext(background, s))
		} else {
			s.Run(func() { emit(l, background) })
		}
		wantLines(t, k, strings.TrimSpace(want))
	}
	l, k := newLogger(&otelscope.LogOptions{MaxFields: 2})
	s := scope.New(fields...)
	s.Run(func() { emit(l, background, attribute.Int("c", 7)) })
	emit(l, scope.NewContext(background, s))
	wantLines(t, k, "hello c=7 a=1 b=2"+ids, "hello scope_ended=true b=2 c=3 scope_dropped=1"+ids)
	for _, opts := range []*otelscope.LogOptions{{Group: "task"}, {Group: "task", MaxFields: 2}} {
		l, k = newLogger(opts)
		scope.New("parent_span_id", "p", "a", 1, "trace_id", "00000000000000000000000000000001").Run(func() {
			emit(l, remote())
			scope.Delete("a")
			emit(l, remote())
		})
		wantLines(t, k, `hello task={"a":1} [`+traceID+"/"+spanID+"/01]", "hello ["+traceID+"/"+spanID+"/01]")
	}
	l, k = newLogger(&otelscope.LogOptions{Group: "task"})
	scope.New("trace_id", traceID, "span_id", spanID, "trace_flags", "01").Run(func() { emit(l, background) })
	wantLines(t, k, "hello"+ids)
}

// A record says how many attributes the SDK's limit has left out. What has no ids to remove leaves that alone.
func TestTheNumberOfWhatIsLeftOutStays(t *testing.T) {
	k := new(records)
	l := sdklog.NewLoggerProvider(sdklog.WithAttributeCountLimit(1), sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), sdklog.WithProcessor(k)).Logger("test")
	scope.New("trace_id", "00000000000000000000000000000001").Run(func() { emit(l, remote(), attribute.Int("a", 1), attribute.Int("b", 2)) })
	if n := k.all[0].DroppedAttributes(); n != 1 {
		t.Errorf("%d are left out", n)
	}
}

// An adapter around a bridge, with the same group, has put the scope's ids into it. Other groups are the program's.
func TestAGroupHasNoIDsOfAnotherSpan(t *testing.T) {
	l, k := newLogger(&otelscope.LogOptions{Group: "task"})
	other := "00000000000000000000000000000001"
	group := func(key string) attribute.KeyValue {
		return attribute.Map(key, attribute.String("trace_id", other), attribute.Int("a", 1), attribute.String("span_id", spanID))
	}
	ctx := trace.ContextWithSpanContext(background, trace.SpanContextFromContext(remote()).WithSpanID(trace.SpanID{7}))
	scope.New("trace_id", other, "span_id", spanID, "a", 1).Run(func() {
		emit(l, ctx, group("task"), attribute.Int("z", 1))
		emit(l, ctx, group("own"), attribute.Int("task", 1))
	})
	theirs := " [" + traceID + "/0700000000000000/01]"
	wantLines(t, k,
		`hello task={"a":1} z=1`+theirs,
		`hello own={"a":1,"span_id":"`+spanID+`","trace_id":"`+other+`"} task=1`+theirs)
}

// However many options there are, a LogValuer is asked once for a record.
func TestALogValuerIsAskedOnce(t *testing.T) {
	for _, opts := range []*otelscope.LogOptions{nil, {MaxFields: 5}, {Group: "g"}, {Filter: func(a slog.Attr) (slog.Attr, bool) { return a, true }}} {
		l, _ := newLogger(opts)
		counter := new(testkit.Counter)
		scope.New("trace_id", traceID, "n", counter).Run(func() {
			emit(l, background)
			emit(l, remote())
		})
		if n := counter.Count(); n != 2 {
			t.Errorf("%+v: asked %d times for two records", opts, n)
		}
	}
}

// So it is with a limit, which counts all fields of the scope, whenever they came, and not its ids.
func TestAScopeThatGrowsBeyondTheLimit(t *testing.T) {
	ids := " [" + traceID + "/" + spanID + "/00]"
	for _, group := range []string{"", "task"} {
		l, k := newLogger(&otelscope.LogOptions{MaxFields: 2, Group: group})
		scope.New("trace_id", traceID, "a", 1, "span_id", spanID, "b", 2).Run(func() {
			emit(l, background)
			scope.Set("c", 3)
			emit(l, background)
			scope.Set("d", 4)
			emit(l, background)
		})
		if group == "" {
			wantLines(t, k, "hello a=1 b=2"+ids, "hello b=2 c=3 scope_dropped=1"+ids, "hello c=3 d=4 scope_dropped=2"+ids)
		} else {
			wantLines(t, k, `hello task={"a":1,"b":2}`+ids, `hello task={"b":2,"c":3,"scope_dropped":1}`+ids, `hello task={"c":3,"d":4,"scope_dropped":2}`+ids)
		}
	}
}

// What is added to a scope that has been seen before comes to its attributes and its ids.
func TestAScopeThatGrows(t *testing.T) {
	l, k := newLogger(nil)
	scope.New("trace_id", traceID, "a", 1).Run(func() {
		emit(l, background)
		scope.Set("b", 2)
		emit(l, background)
		scope.Set("span_id", spanID)
		emit(l, background)
		scope.Set("a", 3)
		emit(l, background)
	})
	noSpan := " [" + traceID + "/0000000000000000/00]"
	wantLines(t, k, "hello a=1"+noSpan, "hello a=1 b=2"+noSpan, "hello a=1 b=2 ["+traceID+"/"+spanID+"/00]", "hello a=3 b=2 ["+traceID+"/"+spanID+"/00]")
}

func TestPoliciesHoldForRecords(t *testing.T) {
	l, k := newLogger(nil)
	late := testkit.NewName("log_test_late")
	scope.New("t.hidden", "secret", "t.redacted", "secret", "plain", "x", late, "secret").Run(func() {
		emit(l, background)
		_ = scope.NewKey[string](late, scope.Hidden)
		emit(l, background)
	})
	wantLines(t, k,
		"hello t.redacted=[REDACTED] plain=x "+late+"=secret",
		"hello t.redacted=[REDACTED] plain=x")
}

func TestAGoroutineThatIsLeftBehindSaysSo(t *testing.T) {
	l, k := newLogger(nil)
	over, done := make(chan struct{}), make(chan struct{})
	scope.New("request_id", "r-1", "trace_id", traceID).Run(func() {
		scope.Wrap(func() {})() // whatever
		s := scope.Current()
		go func() {
			defer close(done)
			<-over
			emit(l, scope.NewContext(background, s))
		}()
	})
	close(over)
	<-done
	wantLines(t, k, "hello scope_ended=true request_id=r-1 ["+traceID+"/0000000000000000/00]")
}

// A method of a value may log with the same logger, and panic: that costs its own field.
func TestMethodsOfValuesMayDoAnything(t *testing.T) {
	l, k := newLogger(nil)
	scope.New("a", 1, "noisy", logging{l}, "bad", testkit.PanickingString{}, "worse", testkit.PanickingLogValue{}, "z", 2).Run(func() {
		ctx := scope.NewContext(background, scope.Current())
		testkit.InTime(t, func() { emit(l, ctx) })
	})
	got := k.take()
	if len(got) < 2 || got[len(got)-1] != "hello a=1 noisy=said bad=!PANIC: no text worse=!PANIC: no value z=2" {
		t.Errorf("records %q", got)
	}
	for _, inner := range got[:len(got)-1] {
		want(t, "the inner record", inner, "hello a=1 z=2")
	}
}

type logging struct{ otellog.Logger }

func (v logging) String() string {
	emit(v.Logger, background)
	return "said"
}

// The bridges hand an error over as text, or as exception.message: its scope isn't to be had.
func TestTheScopeOfAnErrorIsNotSeen(t *testing.T) {
	l, k := newLogger(nil)
	var err error
	scope.New("item", "umbrella").Run(func() { err = scope.Error(errors.New("out of stock")) })
	var r otellog.Record
	r.SetBody(attribute.StringValue("hello"))
	r.SetErr(err)
	scope.New("request_id", "r-1", "cause", err).Run(func() { l.Emit(background, r) })
	wantLines(t, k, "hello exception.message=out of stock exception.type=*errors.errorString request_id=r-1 cause=out of stock")
}

// The SDK calls processors in their order: what exports in front of ours gets no fields.
func TestAProcessorInFrontSeesTheBareRecord(t *testing.T) {
	front, behind := new(records), new(records)
	l := sdklog.NewLoggerProvider(sdklog.WithProcessor(front), sdklog.WithProcessor(otelscope.NewLogProcessor(nil)), sdklog.WithProcessor(behind)).Logger("test")
	scope.New("request_id", "r-1").Run(func() { emit(l, background) })
	wantLines(t, front, "hello")
	wantLines(t, behind, "hello request_id=r-1")
}

// The processor alone is no reason to make a record.
func TestTheProcessorExportsNothing(t *testing.T) {
	p := otelscope.NewLogProcessor(nil)
	alone := sdklog.NewLoggerProvider(sdklog.WithProcessor(p)).Logger("test")
	if alone.Enabled(background, otellog.EnabledParameters{}) {
		t.Error("a logger that exports nothing is enabled")
	}
	l, k := newLogger(nil)
	if !l.Enabled(background, otellog.EnabledParameters{}) {
		t.Error("a logger that exports is disabled")
	}
	if err := errors.Join(p.OnEmit(background, nil), p.ForceFlush(background), p.Shutdown(background), p.Shutdown(background), p.ForceFlush(background)); err != nil {
		t.Error(err)
	}
	emit(l, background)
	scope.New("a", 1).Run(func() {
		r := k.all[0]
		if err := otelscope.NewLogProcessor(nil).OnEmit(background, nil); err != nil {
			t.Error(err)
		}
		if err := p.OnEmit(background, &r); err != nil || r.AttributesLen() != 0 {
			t.Errorf("after Shutdown: %v, %d attributes", err, r.AttributesLen())
		}
	})
}

func TestRecordsOfManyGoroutines(t *testing.T) {
	l, k := newLogger(nil)
	var all sync.WaitGroup
	for range 8 {
		for _, id := range []string{"a", "b"} {
			all.Go(func() {
				scope.New("id", id, "n", 1).Run(func() {
					for i := range 100 {
						emit(l, background, attribute.String("own", id))
						if i%10 == 0 {
							scope.Set("n", i)
							scope.Share("shared", id)
						}
					}
				})
			})
		}
	}
	all.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.all {
		seen := map[string]string{}
		r.WalkAttributes(func(a attribute.KeyValue) bool { seen[string(a.Key)] = a.Value.AsString(); return true })
		if shared, ok := seen["shared"]; seen["id"] != seen["own"] || ok && shared != seen["own"] {
			t.Fatalf("a record has %v", seen)
		}
	}
}
