package main

import (
	"strings"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// What docs/results/leaks.md compares with has lines of its own, as many as there are tenths, and one before.
func TestTheCommandMeasuresTasksByHand(t *testing.T) {
	var out strings.Builder
	if exit := mainWith([]string{"-byhand", "-n", "200"}, &out); exit != 0 {
		t.Errorf("exit %d:\n%s", exit, &out)
	}
	if n := strings.Count(out.String(), "\n"); n != 11 {
		t.Errorf("%d lines:\n%s", n, &out)
	}
}

func TestNothingIsLeftAfterShortTasks(t *testing.T) {
	if _, err := measureTasks(scopekit.Amount(20_000, 400)); err != nil {
		t.Error(err)
	}
}

// What docs/results/leaks.md says of things that outlive the scope in which they were opened.
func TestWhatPinsAScopeLetsGoOfIt(t *testing.T) {
	const n = 5
	for _, p := range pins {
		m := p.measure(n)
		if m.remedied > 0 || m.closed > 0 {
			t.Errorf("%s: %d of %d kept with the remedy, %d after closing", p.what, m.remedied, n, m.closed)
		}
		if scopekit.Inherits() && m.open != n {
			t.Errorf("%s: %d of %d kept; the document is wrong", p.what, m.open, n)
		}
	}
}

func TestAnUnknownFlagExitsWithTwo(t *testing.T) {
	var out strings.Builder
	if exit := mainWith([]string{"-seed", "1"}, &out); exit != 2 || !strings.Contains(out.String(), "-seed") {
		t.Errorf("exit %d:\n%s", exit, &out)
	}
}
