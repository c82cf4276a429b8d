package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/taskscope/taskscope/scope"
)

//go:embed go.mod
var goMod string

// A report collects what is written to RESULTS.md.
type report struct {
	text    strings.Builder
	figures []figure
	charts  map[string]string // by file name
}

func (r *report) add(t table, results []result) {
	file := strings.ToLower(strings.NewReplacer(" ", "-", ",", "", ":", "", "=", "").Replace(t.name)) + ".svg"
	if r.charts == nil {
		r.charts = map[string]string{}
	}
	r.charts[file] = chart(t, results)
	fmt.Fprintf(&r.text, "\n## %s\n\n%s\n\n| | ns | × | to reach | B | allocs |\n|---|---|---|---|---|---|\n", t.name, t.about)
	for _, x := range results {
		must := ""
		if x.must > 0 {
			must = fmt.Sprintf("≤ %.2f: no", x.must)
			if x.ratio <= x.must {
				must = fmt.Sprintf("≤ %.2f: yes", x.must)
			}
		}
		fmt.Fprintf(&r.text, "| %s | %.1f | %.2f | %s | %.0f | %.1f |\n", x.name, x.ns, x.ratio, must, x.bytes, x.allocs)
	}
	if t.note != "" {
		fmt.Fprintf(&r.text, "\n%s\n", t.note)
	}
	fmt.Fprintf(&r.text, "\n![%s](charts/%s)\n", t.name, file)
}

const preface = `# Results

Written by ` + "`make bench`" + `, not by hand. Each table is measured in one process: in each of %d rounds
every row is timed once, in an order drawn anew. ns is the median of a row; × is the median, over
the rounds, of its ratio to the first row of its table. Ratios are good to about 5 %%; times change with the machine
and with what else it is doing. The process holds %d MB meanwhile, as a service would: with next to nothing on its heap the collector
starts every 4 MB, and what is measured is the collector. Where "to reach" says no, the text below the table says why.

| | |
|---|---|
| machine | %s/%s, GOMAXPROCS=%d, %s |
| Go | %s |
| carrier | %s |
`

func (r *report) write(folder string, rounds, heap int) error {
	var all strings.Builder
	fmt.Fprintf(&all, preface, rounds, heap, runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), cpu(), runtime.Version(), scope.Carrier())
	for _, peer := range regexp.MustCompile(`(?m)^\t(\S+) (\S+)$`).FindAllStringSubmatch(goMod, -1) {
		if !strings.HasPrefix(peer[1], "github.com/taskscope/") {
			fmt.Fprintf(&all, "| %s | %s |\n", peer[1], peer[2])
		}
	}
	all.WriteString(r.text.String())
	all.WriteString("\n## Other figures\n\nTwo cores over one is what two goroutines do in a time, over what one does. Runs of one task on several cores write one counter, which tells " +
		"whether the task goes on: those of a task each don't meet. slog's lines scale by anything between 1.1 and 2 from run to run, those of With children too: " +
		"the headers of its pooled buffers have 24 B, and those of two cores may lie in one cache line. Here pools are emptied before each round.\n\n| | | to reach |\n|---|---|---|\n")
	for _, f := range r.figures {
		must, yes := "", "no"
		if f.reached() {
			yes = "yes"
		}
		if f.must > 0 && f.atMost {
			must = fmt.Sprintf("≤ %g %s: %s", f.must, f.unit, yes)
		} else if f.must > 0 {
			must = fmt.Sprintf("≥ %g %s: %s", f.must, f.unit, yes)
		}
		fmt.Fprintf(&all, "| %s | %.2f %s | %s |\n", f.name, f.value, f.unit, must)
	}
	for file, svg := range r.charts {
		if err := os.WriteFile(filepath.Join(folder, "charts", file), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "RESULTS.md"), []byte(all.String()), 0o644)
}

func cpu() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "processor unknown"
}

// chart draws the ratios of a table as bars.
func chart(t table, results []result) string {
	const bar, left, width = 22, 330, 420
	longest := 0.0
	for _, r := range results {
		longest = max(longest, r.ratio)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+width+80, bar*(len(results)+1)+12)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="8" y="17" font-weight="bold">%s (ratio of time, shorter is better)</text>`+"\n", escape(t.name))
	for i, r := range results {
		y := bar*(i+1) + 6
		color := "#9aa5b1"
		if strings.Contains(r.name, "taskscope") {
			color = "#2f6fb0"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%.2f</text>`+"\n",
			left-8, y+15, escape(r.name), left, y+3, max(1, r.ratio/longest*width), bar-6, color, left+max(1, r.ratio/longest*width)+6, y+15, r.ratio)
	}
	return b.String() + "</svg>\n"
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
