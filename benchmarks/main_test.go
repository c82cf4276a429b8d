package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// Every row runs, and stands in the report. What it measures in so short a time is of no
// interest.
func TestReport(t *testing.T) {
	r := report{measuring: measuring{rounds: 1, slice: time.Microsecond}}
	for _, c := range chapters {
		for _, make := range c.tables {
			table := make()
			results := r.measuring.measure(table)
			for _, x := range results {
				if x.ns <= 0 || x.ratios[0] <= 0 || table.cores && x.cores <= 0 || table.smallHeap && x.small[0] <= 0 {
					t.Errorf("%s, %s: %+v", table.name, x.name, x)
				}
			}
			r.add(c.title, table, results)
		}
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "charts"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.write(folder); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range r.sections {
		if seen[s.name()] {
			t.Errorf("two tables have the name %q: their columns must be made one after the other", s.name())
		}
		seen[s.name()] = true
		for i, table := range s.tables {
			for j, row := range table.rows {
				if !strings.Contains(string(text), "| "+row.name+" |") {
					t.Errorf("the report lacks %s, %s", table.name, row.name)
				}
				if i > 0 && (len(table.rows) != len(s.tables[0].rows) || s.tables[0].rows[j].name != row.name) {
					t.Errorf("%s: the columns have different rows", table.name)
				}
			}
		}
	}
	charts, err := filepath.Glob(filepath.Join(folder, "charts", "*.svg"))
	if err != nil || len(charts) != len(r.sections) {
		t.Errorf("%d charts for %d tables (%v)", len(charts), len(r.sections), err)
	}
	testQuotes(t, &r)
}

// testQuotes looks at what README.md quotes: the rows that the report has, in this order.
func testQuotes(t *testing.T, r *report) {
	one := func(s service) *server {
		return &server{service: s, cpu: []float64{1}, p50: []float64{1}, p99: []float64{1}, allocs: []float64{1}}
	}
	var servers []*server
	for _, s := range services {
		servers = append(servers, one(s))
	}
	r.commands = serviceTable(servers, 64)
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(copied, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.quote(copied); err != nil {
		t.Fatal(err)
	}
	quoting, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	ratio := regexp.MustCompile(`\d+\.\d\d`)
	before, after := ratio.ReplaceAllLiteralString(string(text), "x"), ratio.ReplaceAllLiteralString(string(quoting), "x")
	if before != after {
		t.Errorf("README.md doesn't quote what it should: make bench would write\n%s", readmeTable.FindString(after))
	}
	if !strings.Contains(after, serviceQuote+" | x, x, x |") {
		t.Error("the service isn't quoted")
	}
}

// The lines that services write have the same fields by hand and by taskscope, so what they cost can
// be compared.
func TestServicesWriteTheSame(t *testing.T) {
	shapes := map[string]string{}
	for _, s := range services {
		var out testkit.Buffer
		w := httptest.NewRecorder()
		s.handler(&out).ServeHTTP(w, httptest.NewRequest("GET", "/orders/7", nil))
		if err := scope.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(testkit.Patience); strings.Count(out.String(), "\n") < ownLines+taskLines+1 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		id := w.Header().Get("X-Request-Id")
		var lines []string
		for text := range strings.Lines(out.String()) {
			var line map[string]any
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if id == "" || line["request_id"] != id {
				t.Errorf("%s, %s: the answer has the id %q, and a line is %s", s.logger, s.how, id, text)
			}
			lines = append(lines, fmt.Sprint(slices.Sorted(maps.Keys(line))))
		}
		if len(lines) != ownLines+taskLines+1 {
			t.Errorf("%s, %s: %d lines", s.logger, s.how, len(lines))
		}
		slices.Sort(lines)
		if shape := strings.Join(lines, "\n"); shapes[s.logger] == "" {
			shapes[s.logger] = shape
		} else if shapes[s.logger] != shape {
			t.Errorf("%s: one writes\n%s\nand the other\n%s", s.logger, shapes[s.logger], shape)
		}
	}
}

// onlyDirect skips a test on other carrier paths, which have a lock.
func onlyDirect(t *testing.T) {
	if scope.Carrier() != "direct" {
		t.Skip("other carrier paths have a lock")
	}
}

// Nobody waits for anybody in taskscope on the way of a line or a request.
func TestNoWaitIsOurs(t *testing.T) {
	onlyDirect(t)
	for pkg, sum := range waits(100 * time.Microsecond) {
		if isOurs(pkg) {
			t.Errorf("%s: %v waits", pkg, sum[0])
		}
	}
}

// A wait is attributed to whoever has called the lock, and one of the runtime's to the runtime.
func TestWaiter(t *testing.T) {
	var here [1]uintptr
	runtime.Callers(1, here[:])
	lock := reflect.ValueOf((*sync.Mutex).Unlock).Pointer() + 1
	allocator := reflect.ValueOf(runtime.GC).Pointer() + 1
	for _, c := range []struct {
		stack []uintptr
		locks bool
		want  string
	}{
		{[]uintptr{lock, here[0]}, true, ours + "benchmarks"},
		{[]uintptr{allocator, here[0]}, true, "runtime"},
		{[]uintptr{allocator, here[0]}, false, ours + "benchmarks"},
	} {
		if got := waiter(c.stack, c.locks); got != c.want {
			t.Errorf("%v: %q, want %q", c, got, c.want)
		}
	}
}

// No path writes more than its budget to memory that other goroutines write.
func TestSharedWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	onlyDirect(t)
	counts, err := measureWrites()
	if err != nil {
		t.Fatal(err)
	}
	some := false
	for i, p := range paths() {
		for j, got := range counts[i].Written {
			some = some || got > 0
			if counts[i].Name != p.name || got > p.must[j] {
				t.Errorf("%s (%s): %v shared writes, at most %v are allowed", p.name, []string{"one task", "a task each"}[j], got, p.must[j])
			}
		}
	}
	if !some {
		t.Error("there is no shared write at all: is anything counted?")
	}
}

func TestRowsThatAllocateMoreFail(t *testing.T) {
	folder := t.TempDir()
	file := func(name string, lines ...string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	line := func(row, allocs string) string {
		return "Benchmark" + row + " 1 10.00 ns/op 0 B/op " + allocs + " allocs/op"
	}
	base := file("base", line("a/taskscope", "1.00"), line("a/taskscope", "1.40"), line("a/peer", "1.00"), line("b/taskscope", "100.00"))
	for name, c := range map[string]struct {
		head string
		bad  bool
	}{
		"the same":          {file("1", line("a/taskscope", "1.00"), line("b/taskscope", "100.30")), false},
		"noise":             {file("2", line("a/taskscope", "1.00"), line("a/taskscope", "7.00")), false},
		"more":              {file("3", line("a/taskscope", "2.00"), line("a/taskscope", "2.10")), true},
		"more, of many":     {file("4", line("b/taskscope", "102.00")), true},
		"a peer's":          {file("5", line("a/peer", "9.00")), false},
		"a row that is new": {file("6", line("c/taskscope", "9.00")), false},
	} {
		if err := compareAllocs(base, c.head); (err != nil) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}
