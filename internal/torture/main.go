// Torture runs a generated program on package scope. It compares each line that slog, zap
// and zerolog write, and each answer of the store, with an exact model.
//
//	go run ./internal/torture -n 1000000         # lines; -seed gives a program again
//	go run ./internal/torture -seed 7 -unit 1234 # one unit of it, over and over: the one that a deviation names
//	go run ./internal/torture -table -n 1000000  # all builds; writes docs/results/torture.md
//	go run ./internal/torture -stress            # under the runtime's own stress; writes docs/results/stress.md
//
// What is generated: a program is made of units, and a unit is a tree of goroutines. Each of
// them draws one operation after the other (program.go and the op files): it sets fields, runs
// scopes, shares, logs, starts others, panics, hands work over. What is drawn depends on the
// seed and the unit's number alone, so a seed gives the same program again, up to scheduling.
//
// What the model predicts: each operation is done twice, on the store and on the model, which
// is values that are never changed and are passed on in plain variables (the model files). From
// what the model has as bound follow all fields of a line, their order, and whether it must say
// that its task is over. Operations whose outcome would depend on timing aren't done; only for
// shared fields and Pick does the model allow more than one answer where goroutines really race.
//
// How a line is judged: it names a slot of the sink in a field of its own, and the goroutine
// that has written it finds it there. It must be one line, and equal to a prediction byte for
// byte behind the time. At the first that isn't, the command prints the seed, the unit, the
// line, the prediction and the operations that led to it, and exits with 1.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

func main() { os.Exit(mainWith(os.Args[1:], os.Stdout)) }

func mainWith(args []string, out io.Writer) (exit int) {
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	lines := flags.Int64("n", 1_000_000, "lines to write")
	seed := flags.Uint64("seed", 0, "of the program; 0 draws one")
	unit := flags.Int64("unit", -1, "run this unit only, -n lines of it over and over")
	watched := flags.Bool("watched", false, "with profiles, traces and heap dumps running all the while")
	table := flags.Bool("table", false, "run all builds and write docs/results/torture.md")
	stress := flags.Bool("stress", false, "run under the runtime's own stress and write docs/results/stress.md")
	if flags.Parse(args) != nil {
		return 2
	}
	if *seed == 0 {
		*seed = uint64(rand.Uint32())
	}
	var err error
	switch {
	case *table:
		err = writeTable(out, "docs/results/torture.md", *lines, *seed)
	case *stress:
		err = writeStress(out, "docs/results/stress.md", *lines, *seed)
	default:
		err = tortured(out, *seed, *unit, *lines, *watched)
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	return 0
}

// tortured runs the program and reports.
func tortured(out io.Writer, seed uint64, unit, lines int64, watched bool) error {
	fmt.Fprintf(out, "seed %d\n", seed)
	declareKeys()
	stop := func() string { return "" }
	if watched {
		stop = watch()
	}
	start := time.Now()
	r := newRun(seed, wrappers{})
	var units uint64
	if unit >= 0 {
		for ; !r.stop.Load() && r.total() < lines; units++ {
			r.unit(uint64(unit))
		}
	} else {
		units = r.units(0, lines, atATime)
	}
	took := time.Since(start)
	if seen := stop(); seen != "" {
		fmt.Fprintln(out, seen)
	}
	if err := r.verdict(); err != nil {
		return err
	}
	r.report(out, units, took)
	return nil
}
