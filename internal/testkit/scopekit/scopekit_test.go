package scopekit_test

import (
	"maps"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestFieldsOfAScopeOfThree(t *testing.T) {
	want := map[string]string{"key0": "value", "key1": "value", "key2": "value"}
	if got := scopekit.Fields(scopekit.Of(3)); !maps.Equal(got, want) {
		t.Errorf("the fields are %v", got)
	}
	if n := scopekit.Of(0).Len(); n != 0 {
		t.Errorf("a scope of no fields has %d", n)
	}
}

func TestInheritsIsWhatAPlainGoDoes(t *testing.T) {
	inherited := make(chan bool)
	scope.New("k", 1).Run(func() {
		go func() {
			_, ok := scope.Get("k")
			inherited <- ok
		}()
	})
	if got := <-inherited; got != scopekit.Inherits() {
		t.Errorf("a plain go passes the scope on: %v, and Inherits says %v", got, scopekit.Inherits())
	}
}

// Where allocations are counted, a long test is run whole, unless -short is given.
func TestAmountIsLessWhereATestCostsMore(t *testing.T) {
	lean := !testkit.Race && scope.Carrier() == "direct"
	want := 5
	if lean && !testing.Short() {
		want = 100
	}
	if got := scopekit.Amount(100, 5); got != want {
		t.Errorf("the amount is %d, want %d", got, want)
	}
	t.Run("skip", func(t *testing.T) {
		t.Cleanup(func() {
			if t.Skipped() == lean {
				t.Errorf("skipped: %v, lean: %v", t.Skipped(), lean)
			}
		})
		scopekit.SkipUnlessLean(t)
	})
}
