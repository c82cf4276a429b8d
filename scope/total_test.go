package scope_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

// wantTotals compares what text makes of the totals with want.
func wantTotals(t *testing.T, s scope.Scope, want string) {
	t.Helper()
	if got := text(scope.New(anys(s.Totals())...)); got != want {
		t.Errorf("totals %q, want %q", got, want)
	}
}

func anys(attrs []slog.Attr) (args []any) {
	for _, a := range attrs {
		args = append(args, a)
	}
	return args
}

// last returns the totals as the last line of the task has them, which closes them.
func last(s scope.Scope, attrs ...slog.Attr) []slog.Attr { return s.Internal().LastTotals(attrs) }

func TestTotals(t *testing.T) {
	scope.NewKey[int]("total_hidden", scope.Hidden)
	scope.NewKey[int]("total_secret", scope.Redacted)
	big := int64(math.MaxInt64)
	for _, c := range []struct {
		rule string
		add  func()
		want string
	}{
		{"nothing", func() {}, ""},
		{"a count", func() { scope.Add("n", 1); scope.Add("n", 2) }, "n=3"},
		{"less", func() { scope.Add("n", 1); scope.Add("n", -3) }, "n=-2"},
		{"zero is there", func() { scope.Add("n", 0) }, "n=0"},
		{"an int and an int64", func() { scope.Add("n", 1); scope.Add("n", int64(2)) }, "n=3"},
		{"a float", func() { scope.Add("f", 0.5); scope.Add("f", 0.25) }, "f=0.75"},
		{"an int and a float", func() { scope.Add("f", 1); scope.Add("f", 0.5) }, "f=1.5"},
		{"a float and an int", func() { scope.Add("f", 0.5); scope.Add("f", 1) }, "f=1.5"},
		{"a duration", func() { scope.Add("d", time.Second); scope.Add("d", time.Minute) }, "d=1m1s"},
		{"in the order of their first use", func() {
			scope.Add("b", 1)
			scope.Append("c", 1)
			scope.Add("a", 1)
			scope.Add("b", 1)
		}, "b=2 c=[1] a=1"},
		{"no key", func() { scope.Add("", 1) }, "!BADKEY=1"},
		{"no room above", func() { scope.Add("n", big); scope.Add("n", 1) }, fmt.Sprint("n=", big, " n_overflow=true")},
		{"no room below", func() { scope.Add("n", -big); scope.Add("n", -big) }, fmt.Sprint("n=", -big-1, " n_overflow=true")},
		{"no way back", func() { scope.Add("n", big); scope.Add("n", 1); scope.Add("n", -big) }, fmt.Sprint("n=", big, " n_overflow=true")},
		{"no room for a duration", func() { scope.Add("d", time.Duration(big)); scope.Add("d", time.Duration(1)) }, "d=2562047h47m16.854775807s d_overflow=true"},
		{"no room for a float", func() { scope.Add("f", -math.MaxFloat64); scope.Add("f", -math.MaxFloat64) }, "f=-1.7976931348623157e+308 f_overflow=true"},
		{"infinity is none of our making", func() { scope.Add("f", math.Inf(1)); scope.Add("f", 1.0) }, "f=+Inf"},
		{"a list", func() { scope.Append("l", "x"); scope.Append("l", 1); scope.Append("l", nil) }, "l=[x 1 <nil>]"},
		{"a list of others' values", func() {
			scope.Append("l", errors.New("no luck"))
			scope.Append("l", slog.StringValue("v"))
			scope.Append("l", valuer{slog.StringValue("resolved")})
			scope.Append("l", valuer{}) // panics
			scope.Append("l", (*nilError)(nil))
		}, "l=[no luck v resolved !PANIC: no value !PANIC: runtime error: invalid memory address or nil pointer dereference]"},
		{"a list of what JSON hasn't", func() {
			for _, v := range []any{math.NaN(), float32(0.1), math.Inf(-1), []int{1}, struct{ A int }{1}, (*int)(nil)} {
				scope.Append("l", v)
			}
		}, "l=[NaN 0.1 -Inf [1] {1} <nil>]"},
		{"a group in a list", func() {
			scope.Append("l", slog.GroupValue(slog.Int("b", 1), slog.Any("", valuer{slog.GroupValue(slog.Any("a", errors.New("no luck")))})))
		}, "l=[map[a:no luck b:1]]"},
		{"a list that asks for itself", func() {
			s := scope.Current()
			scope.Append("l", asking(func() slog.Value { return s.Totals()[0].Value }))
			scope.Append("l", slog.AnyValue(errors.New("no luck")))
		}, "l=[[!ERROR: scope_test.asking isn't asked for its text within another value's method" +
			" !ERROR: *errors.errorString isn't asked for its text within another value's method] no luck]"},
		{"a long list", func() {
			for i := range 70 {
				scope.Append("l", i%2)
			}
		}, "l=[" + strings.TrimSpace(strings.Repeat("0 1 ", 32)) + "] l_dropped=6"},
		{"a number to a list", func() { scope.Append("k", 1); scope.Add("k", 1) }, "k=[1] k_badtotal=true"},
		{"a duration to a list", func() { scope.Append("k", 1); scope.Add("k", time.Second) }, "k=[1] k_badtotal=true"},
		{"a value to a number", func() { scope.Add("k", 1); scope.Append("k", 1) }, "k=1 k_badtotal=true"},
		{"a duration to a number", func() { scope.Add("k", 1); scope.Add("k", time.Second); scope.Add("k", 1) }, "k=2 k_badtotal=true"},
		{"a value to a duration", func() { scope.Add("k", time.Second); scope.Append("k", 1) }, "k=1s k_badtotal=true"},
		{"a float to a duration", func() { scope.Add("k", time.Second); scope.Add("k", 1.5) }, "k=1s k_badtotal=true"},
		{"both", func() { scope.Add("k", big); scope.Add("k", 1); scope.Append("k", 1) }, fmt.Sprint("k=", big, " k_overflow=true k_badtotal=true")},
		{"a secret", func() { scope.Add("total_secret", 17); scope.Append("total_secret", 1) }, "total_secret=[REDACTED] total_secret_badtotal=true"},
		{"what is hidden", func() { scope.Add("total_hidden", 17); scope.Append("total_hidden", 1) }, ""},
		{"a key of the scope", func() { scope.Set("k", "own"); scope.Add("k", 1); scope.Append("k", 1); scope.Add("n", 1) }, "n=1"},
		{"a key that another's mark has", func() {
			scope.Add("n_badtotal", 7)
			scope.Add("n", 1)
			scope.Append("n", 1)
		}, "n_badtotal=7 n=1"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			scope.New().Run(func() {
				c.add()
				wantTotals(t, scope.Current(), c.want)
				wantTotals(t, scope.Current(), c.want) // reading changes nothing
				scope.Run(func() { wantTotals(t, scope.Current(), c.want) })
				if got := text(scope.New(anys(last(scope.Current()))...)); got != c.want {
					t.Errorf("the last line has %q, want %q", got, c.want)
				}
				late := scope.Late()
				c.add()
				wantTotals(t, scope.Current(), c.want)
				if c.want != "" && scope.Late() == late {
					t.Error("nothing is late")
				}
			})
		})
	}
}

type valuer struct{ v slog.Value }

func (v valuer) LogValue() slog.Value {
	if v.v.Equal(slog.Value{}) {
		panic("no value")
	}
	return v.v
}

type asking func() slog.Value

func (a asking) LogValue() slog.Value { return a() }

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

// A value of a list is asked for the last line, and not again.
func TestAListIsSettledByTheLastLine(t *testing.T) {
	var asked testkit.Counter
	s := scope.New()
	s.Run(func() { scope.Append("l", &asked) })
	wantTotals(t, s, "l=[1]")
	last(s)
	wantTotals(t, s, "l=[2]")
	wantTotals(t, s, "l=[2]")
}

func TestTotalsAreBounded(t *testing.T) {
	scope.New().Run(func() {
		for i := range 200 {
			scope.Add(fmt.Sprint("k", i), 1)
			scope.Append(fmt.Sprint("k", i), 1)
		}
		got := scope.Current().Totals()
		if len(got) != 2*128+1 || got[len(got)-1].Key != "scope_totals_dropped" || got[len(got)-1].Value.Int64() != 2*72 {
			t.Errorf("%d totals, the last %v", len(got), got[len(got)-1])
		}
	})
}

func TestTotalsAreTheTasks(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.Outside(func() {
			scope.Add("n", 1)
			scope.Append("l", 1)
			scope.Timing("t")()
			wantTotals(t, scope.Current(), "")
		})
		var other, detached scope.Scope
		s := scope.New("a", 1)
		s.Run(func() {
			scope.Add("n", 1)
			scope.With("b", 2).Run(func() { scope.Add("n", 1) })
			scope.Go(func() { scope.Add("n", 1) })
			other, detached = scope.New(), scope.Current().Detach()
			other.Run(func() { scope.Add("n", 10) })
			detached.Run(func() { scope.Add("n", 20) })
			waitForGo(t)
			scope.Clear()
			scope.Add("n", 1)
		})
		wantTotals(t, s, "n=4")
		wantTotals(t, s.Without("a"), "n=4")
		wantTotals(t, other, "n=10")
		wantTotals(t, detached, "n=20")
		wantTotals(t, scope.Scope{}, "")
	})
}

func TestTiming(t *testing.T) {
	s := scope.New()
	var stop func()
	s.Run(func() { stop = scope.Timing("db") })
	scope.New().Run(func() { // it is that of the task where it began
		stop()
		stop()
		wantTotals(t, scope.Current(), "")
	})
	got := s.Totals()
	if len(got) != 2 || got[0].Key != "db" || got[0].Value.Kind() != slog.KindDuration || got[0].Value.Duration() < 0 || !got[1].Equal(slog.Int("db_count", 1)) {
		t.Errorf("totals %v", got)
	}
	s.Run(func() { stop = scope.Timing("late") })
	last(s)
	late := scope.Late()
	if stop(); scope.Late() != late+1 {
		t.Errorf("%d are late", scope.Late()-late)
	}
}

func TestNoAddIsLost(t *testing.T) {
	goroutines, adds := 1000, 1000
	if testkit.Race || testing.Short() {
		goroutines = 50
	}
	for _, key := range []func(i int) string{
		func(int) string { return "n" },
		func(i int) string { return fmt.Sprint("k", i%100) },
	} {
		scope.New().Run(func() {
			var wg sync.WaitGroup
			for i := range goroutines {
				wg.Go(scope.Wrap(func() {
					for range adds {
						scope.Add(key(i), 1)
					}
				}))
			}
			wg.Wait()
			if sum := sumOf(scope.Current().Totals()); sum != goroutines*adds {
				t.Errorf("%d adds make %d", goroutines*adds, sum)
			}
		})
	}
}

func sumOf(totals []slog.Attr) (sum int) {
	for _, a := range totals {
		sum += int(a.Value.Int64())
	}
	return sum
}

// What is added while the last line is written is on it, or late.
func TestNoAddIsLostAtTheEnd(t *testing.T) {
	for round := range scopekit.Amount(500, 50) {
		scope.New().Run(func() {
			late := scope.Late()
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(scope.Wrap(func() {
					for j := range 50 {
						scope.Add(fmt.Sprint("k", (i+j)%8), 1)
					}
				}))
			}
			for range round % 50 {
				scope.Add("mine", 1)
			}
			shown := sumOf(last(scope.Current()))
			wg.Wait()
			if sum := shown + int(scope.Late()-late); sum != 200+round%50 {
				t.Errorf("%d on the line and %d late", shown, scope.Late()-late)
			}
		})
	}
}

func TestATotalGivesWay(t *testing.T) {
	scope.New("own", 1).Run(func() {
		for _, key := range []string{"own", "line", "n"} {
			scope.Add(key, 5)
			scope.Append(key, 5)
		}
		got := last(scope.Current(), slog.String("line", "x"), slog.String("n_badtotal", "x"))
		if s := text(scope.New(anys(got)...)); s != "line=x n_badtotal=x n=5" {
			t.Errorf("the line has %s", s)
		}
	})
}

// A total may be read before its first value is there.
func TestATotalIsReadWhileItBegins(t *testing.T) {
	for range scopekit.Amount(3000, 300) {
		scope.New().Run(func() {
			var wg sync.WaitGroup
			for _, fn := range []func(){
				func() { scope.Append("k", 1) },
				func() { scope.Add("k", 1) },
				func() { scope.Current().Totals() },
				func() { scope.Current().Totals() },
			} {
				wg.Go(scope.Wrap(fn))
			}
			wg.Wait()
		})
	}
}

func TestAListIsEscapedAsItsEncoderDoes(t *testing.T) {
	scope.New().Run(func() {
		scope.Append("l", struct{ A string }{"<b>"})
		list := scope.Current().Totals()[0].Value.Any()
		for escapes, want := range map[bool]string{false: `[{"A":"<b>"}]`, true: `[{"A":"\u003cb\u003e"}]`} {
			var out strings.Builder
			enc := json.NewEncoder(&out)
			enc.SetEscapeHTML(escapes)
			if err := enc.Encode(list); err != nil || out.String() != want+"\n" {
				t.Errorf("%s, %v, want %s", out.String(), err, want)
			}
		}
	})
}
