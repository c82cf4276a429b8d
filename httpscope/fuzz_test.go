package httpscope_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

var (
	validID  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	validHex = regexp.MustCompile(`^[0-9a-f]*[1-9a-f][0-9a-f]*$`)
	allowed  = map[string]bool{
		"request_id": true, "trace_id": true, "parent_span_id": true, "trace_flags": true,
		"http.request.method": true, "user_agent.original": true, "test.tenant": true, "test.plan": true,
	}
)

// Whatever the headers hold, also bytes that net/http would reject: a field is valid or
// isn't there, and the log has one line. Each header comes once for each line of its text.
func FuzzHeaders(f *testing.F) {
	for _, seed := range [][4]string{
		{"r-1", "00-" + traceID + "-00f067aa0ba902b7-01", "test.tenant=acme,test.plan=pro", "browser/1"},
		{"", "", "", ""},
		{"a\nb", "00-" + traceID + "-00f067aa0ba902b7-01\n00-" + traceID + "-00f067aa0ba902b7-01", "test.tenant=1\ntest.tenant=2", "\xff"},
		{"a\r\nEvil: yes", "ff-" + traceID + "-00f067aa0ba902b7-01", "test.tenant=%0d%0a%00%ff;p=1", "\x1b[31m\u2028"},
		{"\x00", "cc-" + traceID + "-00f067aa0ba902b7-01-more", "request_id=evil,trace_id=evil", strings.Repeat("é", 2000)},
		{strings.Repeat("a", 129), "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", strings.Repeat("test.tenant=%,", 70), "x"},
		{`","admin":"yes`, "00--", "test.tenant=%2", "test"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	var out bytes.Buffer
	var fields map[string]string
	h := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		fields = scopekit.Fields(scope.Current())
	}), &httpscope.Options{
		Names:        map[httpscope.Field]string{httpscope.UserAgent: "user_agent.original"},
		TrustBaggage: func(*http.Request) bool { return true },
		Log:          slog.New(slogh.New(slog.NewTextHandler(&out, nil), nil)).LogAttrs,
	})
	f.Fuzz(func(t *testing.T, requestID, traceparent, baggage, agent string) {
		out.Reset()
		r := httptest.NewRequest("GET", "/", nil)
		for name, text := range map[string]string{
			"X-Request-Id": requestID, "Traceparent": traceparent, "Baggage": baggage, "User-Agent": agent,
		} {
			if text != "" {
				r.Header[name] = strings.Split(text, "\n")
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)

		id := fields["request_id"]
		switch {
		case validID.MatchString(requestID) && id != requestID:
			t.Errorf("the id %q became %q", requestID, id)
		case !validID.MatchString(requestID) && !uuid7.MatchString(id):
			t.Errorf("of %q came the id %q", requestID, id)
		}
		if got := w.Header()["X-Request-Id"]; len(got) != 1 || got[0] != id {
			t.Errorf("the response has %q, the scope %q", got, id)
		}
		trace, traced := fields["trace_id"]
		span, spanned := fields["parent_span_id"]
		flags, flagged := fields["trace_flags"]
		if traced != spanned || traced != flagged ||
			traced && (len(trace) != 32 || len(span) != 16 || len(flags) != 2 || !validHex.MatchString(trace) || !validHex.MatchString(span)) {
			t.Errorf("of %q came trace_id %q, parent_span_id %q, trace_flags %q", traceparent, trace, span, flags)
		}
		if traced && !strings.Contains(traceparent, "-"+trace+"-"+span+"-"+flags) {
			t.Errorf("%s, %s, %s are made up: %q", trace, span, flags, traceparent)
		}
		for key, value := range fields {
			if !allowed[key] || !utf8.ValidString(value) || len(value) > 8192 {
				t.Errorf("a field %q of %d bytes: %.50q", key, len(value), value)
			}
		}
		if text := out.String(); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || !utf8.ValidString(text) {
			t.Errorf("not one line: %q", text)
		}
	})
}
