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
	measuring measuring
	sections  []section
	commands  string // what they have returned
}

// A section has the tables of one name, which differ in their columns.
type section struct {
	chapter string
	tables  []table
	results [][]result // of each table
}

func (r *report) add(chapter string, t table, results []result) {
	n := len(r.sections)
	if n == 0 || r.sections[n-1].tables[0].name != t.name {
		r.sections = append(r.sections, section{chapter: chapter})
		n++
	}
	s := &r.sections[n-1]
	s.tables, s.results = append(s.tables, t), append(s.results, results)
}

func (s section) name() string { return s.tables[0].name }

func (s section) chart() string {
	return strings.ToLower(strings.NewReplacer(" ", "-", ",", "", ":", "", "=", "").Replace(s.name())) + ".svg"
}

// markdown returns what RESULTS.md has of s: one table if there is one column, else one for each
// thing that was measured.
func (s section) markdown(m measuring) string {
	var b strings.Builder
	t := s.tables[0]
	fmt.Fprintf(&b, "\n### %s\n\n%s\n", t.name, t.about)
	if t.column == "" {
		s.oneColumn(&b)
	} else {
		heap := fmt.Sprintf("time, %d MB of heap", m.heap)
		if t.references > 1 {
			heap += ", × the first row / × the second"
		}
		s.grid(&b, heap, func(i int, r result) string { return cell(i, r.ns, r.ratios, r.must) })
		if t.smallHeap {
			s.grid(&b, "time, next to no heap", func(i int, r result) string { return cell(i, r.smallNS, r.small, 0) })
		}
		s.grid(&b, "memory, bytes × the first row", func(i int, r result) string { return r.memory(i, t.bytes[r.name]) })
		if t.cores {
			s.grid(&b, "two cores over one", func(_ int, r result) string { return fmt.Sprintf("%.2f", r.cores) })
		}
	}
	if t.note != "" {
		fmt.Fprintf(&b, "\n%s\n", t.note)
	}
	fmt.Fprintf(&b, "\n![%s](charts/%s)\n", t.name, s.chart())
	return b.String()
}

func (s section) oneColumn(b *strings.Builder) {
	head, cores := "\n| | ns | × | to reach | B | allocs |", s.tables[0].cores
	if cores {
		head += " two cores over one |"
	}
	fmt.Fprintf(b, "%s\n|%s\n", head, strings.Repeat("---|", strings.Count(head, "|")-1))
	for _, r := range s.results[0] {
		fmt.Fprintf(b, "| %s | %.1f | %.2f | %s | %.0f | %.1f |", r.name, r.ns, r.ratios[0], strings.Trim(verdict(r.ratios[0], r.must), " ()"), r.bytes, r.allocs)
		if cores {
			fmt.Fprintf(b, " %.2f |", r.cores)
		}
		b.WriteByte('\n')
	}
}

// grid writes a table that has the rows of s, and its columns.
func (s section) grid(b *strings.Builder, what string, cell func(row int, r result) string) {
	fmt.Fprintf(b, "\n| %s |", what)
	for _, t := range s.tables {
		fmt.Fprintf(b, " %s |", t.column)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(s.tables)))
	for i, row := range s.tables[0].rows {
		fmt.Fprintf(b, "| %s |", row.name)
		for column := range s.tables {
			r := s.results[column][i]
			fmt.Fprintf(b, " %s |", cell(i, r))
		}
		b.WriteByte('\n')
	}
}

// cell returns what a row has of a time. The first row has the time itself, and the others ratios.
func cell(row int, ns float64, x []float64, must float64) string {
	if row == 0 {
		return fmt.Sprintf("%.0f ns", ns)
	}
	text := fmt.Sprintf("%.2f", x[0]) + verdict(x[0], must)
	if len(x) > 1 {
		text += " / " + ratios(x[1:])
	}
	return text
}

// memory is "690 B, 11 allocs", and the ratio if there is one worth telling.
func (r result) memory(row int, must float64) string {
	text := fmt.Sprintf("%.0f B, %.1f allocs", r.bytes, r.allocs)
	if row > 0 && must > 0 {
		text += fmt.Sprintf(", %.2f", r.byteRatio) + verdict(r.byteRatio, must)
	}
	return text
}

func verdict(ratio, must float64) string {
	switch {
	case must == 0:
		return ""
	case ratio <= must:
		return fmt.Sprintf(" (≤ %.2f: yes)", must)
	}
	return fmt.Sprintf(" (≤ %.2f: no)", must)
}

const preface = `# Results

Written by ` + "`make bench`" + `, not by hand. Each table is measured in one process: in each of %d rounds
every row is timed once, in an order drawn anew. ns is the median of a row; × is the median, over
the rounds, of its ratio to the first row of its table. Ratios are good to about 5 %%; times change with the machine
and with what else it is doing. The process holds %d MB meanwhile, as a service would: with next to nothing on its heap the collector
starts every 4 MB, and what is measured is the collector. Rows of a request are measured in that way, too.
Rows that go through a connection are timed for five times as long, in fewer rounds, and in fifteen processes of which the medians count: from one process to the next
their ratios change by some 0.05 with the same code. Where "to reach" says no, the text below the table says why.

"Two cores over one" is what two goroutines do with GOMAXPROCS=2, over what one does in that time with GOMAXPROCS=1. They use one logger, as a service does; slog
and zap lock around its writer. slog's lines scale by anything between 1.1 and 2 from run to run, those of With children too: the headers of its pooled
buffers have 24 B, and those of two cores may lie in one cache line. Here pools are emptied before each round.

| | |
|---|---|
| machine | %s/%s, GOMAXPROCS=%d, %s |
| Go | %s |
| carrier | %s |
`

func (r *report) write(folder string) error {
	var all strings.Builder
	fmt.Fprintf(&all, preface, r.measuring.rounds, r.measuring.heap, runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), cpu(), runtime.Version(), scope.Carrier())
	for _, peer := range regexp.MustCompile(`(?m)^\t(\S+) (\S+)$`).FindAllStringSubmatch(goMod, -1) {
		if !strings.HasPrefix(peer[1], "github.com/taskscope/") {
			fmt.Fprintf(&all, "| %s | %s |\n", peer[1], peer[2])
		}
	}
	old, err := filepath.Glob(filepath.Join(folder, "charts", "*.svg"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	chapter := ""
	for _, s := range r.sections {
		if s.chapter != chapter {
			chapter = s.chapter
			fmt.Fprintf(&all, "\n## %s\n", chapter)
		}
		all.WriteString(s.markdown(r.measuring))
		if err := os.WriteFile(filepath.Join(folder, "charts", s.chart()), []byte(draw(s)), 0o644); err != nil {
			return err
		}
	}
	all.WriteString(r.commands)
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

// draw draws the ratios of a section as bars, and those of a row side by side.
func draw(s section) string {
	const bar, left, width = 22, 400, 420
	longest, bars := 0.0, 0
	for _, results := range s.results {
		bars += len(results)
		for _, r := range results {
			longest = max(longest, r.ratios[0])
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+width+80, bar*(bars+1)+12)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="8" y="17" font-weight="bold">%s (ratio of time, shorter is better)</text>`+"\n", escape(s.name()))
	y := bar + 6
	for i, row := range s.tables[0].rows {
		color := "#9aa5b1"
		if strings.Contains(row.name, "taskscope") {
			color = "#2f6fb0"
		}
		for column, t := range s.tables {
			label, ratio := row.name, s.results[column][i].ratios[0]
			if t.column != "" {
				label += ", " + t.column
			}
			length := max(1, ratio/longest*width)
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%.2f</text>`+"\n",
				left-8, y+15, escape(label), left, y+3, length, bar-6, color, left+length+6, y+15, ratio)
			y += bar
		}
	}
	return b.String() + "</svg>\n"
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
