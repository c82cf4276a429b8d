package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
)

// The operation that all others are there for: a line is written and compared with what the
// model predicts.

// A logging is a line that a goroutine writes, and what it must show.
type logging struct {
	*goroutine
	line
	window window // within which it is written: it tells which shared fields it may show
	how    showing
	other  *state // what it may show as well as how.st, unless it is nil
}

func (g *goroutine) log() {
	l := logging{goroutine: g, line: g.newLine()}
	var given context.Context
	l.how.st = g.bound
	if g.rng.IntN(3) == 0 {
		c := g.context()
		given = c.real
		if !(l.kind == zeroKind && l.variant == nested) { // a Logger of zeroh.For looks at no ctx
			var how string
			l.how.st, l.other, how = c.pick(g.bound)
			g.saw(how)
		}
	}
	g.written++
	l.n = g.written
	g.did("log", l.kind.String(), l.n)
	task := l.how.st.taskOf()
	if l.how.ended = g.ended(task); l.how.ended {
		g.saw("log ended")
	}
	l.window = task.window(g.oldest[:0])
	g.oldest = l.window.oldest
	l.write(given)
	if got, want, right := l.compared(); !right {
		g.fail(fmt.Sprintf("line %d of the goroutine, by %s", l.n, l.kind), got, want)
	}
	g.lineCount[l.kind]++
}

// newLine draws a line.
func (g *goroutine) newLine() line {
	return line{kind: kind(g.rng.IntN(int(kinds))), variant: variant(g.rng.IntN(int(variants))), at: g.slot, repeat: g.rng.IntN(5) == 0}
}

// write writes the line. Where a talker may be on it, that must find l.
func (l logging) write(given context.Context) {
	if !l.how.st.talks() && !l.other.talks() && !l.window.talks() {
		l.loggers.write(l.line, given)
		return
	}
	if l.id == "" {
		l.id = goid()
	}
	talking := l
	l.talking.Store(l.id, &talking)
	l.loggers.write(l.line, given)
	l.talking.Delete(l.id)
}

// compared compares what was written with the prediction. got and want are for people.
func (l logging) compared() (got, want string, right bool) {
	g := l.goroutine
	text, lines := g.taken(l.at)
	l.how.without = l.repeated()
	for {
		var place int
		g.want, place = l.appendTo(g.want[:0], l.how)
		if lines == 1 && l.window.shows(text, g.want, place, l.how) {
			return "", "", true
		}
		if l.other == nil {
			return fmt.Sprintf("%d lines written, %s", lines, text), string(g.want) + l.window.String(), false
		}
		l.how.st, l.other = l.other, nil
	}
}

// talk logs a line from within a value's method, while l is written.
func (l *logging) talk() {
	g := l.goroutine
	g.did("talk", "", l.n)
	inner := logging{g, line{kind: kind(l.n % int(kinds)), at: g.take(), n: l.n}, l.window, l.how, l.other}
	defer g.giveBack(inner.at)
	inner.how.quiet = true
	g.loggers.write(inner.line, nil)
	if got, want, right := inner.compared(); !right {
		g.fail(fmt.Sprintf("line by %s of a value in line %d of the goroutine, by %s", inner.kind, l.n, l.kind), got, want)
	}
}

// goid returns the running goroutine's id, as its traceback has it.
func goid() string {
	var text [40]byte
	return strings.Fields(string(text[:runtime.Stack(text[:], false)]))[1]
}
