package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every row runs, and stands in the report. What it measures in so short a time is of no
// interest.
func TestReport(t *testing.T) {
	var r report
	all := tables()
	for _, table := range all {
		results := measure(table, 1, time.Microsecond)
		for _, x := range results {
			if x.ns <= 0 || x.ratio <= 0 {
				t.Errorf("%s, %s: %v ns, ratio %v", table.name, x.name, x.ns, x.ratio)
			}
		}
		r.add(table, results)
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "charts"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.write(folder, 1, 0); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range all {
		for _, row := range table.rows {
			if !strings.Contains(string(text), "| "+row.name+" |") {
				t.Errorf("the report lacks %s, %s", table.name, row.name)
			}
		}
	}
	charts, err := filepath.Glob(filepath.Join(folder, "charts", "*.svg"))
	if err != nil || len(charts) != len(all) {
		t.Errorf("%d charts for %d tables (%v)", len(charts), len(all), err)
	}
}
