package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write what the program prints to testdata/output.txt")

const golden = "testdata/output.txt"

func TestWhatItPrints(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	got := steady(t, out.String())
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it prints\n%s\nand %s says\n%s", got, golden, want)
	}
}

var id = regexp.MustCompile(`"(TraceID|SpanID)":"([0-9a-f]*[1-9a-f][0-9a-f]*)"`)

// steady returns what is the same each time, a line each: without times, ports, versions and
// resources, and without the metrics of otelhttp. Ids have names, and attributes are short.
func steady(t *testing.T, printed string) string {
	names := map[string]string{}
	printed = id.ReplaceAllStringFunc(printed, func(s string) string {
		m := id.FindStringSubmatch(s)
		if names[m[2]] == "" {
			names[m[2]] = fmt.Sprint(strings.ToLower(strings.TrimSuffix(m[1], "ID")), len(names)+1)
		}
		return fmt.Sprintf("%q:%q", m[1], names[m[2]])
	})
	var b strings.Builder
	for line := range strings.Lines(printed) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if libraries, ok := v["ScopeMetrics"].([]any); ok {
			v["ScopeMetrics"] = slices.DeleteFunc(libraries, func(l any) bool { return l.(map[string]any)["Scope"].(map[string]any)["Name"] != "shop" })
		}
		text, err := json.Marshal(simplify(v))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	return b.String()
}

func simplify(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if key, ok := v["Key"]; ok {
			return fmt.Sprint(key, "=", v["Value"].(map[string]any)["Value"])
		}
		maps.DeleteFunc(v, func(key string, value any) bool {
			switch key {
			case "Timestamp", "ObservedTimestamp", "StartTime", "EndTime", "Time", "Resource", "Scope", "InstrumentationScope", "InstrumentationLibrary", "Exemplars",
				"TraceFlags", "Remote", "Severity":
				return true
			}
			return value == nil || value == "" || strings.HasPrefix(key, "Dropped") || strings.HasPrefix(fmt.Sprint(value), "0000")
		})
		for key := range v {
			v[key] = simplify(v[key])
		}
	case []any:
		for i := range v {
			v[i] = simplify(v[i])
		}
		return slices.DeleteFunc(v, func(e any) bool {
			key, _, _ := strings.Cut(fmt.Sprint(e), "=")
			return key == "server.port" || key == "network.peer.port" || key == "http.server.request.duration"
		})
	}
	return v
}

func TestAnEndpointGetsItAll(t *testing.T) {
	var mu sync.Mutex
	got := map[string]string{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] += string(body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("it prints %s", out.String())
	}
	mu.Lock()
	defer mu.Unlock()
	for path, want := range map[string]string{"/v1/traces": "req-2", "/v1/logs": "req-2", "/v1/metrics": "gold"} {
		if !strings.Contains(got[path], want) {
			t.Errorf("at %s %d bytes have arrived, without %s", path, len(got[path]), want)
		}
	}
}

func TestACollectorThatIsGoneIsAnError(t *testing.T) {
	collector := httptest.NewServer(http.NotFoundHandler())
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	defer collector.Close()
	if err := run(t.Context(), io.Discard); err == nil {
		t.Error("no error, though nothing has arrived")
	}
}

func TestItIsShort(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n >= 100 && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s has %d lines, want fewer than 100", file, n)
		}
	}
}
