package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What the example says: from before to after, two lines change.
func TestTwoLinesChange(t *testing.T) {
	for _, logger := range []string{"zap", "zerolog", "slog"} {
		text, err := os.ReadFile(logger + ".go")
		if err != nil {
			t.Fatal(err)
		}
		before, after := body(t, string(text), logger+"Before"), body(t, string(text), logger+"After")
		if len(before) != len(after) {
			t.Errorf("%s: %d lines before, %d after", logger, len(before), len(after))
			continue
		}
		changed := 0
		for i := range before {
			marked := strings.HasSuffix(after[i], "// changed")
			if marked != (before[i] != after[i]) {
				t.Errorf("%s: marked as changed: %v\n%s\n%s", logger, marked, before[i], after[i])
			}
			if marked {
				changed++
			}
		}
		if changed != 2 {
			t.Errorf("%s: %d changed lines, want 2", logger, changed)
		}
	}
}

func body(t *testing.T, text, function string) []string {
	t.Helper()
	m := regexp.MustCompile(`(?ms)^func ` + function + `\(requestID string\) \{\n(.*?)^\}`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no function %s", function)
	}
	return strings.Split(strings.TrimSuffix(m[1], "\n"), "\n")
}
