package scope_test

import (
	"log/slog"
	"testing"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/internal/carrier"
)

var (
	allocKey    = scope.NewKey[string]("alloc_text")
	allocNumber = scope.NewKey[int]("alloc_number")
)

// What each operation may allocate, on the direct path.
func TestAllocations(t *testing.T) {
	testkit.SkipUnderRace(t)
	undo, ok := carrier.Force(carrier.Direct)
	if !ok {
		t.Skip("this build doesn't have the direct path")
	}
	defer undo()

	check := func(what string, budget float64, fn func()) {
		t.Helper()
		if got := testing.AllocsPerRun(200, fn); got != budget {
			t.Errorf("%s: %v allocations, want %v", what, got, budget)
		}
	}
	nothing := func() {}
	s := scope.New("a", "x", "b", 1, slog.String("alloc_text", "x"), slog.Int("alloc_number", 1))
	var zero scope.Scope

	check("Run of a scope", 0, func() { s.Run(nothing) })
	check("Run of the zero Scope", 0, func() { zero.Run(nothing) })
	check("Set of one key where nothing is bound", 2, func() { zero.Run(func() { scope.Set("k", "v") }) })
	check("SetAttrs of three", 2, func() {
		zero.Run(func() {
			scope.SetAttrs(slog.Int64("a", 1<<40), slog.String("b", "x"), slog.Bool("c", true))
		})
	})
	check("New of one", 2, func() { scope.New("k", "v").Run(nothing) }) // and the task

	s.Run(func() {
		check("Current", 0, func() {
			if scope.Current() != s {
				t.Error("another scope is bound")
			}
		})
		check("Run of the bound scope", 0, func() { scope.Run(nothing) })
		check("Get", 0, func() {
			if v, ok := scope.Get("b"); v != 1 || !ok {
				t.Errorf("Get gives %v", v)
			}
		})
		check("Get of a missing key", 0, func() { scope.Get("missing") })
		check("GetOr", 0, func() { scope.GetOr("b", 0) })
		check("Key.Get of an Attr's string", 0, func() {
			if v, ok := allocKey.Get(); v != "x" || !ok {
				t.Errorf("Get gives %q", v)
			}
		})
		check("Key.Get of an Attr's small int", 0, func() {
			if v, ok := allocNumber.Get(); v != 1 || !ok {
				t.Errorf("Get gives %v", v)
			}
		})
		check("All", 0, func() {
			n := 0
			for range s.All() {
				n++
			}
			if n != 4 {
				t.Errorf("All gives %d fields", n)
			}
		})
		check("Set of one key more", 1, func() { scope.Run(func() { scope.Set("k", "v") }) })
		check("Set of a key that is there", 5, func() { scope.Run(func() { scope.Set("b", "v") }) })
		scope.Add("count", 1)
		scope.Add("ratio", 0.5)
		check("Add to a known total", 0, func() { scope.Add("count", 1); scope.Add("ratio", 0.5) })
		check("Timing", 3, func() { scope.Timing("time")() })
		check("Ended and SameTask", 0, func() { s.Ended(); s.SameTask(scope.Current()) })
	})

	var cache memo.Cache[string]
	store(&cache, s, "x")
	check("what is remembered", 0, func() { load(&cache, s) })
}

// A go statement under a scope costs nothing more than one without.
func TestGoStatementUnderAScopeAllocatesNothingMore(t *testing.T) {
	testkit.SkipUnderRace(t)
	undo, ok := carrier.Force(carrier.Direct)
	if !ok {
		t.Skip("this build doesn't have the direct path")
	}
	defer undo()
	done := make(chan bool)
	child := func() {
		_, ok := scope.Get("a")
		done <- ok
	}
	measure := func(inherits bool) float64 {
		return testing.AllocsPerRun(200, func() {
			go child()
			if <-done != inherits {
				t.Errorf("the child inherits a scope: %v", !inherits)
			}
		})
	}
	without := measure(false)
	scope.New("a", 1).Run(func() {
		if with := measure(true); with != without {
			t.Errorf("%v allocations under a scope, %v without", with, without)
		}
	})
}
