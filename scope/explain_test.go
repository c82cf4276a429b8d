package scope_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/internal/carrier"
)

func ExampleExplain() {
	scope.New("request_id", "r-17").Run(func() {
		for line := range strings.Lines(scope.Explain()) {
			if strings.HasPrefix(line, "bound:") || strings.HasPrefix(line, "task:") {
				fmt.Print(line)
			}
		}
	})
	// Output:
	// bound: request_id=r-17
	// task: live; calls of Run, Go and Wrap that are running: 1
}

// An explanation has the text of each line of Explain, under its name.
type explanation map[string]string

func explain(t *testing.T) explanation {
	t.Helper()
	all := scope.Explain()
	e := explanation{}
	for line := range strings.SplitSeq(all, "\n") {
		name, text, ok := strings.Cut(line, ": ")
		if _, twice := e[name]; !ok || twice || text == "" {
			t.Errorf("a line %q in\n%s", line, all)
		}
		e[name] = text
	}
	if len(e) != 5 {
		t.Errorf("%d lines:\n%s", len(e), all)
	}
	return e
}

// position is how Explain ends a place in this file: with the numbers of closures, and the line.
var position = regexp.MustCompile(`(\.func[\d.]+)? \(explain_test\.go:\d+\)`)

// want compares the lines of this name, without their positions.
func (e explanation) want(t *testing.T, name, want string) {
	t.Helper()
	if got := position.ReplaceAllString(e[name], ""); got != want {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

const gone = "; what the Run bound has gone with labels that were set from a context without a scope, unless the Run was of the zero Scope"

func TestExplainSaysWhatIsBoundAndSinceWhen(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		const here = "scope_test.TestExplainSaysWhatIsBoundAndSinceWhen"
		e := explain(t)
		e.want(t, "bound", "nothing")
		e.want(t, "task", "none")
		if !strings.HasPrefix(e["goroutine"], "in no Run; started by testing.(*T).Run (testing.go:") {
			t.Errorf("goroutine: %s", e["goroutine"])
		}

		s := scope.New("request_id", "r-1", "n", 2)
		s.Run(func() {
			e := explain(t)
			e.want(t, "bound", "request_id=r-1 n=2")
			e.want(t, "task", "live; calls of Run, Go and Wrap that are running: 1")
			e.want(t, "goroutine", "in a Run called by "+here)
			scope.Run(func() {
				scope.Set("n", 3)
				e := explain(t)
				e.want(t, "bound", "request_id=r-1 n=3")
				e.want(t, "task", "live; calls of Run, Go and Wrap that are running: 2")
				e.want(t, "goroutine", "in a Run called by "+here)
			})
			scope.Outside(func() {
				e := explain(t)
				e.want(t, "bound", "nothing")
				e.want(t, "task", "none")
				e.want(t, "goroutine", "in an Outside called by "+here)
			})
			scope.Wrap(func() {
				explain(t).want(t, "goroutine", "in a function of Wrap called by "+here)
			})()
			scope.With("x", 1).Wrap(func() {
				explain(t).want(t, "bound", "request_id=r-1 n=2 x=1")
			})()
			done := make(chan struct{})
			scope.Go(func() {
				defer close(done)
				e := explain(t)
				e.want(t, "bound", "request_id=r-1 n=2")
				e.want(t, "goroutine", "in a goroutine of Go")
				scope.Run(func() { explain(t).want(t, "goroutine", "in a Run called by "+here) })
			})
			<-done
			scope.Clear()
			explain(t).want(t, "bound", "no field")
		})
		explain(t).want(t, "bound", "nothing")
		scope.Scope{}.Run(func() {
			e := explain(t)
			e.want(t, "task", "none")
			e.want(t, "goroutine", "in a Run called by "+here)
			if p.labels {
				e.want(t, "bound", "nothing"+gone)
			} else {
				e.want(t, "bound", "nothing")
			}
		})
	})
}

func TestExplainNamesTheLine(t *testing.T) {
	var e explanation
	_, file, line, _ := runtime.Caller(0)
	scope.New("a", 1).Run(func() { e = explain(t) })
	if want := fmt.Sprintf(" (%s:%d)", filepath.Base(file), line+1); !strings.HasSuffix(e["goroutine"], want) {
		t.Errorf("%s doesn't end in %s", e["goroutine"], want)
	}
	done := make(chan struct{})
	_, _, line, _ = runtime.Caller(0)
	go func() { defer close(done); e = explain(t) }()
	<-done
	if want := fmt.Sprintf("in no Run; started by scope_test.TestExplainNamesTheLine (%s:%d)", filepath.Base(file), line+1); e["goroutine"] != want {
		t.Errorf("got %s, want %s", e["goroutine"], want)
	}
}

type generic[T any] struct{}

//go:noinline
func (generic[T]) run(fn func()) { scope.New("a", 1).Run(fn) }

// deep calls fn below so many frames.
func deep(frames int, fn func()) {
	if frames > 0 {
		deep(frames-1, fn)
		return
	}
	fn()
}

func TestExplainFindsItsPlaceOnAnyStack(t *testing.T) {
	generic[struct{ d time.Duration }]{}.run(func() {
		explain(t).want(t, "goroutine", "in a Run called by scope_test.generic[...].run")
	})
	for _, frames := range []int{60, 61, 62, 63, 64, 65, 1000} {
		scope.New("a", 1).Run(func() {
			deep(frames, func() {
				explain(t).want(t, "goroutine", "in a Run called by scope_test.TestExplainFindsItsPlaceOnAnyStack")
			})
		})
		done := make(chan struct{})
		go deep(frames, func() {
			defer close(done)
			explain(t).want(t, "goroutine", "in no Run; started by scope_test.TestExplainFindsItsPlaceOnAnyStack")
		})
		<-done
	}
	// What the runtime starts.
	said := make(chan explanation, 1)
	time.AfterFunc(0, scope.New("a", 1).Wrap(func() { said <- explain(t) }))
	testkit.Receive(t, said, "timer").want(t, "goroutine", "in a function of Wrap")
	time.AfterFunc(0, func() { said <- explain(t) })
	if e := testkit.Receive(t, said, "timer"); !strings.HasPrefix(e["goroutine"], "in no Run; started by time.goFunc (sleep.go:") {
		t.Errorf("goroutine: %s", e["goroutine"])
	}
}

func TestExplainSaysWhetherTheTaskHasEnded(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		over := make(chan struct{})
		var late chan struct{}
		scope.New("request_id", "r-1").Run(func() {
			late = leave(func() {
				<-over
				e := explain(t)
				if p.inherits {
					e.want(t, "bound", "request_id=r-1")
					e.want(t, "task", "ended: no Run, Go or Wrap of it is running; lines say scope_ended")
				} else {
					e.want(t, "bound", "nothing")
				}
			})
		})
		close(over)
		<-late
		<-leave(func() {
			scope.Set("a", 1)
			scope.Run(func() {
				e := explain(t)
				e.want(t, "bound", "a=1")
				e.want(t, "task", "begun by a bare Set; it never ends")
			})
		})
		<-leave(func() {
			scope.New("b", 2).Internal().Encode(func() {
				explain(t).want(t, "task", "not begun: no Run, Go or Wrap of it has been called")
			})
		})
	})
}

// leave starts fn with a plain go statement on every path. done is closed when fn has returned.
func leave(fn func()) (done chan struct{}) {
	done = make(chan struct{})
	go func() { defer close(done); fn() }()
	return done
}

func TestExplainObeysPoliciesAndSurvivesValues(t *testing.T) {
	hidden := scope.NewKey[string](unique("hidden"), scope.Hidden)
	redacted := scope.NewKey[any](unique("redacted"), scope.Redacted)
	onEachPath(t, func(t *testing.T, p path) {
		scope.New(hidden.Name(), "s3cret", "a", 1, redacted.Name(), "s3cret", "b", panics{}, "c", failingText{}).Run(func() {
			text := scope.Explain()
			if strings.Contains(text, "s3cret") || strings.Contains(text, hidden.Name()) {
				t.Errorf("a hidden field shows in\n%s", text)
			}
			want := "a=1 " + redacted.Name() + `=[REDACTED] b="!PANIC: LogValue" c="!PANIC: no text`
			if got := explain(t)["bound"]; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, ", and hidden fields: 1") {
				t.Errorf("bound: got %s, want %s", got, want)
			}
		})
		scope.New(hidden.Name(), "s3cret").Run(func() {
			explain(t).want(t, "bound", "no field, and hidden fields: 1")
		})
		// A method that explains itself, logs, sets and runs.
		inner := ""
		value := callback(func() string {
			scope.Set("set_inside", 1)
			slog.Debug("logged inside")
			inner = explain(t)["bound"]
			return "v"
		})
		scope.New("a", 1, "value", value).Run(func() {
			explain(t).want(t, "bound", "a=1 value=v")
			if want := "a=1 set_inside=1, for a value's own method: without fields that have methods"; inner != want {
				t.Errorf("inside: got %s, want %s", inner, want)
			}
		})
		scope.New("text", "two\nlines: and more").Run(func() {
			explain(t).want(t, "bound", `text="two\nlines: and more"`)
		})
	})
}

func TestExplainNamesForeignLabels(t *testing.T) {
	secret := scope.NewKey[string](unique("secret"), scope.Redacted)
	hidden := scope.NewKey[string](unique("never"), scope.Hidden)
	profiled := scope.NewKey[string](unique("profiled"), scope.Profiled)
	onEachPath(t, func(t *testing.T, p path) {
		want := func(labels string) string {
			if p.labels {
				return labels
			}
			return "they can't be read with this carrier"
		}
		labels := pprof.Labels("handler", "/orders", "two words", "a\nb", secret.Name(), "s3cret", hidden.Name(), "s3cret")
		shown := `handler=/orders ` + secret.Name() + `=[REDACTED] "two words"="a\nb", and hidden labels: 1`
		scope.New("a", 1).Run(func() {
			profiled.Set("p")
			explain(t).want(t, "foreign labels", want("none"))
			ctx := scope.NewContext(context.Background(), scope.Current())
			pprof.Do(ctx, labels, func(context.Context) {
				e := explain(t)
				e.want(t, "foreign labels", want(shown))
				e.want(t, "bound", "a=1 "+profiled.Name()+"=p")
				scope.Set("b", 2)
				explain(t).want(t, "foreign labels", want(shown))
			})
			pprof.Do(ctx, pprof.Labels(hidden.Name(), "s3cret"), func(context.Context) {
				explain(t).want(t, "foreign labels", want("no label, and hidden labels: 1"))
			})
			if !p.labels {
				return
			}
			pprof.Do(context.Background(), labels, func(context.Context) {
				e := explain(t)
				e.want(t, "foreign labels", shown)
				e.want(t, "bound", "nothing"+gone)
				e.want(t, "goroutine", "in a Run called by scope_test.TestExplainNamesForeignLabels")
			})
		})
	})
}

func TestExplainSaysWhyTheCarrierIsNoBetterOne(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		got := explain(t)["carrier"]
		switch {
		case p.Path == carrier.Direct:
			if got != "direct" {
				t.Errorf("got %s", got)
			}
		case !strings.HasPrefix(got, p.String()+", because ") || strings.HasPrefix(got, p.String()+", because ;"):
			t.Errorf("%v gives no reason: %s", p.Path, got)
		}
		if says := strings.HasSuffix(got, "; a plain go statement inherits nothing"); says == p.inherits {
			t.Errorf("a plain go statement inherits: %v, and it says %s", p.inherits, got)
		}
	})
}
