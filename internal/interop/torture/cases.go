package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A scenario is somebody else's code that calls ours: in the form that people write first,
// and in others.
type scenario struct {
	name  string
	forms []form
}

// A form is a way to use it.
type form struct {
	name        string
	recommended bool
	shows       set    // what else than right its lines are: some are sure to be one of these
	may         set    // what else they may be, as goroutines happen to run
	why         string // the cause, and the cure; empty iff lines are right
	opts        *logadapters.Options
	onlySlog    bool // the case has a handler of slog's
	run         func(t *trial)
}

// allCases returns all cases, family by family.
func allCases() []scenario {
	return slices.Concat(webCases, proxyCases, grpcCases, poolCases, timerCases, sqlCases, messageCases, riverCases, sinkCases)
}

// A row is a form that has run.
type row struct {
	scenario string
	form     *form
	seen     [outcomes]int64
	took     time.Duration
}

func (r row) lines() (n int64) {
	for _, k := range r.seen {
		n += k
	}
	return n
}

// shows reports whether a line was one of these.
func (r row) shows(s set) bool {
	for o, n := range r.seen {
		if n > 0 && s.has(outcome(o)) {
			return true
		}
	}
	return false
}

// runForm writes so many lines and returns what they were, and an error if that isn't what the
// form says.
func runForm(s scenario, f *form, seed uint64, lines int64) (row, error) {
	t := &trial{seed: seed, lines: lines, onlySlog: f.onlySlog}
	t.sink.may = f.shows | f.may
	inherits := scope.Carrier() != "portable"
	if !inherits {
		t.sink.may |= of(unstamped)
	}
	t.loggers = newLoggers(&t.sink, f.opts)
	start := time.Now()
	f.run(t)
	t.behind.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := scope.Wait(ctx); err != nil {
		return row{}, err
	}
	r := row{s.name, f, t.sink.seen, time.Since(start)}
	bad := t.sink.odd
	if n := t.sink.total(); n != t.logged.Load() && len(bad) == 0 {
		bad = append(bad, fmt.Sprintf("%d lines were logged, and %d came", t.logged.Load(), n))
	}
	if inherits && f.shows != 0 && !r.shows(f.shows) {
		bad = append(bad, fmt.Sprintf("no line is %v, though its row says so", f.shows))
	}
	if len(bad) > 0 {
		return r, fmt.Errorf("%s, %s:\n\t%s", s.name, f.name, strings.Join(bad, "\n\t"))
	}
	return r, nil
}
