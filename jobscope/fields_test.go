package jobscope_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/headers"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// These are declared once for the process, so no other test has these names.
var (
	_ = scope.NewKey[string]("test.tenant", scope.Propagated)
	_ = scope.NewKey[string]("job.name", scope.Propagated)
)

var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// Headers is an http.Header as a carrier, in the three lines that it takes.
type Headers struct{ http.Header }

func (h Headers) Keys() []string { return slices.Collect(maps.Keys(h.Header)) }

func TestWhichIDAJobGets(t *testing.T) {
	good := Map{"x-request-id": "sent"}
	fields := func(attrs ...slog.Attr) func(context.Context) []slog.Attr {
		return func(context.Context) []slog.Attr { return attrs }
	}
	for _, c := range []struct {
		rule string
		opts *jobscope.Options
		want string // "" for a new one
	}{
		{"no options", nil, ""},
		{"the zero Options", &jobscope.Options{}, ""},
		{"ID", &jobscope.Options{ID: id("mine")}, "mine"},
		{"ID, in a way that Headers may not have", &jobscope.Options{ID: id("mine: 1")}, "mine: 1"},
		{"ID, nothing", &jobscope.Options{ID: id("")}, ""},
		{"ID, what no header can hold", &jobscope.Options{ID: id("a\nb")}, ""},
		{"ID, too long", &jobscope.Options{ID: id(strings.Repeat("x", 1025))}, ""},
		{"Headers", &jobscope.Options{Headers: good}, "sent"},
		{"Headers before ID", &jobscope.Options{Headers: good, ID: id("mine")}, "sent"},
		{"Headers, 128 characters", &jobscope.Options{Headers: Map{"x-request-id": strings.Repeat("x", 128)}}, strings.Repeat("x", 128)},
		{"Headers, 129 characters", &jobscope.Options{Headers: Map{"x-request-id": strings.Repeat("x", 129)}}, ""},
		{"Headers, no plain one", &jobscope.Options{Headers: Map{"x-request-id": "a b"}}, ""},
		{"Headers, a bad one, then ID", &jobscope.Options{Headers: Map{"x-request-id": "a\nb"}, ID: id("mine")}, "mine"},
		{"Headers, none", &jobscope.Options{Headers: Map{}}, ""},
		{"Headers, a nil map", &jobscope.Options{Headers: Map(nil)}, ""},
		{"Headers, http.Header", &jobscope.Options{Headers: Headers{http.Header{"X-Request-Id": {"sent"}}}}, "sent"},
		{"Headers in another case", &jobscope.Options{Headers: Map{"X-Request-ID": "sent"}}, "sent"},
		{"Fields before all", &jobscope.Options{Headers: good, ID: id("mine"), Fields: fields(slog.String("request_id", "theirs"))}, "theirs"},
		{"Fields, a number", &jobscope.Options{Fields: fields(slog.Int("request_id", 7))}, "7"},
		{"Fields, nothing", &jobscope.Options{Headers: good, Fields: fields(slog.String("request_id", ""))}, "sent"},
		{"Fields, what no header can hold", &jobscope.Options{ID: id("mine"), Fields: fields(slog.String("request_id", "a\nb"))}, "mine"},
		{"Fields, another text each time", &jobscope.Options{Fields: fields(slog.Any("request_id", new(testkit.Counter)))}, "1"},
		{"Fields, none", &jobscope.Options{ID: id("mine"), Fields: fields()}, "mine"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got := fieldsOf(t, c.opts)["request_id"]
			if got != c.want && (c.want != "" || !uuid7.MatchString(got)) {
				t.Errorf("the id is %q", got)
			}
		})
	}
}

func TestTheIDIsWhatIsSentOn(t *testing.T) {
	run(t, "tidy", func(ctx context.Context) {
		sent := Map{}
		propagation.Inject(scope.Current().Pick(ctx), sent)
		if sent["x-request-id"] != "theirs" {
			t.Errorf("sent is %v", sent)
		}
	}, &jobscope.Options{Fields: func(context.Context) []slog.Attr { return []slog.Attr{slog.String("request_id", "theirs")} }})
}

func TestWhatIsTakenOfHeaders(t *testing.T) {
	traced := map[string]string{"trace_id": traceID, "parent_span_id": "00f067aa0ba902b7", "trace_flags": "01"}
	with := func(more ...string) map[string]string {
		fields := maps.Clone(traced)
		for i := 0; i < len(more); i += 2 {
			fields[more[i]] = more[i+1]
		}
		return fields
	}
	for _, c := range []struct {
		rule    string
		headers propagation.Carrier
		trusted bool
		want    map[string]string // request_id and job.name left out
	}{
		{"none", nil, true, nil},
		{"traceparent", Map{"traceparent": traceparent}, false, traced},
		{"a bad traceparent", Map{"traceparent": traceparent[1:], "tracestate": "a=1"}, false, nil},
		{"tracestate", Map{"traceparent": traceparent, "tracestate": "a=1,b=2"}, false, with("trace_state", "a=1,b=2")},
		{"a bad tracestate", Map{"traceparent": traceparent, "tracestate": "="}, false, traced},
		{"tracestate alone", Map{"tracestate": "a=1"}, false, nil},
		{"baggage, not trusted", Map{"baggage": "test.tenant=acme", "traceparent": traceparent}, false, traced},
		{"baggage in another case, not trusted", Map{"Baggage": "test.tenant=acme", "BAGGAGE": ""}, false, nil},
		{"baggage of an http.Header, not trusted", Headers{http.Header{"Baggage": {"test.tenant=acme"}}}, false, nil},
		{"baggage", Map{"baggage": "test.tenant=acme", "traceparent": traceparent}, true, with("test.tenant", "acme")},
		{"baggage in another case", Map{"Baggage": "test.tenant=acme"}, true, map[string]string{"test.tenant": "acme"}},
		{"baggage of undeclared keys", Map{"baggage": "user=eve,test.tenant=acme"}, true, map[string]string{"test.tenant": "acme"}},
		{"baggage beyond the limits", Map{"baggage": "test.tenant=" + strings.Repeat("x", 8192)}, true, nil},
		{"baggage of the ids", Map{"baggage": "request_id=eve,trace_id=eve"}, true, nil},
		{"baggage of Run's own fields", Map{"baggage": "job.name=eve"}, true, nil},
		{"other headers", Map{"user": "eve", "job.name": "eve"}, true, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got := fieldsOf(t, &jobscope.Options{ID: id("mine"), Headers: c.headers, TrustBaggage: c.trusted})
			want := map[string]string{"request_id": "mine", "job.name": "tidy"}
			maps.Copy(want, c.want)
			wantFields(t, got, want)
		})
	}
}

func TestFieldsStandInTheirOrder(t *testing.T) {
	scope.Outside(func() {
		scope.Set("service", "shop")
		run(t, "tidy", func(context.Context) {
			scope.Set("rows", 3)
			want := "service=shop request_id=sent job.name=tidy trace_id=" + traceID + " parent_span_id=00f067aa0ba902b7 test.tenant=acme queue=orders rows=3"
			if got := scope.Current().String(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}, &jobscope.Options{
			Headers:      Map{"baggage": "test.tenant=acme", "x-request-id": "sent", "traceparent": traceparent},
			TrustBaggage: true,
			Fields:       func(context.Context) []slog.Attr { return []slog.Attr{slog.String("queue", "orders")} },
		})
	})
}

func TestFieldsReplaceThoseOfRun(t *testing.T) {
	got := fieldsOf(t, &jobscope.Options{
		Headers:      Map{"baggage": "test.tenant=acme", "x-request-id": "sent"},
		TrustBaggage: true,
		Fields: func(context.Context) []slog.Attr {
			return []slog.Attr{slog.String("job.name", "other"), slog.String("test.tenant", "theirs")}
		},
	})
	wantFields(t, got, map[string]string{"request_id": "sent", "job.name": "other", "test.tenant": "theirs"})
}

// Fields and ID are called within the job's task. What Fields takes over from the caller, it
// finds in the context.
// A job whose span begins a trace of its own has nothing of the sender's.
func TestFieldsMayBeOfAnotherTrace(t *testing.T) {
	headers := Map{"traceparent": traceparent, "tracestate": "a=1"}
	for own, want := range map[string]string{traceID: "00f067aa0ba902b7 a=1", "00000000000000000000000000000001": " "} {
		_ = jobscope.Run(t.Context(), "tidy", func(context.Context) error {
			if got := scope.GetOr("parent_span_id", "") + " " + scope.GetOr("trace_state", ""); got != want || scope.GetOr("trace_id", "") != own {
				t.Errorf("the trace %s has %q, want %q", own, got, want)
			}
			return nil
		}, &jobscope.Options{Headers: headers, Fields: func(context.Context) []slog.Attr { return []slog.Attr{slog.String("trace_id", own)} }})
	}
}

func TestOptionsAreCalledWithinTheJob(t *testing.T) {
	scope.New("request_id", "r-1").Run(func() {
		ctx := scope.NewContext(t.Context(), scope.Current())
		var inFields, inID, inFn scope.Scope
		err := jobscope.Run(ctx, "tidy", func(context.Context) error {
			inFn = scope.Current()
			if got := scope.GetOr("started_by", ""); got != "r-1" {
				t.Errorf("started by %q", got)
			}
			return nil
		}, &jobscope.Options{
			ID: func() string { inID = scope.Current(); return "" },
			Fields: func(given context.Context) []slog.Attr {
				if given != ctx {
					t.Error("Fields is given another context than Run")
				}
				inFields = scope.Current()
				caller, _ := scope.FromContext(given)
				by, _ := caller.Get("request_id")
				return []slog.Attr{slog.Any("started_by", by)}
			},
		})
		if err != nil {
			t.Error(err)
		}
		for what, s := range map[string]scope.Scope{"Fields": inFields, "ID": inID} {
			if !s.SameTask(inFn) || s.Len() != 0 {
				t.Errorf("%s is called with %v", what, s)
			}
		}
	})
}

// A new id is made as httpscope makes them, so those of jobs and requests sort by time together.
func TestNewIDsAreThoseOfHTTPScope(t *testing.T) {
	const time = len("017f22e2-79b0-7cc3")
	before := httpscope.NewID()
	got := fieldsOf(t, nil)["request_id"]
	if after := httpscope.NewID(); got[:time] < before[:time] || got[:time] > after[:time] {
		t.Errorf("%s isn't between %s and %s", got, before, after)
	}
}

// A message may be long; what is kept of its headers, in goroutines that outlive the job, isn't.
func TestNothingOfTheHeadersIsPinned(t *testing.T) {
	const size, jobs = 1 << 20, 16
	heap := func() int64 {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	release := make(chan struct{})
	before := heap()
	for range jobs {
		// The headers are parts of the message, as with a client that reads it into one buffer.
		message := "sent" + traceparent + "a=1,b=2" + "test.tenant=acme" + strings.Repeat("x", size)
		part := func(n int) (text string) {
			text, message = message[:n], message[n:]
			return text
		}
		headers := Map{
			"x-request-id": part(len("sent")), "traceparent": part(len(traceparent)), "tracestate": part(len("a=1,b=2")),
			"baggage": part(len("test.tenant=acme")),
		}
		run(t, "tidy", func(ctx context.Context) {
			if scope.Current().Len() != 7 {
				t.Errorf("taken is %v", scope.Current())
			}
			scope.Go(func() {
				<-release
				runtime.KeepAlive(ctx)
			})
		}, &jobscope.Options{Headers: headers, TrustBaggage: true})
	}
	kept := heap() - before
	close(release)
	if err := scope.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if t.Logf("%d jobs keep %d KiB", jobs, kept>>10); kept > jobs*size/4 {
		t.Errorf("%d jobs keep %d bytes", jobs, kept)
	}
}

// Whatever the headers hold, a field is valid or isn't there.
func FuzzHeaders(f *testing.F) {
	f.Add("r-1", traceparent, "a=1", "test.tenant=acme", true)
	f.Add("r-1\n", traceparent[1:], "=", "job.name=eve,request_id=eve", true)
	f.Add("", "", "", "test.tenant=%0a", false)
	f.Fuzz(func(t *testing.T, requestID, parent, state, baggage string, trusted bool) {
		var fields map[string]string
		err := jobscope.Run(t.Context(), "tidy", func(context.Context) error {
			fields = scopekit.Fields(scope.Current())
			return errors.ErrUnsupported
		}, &jobscope.Options{
			Headers:      Map{"x-request-id": requestID, "traceparent": parent, "tracestate": state, "baggage": baggage},
			TrustBaggage: trusted,
		})
		if err != errors.ErrUnsupported {
			t.Errorf("Run has returned %v", err)
		}
		if fields["job.name"] != "tidy" {
			t.Errorf("the fields are %v", fields)
		}
		if id := fields["request_id"]; id != requestID && !uuid7.MatchString(id) || !httpscope.PlainID(id) {
			t.Errorf("the id is %q", id)
		}
		if _, has := fields["test.tenant"]; has && !trusted {
			t.Errorf("baggage is taken: %v", fields)
		}
	})
}

// Baggage of a message that isn't trusted isn't sent on by what the job calls: OpenTelemetry's instrumentation
// may have taken it into the context.
func TestUntrustedBaggageIsNotSentOn(t *testing.T) {
	for _, c := range []struct {
		headers propagation.Carrier
		trusted bool
		want    string
	}{
		{Map{"baggage": "test.tenant=%65ve,x=1"}, false, "mine=1"},
		{Map{"Baggage": "test.tenant=eve", "BAGGAGE": "x=1"}, false, "mine=1"},
		{Headers{http.Header{"Baggage": {"test.tenant=eve", "x=1"}}}, false, "mine=1"},
		{Map{"baggage": "test.tenant=eve,x=1"}, true, "test.tenant=eve,x=1,mine=1"},
		{Map{}, false, "test.tenant=eve,x=1,mine=1"},
		{nil, false, "test.tenant=eve,x=1,mine=1"},
	} {
		sent := http.Header{"Baggage": {"test.tenant=eve,x=1,mine=1"}} // from the context
		_ = jobscope.Run(t.Context(), "tidy", func(ctx context.Context) error {
			entry.DropUntrusted(ctx, headers.Header(sent))
			return nil
		}, &jobscope.Options{Headers: c.headers, TrustBaggage: c.trusted})
		if got := sent.Get("Baggage"); got != c.want {
			t.Errorf("%v, trusted %v: sent %q, want %q", c.headers, c.trusted, got, c.want)
		}
	}
}
