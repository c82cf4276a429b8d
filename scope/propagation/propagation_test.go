package propagation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

var (
	// tenant and plan are declared in the examples.
	_ = scope.NewKey[string]("session", scope.Propagated, scope.Redacted)
	_ = scope.NewKey[string]("shard", scope.Propagated, scope.Hidden)
	_ = scope.NewKey[string]("Tenant", scope.Propagated) // keys are case-sensitive
	_ = scope.NewKey[string]("grants", scope.Hidden, scope.Traced, scope.Profiled)

	// Declared, and yet baggage has no say in these.
	_ = scope.NewKey[string](propagation.RequestIDKey, scope.Propagated)
	_ = scope.NewKey[string](propagation.TraceIDKey, scope.Propagated)
	_ = scope.NewKey[string](propagation.ParentSpanIDKey, scope.Propagated)
	_ = scope.NewKey[string](propagation.TraceFlagsKey, scope.Propagated)
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID      = "00f067aa0ba902b7"
	traceparent = "00-" + traceID + "-" + spanID + "-01"
)

// baggageOf returns what Inject makes of s in an empty carrier, as baggage.
func baggageOf(s scope.Scope) string {
	c := Map{}
	propagation.Inject(s, c)
	return c["baggage"]
}

// A context that adds to the task, and one of another task, count as they do for a line.
func TestInjectSendsWhatPickChooses(t *testing.T) {
	scope.New("request_id", "r-1").Run(func() {
		ctx := scope.NewContext(t.Context(), scope.With("tenant", "acme"))
		scope.Set("request_id", "r-2")
		for what, c := range map[string]struct {
			ctx  context.Context
			want Map
		}{
			"no scope in it": {t.Context(), Map{"x-request-id": "r-2"}},
			"a field added":  {ctx, Map{"x-request-id": "r-2", "baggage": "tenant=acme"}},
			"another task":   {scope.NewContext(ctx, scope.New("request_id", "other")), Map{"x-request-id": "other"}},
		} {
			got := Map{}
			propagation.Inject(scope.Current().Pick(c.ctx), got)
			if !maps.Equal(got, c.want) {
				t.Errorf("%s: sent %v, want %v", what, got, c.want)
			}
		}
	})
}

// extracted returns the fields that Extract finds in c, as text.
func extracted(c propagation.Carrier) map[string]string {
	fields := map[string]string{}
	for key, value := range propagation.Extract(c).All() {
		fields[key] = value.String()
	}
	return fields
}

func equal(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestBaggageIsParsedAsTheSpecificationHasIt(t *testing.T) {
	const long = 8192 - len("tenant=")
	for _, c := range []struct {
		name, header string
		want         map[string]string
	}{
		{"none", "", nil},
		{"one member", "tenant=acme", map[string]string{"tenant": "acme"}},
		{"two members", "tenant=acme,plan=gold", map[string]string{"tenant": "acme", "plan": "gold"}},
		{"OWS around everything", " \ttenant \t=\t acme \t,\tplan = gold ", map[string]string{"tenant": "acme", "plan": "gold"}},
		{"a space within a value", "tenant=ac me,plan=gold", map[string]string{"plan": "gold"}},
		{"empty members", ",,tenant=acme, ,", map[string]string{"tenant": "acme"}},
		{"an empty value", "tenant=", map[string]string{"tenant": ""}},
		{"properties", "tenant=acme;ttl=5;secure ; a=b,plan=gold;x", map[string]string{"tenant": "acme", "plan": "gold"}},
		{"a property of a member without a value", "tenant;plan=gold", nil},
		{"an equals sign in the value", "tenant=a=b==", map[string]string{"tenant": "a=b=="}},
		{"no equals sign", "tenant,plan=gold", map[string]string{"plan": "gold"}},
		{"no key", "=acme,plan=gold", map[string]string{"plan": "gold"}},
		{"the first of two", "tenant=one,plan=gold,tenant=two", map[string]string{"tenant": "one", "plan": "gold"}},
		{"a bad one doesn't count as the first", "tenant=%zz,tenant=two", map[string]string{"tenant": "two"}},
		{"keys that differ in case", "tenant=one,Tenant=two,TENANT=three", map[string]string{"tenant": "one", "Tenant": "two"}},
		{"undeclared keys", "user=eve,tenant=acme,grants=all", map[string]string{"tenant": "acme"}},
		{"fields that have their own headers", "request_id=x,trace_id=" + traceID + ",parent_span_id=" + spanID + ",trace_flags=01", nil},

		{"escapes", "tenant=%61%2C%3b%20%22%5C%3D%25", map[string]string{"tenant": `a,; "\=%`}},
		{"an escape is decoded once", "tenant=%2541", map[string]string{"tenant": "%41"}},
		{"a plus is a plus", "tenant=a+b", map[string]string{"tenant": "a+b"}},
		{"UTF-8", "tenant=Z%C3%BCrich%F0%9F%9A%80", map[string]string{"tenant": "Zürich🚀"}},
		{"invalid UTF-8", "tenant=a%FFb%C3", map[string]string{"tenant": "a\uFFFDb\uFFFD"}},
		{"line breaks and NUL, escaped", "tenant=a%0D%0Ab%00", map[string]string{"tenant": "a\r\nb\x00"}},
		{"an escaped separator ends nothing", "tenant=a%2Cplan%3Dgold", map[string]string{"tenant": "a,plan=gold"}},
		{"keys aren't decoded", "ten%61nt=acme,plan=gold", map[string]string{"plan": "gold"}},
		{"an escape with a wrong digit", "tenant=%4g,plan=gold", map[string]string{"plan": "gold"}},
		{"an escape cut short", "tenant=a%4,plan=gold", map[string]string{"plan": "gold"}},
		{"a percent sign alone", "tenant=%,plan=gold", map[string]string{"plan": "gold"}},

		{"raw CR LF", "tenant=a\r\nplan: b,plan=gold", map[string]string{"plan": "gold"}},
		{"raw NUL", "tenant=a\x00b,plan=gold", map[string]string{"plan": "gold"}},
		{"a raw quote", `tenant="acme",plan=gold`, map[string]string{"plan": "gold"}},
		{"a raw backslash", `tenant=a\b,plan=gold`, map[string]string{"plan": "gold"}},
		{"raw UTF-8", "tenant=Zürich,plan=gold", map[string]string{"plan": "gold"}},
		{"DEL", "tenant=a\x7f,plan=gold", map[string]string{"plan": "gold"}},
		{"a non-breaking space isn't OWS", "\u00a0tenant=acme,plan=gold", map[string]string{"plan": "gold"}},

		{"64 members", strings.Repeat("x=1,", 63) + "tenant=acme", map[string]string{"tenant": "acme"}},
		{"65 members", "tenant=acme" + strings.Repeat(",x=1", 64), nil},
		{"8192 bytes", "tenant=" + strings.Repeat("a", long), map[string]string{"tenant": strings.Repeat("a", long)}},
		{"8193 bytes", "tenant=" + strings.Repeat("a", long+1), nil},
		{"1 MiB", "tenant=acme," + strings.Repeat("plan=gold;", 1<<20/10), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			equal(t, extracted(Map{"baggage": c.header}), c.want)
		})
	}
}

func TestTraceparentIsParsedAsTheSpecificationHasIt(t *testing.T) {
	valid := func(flags string) map[string]string {
		return map[string]string{"trace_id": traceID, "parent_span_id": spanID, "trace_flags": flags}
	}
	zeros := strings.Repeat("0", 32)
	for _, c := range []struct {
		name, header string
		want         map[string]string
	}{
		{"valid", traceparent, valid("01")},
		{"not sampled", "00-" + traceID + "-" + spanID + "-00", valid("00")},
		{"unknown flags", "00-" + traceID + "-" + spanID + "-fe", valid("fe")},
		{"none", "", nil},
		{"a later version", "01-" + traceID + "-" + spanID + "-01", valid("01")},
		{"a later version that has more parts", "cc-" + traceID + "-" + spanID + "-01-what-the-future-holds", valid("01")},
		{"a later version and 1 MiB", "cc-" + traceID + "-" + spanID + "-01-" + strings.Repeat("a", 1<<20), valid("01")},
		{"a later version whose flags don't end", "cc-" + traceID + "-" + spanID + "-01.what", nil},
		{"version 00 with more parts", traceparent + "-more", nil},
		{"version 00 with a hyphen behind it", traceparent + "-", nil},
		{"version ff", "ff-" + traceID + "-" + spanID + "-01", nil},
		{"version in upper case", "CC-" + traceID + "-" + spanID + "-01", nil},
		{"version that isn't hexadecimal", "0x-" + traceID + "-" + spanID + "-01", nil},
		{"trace id of zeros", "00-" + zeros + "-" + spanID + "-01", nil},
		{"span id of zeros", "00-" + traceID + "-" + zeros[:16] + "-01", nil},
		{"trace id in upper case", "00-" + strings.ToUpper(traceID) + "-" + spanID + "-01", nil},
		{"span id in upper case", "00-" + traceID + "-" + strings.ToUpper(spanID) + "-01", nil},
		{"flags in upper case", "00-" + traceID + "-" + spanID + "-0A", nil},
		{"a trace id too short", "00-" + traceID[1:] + "-" + spanID + "-011", nil},
		{"flags too short", traceparent[:len(traceparent)-1], nil},
		{"another separator", strings.ReplaceAll(traceparent, "-", "_"), nil},
		{"a space before it", " " + traceparent, nil},
		{"a space behind it", traceparent + " ", nil},
		{"two", traceparent + "," + traceparent, nil},
		{"a line break in the trace id", "00-" + traceID[:30] + "\r\n-" + spanID + "-01", nil},
		{"NUL in the span id", "00-" + traceID + "-" + spanID[:15] + "\x00-01", nil},
		{"other digits", "00-" + traceID[:29] + "٣a-" + spanID + "-01", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			equal(t, extracted(Map{"traceparent": c.header}), c.want)
			if tp, ok := propagation.ParseTraceparent(c.header); ok != (c.want != nil) {
				t.Errorf("ParseTraceparent says %+v, %v", tp, ok)
			}
		})
	}
}

func TestTracestateIsParsedAsTheSpecificationHasIt(t *testing.T) {
	members := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprint("k", i, "=v")
		}
		return strings.Join(all, ",")
	}
	for _, c := range []struct{ name, header, want string }{
		{"none", "", ""},
		{"one", "vendor=1", "vendor=1"},
		{"two", "vendor=1,other=2", "vendor=1,other=2"},
		{"blanks and empty members", " vendor=1 ,\t, other=2,,", "vendor=1,other=2"},
		{"every character of a key", "a0_-*/z=1", "a0_-*/z=1"},
		{"a tenant", "0tenant@system=1", "0tenant@system=1"},
		{"every kind of value", "a=!~ x;:\"/", "a=!~ x;:\"/"},
		{"a key of 256", strings.Repeat("k", 256) + "=1", strings.Repeat("k", 256) + "=1"},
		{"a value of 256", "a=" + strings.Repeat("v", 256), "a=" + strings.Repeat("v", 256)},
		{"32 members", members(32), members(32)},
		{"only commas", ",,,", ""},

		{"33 members", members(33), ""},
		{"no value", "vendor=", ""},
		{"no equals sign", "vendor", ""},
		{"two equals signs", "vendor=1=2", ""},
		{"no key", "=1", ""},
		{"an upper-case key", "Vendor=1", ""},
		{"a key that begins with a digit", "1vendor=1", ""},
		{"a system that begins with a digit", "tenant@1system=1", ""},
		{"two tenants", "a@b@c=1", ""},
		{"a long system", "a@" + strings.Repeat("s", 15) + "=1", ""},
		{"a key of 257", strings.Repeat("k", 257) + "=1", ""},
		{"a value of 257", "a=" + strings.Repeat("v", 257), ""},
		{"a key twice", "a=1,b=2,a=3", ""},
		{"a bad one among good ones", "a=1,b,c=2", ""},
		{"a line break", "a=1\r\nEvil: yes", ""},
		{"a tab within", "a=1\t2", ""},
		{"other letters", "a=é", ""},
		{"a megabyte", "a=" + strings.Repeat("v", 1<<20), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := propagation.ParseTracestate(c.header); got != c.want {
				t.Errorf("got %.60q, want %.60q", got, c.want)
			}
			want := map[string]string{"trace_id": traceID, "parent_span_id": spanID, "trace_flags": "01"}
			if c.want != "" {
				want["trace_state"] = c.want
			}
			equal(t, extracted(Map{"traceparent": traceparent, "tracestate": c.header}), want)
			equal(t, extracted(Map{"tracestate": c.header}), nil) // says nothing without a trace

			sent := Map{}
			propagation.Inject(scope.New("trace_id", traceID, "trace_state", c.header), sent)
			if got := sent["tracestate"]; got != c.want {
				t.Errorf("sent %.60q, want %.60q", got, c.want)
			}
		})
	}
	long := "a=" + strings.Repeat("v", 250) + ",b=" + strings.Repeat("v", 250) + ",c=123456"
	if got, want := propagation.ParseTracestate(long), long[:252+1+252]; got != want {
		t.Errorf("of %d bytes came %d, want %d", len(long), len(got), len(want))
	}
}

func TestATraceparentThatIsNotValidIsReplacedWithItsTracestate(t *testing.T) {
	s := scope.New("trace_id", traceID, "trace_state", "mine=1")
	for _, c := range []struct {
		name  string
		had   Map
		state string
		mine  bool
	}{
		{"nothing", Map{}, "mine=1", true},
		{"a valid one", Map{"traceparent": traceparent, "tracestate": "theirs=1"}, "theirs=1", false},
		{"a valid one alone", Map{"traceparent": traceparent}, "", false},
		{"one that isn't valid", Map{"traceparent": "00-x", "tracestate": "theirs=1"}, "mine=1", true},
		{"a tracestate alone", Map{"tracestate": "theirs=1"}, "mine=1", true},
	} {
		propagation.Inject(s, c.had)
		if c.had["tracestate"] != c.state || (c.had["traceparent"] != traceparent) != c.mine {
			t.Errorf("%s: sent %v", c.name, c.had)
		}
	}
}

func TestRequestIDIsTakenWholeOrNotAtAll(t *testing.T) {
	for id, valid := range map[string]bool{
		"a": true, "req-1": true, "0198c0de-7a11-7bcd-8def-0123456789ab": true, "A.b_C-9": true,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, strings.Repeat("x", 1<<20): false,
		"": false, " a": false, "a ": false, "a b": false, "a,b": false, "a\nb": false, "a\r\nSet-Cookie: x": false,
		"a\x00": false, "é": false, "a%0A": false, `a"b`: false, "<a>": false, "a/b": false, "a:b": false,
	} {
		var want map[string]string
		if valid {
			want = map[string]string{"request_id": id}
		}
		equal(t, extracted(Map{"x-request-id": id}), want)

		c := Map{}
		propagation.Inject(scope.New("request_id", id), c)
		if got := c["x-request-id"]; valid && got != id || !valid && len(c) > 0 {
			t.Errorf("request_id %.40q is sent as %.40q", id, c)
		}
	}
}

func TestOnlyPropagatedKeysLeave(t *testing.T) {
	s := scope.New("request_id", "req-1", "trace_id", traceID, "parent_span_id", spanID, "trace_flags", "01",
		"tenant", "acme", "user", "eve", "grants", "all", "plan", "gold", "session", "s-1", "shard", 7)
	c := Map{}
	propagation.Inject(s, c)

	if got := slices.Sorted(maps.Keys(c)); !slices.Equal(got, []string{"baggage", "traceparent", "x-request-id"}) {
		t.Errorf("the headers are %v", got)
	}
	if got, want := c["baggage"], "tenant=acme,plan=gold,session=s-1,shard=7"; got != want {
		t.Errorf("baggage: %s\nwant %s", got, want)
	}
	if got := c["x-request-id"]; got != "req-1" {
		t.Errorf("x-request-id: %s", got)
	}
	tp, ok := propagation.ParseTraceparent(c["traceparent"])
	if !ok || tp.TraceID != traceID || tp.SpanID == spanID || tp.Flags != "01" {
		t.Errorf("traceparent: %s, want the same trace and flags, and a new span", c["traceparent"])
	}
	again := Map{}
	propagation.Inject(s, again)
	if again["traceparent"] == c["traceparent"] {
		t.Errorf("two messages were sent as one span: %s", c["traceparent"])
	}
}

func TestAnEmptyScopeSendsNothing(t *testing.T) {
	for _, s := range []scope.Scope{{}, scope.New(), scope.New("user", "eve")} {
		c := Map{}
		propagation.Inject(s, c)
		if len(c) > 0 {
			t.Errorf("%d fields became %v", s.Len(), c)
		}
	}
}

func TestNothingReceivedIsAnEmptyTaskOfItsOwn(t *testing.T) {
	scope.New("tenant", "of this process").Run(func() {
		s := propagation.Extract(Map{})
		if s.Len() != 0 || s.SameTask(scope.Current()) {
			t.Errorf("%d fields, in the task of this process: %v", s.Len(), s.SameTask(scope.Current()))
		}
		s.Run(func() {
			if v, ok := scope.Get("tenant"); ok {
				t.Errorf("the receiver sees %v of whoever called it", v)
			}
		})
	})
}

func TestATraceIsSentOnlyIfItIsValid(t *testing.T) {
	for _, c := range []struct {
		id, flags any
		want      string // the end of the header, or "" for none
	}{
		{traceID, nil, "-00"},
		{traceID, "01", "-01"},
		{traceID, "ff", "-03"}, // undefined flags must be sent as zero
		{traceID, "a8", "-00"},
		{traceID, "x", ""},
		{traceID, "01\r\n", ""},
		{strings.ToUpper(traceID), "01", ""},
		{strings.Repeat("0", 32), "01", ""},
		{traceID[1:], "01", ""},
		{17, "01", ""},
	} {
		s := scope.New("trace_id", c.id)
		if c.flags != nil {
			s = s.With("trace_flags", c.flags)
		}
		carrier := Map{}
		propagation.Inject(s, carrier)
		got := carrier["traceparent"]
		if c.want == "" && got != "" || !strings.HasSuffix(got, c.want) {
			t.Errorf("trace_id %v, trace_flags %v: %q, want the end %q", c.id, c.flags, got, c.want)
		}
	}
}

// A token is a value that shows itself to nobody.
type token string

func (token) LogValue() slog.Value { return slog.StringValue("hidden by its type") }

func TestValuesAreSentAsText(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{"acme", "tenant=acme"},
		{"", "tenant="},
		{42, "tenant=42"},
		{-1.5, "tenant=-1.5"},
		{true, "tenant=true"},
		{1500 * time.Millisecond, "tenant=1.5s"},
		{errors.New("no tenant"), "tenant=no%20tenant"},
		{http.StateActive, "tenant=active"}, // a Stringer
		{token("t0p"), "tenant=hidden%20by%20its%20type"},
		{slog.StringValue("acme"), "tenant=acme"},
		{"a,b;c=d e\"\\%", "tenant=a%2Cb%3Bc=d%20e%22%5C%25"},
		{"Zürich", "tenant=Z%C3%BCrich"},
		{"\xff", "tenant=%FF"},
		{"a\r\nX-Admin: yes\x00\x7f", "tenant=a%0D%0AX-Admin:%20yes%00%7F"},

		{nil, ""},
		{testkit.PanickingLogValue{}, ""},
		{testkit.PanickingString{}, ""},
		{(*time.Location)(nil), "tenant=UTC"}, // knows what nil means
		{(*wrapped)(nil), ""},                 // doesn't
		{testkit.Endless{}, ""},
	} {
		if got := baggageOf(scope.New("tenant", c.value)); got != c.want {
			t.Errorf("%T: %q, want %q", c.value, got, c.want)
		}
	}
}

type wrapped struct{ err error }

func (w *wrapped) Error() string { return w.err.Error() }

func TestKeysThatAreNoTokensAreLeftOut(t *testing.T) {
	for _, bad := range []string{"a b", "a,b", "a;b", "a=b", "a\r\nb", "a\x00", "ключ", `a"b`, "a/b", "a:b", "(a)", "a\\b", "a@b", "a\x7f"} {
		scope.NewKey[string](bad, scope.Propagated)
		if got := baggageOf(scope.New(bad, "v", "tenant", "acme")); got != "tenant=acme" {
			t.Errorf("key %q is sent: %q", bad, got)
		}
		if got := extracted(Map{"baggage": bad + "=v"}); len(got) > 0 {
			t.Errorf("key %q is taken: %q", bad, got)
		}
	}
	for _, good := range []string{"k", "A-b_c.d", "!#$%&'*+-.^_`|~09"} {
		scope.NewKey[string](good, scope.Propagated)
		got := baggageOf(scope.New(good, "v"))
		if got != good+"=v" {
			t.Errorf("key %q is sent as %q", good, got)
		}
		equal(t, extracted(Map{"baggage": got}), map[string]string{good: "v"})
	}
}

func TestHeadersThatAreThereStay(t *testing.T) {
	s := scope.New("request_id", "req-1", "trace_id", traceID, "tenant", "acme", "plan", "gold")
	other := "00-" + strings.Repeat("a", 32) + "-" + spanID + "-00"
	c := Map{"x-request-id": "theirs", "traceparent": other, "tracestate": "a=b", "baggage": "user=eve;p=1 , plan = free", "via": "proxy"}
	want := maps.Clone(c)
	want["baggage"] = "user=eve;p=1 , plan = free,tenant=acme"
	propagation.Inject(s, c)
	equal(t, c, want)

	// A second time, there is nothing left to add.
	propagation.Inject(s, c)
	equal(t, c, want)
}

func TestAHeaderThatCannotBeAddedToStays(t *testing.T) {
	s := scope.New("tenant", "acme")
	for _, had := range []string{
		"a=1\r\nX-Admin: yes", "a=1\n", "a=1\x00", "a=ü",
		strings.Repeat("x=1,", 64) + "y=1",
		strings.Repeat("x=1,", 63) + "y",
		"x=" + strings.Repeat("a", 8192),
	} {
		c := Map{"baggage": had}
		propagation.Inject(s, c)
		if c["baggage"] != had {
			t.Errorf("%.40q became %.60q", had, c["baggage"])
		}
	}
	// White space and commas are no members.
	for had, want := range map[string]string{" \t": "tenant=acme", strings.Repeat(",", 100) + "a=1": strings.Repeat(",", 100) + "a=1,tenant=acme"} {
		c := Map{"baggage": had}
		propagation.Inject(s, c)
		if c["baggage"] != want {
			t.Errorf("%q became %q", had, c["baggage"])
		}
	}
}

func TestWhatIsSentKeepsTheLimits(t *testing.T) {
	// 64 members, and not one more.
	var args []any
	for i := range 70 {
		key := fmt.Sprintf("member%d", i)
		scope.NewKey[int](key, scope.Propagated)
		args = append(args, key, i)
	}
	sent := baggageOf(scope.New(args...))
	if n := strings.Count(sent, ",") + 1; n != 64 || !strings.HasSuffix(sent, ",member63=63") {
		t.Errorf("%d members: %s", n, sent)
	}
	if got := extracted(Map{"baggage": sent}); len(got) != 64 || got["member63"] != "63" {
		t.Errorf("%d of them arrive", len(got))
	}

	// 8192 bytes, and not one more. What doesn't fit is left out as a whole, and makes
	// no room for itself.
	fits := strings.Repeat("a", 8192-len("tenant=")-len(",plan=gold"))
	for _, c := range []struct {
		tenant string
		want   int
	}{{fits, 8192}, {fits + "a", 8192 + 1 - len(",plan=gold")}, {fits + strings.Repeat("a", 11), len("plan=gold")}} {
		sent := baggageOf(scope.New("tenant", c.tenant, "plan", "gold"))
		if len(sent) != c.want {
			t.Errorf("a tenant of %d bytes: %d bytes of baggage, want %d", len(c.tenant), len(sent), c.want)
		}
	}
	if sent := baggageOf(scope.New("tenant", strings.Repeat("ü", 1<<20))); sent != "" {
		t.Errorf("a value of 2 MiB: %d bytes of baggage", len(sent))
	}
}

func TestNamesOfHeadersAreFoundInAnyCase(t *testing.T) {
	want := map[string]string{"request_id": "req-1", "trace_id": traceID, "parent_span_id": spanID, "trace_flags": "01", "tenant": "acme"}
	// As a carrier that keeps what the sender wrote has them, and as net/http does.
	equal(t, extracted(Map{"X-Request-Id": "req-1", "TraceParent": traceparent, "BAGGAGE": "tenant=acme"}), want)
	h := http.Header{}
	h.Set("x-request-id", "req-1")
	h.Set("traceparent", traceparent)
	h.Set("baggage", "tenant=acme")
	equal(t, extracted(Headers{h}), want)

	// The name as it should be wins, and of several others none.
	equal(t, extracted(Map{"x-request-id": "req-1", "X-Request-ID": "req-2"}), map[string]string{"request_id": "req-1"})
	for range 20 { // a map has no order
		equal(t, extracted(Map{"X-Request-Id": "req-1", "X-Request-ID": "req-2"}), nil)
	}

	c := Map{"X-Request-Id": "theirs", "Traceparent": traceparent, "Baggage": "plan=free"}
	propagation.Inject(scope.New("request_id", "req-1", "trace_id", traceID, "plan", "gold", "tenant", "acme"), c)
	equal(t, c, Map{"X-Request-Id": "theirs", "Traceparent": traceparent, "Baggage": "plan=free", "baggage": "plan=free,tenant=acme"})
}

func TestEveryCarrierBringsBackWhatWasSent(t *testing.T) {
	sent := scope.New("request_id", "req-1", "trace_id", traceID, "trace_flags", "01",
		"tenant", "Zürich, \"Süd\"\n", "plan", 3, "session", "s-1", "shard", true, "user", "eve")
	for name, c := range map[string]propagation.Carrier{"a map": Map{}, "http.Header": Headers{http.Header{}}} {
		t.Run(name, func(t *testing.T) {
			propagation.Inject(sent, c)
			got := extracted(c)
			if len(got["parent_span_id"]) != 16 {
				t.Errorf("parent_span_id is %q", got["parent_span_id"])
			}
			delete(got, "parent_span_id")
			equal(t, got, map[string]string{
				"request_id": "req-1", "trace_id": traceID, "trace_flags": "01",
				"tenant": "Zürich, \"Süd\"\n", "plan": "3", "session": "s-1", "shard": "true",
			})
		})
	}
}

// A short part of a long header would keep all of it in memory, as long as the scope.
func TestFieldsDoNotHoldALongHeader(t *testing.T) {
	long := "cc-" + traceID + "-" + spanID + "-01-" + strings.Repeat("a", 1<<20)
	n := testing.AllocsPerRun(10, func() {
		if _, ok := propagation.ParseTraceparent(long); !ok {
			t.Fatal("not valid")
		}
	})
	if n != 1 {
		t.Errorf("%v allocations, want that of the copy of the 55 bytes", n)
	}
}

// A value that leads back to itself has no text: it is left out.
func TestAValueWithoutAnEndIsLeftOut(t *testing.T) {
	loop := map[string]any{}
	loop["a"] = loop
	var attr slog.Attr
	attr.Value = slog.AnyValue(&attr)
	var value slog.Value
	value = slog.AnyValue(&value)
	for _, v := range []any{loop, attr, &attr, &value} {
		c := Map{}
		propagation.Inject(scope.New("request_id", v, "trace_id", v, "tenant", v, "plan", "gold"), c)
		if len(c) != 1 || c["baggage"] != "plan=gold" {
			t.Errorf("%T: sent %v", v, c)
		}
	}
}

// A sending value sends something itself when it is asked for its text: it looks itself up elsewhere, say.
type sending func()

func (v sending) String() string       { v(); return "said" }
func (v sending) Error() string        { v(); return "said" }
func (v sending) LogValue() slog.Value { v(); return slog.StringValue("said") }

// What a value's own method sends has no such values: it would be called again, without an end.
func TestAValueThatSends(t *testing.T) {
	for _, key := range []string{"request_id", "tenant"} {
		for name, as := range map[string]func(sending) any{
			"a LogValuer": func(v sending) any { return slog.LogValuer(v) },
			"a Stringer":  func(v sending) any { return struct{ fmt.Stringer }{v} },
			"an error":    func(v sending) any { return struct{ error }{v} },
			"in a list":   func(v sending) any { return []any{struct{ error }{v}} },
		} {
			outer, inner, asked := Map{}, Map{}, 0
			var ctx context.Context
			v := as(func() {
				if asked++; asked > 100 {
					panic("it is asked without an end")
				}
				scope.Set("plan", "stays inside")
				propagation.Inject(scope.Current().Pick(ctx), inner)
			})
			s := scope.New(key, v, "plan", "gold")
			ctx = scope.NewContext(t.Context(), s)
			s.Run(func() {
				propagation.Inject(scope.Current(), outer)
				if scope.GetOr("plan", "") != "gold" {
					t.Errorf("%s, %s: what its method sets is left: %v", key, name, scope.Current())
				}
			})
			want := Map{"baggage": "plan=gold"}
			if key == "request_id" {
				want["x-request-id"] = "said"
			} else {
				want["baggage"] = "tenant=said,plan=gold"
			}
			if name == "in a list" {
				want = Map{"baggage": strings.Replace(want["baggage"], "said", "[said]", 1)} // that is no id
			}
			if !maps.Equal(outer, want) || inner["x-request-id"] != "" || strings.Contains(inner["baggage"], "tenant") || !strings.Contains(inner["baggage"], "plan=") {
				t.Errorf("%s, %s: sent %v, and by its method %v", key, name, outer, inner)
			}
		}
	}
}
