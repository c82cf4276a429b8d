// Command benchmarks measures taskscope and its peers side by side, in one process and
// in interleaved rounds, and writes RESULTS.md with a chart for each table.
//
// Absolute times depend on the machine and on what else it does; the ratio of two rows
// of one table, taken in the same rounds, hardly does. So ratios are what it reports.
//
// A row stands in one place: in the func that makes its table. That func stands in the
// chapter of its file.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A row is one way to do the thing that its table is about. run does it n times. It may be
// called on several goroutines at once.
type row struct {
	name string
	must float64 // the ratio to reach, or 0 if there is none
	run  func(n int)
}

// A table compares rows with its first.
type table struct {
	name, about string
	rows        []row
	note        string // why a ratio that must be reached isn't, if so

	column     string             // tables of one name, and of the same rows, are shown as one, with a column each
	references int                // how many rows the others are compared with, the first ones; 0 means 1
	smallHeap  bool               // the rows are measured with next to no heap, too
	cores      bool               // and on two cores
	connection bool               // the rows go through one: see measuring.measureApart
	bytes      map[string]float64 // the ratio of bytes to reach, by the name of the row
}

// A chapter has the tables of one file.
type chapter struct {
	place  int
	title  string
	tables []func() table
}

var chapters []chapter

// add is called by the init of each file that has tables. place says where they stand in RESULTS.md.
func add(place int, title string, tables ...func() table) {
	chapters = append(chapters, chapter{place, title, tables})
	slices.SortStableFunc(chapters, func(a, b chapter) int { return a.place - b.place })
}

// each returns what makes a table for each argument.
func each[T any](make func(T) table, args ...T) (tables []func() table) {
	for _, arg := range args {
		tables = append(tables, func() table { return make(arg) })
	}
	return tables
}

// A command measures what isn't rows of a table. It returns what RESULTS.md has of it.
type command struct {
	place   int
	name    string
	measure func(m measuring) (markdown string, err error)
}

var commands []command

// addCommand is called by the init of each file that has one. place says where it stands in RESULTS.md,
// behind the tables.
func addCommand(place int, name string, measure func(m measuring) (string, error)) {
	commands = append(commands, command{place, name, measure})
	slices.SortStableFunc(commands, func(a, b command) int { return a.place - b.place })
}

// What runs in processes that commands start.
var children = map[string]func(m measuring) error{}

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 101, "how many times each row is timed")
	slice := flag.Duration("slice", 4*time.Millisecond, "how long a row is timed in a round, about")
	out := flag.String("out", ".", "the folder to write RESULTS.md and the charts to")
	heap := flag.Int("heap", 64, "the megabytes that the process holds meanwhile, as a service would")
	only := flag.String("only", "", "the name of the only table to measure; nothing is written")
	list := flag.Bool("list", false, "print the names of tables and commands, and do nothing else")
	bench := flag.Bool("bench", false, "measure times and allocations of rows only, and print them as go test -bench does; nothing is written")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "go run . [flags] [command]: measures everything and writes RESULTS.md, or runs a command (-list) and prints its table")
		flag.PrintDefaults()
	}
	flag.Parse()
	m := measuring{rounds: *rounds, slice: *slice, heap: *heap, plain: *bench}
	if name := flag.Arg(0); name != "" {
		if err := m.run(name); err != nil {
			log.Fatal(err)
		}
		return
	}
	report := report{measuring: m}
	for _, c := range chapters {
		for _, make := range c.tables {
			t := make()
			switch {
			case *list:
				fmt.Println(t.name)
				continue
			case *only != "" && t.name != *only:
				continue
			}
			measure := func(t table) ([]result, error) { return m.measure(t), nil }
			if t.connection && !m.plain {
				measure = m.measureApart
			}
			results, err := measure(t)
			if err != nil {
				log.Fatal(err)
			}
			for _, r := range results {
				r.print(t, *bench)
			}
			report.add(c.title, t, results)
		}
	}
	for _, c := range commands {
		switch {
		case *list:
			fmt.Println("command:", c.name)
			continue
		case *only != "" || *bench:
			continue
		}
		text, err := c.measure(m)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(text)
		report.commands += text
	}
	if *only != "" || *list || *bench {
		return
	}
	if err := os.MkdirAll(filepath.Join(*out, "charts"), 0o755); err != nil {
		log.Fatal(err)
	}
	if err := report.write(*out); err != nil {
		log.Fatal(err)
	}
	if *out == "." {
		if err := report.quote("../README.md"); err != nil {
			log.Fatal(err)
		}
	}
}

// run runs a command, or what a command starts.
func (m measuring) run(name string) error {
	if child := children[name]; child != nil {
		return child(m)
	}
	for _, c := range commands {
		if c.name == name {
			text, err := c.measure(m)
			fmt.Print(text)
			return err
		}
	}
	return fmt.Errorf("there is no command %q: see -list", name)
}

// print prints a result: for people, or as a line of go test -bench.
func (r result) print(t table, bench bool) {
	if bench {
		name := ""
		for _, part := range []string{t.name, t.column, r.name} {
			if part != "" {
				name += "/" + strings.NewReplacer(" ", "_", "/", "_", "=", "").Replace(part)
			}
		}
		fmt.Printf("Benchmark%s 1 %.2f ns/op %.0f B/op %.2f allocs/op\n", name[1:], r.ns, r.bytes, r.allocs)
		return
	}
	fmt.Printf("%-34s %-54s %10.1f ns  × %-12s %7.0f B %5.1f allocs", strings.TrimSpace(t.name+", "+t.column), r.name, r.ns, ratios(r.ratios), r.bytes, r.allocs)
	if t.smallHeap {
		fmt.Printf("  small heap × %s", ratios(r.small))
	}
	if t.cores {
		fmt.Printf("  two cores × %.2f", r.cores)
	}
	fmt.Println()
}

func ratios(x []float64) string {
	var s []string
	for _, r := range x {
		s = append(s, fmt.Sprintf("%.2f", r))
	}
	return strings.Join(s, " / ")
}
