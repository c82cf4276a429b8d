package interop

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

var update = flag.Bool("update", false, "write the tables of docs/labels.md anew")

const doc = "../../docs/labels.md"

// An outcome is what is seen of a use at each place: of the fields on log lines, and of
// the labels.
type outcome struct{ Fields, Labels [places]string }

const (
	kept        = "kept"
	lost        = "lost"
	since       = "those set after the first span began are lost"
	others      = "the other task's"
	notObserved = "–"
)

func (u use) suits(w writer) bool {
	return (!u.split || w.start != nil) && (!u.renamed || w.rename != nil)
}

func outcomeOf(t *testing.T, u use, w writer) (o outcome) {
	want := observations(t, u, w, true)
	got := observations(t, u, w, false)
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%s, %s: %d observations, and %d without a scope", u.name, w.name, len(got), len(want))
	}
	for place := range places {
		o.Fields[place], o.Labels[place] = notObserved, notObserved
	}
	// Where a place is observed twice, all is well only if it is both times.
	note := func(to *string, what string) {
		if *to == notObserved || *to == kept {
			*to = what
		} else if what != kept && what != *to {
			t.Errorf("%s, %s: at one place both %q and %q", u.name, w.name, *to, what)
		}
	}
	for i := range got {
		place := got[i].place
		note(&o.Fields[place], fieldsOutcome(t, got[i].got, got[i].want))
		note(&o.Labels[place], labelsOutcome(got[i].labels, want[i].labels))
		if place == inside && len(want[i].labels) == 0 {
			t.Errorf("%s, %s: there are no labels inside: is it writing any?", u.name, w.name)
		}
	}
	return o
}

func fieldsOutcome(t *testing.T, got, want map[string]string) string {
	missing := maps.Clone(want)
	maps.DeleteFunc(missing, func(k, v string) bool { return got[k] == v })
	_, ended := got["scope_ended"]
	switch {
	case got["task"] == "B":
		return others
	case ended:
		t.Errorf("scope_ended on a line of a task that is live: %v", got)
		return "wrong"
	case len(missing) == 0:
		return kept
	case missing["task"] != "":
		return lost
	default:
		return since
	}
}

func labelsOutcome(got, want map[string]string) string {
	if maps.Equal(got, want) {
		return kept
	}
	var missing, extra []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			missing = append(missing, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			extra = append(extra, k)
		}
	}
	switch program := slices.Contains(missing, "app"); {
	case len(extra) == 0 && !program:
		return "without the span's"
	case len(missing) == 0:
		return "also the finished span's"
	default:
		return fmt.Sprintf("without %q, with %q", missing, extra)
	}
}

// A report has the outcome of each use for each writer that it suits.
type report struct {
	Carrier string
	Uses    []map[string]outcome
}

// TestReport prints the report of one carrier path, for TestTables.
func TestReport(t *testing.T) {
	if os.Getenv(printReport) == "" {
		t.Skip("TestTables runs it, in a process for each path")
	}
	r := report{Carrier: scope.Carrier()}
	for _, u := range uses {
		seen := map[string]outcome{}
		for _, w := range writers {
			if u.suits(w) {
				seen[w.name] = outcomeOf(t, u, w)
			}
		}
		r.Uses = append(r.Uses, seen)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", reportMark, text)
}

const (
	printReport = "TASKSCOPE_TEST_REPORT"
	reportMark  = "report: "
)

// reportOn runs TestReport in a process with this carrier path, and gives none if this
// build doesn't have it.
func reportOn(t *testing.T, carrier string) (r report, ok bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestReport$", "-test.count=1")
	cmd.Env = append(os.Environ(), printReport+"=1", "TASKSCOPE_CARRIER="+carrier,
		"GORACE=atexit_sleep_ms=0") // by default a second per process
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("on the path %s: %v\n%s", carrier, err, out)
	}
	_, text, _ := strings.Cut(string(out), "\n"+reportMark)
	text, _, _ = strings.Cut(text, "\n")
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("on the path %s: %v\n%s", carrier, err, out)
	}
	return r, r.Carrier == carrier
}

// docs/labels.md says what is seen, on each path.
func TestTables(t *testing.T) {
	portable, ok := reportOn(t, "portable")
	if !ok {
		t.Fatal("this build has no portable path")
	}
	compare(t, "portable path", portableTable(portable))
	direct, ok := reportOn(t, "direct")
	if !ok {
		t.Logf("the best path of this build is %s: the other table isn't compared", direct.Carrier)
		return
	}
	compare(t, "versions", versions(t))
	compare(t, "direct and labels paths", slotTable(direct))
	labels, ok := reportOn(t, "labels")
	if !ok {
		t.Fatal("this build has the direct path and not the labels path")
	}
	if d, l := slotTable(direct), slotTable(labels); d != l {
		t.Errorf("the direct path:\n%s\nthe labels path:\n%s", d, l)
	}
}

// slotTable has a row for each use, and more where the writers differ.
func slotTable(r report) string {
	return table(r, []string{"fields, span open", "fields, span finished", "labels, span open", "labels, span finished"},
		func(o outcome) []string { return append(o.Fields[:], o.Labels[:]...) })
}

// portableTable has a row for each use whose fields aren't kept. What becomes of labels
// is other code's affair on a path that doesn't touch them.
func portableTable(r report) string {
	return table(r, []string{"fields, span open", "fields, span finished"}, func(o outcome) []string {
		if !slices.ContainsFunc(o.Fields[:], func(s string) bool { return s != kept && s != notObserved }) {
			return nil
		}
		return o.Fields[:]
	})
}

// table has a row for each outcome of each use for which cells gives any.
func table(r report, columns []string, cells func(outcome) []string) string {
	var b strings.Builder
	row := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	row(append([]string{"the span's context", "writer"}, columns...)...)
	b.WriteString(strings.Repeat("|---", 2+len(columns)) + "|\n")
	for i, u := range uses {
		done := map[string]bool{}
		for _, first := range writers {
			o, ok := r.Uses[i][first.name]
			if !ok || done[first.name] {
				continue
			}
			var names []string
			for _, w := range writers {
				if same, ok := r.Uses[i][w.name]; ok && same == o {
					names, done[w.name] = append(names, w.name), true
				}
			}
			who := strings.Join(names, ", ")
			if len(names) == len(writers) {
				who = "all"
			}
			if c := cells(o); c != nil {
				row(append([]string{u.name, who}, c...)...)
			}
		}
	}
	return b.String()
}

// versions lists the modules that the writers are of.
func versions(t *testing.T) string {
	var b strings.Builder
	for _, w := range writers {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", w.module).Output()
		if err != nil {
			t.Fatalf("go list -m %s: %v", w.module, err)
		}
		fmt.Fprintf(&b, "- %s: %s\n", w.name, strings.TrimSpace(string(out)))
	}
	return b.String()
}

// compare compares the part of the document between two marks with text, or writes it.
func compare(t *testing.T, mark, text string) {
	t.Helper()
	file, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- seen: "+mark+" -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(string(file), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no part between %q and %q", doc, begin, end)
	}
	text = "\n" + text + "\n"
	if old == text {
		return
	}
	if !*update {
		t.Errorf("%s says\n%s\nand this is seen:\n%s\nIf that is right: go test . -run TestTables -update", doc, old, text)
		return
	}
	if err := os.WriteFile(doc, []byte(head+begin+text+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
