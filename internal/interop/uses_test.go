package interop

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
)

// A use is one way to have spans around log lines. run logs at the places that look
// marks.
type use struct {
	name    string
	split   bool // needs a writer whose spans start and finish by two calls
	renamed bool // needs one that can rename an open span
	run     func(e *eye, w writer)
}

// The places at which a use is looked at.
const (
	inside = iota // a span is open
	after         // it is finished
	places
)

// An eye runs a use and notes what it sees. A blind one runs the same use without any
// scope: the labels that are there then are those that must be there.
type eye struct {
	t     *testing.T
	blind bool
	log   *loggers
	base  context.Context   // has a label of the program's own
	ids   map[string]string // what stands for a span's id, in the order of appearance
	looks []look
}

type look struct {
	place     int
	got, want map[string]string // fields
	labels    map[string]string
}

func watch(t *testing.T, u use, w writer, blind bool) []look {
	base := pprof.WithLabels(context.Background(), pprof.Labels("app", "shop"))
	e := &eye{t: t, blind: blind, log: newLoggers(), base: base, ids: map[string]string{}}
	inGoroutine(func() {
		pprof.SetGoroutineLabels(base)
		u.run(e, w)
	})
	return e.looks
}

func inGoroutine(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

// task runs fn as a task of this name.
func (e *eye) task(name string, fn func()) {
	if e.blind {
		fn()
		return
	}
	scope.New("task", name).Run(fn)
}

// nested runs fn as a part of the task.
func (e *eye) nested(fn func()) {
	if e.blind {
		fn()
		return
	}
	scope.Run(fn)
}

// set sets a field that wasn't there when the first span started.
func (e *eye) set() {
	if !e.blind {
		scope.Set("later", "x")
	}
}

func (e *eye) newContext(ctx context.Context) context.Context {
	if e.blind {
		return ctx
	}
	return scope.NewContext(ctx, scope.Current())
}

// look notes what is on a line and which labels the goroutine has. The fields are to be
// a task of this name and, if later, what set has set.
func (e *eye) look(place int, task string, later bool) {
	l := look{place: place, want: map[string]string{"task": task}, labels: map[string]string{}}
	if later {
		l.want["later"] = "x"
	}
	if !e.blind {
		l.got = e.log.fields(e.t, nil)
	}
	got := labels(e.t)
	for _, k := range slices.Sorted(maps.Keys(got)) {
		v := got[k]
		if strings.HasSuffix(k, "id") {
			if e.ids[v] == "" {
				e.ids[v] = "#" + string(rune('0'+len(e.ids)))
			}
			v = e.ids[v]
		}
		l.labels[k] = v
	}
	e.looks = append(e.looks, l)
}

// around has a span from ctx with a field set in it, and looks inside and after.
func (e *eye) around(w writer, ctx context.Context) {
	w.around(ctx, "span", func(context.Context) {
		e.look(inside, "A", false)
		e.set()
		e.look(inside, "A", true)
	})
	e.look(after, "A", true)
}

// child has a span within a span; between gives the context for the inner one.
func (e *eye) child(w writer, between func(context.Context) context.Context) {
	e.task("A", func() {
		w.around(e.newContext(e.base), "outer", func(outer context.Context) {
			e.set()
			w.around(between(outer), "inner", func(context.Context) {
				e.look(inside, "A", true)
			})
			e.look(after, "A", true)
		})
		e.look(after, "A", true)
	})
}

// crossed has two spans of which the first to start is the first to finish.
func (e *eye) crossed(w writer, between func(context.Context) context.Context) {
	e.task("A", func() {
		ctx, finishOuter := w.start(e.newContext(e.base), "outer")
		e.set()
		_, finishInner := w.start(between(ctx), "inner")
		finishOuter()
		e.look(inside, "A", true)
		finishInner()
		e.look(after, "A", true)
	})
}

// elsewhere finishes a span in a goroutine that has a task of its own.
func (e *eye) elsewhere(w writer, ctx func() context.Context) {
	var finish func()
	e.task("B", func() { _, finish = w.start(ctx(), "span") })
	inGoroutine(func() {
		pprof.SetGoroutineLabels(e.base)
		e.task("A", func() {
			finish()
			e.look(after, "A", false)
		})
	})
}

// otherSpan returns the context of a span of task B.
func (e *eye) otherSpan(w writer) (ctx context.Context) {
	inGoroutine(func() {
		e.task("B", func() {
			w.around(e.newContext(e.base), "other", func(inside context.Context) { ctx = inside })
		})
	})
	return ctx
}

func asItIs(ctx context.Context) context.Context { return ctx }

type contextKey struct{}

var uses = []use{
	{name: "a context of `scope.NewContext`", run: func(e *eye, w writer) {
		e.task("A", func() { e.around(w, e.newContext(e.base)) })
	}},
	{name: "a context that `context.WithValue`, `WithCancel`, `WithTimeout` made of one", run: func(e *eye, w writer) {
		e.task("A", func() {
			ctx := context.WithValue(e.newContext(e.base), contextKey{}, 1)
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			ctx, cancel = context.WithTimeout(ctx, time.Hour)
			defer cancel()
			e.around(w, ctx)
		})
	}},
	{name: "`r.Context()` under `httpscope.Handler`", run: func(e *eye, w writer) {
		var handler http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if !e.blind {
				scope.Set("task", "A")
			}
			e.around(w, r.Context())
		})
		if !e.blind {
			handler = httpscope.Handler(handler, nil)
		}
		server := httptest.NewServer(handler)
		defer server.Close()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get(server.URL)
		if err != nil {
			e.t.Error(err)
			return
		}
		response.Body.Close()
	}},
	{name: "`context.Background()`, or any other without a scope", run: func(e *eye, w writer) {
		e.task("A", func() { e.around(w, e.base) })
	}},
	{name: "for a child span, the outer span's context as it is", run: func(e *eye, w writer) {
		e.child(w, asItIs)
	}},
	{name: "for a child span, the outer span's context in `scope.NewContext` again", run: func(e *eye, w writer) {
		e.child(w, e.newContext)
	}},
	{name: "the same, as it is, the outer span finished first", split: true, run: func(e *eye, w writer) {
		e.crossed(w, asItIs)
	}},
	{name: "the same, in `scope.NewContext` again, the outer span finished first", split: true, run: func(e *eye, w writer) {
		e.crossed(w, e.newContext)
	}},
	{name: "a context of another task, from `scope.NewContext`", run: func(e *eye, w writer) {
		var other context.Context
		inGoroutine(func() { e.task("B", func() { other = e.newContext(e.base) }) })
		e.task("A", func() { e.around(w, other) })
	}},
	{name: "another task's span context, as it is", run: func(e *eye, w writer) {
		other := e.otherSpan(w)
		e.task("A", func() { e.around(w, other) })
	}},
	{name: "another task's span context, in `scope.NewContext` again", run: func(e *eye, w writer) {
		other := e.otherSpan(w)
		e.task("A", func() { e.around(w, e.newContext(other)) })
	}},
	{name: "one of `scope.NewContext`; the span is finished by a goroutine of another task", split: true, run: func(e *eye, w writer) {
		e.elsewhere(w, func() context.Context { return e.newContext(e.base) })
	}},
	{name: "one without a scope; the span is finished by a goroutine of another task", split: true, run: func(e *eye, w writer) {
		e.elsewhere(w, func() context.Context { return e.base })
	}},
	{name: "one of `scope.NewContext`; the open span is given another resource name", renamed: true, run: func(e *eye, w writer) {
		e.task("A", func() {
			w.around(e.newContext(e.base), "span", func(ctx context.Context) {
				e.set()
				w.rename(ctx, "renamed")
				e.look(inside, "A", true)
			})
			e.look(after, "A", true)
		})
	}},
	{name: "one of `scope.NewContext`; a `go` statement in the span, and its goroutine outlives it", run: func(e *eye, w writer) {
		e.task("A", func() {
			finished, step, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
			w.around(e.newContext(e.base), "span", func(context.Context) {
				e.set()
				go func() {
					defer close(done)
					e.look(inside, "A", true)
					close(step)
					<-finished
					e.look(after, "A", true)
				}()
				<-step
			})
			close(finished)
			<-done
		})
	}},
	{name: "one of `scope.NewContext`; a `Run` that the span starts in ends first", split: true, run: func(e *eye, w writer) {
		e.task("A", func() {
			var finish func()
			e.nested(func() { _, finish = w.start(e.newContext(e.base), "span") })
			e.look(inside, "A", false)
			finish()
			e.look(after, "A", false)
		})
	}},
	{name: "one of `scope.NewContext`; the span is finished in a `Run` that began later", split: true, run: func(e *eye, w writer) {
		e.task("A", func() {
			_, finish := w.start(e.newContext(e.base), "span")
			e.nested(func() {
				e.look(inside, "A", false)
				finish()
			})
			e.look(after, "A", false)
		})
	}},
}
