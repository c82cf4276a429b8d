// Torture runs tasks through other people's code: servers and routers, pools, timers,
// database/sql, brokers, gRPC and asynchronous writers. The tasks log with slog, zap and
// zerolog from its callbacks, handlers and workers, and each line says in its message which
// task it really belongs to.
//
//	go run . -n 1000000 -seed 1  # writes docs/results/interop.md
//	go run . -case ants          # only the cases whose name has this in it; writes no file
//
// A line may have its own task's id, or none, or say that its task is over. Each case comes
// in the form that people write first and in the one that is recommended. Where the first
// form is known to be wrong, the table of the cases says so, and why; a line that is wrong in
// any other form ends the command with 1, and so does a form that isn't what its row says.
//
// It is a module of its own: what it needs takes minutes to build.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/taskscope/taskscope/internal/results"
	"github.com/taskscope/taskscope/scope"
)

const file = "../../../docs/results/interop.md"

func main() { os.Exit(mainWith(os.Args[1:], os.Stdout)) }

func mainWith(args []string, out io.Writer) (exit int) {
	flags := flag.NewFlagSet("interop", flag.ContinueOnError)
	flags.SetOutput(out)
	lines := flags.Int64("n", 1_000_000, "lines to write, of all cases together")
	seed := flags.Uint64("seed", 0, "of what the tasks do; 0 draws one")
	only := flags.String("case", "", "run only the cases whose name has this in it, and write no file")
	if flags.Parse(args) != nil {
		return 2
	}
	if *seed == 0 {
		*seed = uint64(rand.Uint32())
	}
	fmt.Fprintf(out, "seed %d\n", *seed)
	rows, err := runAll(out, *only, *seed, *lines)
	if err == nil && *only == "" {
		err = results.Write(file, report(rows, *seed, *lines))
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	return 0
}

// runAll runs the cases whose name has this in it, each form with its share of the lines.
func runAll(out io.Writer, only string, seed uint64, lines int64) (rows []row, err error) {
	forms := int64(0)
	for _, s := range allCases() {
		forms += int64(len(s.forms))
	}
	var failed []error
	for _, s := range allCases() {
		if !strings.Contains(s.name, only) {
			continue
		}
		for i := range s.forms {
			r, err := runForm(s, &s.forms[i], seed, (lines+forms-1)/forms)
			rows, failed = append(rows, r), append(failed, err)
			fmt.Fprintf(out, "%s, %s: %v, %.1f s\n", s.name, s.forms[i].name, r.seen, r.took.Seconds())
		}
	}
	return rows, errors.Join(failed...)
}

// A cause is why lines of a form aren't all right, in one or several cases.
type cause struct {
	form, why string
	lines     set
	cases     []string
}

func (c cause) same(d cause) bool { return c.form == d.form && c.why == d.why && c.lines == d.lines }

// report returns the tables.
func report(rows []row, seed uint64, lines int64) string {
	var text strings.Builder
	var sum [outcomes]int64
	var all, recommendedLines, recommendedWrong int64
	var took time.Duration
	var body strings.Builder
	var causes []cause
	for _, r := range rows {
		took += r.took
		all += r.lines()
		for o, n := range r.seen {
			sum[o] += n
		}
		name := r.form.name
		if r.form.recommended {
			name = "**" + name + "**"
			recommendedLines += r.lines()
			recommendedWrong += r.seen[wrong]
		}
		fmt.Fprintf(&body, "| %s | %s | %d | %d | %d | %d | %d | %d |\n", r.scenario, name,
			r.lines(), r.seen[right], r.seen[unstamped], r.seen[late], r.seen[another], r.seen[wrong])
		if f := r.form; f.why != "" {
			c := cause{f.name, f.why, f.shows | f.may, []string{r.scenario}}
			if i := slices.IndexFunc(causes, c.same); i >= 0 {
				causes[i].cases = append(causes[i].cases, r.scenario)
			} else {
				causes = append(causes, c)
			}
		}
	}
	fmt.Fprintf(&text, `# Through other people's code

Written by `+"`make interop N=%d SEED=%d`"+`, not by hand, with %s, carrier %s, in %.0f s.

In each row %d goroutines begin tasks, one after another, until the row has its lines. A task goes through the code that the row
names; slog, zap and zerolog log in turn from its callbacks, handlers and workers, which also set fields, fork, pass contexts on, change profiler
labels and leave goroutines behind. Each line says in its message which task it belongs to; this is compared with the field that it was stamped with:

- right: its own task's id; or none, if it belongs to no task, like a driver's line when it closes an idle connection;
- unstamped: no id;
- late: its own task's id, and `+"`scope_ended=true`"+`; goroutines that a task has left behind log such lines in most rows;
- another's: the id of another task, and `+"`scope_ended=true`"+`, which says that the line isn't part of that task's work;
- wrong: the id of another task, and nothing that says so.

Bold forms are the recommended ones: %d of their %d lines are wrong. The others are what people write first, or try next. The
command fails if a line is something that its row doesn't allow. The second table says what each row allows, why, and what to do.
The sum of all rows: %d lines, %d right, %d unstamped, %d late, %d another's, %d wrong.

| case | form | lines | right | unstamped | late | another's | wrong |
|---|---|---|---|---|---|---|---|
%s
## Why, and what to do

| case | form | lines are, or may be | cause and cure |
|---|---|---|---|
`, lines, seed, results.MeasuredWith(), scope.Carrier(), took.Seconds(), drivers, recommendedWrong, recommendedLines,
		all, sum[right], sum[unstamped], sum[late], sum[another], sum[wrong], body.String())
	for _, c := range causes {
		fmt.Fprintf(&text, "| %s | %s | %v | %s |\n", strings.Join(c.cases, "; "), c.form, c.lines, c.why)
	}
	return text.String()
}
