package scope_test

import (
	"strings"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

// A policy is found whatever the length of its name, and by no other name of that length,
// be it the same length up to a multiple of 64.
func TestAPolicyIsFoundByNamesOfAllLengths(t *testing.T) {
	prefix := unique("p")
	for n := len(prefix); n < 300; n++ {
		name := prefix + strings.Repeat("x", n-len(prefix))
		other := prefix + strings.Repeat("y", n-len(prefix)+64)
		if scope.Policy(name) != 0 {
			t.Fatalf("a name of %d bytes has a policy before it is declared", n)
		}
		scope.NewKey[string](name, scope.Hidden)
		scope.NewKey[string](name, scope.Traced)
		scope.NewKey[string](name)
		if got := scope.Policy(name); got != scope.Hidden|scope.Traced {
			t.Errorf("the policy of a name of %d bytes is %b", n, got)
		}
		if got := scope.Policy(other); got != 0 {
			t.Errorf("the policy of another name of %d bytes is %b", n+64, got)
		}
	}
	scope.NewKey[string]("", scope.Traced)
	for _, name := range []string{"", "!BADKEY"} {
		if scope.Policy(name)&scope.Traced == 0 {
			t.Errorf("the policy declared for the empty name isn't found under %q", name)
		}
	}
}
