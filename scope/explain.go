package scope

import (
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"strconv"
	"strings"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// Explain says, in a few lines for people, why a line that is logged here has the fields that it has:
// what is bound to the running goroutine, what state its task is in, which call bound it, which
// carrier is in use and why no better one is, and which profiler labels other code has set.
//
//	bound: request_id=r-17 token=[REDACTED], and hidden fields: 1
//	task: live; calls of Run, Go and Wrap that are running: 1
//	goroutine: in a Run called by shop.handle (server.go:42)
//	carrier: direct
//	foreign labels: none
//
// A goroutine that is in no Run has what it inherited from the one that started it, and what was
// Set since.
//
// Print it next to the line in question, or call it in a debugger: call scope.Explain() in Delve.
// The linker leaves it out of a program that doesn't mention it. Policies hold, and a value's own
// methods are called as by [Scope.String]. The text isn't meant for programs, and may change.
// docs/unstamped.md has a table that leads from what a line shows to its cause.
func Explain() string {
	n := bound()
	goroutine, inRun := whereabouts()
	lines := []string{
		"bound: " + n.explainBound(),
		"task: " + n.explainTask(),
		"goroutine: " + goroutine,
		"carrier: " + explainCarrier(),
		"foreign labels: " + foreignLabels(),
	}
	if n == nil && inRun && carrier.Active() != carrier.Portable {
		lines[0] += "; what the Run bound has gone with labels that were set from a context without a scope, unless the Run was of the zero Scope"
	}
	return strings.Join(lines, "\n")
}

func (n *node) explainBound() string {
	if n == nil {
		return "nothing"
	}
	text := n.explainFields("field")
	if n.encodingLevel() > 0 {
		text += ", for a value's own method: without fields that have methods"
	}
	return text
}

// explainFields returns what may be shown, and how many fields are hidden. what is the word for
// them.
func (n *node) explainFields(what string) string {
	text := Scope{n}.String()
	if text == "" {
		text = "no " + what
	}
	hidden := 0
	n.line().each(nil, func(f field) {
		if Policy(f.Key)&Hidden != 0 {
			hidden++
		}
	})
	if hidden > 0 {
		text += fmt.Sprintf(", and hidden %ss: %d", what, hidden)
	}
	return text
}

func (n *node) explainTask() string {
	if n == nil {
		return "none"
	}
	switch state := n.task.state.Load(); {
	case state == bare:
		return "begun by a bare Set; it never ends"
	case state == entered:
		return "ended: no Run, Go or Wrap of it is running; lines say scope_ended"
	case state == 0:
		return "not begun: no Run, Go or Wrap of it has been called"
	default:
		return fmt.Sprintf("live; calls of Run, Go and Wrap that are running: %d", n.task.running())
	}
}

func explainCarrier() string {
	text := Carrier()
	if why := carrier.Why(); why != "" {
		text += ", because " + why
	}
	if carrier.Active() == carrier.Portable {
		text += "; a plain go statement inherits nothing"
	}
	return text
}

func foreignLabels() string {
	labels, ok := carrier.Foreign()
	if !ok {
		return "they can't be read with this carrier"
	}
	if len(labels) == 0 {
		return "none"
	}
	var args []any
	for _, l := range labels {
		args = append(args, slog.String(l.Key, l.Value))
	}
	return New(args...).n.explainFields("label")
}

// whereabouts says which call on the running goroutine's stack has bound its scope, or else what
// started the goroutine; and whether it is in a Run, Go or Wrap.
func whereabouts() (text string, inRun bool) {
	pcs := make([]uintptr, 64)
	n := runtime.Callers(1, pcs)
	for ; n == len(pcs); n = runtime.Callers(1, pcs) {
		pcs = make([]uintptr, 2*len(pcs))
	}
	frames := runtime.CallersFrames(pcs[:n])
	frame, more := frames.Next()
	folder := path.Dir(frame.File) // of this package; names of inlined closures are their caller's
	ours := func() bool { return path.Dir(frame.File) == folder && !strings.HasSuffix(frame.File, "_test.go") }
	for more && !(ours() && strings.HasSuffix(frame.Function, ".(*node).run")) {
		frame, more = frames.Next()
	}
	if !more {
		return "in no Run; " + starter(), false
	}
	name := ""
	for more && ours() {
		// "….scope.Scope.Run", or "….scope.Scope.Go.func1" for a closure in Go
		name, _, _ = strings.Cut(frame.Function, ".func")
		frame, more = frames.Next()
	}
	called := ""
	if frame.Function != "" && !strings.HasPrefix(frame.Function, "runtime.") {
		called = " called by " + place(frame.Function, frame.File, frame.Line)
	}
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "Outside":
		return "in an Outside" + called, false
	case "Go":
		return "in a goroutine of Go" + called, true
	case "Wrap":
		return "in a function of Wrap" + called, true
	}
	return "in a Run" + called, true
}

// starter says what started the running goroutine: the runtime prints it behind the frames.
func starter() string {
	trace := make([]byte, 8<<10)
	n := runtime.Stack(trace, false)
	for ; n == len(trace); n = runtime.Stack(trace, false) {
		trace = make([]byte, 2*len(trace)) // this ends: the runtime leaves out the middle of a deep stack
	}
	_, created, _ := strings.Cut(string(trace[:n]), "\ncreated by ")
	function, position, ok := strings.Cut(created, "\n\t")
	if !ok {
		return "started by no go statement: it is main's, or a thread of C"
	}
	function, _, _ = strings.Cut(function, " in goroutine ")
	position, _, _ = strings.Cut(position, "\n")
	position, _, _ = strings.Cut(position, " +0x")
	colon := max(strings.LastIndexByte(position, ':'), 0)
	line, _ := strconv.Atoi(strings.TrimPrefix(position[colon:], ":"))
	return "started by " + place(function, position[:colon], line)
}

// place names a function, without the path of its package, and a line.
func place(function, file string, line int) string {
	name, _, _ := strings.Cut(function, "[") // type arguments have paths, too
	return fmt.Sprintf("%s (%s:%d)", function[strings.LastIndexByte(name, '/')+1:], path.Base(file), line)
}
