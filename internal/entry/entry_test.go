package entry_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestOnlyABareSetIsProcessWide(t *testing.T) {
	scope.Outside(func() {
		scope.Set("service", "shop")
		scope.Run(func() {
			if got := entry.ProcessWide(scope.With("a", 1)).String(); got != "service=shop a=1" {
				t.Errorf("of a bare Set: %s", got)
			}
		})
		ids := []any{"trace_id", "t", "span_id", "s", "parent_span_id", "p", "trace_flags", "01", "trace_state", "a=1"}
		if got := entry.ProcessWide(scope.With(ids...).With("a", 1)).String(); got != "service=shop a=1" {
			t.Errorf("of a span in main: %s", got)
		}
		if got := entry.ProcessWide(scope.With("trace_id", "t")).String(); got != "service=shop trace_id=t" {
			t.Errorf("of a trace of the process: %s", got)
		}
		if got := entry.ProcessWide(scope.Current().Detach()); got.Len() != 0 {
			t.Errorf("of a task of its own: %s", got)
		}
	})
	if got := entry.ProcessWide(scope.New("request_id", "r")); got.Len() != 0 {
		t.Errorf("of a request: %s", got)
	}
	if got := entry.ProcessWide(scope.Scope{}); got.Len() != 0 {
		t.Errorf("of nothing: %s", got)
	}
}

// RFC 9562 has an example of version 7, in appendix A.6: the time, the version and the variant
// stand where it says.
func TestAnIDHasItsTime(t *testing.T) {
	at := time.UnixMilli(0x017F22E279B0)
	id := entry.NewID(at)
	if !strings.HasPrefix(id, "017f22e2-79b0-7000-") || len(id) != 36 || !strings.Contains("89ab", id[19:20]) {
		t.Errorf("the id is %s", id)
	}
	if later := entry.NewID(at.Add(time.Microsecond)); later <= id || later[:14] != id[:14] {
		t.Errorf("a microsecond later it is %s, after %s", later, id)
	}
}

func TestUsableIsWhatAHeaderCanHold(t *testing.T) {
	for id, want := range map[string]bool{
		"r-17": true, "two words": true, "~!": true, strings.Repeat("x", 1024): true,
		"": false, " r": false, "r ": false, "a\nb": false, "a\x7f": false, "ä": false, strings.Repeat("x", 1025): false,
	} {
		if got := entry.Usable(id); got != want {
			t.Errorf("%.20q: %v", id, got)
		}
	}
}

func TestSettleID(t *testing.T) {
	for _, c := range []struct {
		rule  string
		set   []slog.Attr
		may   bool
		id    string
		field any
	}{
		{"no field", nil, true, "old", nil},
		{"the same", []slog.Attr{slog.String("id", "old")}, true, "old", "old"},
		{"another", []slog.Attr{slog.String("id", "new")}, true, "new", "new"},
		{"another, that may not replace it", []slog.Attr{slog.String("id", "new")}, false, "old", "old"},
		{"nothing for a header", []slog.Attr{slog.String("id", "a\nb")}, true, "old", "old"},
		{"a number", []slog.Attr{slog.Int("id", 7)}, true, "7", int64(7)},
		{"a value with another text next time", []slog.Attr{slog.Any("id", new(testkit.Counter))}, true, "1", "1"},
	} {
		scope.New().Run(func() {
			scope.SetAttrs(c.set...)
			if got := entry.SettleID("id", "old", c.may); got != c.id {
				t.Errorf("%s: the id is %q", c.rule, got)
			}
			if got, _ := scope.Get("id"); got != c.field {
				t.Errorf("%s: the field is %v, of type %T", c.rule, got, got)
			}
		})
	}
}

// What headers say of a trace that isn't the task's would be wrong on its lines.
func TestFieldsOfAnotherTraceTakeAllOfIt(t *testing.T) {
	headers := []slog.Attr{slog.String("request_id", "r"), slog.String("trace_id", "a"), slog.String("parent_span_id", "p"), slog.String("trace_state", "s")}
	for _, c := range []struct {
		key    string
		fields []slog.Attr
		want   string
	}{
		{"trace_id", nil, "[request_id=r trace_id=a parent_span_id=p trace_state=s]"},
		{"trace_id", []slog.Attr{slog.Int("x", 1)}, "[request_id=r trace_id=a parent_span_id=p trace_state=s x=1]"},
		{"trace_id", []slog.Attr{slog.String("trace_id", "a"), slog.String("span_id", "b")}, "[request_id=r trace_id=a parent_span_id=p trace_state=s trace_id=a span_id=b]"},
		{"trace_id", []slog.Attr{slog.String("trace_id", "b"), slog.String("trace_state", "own")}, "[request_id=r trace_id=a trace_id=b trace_state=own]"},
		{"trace_id", []slog.Attr{slog.Any("trace_id", testkit.Resolved("b"))}, "[request_id=r trace_id=a trace_id=b]"},
		{"", []slog.Attr{slog.String("", "b")}, "[request_id=r trace_id=a parent_span_id=p trace_state=s =b]"},
	} {
		got := entry.Join(slices.Clone(headers), c.fields, c.key, "parent_span_id")
		if text := fmt.Sprint(got); text != c.want {
			t.Errorf("%v: %s, want %s", c.fields, text, c.want)
		}
	}
}

// A program's field may have a value that leads back to itself, of which there is no text.
func TestAnIDWithoutAText(t *testing.T) {
	cyclic := []any{nil}
	cyclic[0] = cyclic
	scope.New("request_id", cyclic).Run(func() {
		if id := entry.SettleID("request_id", "r-1", true); id != "r-1" || scope.Current().String() != "request_id=r-1" {
			t.Errorf("the id is %q", id)
		}
	})
	if got := entry.Join(nil, []slog.Attr{slog.Any("trace_id", cyclic)}, "trace_id", ""); len(got) != 1 {
		t.Errorf("joined: %d", len(got))
	}
}
