// Leaks runs short tasks that use all of package scope and the three loggers, and measures
// what is left of them. Then it opens things that outlive the scope they are opened in, and
// counts how many scopes they keep. It writes docs/results/leaks.md and fails if a task
// leaves memory or a goroutine behind.
//
//	go run ./internal/leaks -n 1000000
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/taskscope/taskscope/internal/results"
	"github.com/taskscope/taskscope/scope"
)

func main() { os.Exit(mainWith(os.Args[1:], os.Stdout)) }

func mainWith(args []string, out io.Writer) (exit int) {
	flags := flag.NewFlagSet("leaks", flag.ContinueOnError)
	flags.SetOutput(out)
	tasks := flags.Int("n", 1_000_000, "tasks to run")
	byHand := flags.Bool("byhand", false, "print what the tasks are compared with: the heap, the objects and the goroutines of -n tasks without taskscope")
	if flags.Parse(args) != nil {
		return 2
	}
	var err error
	if *byHand {
		err = printByHand(out, *tasks)
	} else {
		err = writeReport(out, "docs/results/leaks.md", *tasks)
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	return 0
}

func writeReport(out io.Writer, file string, n int) error {
	var text strings.Builder
	fmt.Fprintf(&text, `# What is left

Written by `+"`make leaks N=%d`"+`, not by hand, with %s, carrier %s.

## After a task

%d tasks, each with Run, Set, With, NewContext, Go, Wrap, a plain go and Delete, in three goroutines, with 37 lines of slog, zap,
zerolog and their child loggers, so that something derived is remembered with each scope. The heap is measured after collections.
"By hand" is a program without taskscope, with as many goroutines and lines, whose fields are attached with each logger's own With. What
grows there too belongs to the runtime, such as the descriptors of goroutines that it keeps for the next ones.

| tasks | heap bytes | over the first | objects | goroutines | by hand: over the first | objects |
|---|---|---|---|---|---|---|
`, n, results.MeasuredWith(), scope.Carrier(), n)
	all, err := measureTasks(n)
	byHand, handErr := measureByHand(n)
	if handErr != nil {
		return handErr
	}
	for i, f := range all {
		fmt.Fprintf(&text, "| %d | %d | %+d | %d | %d | %+d | %d |\n",
			n/10*i, f.heap, f.heap-all[0].heap, f.objects, f.goroutines, byHand[i].heap-byHand[0].heap, byHand[i].objects)
	}
	const things = 50
	fmt.Fprintf(&text, `
The command fails if the last heap is more than %d KiB above the first, or if there are more goroutines.

## What pins a scope

A goroutine keeps the scope that it inherited as long as it runs, and so does whatever keeps a goroutine. %d of each were
opened in scopes of their own, each with a value of %d KiB. "kept" says how many of these values were still there when the
scopes' work was done, and "heap" how much it had grown.

| opened in a scope | kept | heap | with the remedy | after closing | remedy |
|---|---|---|---|---|---|
`, allowed>>10, things, payloadSize>>10)
	for _, p := range pins {
		m := p.measure(things)
		fmt.Fprintf(&text, "| %s | %d of %d | %+d KiB | %d of %d | %d of %d | %s |\n",
			p.what, m.open, things, m.heap>>10, m.remedied, things, m.closed, things, p.remedy)
		if m.remedied > 0 || m.closed > 0 {
			err = errors.Join(err, fmt.Errorf("leak: %s: %d kept with the remedy, %d after closing", p.what, m.remedied, m.closed))
		}
	}
	fmt.Fprint(out, text.String())
	if err != nil {
		return err
	}
	return results.Write(file, text.String())
}
