package propagation_test

import (
	"bytes"
	"log/slog"
	"maps"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
	"github.com/taskscope/taskscope/slogh"
)

// Whatever the values are, what is sent arrives, and what isn't meant to leave doesn't.
func FuzzRoundTrip(f *testing.F) {
	f.Add("req-1", traceID, "01", "acme", "gold", int64(7))
	f.Add("", "", "", "", "", int64(0))
	f.Add("a b", strings.Repeat("0", 32), "zz", "a,b;c=d%20 \"\\\r\n\x00\x7f", "Zürich 🚀", int64(-1))
	f.Add(strings.Repeat("x", 129), traceID, "ff", "\xff\xc3", "%ZZ", int64(1<<62))
	f.Add("req-1", traceID, "", strings.Repeat("a", 8000), strings.Repeat("ü", 40), int64(1))
	f.Fuzz(func(t *testing.T, id, trace, flags, tenant, plan string, shard int64) {
		c := Map{}
		propagation.Inject(scope.New("request_id", id, "trace_id", trace, "trace_flags", flags,
			"tenant", tenant, "plan", plan, "shard", shard, "user", "eve", "grants", "all"), c)
		checkHeaders(t, c)

		got := propagation.Extract(c)
		wantText := func(key, want string, sent bool) {
			t.Helper()
			if v, ok := got.Get(key); ok != sent || ok && v != want {
				t.Errorf("%s is %q, %v; want %q, %v", key, v, ok, want, sent)
			}
		}
		wantText("request_id", id, requestID.MatchString(id))
		valid := hex32.MatchString(trace) && trace != strings.Repeat("0", 32) && (flags == "" || hex2.MatchString(flags))
		wantText("trace_id", trace, valid)

		// What baggage has no room for is left out, and the rest of it is there.
		room, taken := 8192, 0
		for _, member := range []slog.Attr{slog.String("tenant", tenant), slog.String("plan", plan), slog.Int64("shard", shard)} {
			text := member.Value.String()
			size := len(member.Key) + len("=") + escapedLen(text)
			if taken > 0 {
				size += len(",")
			}
			fits := taken+size <= room
			if fits {
				taken += size
			}
			wantText(member.Key, strings.ToValidUTF8(text, "\uFFFD"), fits)
		}
		if len(c["baggage"]) != taken {
			t.Errorf("%d bytes of baggage, want %d: %q", len(c["baggage"]), taken, c["baggage"])
		}
		for member := range strings.SplitSeq(c["baggage"], ",") {
			if key, _, _ := strings.Cut(member, "="); key == "user" || key == "grants" {
				t.Errorf("%s has left the process: %q", key, c)
			}
		}
	})
}

// escapedLen is how long text is in a header, counted in another way than escape does it.
func escapedLen(text string) int {
	return len(text) + 2*len(notPlain.FindAllString(latin1(text), -1))
}

// latin1 makes each byte of text a rune, for a regular expression to see.
func latin1(text string) string {
	runes := make([]rune, 0, len(text))
	for _, b := range []byte(text) {
		runes = append(runes, rune(b))
	}
	return string(runes)
}

var (
	notPlain  = regexp.MustCompile(`[^!#-$&-+\--:<-\[\]-~]`) // W3C Baggage, baggage-octet, without the percent sign
	requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	hex32     = regexp.MustCompile(`^[0-9a-f]{32}$`)
	hex16     = regexp.MustCompile(`^[0-9a-f]{16}$`)
	hex2      = regexp.MustCompile(`^[0-9a-f]{2}$`)
)

// checkHeaders checks that the headers can be sent as they are, one line each.
func checkHeaders(t *testing.T, c Map) {
	t.Helper()
	for name, value := range c {
		if name != "x-request-id" && name != "traceparent" && name != "baggage" {
			t.Errorf("a header named %q", name)
		}
		if value == "" || len(value) > 8192 || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("%s: %q", name, value)
		}
	}
	if tp := c["traceparent"]; tp != "" && !strings.HasPrefix(tp, "00-") {
		t.Errorf("traceparent: %q", tp)
	}
}

// Whatever the headers hold, they make valid fields of the declared names or none, one
// log line is one line, and what is sent on has no line break.
func FuzzExtract(f *testing.F) {
	f.Add("req-1", traceparent, "tenant=acme,plan=gold")
	f.Add("", "", "")
	f.Add("req-1\r\nX-Admin: yes", traceparent+"\r\n", "tenant=a\r\nX-Admin: yes,plan=b")
	f.Add("req\x001", "00-"+traceID[:31]+"\x00-"+spanID+"-01", "tenant=a\x00,plan=%00")
	f.Add("req-1\n{\"level\":\"ERROR\"}", "ff"+traceparent[2:], "tenant=%0A{\"msg\":\"forged\"},plan=%0D%0Alevel=ERROR%20msg=forged")
	f.Add(`req","user":"eve`, traceparent, `tenant=%22%2C%22user%22:%22eve,user=eve,level=ERROR,request_id=forged`)
	f.Add("%41", "00-"+strings.Repeat("0", 32)+"-"+spanID+"-01", "tenant=%,plan=%4,session=%zz,shard=%4g")
	f.Add("a", "", "tenant=%FF%C3%28,plan=%E2%80%A8,tenant=two,session=%ED%A0%80")
	f.Add(strings.Repeat("a", 1<<20), "cc"+traceparent[2:]+"-"+strings.Repeat("a", 1<<20), strings.Repeat("tenant=acme,", 1<<20/12))
	f.Add("", "", "tenant="+strings.Repeat("%0A", 1<<20/3))
	f.Add("", "", "scope_ended=true,!BADKEY=x,=,;,tenant;=;plan==")
	f.Fuzz(func(t *testing.T, id, tp, baggage string) {
		received := Map{"x-request-id": id, "traceparent": tp, "baggage": baggage}
		fields := map[string]string{}
		for key, value := range propagation.Extract(received).All() {
			text := value.String()
			if _, twice := fields[key]; twice || value.Kind() != slog.KindString {
				t.Errorf("%s is there twice, or is a %v", key, value.Kind())
			}
			fields[key] = text
			ok := false
			switch key {
			case "request_id":
				ok = requestID.MatchString(text) && text == id
			case "trace_id":
				ok = hex32.MatchString(text) && strings.Contains(tp, text)
			case "parent_span_id":
				ok = hex16.MatchString(text) && strings.Contains(tp, text)
			case "trace_flags":
				ok = hex2.MatchString(text) && strings.Contains(tp, text)
			default:
				ok = scope.Policy(key)&scope.Propagated != 0 && utf8.ValidString(text) && len(text) <= 8192 && strings.Contains(baggage, key)
			}
			if !ok {
				t.Errorf("%s is %q", key, text)
			}
		}
		checkLine(t, received, fields)

		// Sent on, next to what came in, there is nothing worse than what came in.
		sent := maps.Clone(received)
		propagation.Inject(propagation.Extract(received), sent)
		for name, value := range sent {
			if value != received[name] && strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f }) {
				t.Errorf("%s: %q has become %q", name, received[name], value)
			}
		}
		alone := Map{}
		propagation.Inject(propagation.Extract(received), alone)
		checkHeaders(t, alone)
	})
}

// checkLine checks that one line of a request with these headers is one line, with the
// fields and what the logger itself puts there.
func checkLine(t *testing.T, received Map, fields map[string]string) {
	t.Helper()
	want := map[string]any{"level": "INFO", "msg": "charged", "card": "visa"}
	for key, value := range fields {
		switch policy := scope.Policy(key); {
		case policy&scope.Redacted != 0:
			want[key] = scope.RedactedText
		case policy&scope.Hidden == 0:
			want[key] = value
		}
	}

	var jsonOut, textOut bytes.Buffer
	withoutTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	propagation.Extract(received).Run(func() {
		slog.New(slogh.New(slog.NewJSONHandler(&jsonOut, withoutTime), nil)).Info("charged", "card", "visa")
		slog.New(slogh.New(slog.NewTextHandler(&textOut, withoutTime), nil)).Info("charged", "card", "visa")
	})
	for _, out := range []string{jsonOut.String(), textOut.String()} {
		line, ended := strings.CutSuffix(out, "\n")
		if !ended || strings.ContainsAny(line, "\n\r\x00\u2028\u2029") { // what ends a line for some readers
			t.Errorf("not one line: %q", out)
		}
	}
	if got := testkit.ParseJSON(t, jsonOut.Bytes()); !maps.Equal(got, want) {
		t.Errorf("the line has\n%q\nwant\n%q", got, want)
	}
}
