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

// A use is one way to have spans around log lines. run calls observe at each place.
type use struct {
	name    string
	split   bool // needs a writer whose spans start and finish by two calls
	renamed bool // needs one that can rename an open span
	run     func(o *observer, w writer)
}

// The places at which a use is observed.
const (
	inside = iota // a span is open
	after         // it is finished
	places
)

// An observer runs a use and records what it sees. An unscoped one runs the same use
// without any scope: the labels that are there then are those that must be there.
type observer struct {
	t        *testing.T
	unscoped bool
	log      *loggers
	base     context.Context   // has a label of the program's own
	ids      map[string]string // what stands for a span's id, in the order of appearance
	seen     []observation
}

type observation struct {
	place     int
	got, want map[string]string // fields
	labels    map[string]string
}

func observations(t *testing.T, u use, w writer, unscoped bool) []observation {
	base := pprof.WithLabels(context.Background(), pprof.Labels("app", "shop"))
	o := &observer{t: t, unscoped: unscoped, log: newLoggers(), base: base, ids: map[string]string{}}
	inGoroutine(func() {
		pprof.SetGoroutineLabels(base)
		u.run(o, w)
	})
	return o.seen
}

// inGoroutine runs fn in a goroutine of its own and waits for it. It isn't testkit's: this
// module doesn't require goleak, which testkit imports.
func inGoroutine(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

// task runs fn as a task of this name.
func (o *observer) task(name string, fn func()) {
	if o.unscoped {
		fn()
		return
	}
	scope.New("task", name).Run(fn)
}

// nested runs fn as a part of the task.
func (o *observer) nested(fn func()) {
	if o.unscoped {
		fn()
		return
	}
	scope.Run(fn)
}

// set sets a field that wasn't there when the first span started.
func (o *observer) set() {
	if !o.unscoped {
		scope.Set("later", "x")
	}
}

func (o *observer) newContext(ctx context.Context) context.Context {
	if o.unscoped {
		return ctx
	}
	return scope.NewContext(ctx, scope.Current())
}

// observe records what is on a line and which labels the goroutine has. The fields are to be
// a task of this name and, if later, what set has set.
func (o *observer) observe(place int, task string, later bool) {
	l := observation{place: place, want: map[string]string{"task": task}, labels: map[string]string{}}
	if later {
		l.want["later"] = "x"
	}
	if !o.unscoped {
		l.got = o.log.fields(o.t, nil)
	}
	got := labels(o.t)
	for _, k := range slices.Sorted(maps.Keys(got)) {
		v := got[k]
		if strings.HasSuffix(k, "id") {
			if o.ids[v] == "" {
				o.ids[v] = "#" + string(rune('0'+len(o.ids)))
			}
			v = o.ids[v]
		}
		l.labels[k] = v
	}
	o.seen = append(o.seen, l)
}

// around has a span from ctx with a field set in it, and observes inside and after.
func (o *observer) around(w writer, ctx context.Context) {
	w.around(ctx, "span", func(context.Context) {
		o.observe(inside, "A", false)
		o.set()
		o.observe(inside, "A", true)
	})
	o.observe(after, "A", true)
}

// child has a span within a span; between gives the context for the inner one.
func (o *observer) child(w writer, between func(context.Context) context.Context) {
	o.task("A", func() {
		w.around(o.newContext(o.base), "outer", func(outer context.Context) {
			o.set()
			w.around(between(outer), "inner", func(context.Context) {
				o.observe(inside, "A", true)
			})
			o.observe(after, "A", true)
		})
		o.observe(after, "A", true)
	})
}

// crossed has two spans of which the first to start is the first to finish.
func (o *observer) crossed(w writer, between func(context.Context) context.Context) {
	o.task("A", func() {
		ctx, finishOuter := w.start(o.newContext(o.base), "outer")
		o.set()
		_, finishInner := w.start(between(ctx), "inner")
		finishOuter()
		o.observe(inside, "A", true)
		finishInner()
		o.observe(after, "A", true)
	})
}

// elsewhere finishes a span in a goroutine that has a task of its own.
func (o *observer) elsewhere(w writer, ctx func() context.Context) {
	var finish func()
	o.task("B", func() { _, finish = w.start(ctx(), "span") })
	inGoroutine(func() {
		pprof.SetGoroutineLabels(o.base)
		o.task("A", func() {
			finish()
			o.observe(after, "A", false)
		})
	})
}

// otherSpan returns the context of a span of task B.
func (o *observer) otherSpan(w writer) (ctx context.Context) {
	inGoroutine(func() {
		o.task("B", func() {
			w.around(o.newContext(o.base), "other", func(inside context.Context) { ctx = inside })
		})
	})
	return ctx
}

func asItIs(ctx context.Context) context.Context { return ctx }

type contextKey struct{}

var uses = []use{
	{name: "a context of `scope.NewContext`", run: func(o *observer, w writer) {
		o.task("A", func() { o.around(w, o.newContext(o.base)) })
	}},
	{name: "a context that `context.WithValue`, `WithCancel`, `WithTimeout` made of one", run: func(o *observer, w writer) {
		o.task("A", func() {
			ctx := context.WithValue(o.newContext(o.base), contextKey{}, 1)
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			ctx, cancel = context.WithTimeout(ctx, time.Hour)
			defer cancel()
			o.around(w, ctx)
		})
	}},
	{name: "`r.Context()` under `httpscope.Handler`", run: func(o *observer, w writer) {
		var handler http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if !o.unscoped {
				scope.Set("task", "A")
			}
			o.around(w, r.Context())
		})
		if !o.unscoped {
			handler = httpscope.Handler(handler, nil)
		}
		server := httptest.NewServer(handler)
		defer server.Close()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get(server.URL)
		if err != nil {
			o.t.Error(err)
			return
		}
		response.Body.Close()
	}},
	{name: "`context.Background()`, or any other without a scope", run: func(o *observer, w writer) {
		o.task("A", func() { o.around(w, o.base) })
	}},
	{name: "for a child span, the outer span's context as it is", run: func(o *observer, w writer) {
		o.child(w, asItIs)
	}},
	{name: "for a child span, the outer span's context in `scope.NewContext` again", run: func(o *observer, w writer) {
		o.child(w, o.newContext)
	}},
	{name: "the same, as it is, the outer span finished first", split: true, run: func(o *observer, w writer) {
		o.crossed(w, asItIs)
	}},
	{name: "the same, in `scope.NewContext` again, the outer span finished first", split: true, run: func(o *observer, w writer) {
		o.crossed(w, o.newContext)
	}},
	{name: "a context of another task, from `scope.NewContext`", run: func(o *observer, w writer) {
		var other context.Context
		inGoroutine(func() { o.task("B", func() { other = o.newContext(o.base) }) })
		o.task("A", func() { o.around(w, other) })
	}},
	{name: "another task's span context, as it is", run: func(o *observer, w writer) {
		other := o.otherSpan(w)
		o.task("A", func() { o.around(w, other) })
	}},
	{name: "another task's span context, in `scope.NewContext` again", run: func(o *observer, w writer) {
		other := o.otherSpan(w)
		o.task("A", func() { o.around(w, o.newContext(other)) })
	}},
	{name: "one of `scope.NewContext`; the span is finished by a goroutine of another task", split: true, run: func(o *observer, w writer) {
		o.elsewhere(w, func() context.Context { return o.newContext(o.base) })
	}},
	{name: "one without a scope; the span is finished by a goroutine of another task", split: true, run: func(o *observer, w writer) {
		o.elsewhere(w, func() context.Context { return o.base })
	}},
	{name: "one of `scope.NewContext`; the open span is given another resource name", renamed: true, run: func(o *observer, w writer) {
		o.task("A", func() {
			w.around(o.newContext(o.base), "span", func(ctx context.Context) {
				o.set()
				w.rename(ctx, "renamed")
				o.observe(inside, "A", true)
			})
			o.observe(after, "A", true)
		})
	}},
	{name: "one of `scope.NewContext`; a `go` statement in the span, and its goroutine outlives it", run: func(o *observer, w writer) {
		o.task("A", func() {
			finished, step, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
			w.around(o.newContext(o.base), "span", func(context.Context) {
				o.set()
				go func() {
					defer close(done)
					o.observe(inside, "A", true)
					close(step)
					<-finished
					o.observe(after, "A", true)
				}()
				<-step
			})
			close(finished)
			<-done
		})
	}},
	{name: "one of `scope.NewContext`; a `Run` that the span starts in ends first", split: true, run: func(o *observer, w writer) {
		o.task("A", func() {
			var finish func()
			o.nested(func() { _, finish = w.start(o.newContext(o.base), "span") })
			o.observe(inside, "A", false)
			finish()
			o.observe(after, "A", false)
		})
	}},
	{name: "one of `scope.NewContext`; the span is finished in a `Run` that began later", split: true, run: func(o *observer, w writer) {
		o.task("A", func() {
			_, finish := w.start(o.newContext(o.base), "span")
			o.nested(func() {
				o.observe(inside, "A", false)
				finish()
			})
			o.observe(after, "A", false)
		})
	}},
}
