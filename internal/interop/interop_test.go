package interop

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

// wantFields checks the fields of a line, those that are named in want.
func (l *loggers) wantFields(t *testing.T, ctx context.Context, want map[string]string) {
	t.Helper()
	got := l.fields(t, ctx)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q on a line of %v, want %q", k, got[k], want, v)
		}
	}
	if _, ended := got["scope_ended"]; ended {
		t.Errorf("the task %s is over, says a line of it", want["task"])
	}
}

// The writers one inside the other, each with a context of scope.NewContext, in many
// goroutines at once: no line is of another task, and none lacks a field.
func TestSpansOfManyTasksAtOnce(t *testing.T) {
	inherits := scope.Carrier() != "portable"
	var workers sync.WaitGroup
	for g := range 8 {
		workers.Go(func() {
			l := newLoggers()
			for i := range 15 {
				task := fmt.Sprint(g, "-", i)
				scope.New("task", task).Run(func() {
					nest(t, l, map[string]string{"task": task}, writers, inherits)
				})
				if got := l.fields(t, nil); len(got) != 0 {
					t.Errorf("after the task %s a line has %v", task, got)
				}
			}
		})
	}
	workers.Wait()
}

// nest opens a span of each writer, one inside the other, and sets a field in each.
func nest(t *testing.T, l *loggers, want map[string]string, ws []writer, inherits bool) {
	if len(ws) == 0 {
		return
	}
	ctx := scope.NewContext(context.Background(), scope.Current())
	ws[0].around(ctx, want["task"], func(inner context.Context) {
		l.wantFields(t, nil, want)
		scope.Set(ws[0].name, want["task"])
		want[ws[0].name] = want["task"]
		l.wantFields(t, nil, want)
		l.wantFields(t, inner, want)

		done, atSpawn := make(chan struct{}), maps.Clone(want)
		child := func() {
			defer close(done)
			own := newLoggers()
			own.wantFields(t, nil, atSpawn)
			scope.Set(ws[0].name, "the child's")
			ws[0].around(scope.NewContext(inner, scope.Current()), "child", func(context.Context) {
				own.wantFields(t, nil, map[string]string{"task": atSpawn["task"], ws[0].name: "the child's"})
			})
		}
		if inherits {
			go child()
		} else {
			scope.Go(child)
		}
		nest(t, l, want, ws[1:], inherits)
		<-done
	})
	l.wantFields(t, nil, want)
}

// The rule on contexts holds for those of spans: a line that is given one of another
// task is that task's, also where the goroutine's scope is kept.
func TestLineThatIsGivenTheContextOfASpan(t *testing.T) {
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			l := newLoggers()
			scope.New("task", "B").Run(func() {
				w.around(scope.NewContext(context.Background(), scope.Current()), "span", func(ctxB context.Context) {
					scope.New("task", "A").Run(func() {
						ctx := scope.NewContext(ctxB, scope.Current())
						w.around(ctx, "span", func(ctxA context.Context) {
							scope.Set("later", "x")
							l.wantFields(t, nil, map[string]string{"task": "A", "later": "x"})
							l.wantFields(t, ctxA, map[string]string{"task": "A", "later": "x"})
							l.wantFields(t, ctxB, map[string]string{"task": "B", "later": ""})
						})
					})
				})
			})
		})
	}
}
