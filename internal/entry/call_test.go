package entry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
)

func TestMethodName(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, want := range map[string]string{
		"Say": "Say", "": "", long: long, strings.Repeat("x", 2000): strings.Repeat("x", 1024) + "…", "\xff evil": "\uFFFD evil",
	} {
		if got := entry.MethodName(name); got != want {
			t.Errorf("%.20q: %.20q", name, got)
		}
	}
}

func TestTally(t *testing.T) {
	var c entry.Tally
	if got := c.AppendSize(nil, "size"); got != nil {
		t.Errorf("of no message: %v", got)
	}
	c.Add(3, true)
	c.Add(4, true)
	if got := c.AppendSize(nil, "size"); len(got) != 1 || !got[0].Equal(slog.Int64("size", 7)) || c.Messages() != 2 {
		t.Errorf("%d messages, %v", c.Messages(), got)
	}
	c.Add(0, false)
	if got := c.AppendSize(nil, "size"); got != nil || c.Messages() != 3 {
		t.Errorf("%d messages, one without a size: %v", c.Messages(), got)
	}
}

// Whoever has ended a call, it isn't another one.
func TestWhoHasEndedACall(t *testing.T) {
	start := time.Now()
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithDeadline(t.Context(), start.Add(d))
		t.Cleanup(cancel)
		return ctx
	}
	stopped := func(ctx context.Context, cause error) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(cause)
		return ctx
	}
	for _, c := range []struct {
		rule     string
		ctx      context.Context
		canceled bool
		want     string
	}{
		{"goes on", t.Context(), false, ""},
		{"goes on, and is answered so", t.Context(), true, "handler"},
		{"within a deadline", within(time.Hour), false, ""},
		{"its deadline has passed", within(-time.Hour), false, "deadline"},
		{"canceled", stopped(t.Context(), nil), true, "client"},
		{"canceled long before its deadline", stopped(within(time.Hour), nil), true, "client"},
		{"canceled a little before its deadline", stopped(within(40*time.Second), nil), true, "client"},
		{"canceled for a cause", stopped(t.Context(), errors.New("oops")), true, "handler"},
	} {
		var w entry.CancelWatch
		w.Start(c.ctx, start)
		if got := w.Who(c.canceled); got != c.want {
			t.Errorf("%s: %q", c.rule, got)
		}
	}

	// The client's clock may be a little ahead: it has seen its deadline pass before the server.
	// What counts is when the call was canceled, not when the handler has returned.
	long := start.Add(-time.Hour)
	for _, c := range []struct {
		left, takes time.Duration
		want        string
	}{{30 * time.Millisecond, 0, "deadline"}, {500 * time.Millisecond, 470 * time.Millisecond, "client"}} {
		deadline, release := context.WithTimeout(t.Context(), c.left)
		ctx, cancel := context.WithCancel(deadline)
		var w entry.CancelWatch
		w.Start(ctx, long)
		cancel()
		time.Sleep(c.takes)
		if got := w.Who(true); got != c.want {
			t.Errorf("canceled %v before its deadline: %q", c.left, got)
		}
		release()
	}
	// Of a short call a tenth is a little. A slow machine may take until then to cancel it.
	client := false
	for range 10 {
		deadline, release := context.WithTimeout(t.Context(), 45*time.Millisecond)
		ctx, cancel := context.WithCancel(deadline)
		var w entry.CancelWatch
		w.Start(ctx, time.Now().Add(-55*time.Millisecond))
		cancel()
		client = client || w.Who(true) == "client"
		release()
	}
	if !client {
		t.Error("a call of 100 ms that is canceled 45 ms before its deadline has met that")
	}
}

func TestEachMessageHasAScope(t *testing.T) {
	scope.New("call", 1).Run(func() {
		m := entry.Messages{Key: "n", Task: scope.Current()}
		scope.Set("before", true)
		for i := int64(1); i <= 2; i++ {
			m.End()
			m.Begin()
			if n, _ := scope.Get("n"); n != i || scope.Current().Has("message") || !scope.Current().Has("before") {
				t.Errorf("message %d: %s", i, scope.Current())
			}
			scope.Set("message", i)
		}
		m.End()
		if got := scope.Current().String(); got != "call=1 before=true" {
			t.Errorf("at the end: %s", got)
		}
		scope.New("other", 1).Run(func() {
			m.End()
			m.Begin()
			if scope.Current().Has("n") {
				t.Error("another task has the number of a message")
			}
		})
	})
}

// Whatever a program does to the scope of a message, the next one begins where the first did.
func TestNothingOfAMessageStays(t *testing.T) {
	scope.New("call", "another").Run(func() {
		m := entry.Messages{Key: "n", Task: scope.Current()}
		m.End()
		m.Begin()
		other := scope.Current()
		for name, change := range map[string]func(){
			"Clear":  func() { scope.Clear(); scope.Set("own", 1) },
			"Delete": func() { scope.Delete("call", "n") },
			"all of it set again": func() {
				for k, v := range scope.Current().All() {
					scope.Set(k, v)
				}
			},
			"all of another call's set": func() {
				for k, v := range other.All() {
					if !scope.Current().Has(k) {
						scope.SetAttrs(slog.Attr{Key: k, Value: v})
					}
				}
			},
			"many contexts": func() {
				for i := range 50 {
					scope.Set("own", i)
					_ = scope.NewContext(t.Context(), scope.Current())
					runtime.GC()
				}
			},
			"many set, and one again": func() {
				for i := range 100 {
					scope.Set(fmt.Sprint("own", i), i)
				}
				scope.Set("own1", 2)
				scope.Delete("own2")
			},
			"Share": func() { scope.Share("shared", 1); scope.Current().Internal() },
			"a Run": func() { scope.Run(func() { scope.Set("own", 1); m.End(); m.Begin() }) },
		} {
			scope.New("call", 1).Run(func() {
				m := entry.Messages{Key: "n", Task: scope.Current()}
				for i := 1; i <= 3; i++ {
					m.End()
					if got := scope.Current().String(); !strings.HasPrefix(got, "call=1") || strings.Contains(got, "n=") || strings.Contains(got, "own") {
						t.Errorf("%s: in front of message %d: %s", name, i, got)
					}
					m.Begin()
					if got := scope.Current().String(); !strings.HasPrefix(got, "call=1") || !strings.Contains(got, "n=") || strings.Contains(got, "own") {
						t.Errorf("%s: message %d: %s", name, i, got)
					}
					change()
				}
			})
		}
	})
}

// What one of them has set is on no line of another.
func TestGoroutinesThatTakeTurnsReceiveTheirOwn(t *testing.T) {
	scope.New("call", 1).Run(func() {
		m := entry.Messages{Key: "n", Task: scope.Current()}
		turn, done := make(chan int), make(chan string)
		defer close(turn)
		receive := func(who string) {
			scope.Set("who", who)
			for range turn {
				m.End()
				m.Begin()
				done <- scope.Current().String()
			}
		}
		scope.Go(func() { receive("b") })
		scope.Set("who", "a")
		for i := 1; i <= 3; i++ {
			m.End()
			m.Begin()
			if got, want := scope.Current().String(), fmt.Sprintf("call=1 who=a n=%d", 2*i-1); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			turn <- i
			if got, want := <-done, fmt.Sprintf("call=1 who=b n=%d", 2*i); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}
