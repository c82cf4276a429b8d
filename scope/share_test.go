package scope_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// wantLine checks what a line of the bound scope shows, and that its own fields are as they were.
func wantLine(t *testing.T, shown string) {
	t.Helper()
	var list []string
	for _, a := range scope.Current().Internal().Attrs(nil) {
		list = append(list, fmt.Sprint(a.Key, "=", a.Value))
	}
	if got := strings.Join(list, " "); got != shown {
		t.Errorf("a line shows %q, want %q", got, shown)
	}
}

func TestSharedFieldsAreTheTasks(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.New("a", 1).Run(func() {
			wantLine(t, "a=1")
			turn, done := make(chan struct{}), make(chan struct{})
			step := func() { turn <- struct{}{}; <-turn }
			scope.Go(func() { // a child, which shares, and sees what is shared
				defer close(done)
				<-turn
				scope.Set("child", 1)
				scope.Share("s", "by the child")
				wantLine(t, "a=1 child=1 s=by the child")
				turn <- struct{}{}
				<-turn
				wantLine(t, "a=1 child=1 s=by the parent u=2")
				scope.Unshare("s", "none")
				turn <- struct{}{}
			})
			step()
			wantLine(t, "a=1 s=by the child")
			scope.Share("s", "by the parent")
			scope.ShareAttrs(slog.Int("u", 2))
			step()
			<-done
			wantLine(t, "a=1 u=2")

			// The goroutine's own value is used, and Set, Delete and Clear touch only that.
			scope.Set("u", "own")
			wantLine(t, "a=1 u=own")
			scope.Delete("u")
			wantLine(t, "a=1 u=2")
			scope.With("b", 2, "u", 3).Run(func() { wantLine(t, "a=1 b=2 u=3") })
			scope.Clear()
			wantLine(t, "u=2")
			scope.Unshare("u")
			wantLine(t, "")
			scope.Share("v", 1)
			wantLine(t, "v=1")
		})
	})
}

func TestWhoSeesSharedFields(t *testing.T) {
	key := scope.NewKey[int]("share_key")
	s := scope.New("a", 1)
	s.Run(func() {
		scope.Share("k", "shared")
		key.Share(7)
		scope.Share("a", "hidden by the own one")
		if v, ok := scope.Get("k"); v != "shared" || !ok {
			t.Errorf("Get: %v, %v", v, ok)
		}
		if v := scope.GetOr("k", ""); v != "shared" {
			t.Errorf("GetOr: %q", v)
		}
		if v, ok := key.Get(); v != 7 || !ok || key.GetOr(1) != 7 {
			t.Errorf("Key.Get: %v, %v", v, ok)
		}
		if v, _ := scope.Get("a"); v != 1 {
			t.Errorf("Get of an own one: %v", v)
		}
		if _, ok := scope.Get("none"); ok {
			t.Error("Get finds what isn't there")
		}
		now := scope.Current()
		if _, ok := now.Get("k"); ok || now.Has("k") || now.Len() != 1 || text(now) != "a=1" {
			t.Errorf("the scope's methods see %q", text(now))
		}
		if now.String() != "a=1 k=shared share_key=7" || len(now.LogValue().Group()) != 3 {
			t.Errorf("String is %q, LogValue %v", now, now.LogValue())
		}
		// Those of now, and of this task, for another one.
		detached := now.Detach()
		scope.Share("k", "later")
		detached.Run(func() {
			wantLine(t, "a=1 k=shared share_key=7")
			scope.Share("k", "of its own")
		})
		wantLine(t, "a=1 k=later share_key=7")
		scope.New("b", 2).Run(func() {
			wantLine(t, "b=2")
			ctx := scope.NewContext(context.Background(), now)
			if got := scope.Current().Pick(ctx).String(); got != "a=1 k=later share_key=7" {
				t.Errorf("the context of another task means %q", got)
			}
		})
	})
	s.Run(func() { wantLine(t, "a=1 k=later share_key=7") }) // also when it was over
}

func TestShareWhereNothingIsBound(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Outside(func() {
			scope.Unshare("k")
			if (scope.Current() != scope.Scope{}) {
				t.Error("Unshare has bound a scope")
			}
			scope.Share("k", 1)
			wantLine(t, "k=1")
			scope.Run(func() {})
			if scope.Current().Ended() {
				t.Error("the task that Share began has an end")
			}
			scope.Share("", 2)
			wantLine(t, "k=1 !BADKEY=2")
		})
	})
}

func TestSharedFieldsHavePolicies(t *testing.T) {
	scope.NewKey[string]("share_secret", scope.Redacted)
	scope.NewKey[string]("share_hidden", scope.Hidden)
	scope.New().Run(func() {
		scope.ShareAttrs(slog.String("share_secret", "s"), slog.String("share_hidden", "h"))
		wantLine(t, "share_secret=[REDACTED]")
		late := testkit.NewName("share_late")
		scope.Share(late, "x")
		wantLine(t, "share_secret=[REDACTED] "+late+"=x")
		scope.NewKey[string](late, scope.Hidden)
		wantLine(t, "share_secret=[REDACTED]")
	})
}

func TestASharedProfiledFieldIsALabelFromTheNextBindOn(t *testing.T) {
	scope.NewKey[string]("share_label", scope.Profiled)
	onEachPath(t, func(t *testing.T, p path) {
		if !p.inherits {
			t.Skip("no labels on this path")
		}
		label := func() string {
			v, _ := pprof.Label(scope.NewContext(context.Background(), scope.Current()), "share_label")
			return v
		}
		scope.New("a", 1).Run(func() {
			scope.Share("share_label", "x")
			scope.Set("b", 1)
			if label() != "x" {
				t.Errorf("the label is %q", label())
			}
			scope.Set("share_label", "own")
			if label() != "own" {
				t.Errorf("the label is %q, and not the goroutine's own", label())
			}
		})
	})
}

func TestALateShareHoldsAndIsCounted(t *testing.T) {
	scope.New().Run(func() {
		before := scope.Late()
		scope.Share("k", 1)
		last(scope.Current())
		if scope.Late() != before {
			t.Error("what is in time is counted")
		}
		scope.Share("k", 2)
		scope.ShareAttrs(slog.Int("l", 3))
		wantLine(t, "k=2 l=3")
		if late := scope.Late() - before; late != 2 {
			t.Errorf("%d are late", late)
		}
	})
}

func TestATotalGivesWayToASharedField(t *testing.T) {
	scope.New().Run(func() {
		scope.Share("k", "shared")
		scope.Add("k", 1)
		scope.Add("n", 1)
		wantTotals(t, scope.Current(), "n=1")
	})
}

// Any number of goroutines may share, and each line has one value of each key.
func TestManyGoroutinesShare(t *testing.T) {
	scope.New("own", 1).Run(func() {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(scope.Wrap(func() {
				mine := fmt.Sprint("mine", i)
				for j := range 200 {
					scope.Share("all", i)
					scope.Share(mine, j)
					scope.Set("j", j)
					if v, _ := scope.Get(mine); v != j {
						t.Errorf("%s is %v, not %d", mine, v, j)
					}
					seen := map[string]bool{}
					for _, a := range scope.Current().Internal().Attrs(nil) {
						if seen[a.Key] {
							t.Errorf("%s is on the line twice", a.Key)
						}
						seen[a.Key] = true
						if a.Key == mine && a.Value.Any() != int64(j) {
							t.Errorf("a line has %s of %v, not %d", mine, a.Value, j)
						}
					}
					if !seen["own"] || !seen["all"] || !seen[mine] || !seen["j"] {
						t.Errorf("a line lacks some of %v", seen)
					}
				}
			}))
		}
		wg.Wait()
		if n := len(scope.Current().Internal().Attrs(nil)); n != 1+1+8 {
			t.Errorf("%d fields", n)
		}
	})
}

// A value that is shared no more is freed, also where lines have shown it.
func TestAReplacedSharedFieldIsFreed(t *testing.T) {
	var values testkit.Probe[[4]int]
	scope.New("a", 1).Run(func() {
		for range 1000 {
			scope.Share("k", values.Watch(new([4]int)))
			_ = scope.Current().Internal().Attrs(nil)
			scope.Run(func() { _ = scope.Current().Internal().Attrs(nil) })
		}
		if n := values.LeftWithin(2, testkit.Patience); n > 2 { // the last one, and one on a stack
			t.Errorf("%d of %d values are kept", n, values.Len())
		}
	})
}

// What is bound inside Encode has no copies of shared fields: they may change meanwhile.
func TestSharedFieldsInsideEncode(t *testing.T) {
	scope.New("a", 1).Run(func() {
		scope.Share("user", "old")
		scope.Share("gone", 1)
		scope.Current().Internal().Encode(func() {
			scope.Share("user", "new")
			scope.Unshare("gone")
			if v, _ := scope.Get("user"); v != "new" || scope.Current().Has("user") {
				t.Errorf("user is %v; an own field: %v", v, scope.Current().Has("user"))
			}
			wantLine(t, "a=1 user=new")
		})
	})
}
