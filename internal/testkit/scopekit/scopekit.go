// Package scopekit has what tests share that need a scope. It is testkit's part for tests
// outside of package scope.
package scopekit

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// Of returns a scope of n text fields, key0 and so on.
func Of(n int) scope.Scope {
	var args []any
	for i := range n {
		args = append(args, slog.String(fmt.Sprint("key", i), "value"))
	}
	return scope.New(args...)
}

// Fields returns the fields of s as text, those that are never logged included.
func Fields(s scope.Scope) map[string]string {
	fields := map[string]string{}
	for key, value := range s.All() {
		fields[key] = value.String()
	}
	return fields
}

// Inherits reports whether a plain go statement passes the scope on in this process.
func Inherits() bool { return scope.Carrier() != "portable" }

// SkipUnlessLean skips a test that counts allocations where others than the code under test
// allocate: with the race detector, and with any carrier but the direct one.
func SkipUnlessLean(t testing.TB) {
	t.Helper()
	testkit.SkipUnderRace(t)
	if c := scope.Carrier(); c != "direct" {
		t.Skipf("the carrier %q allocates", c)
	}
}

// Amount returns how much of a long test is run: all where it costs least, and less with
// the race detector, with -short and with any carrier but the direct one.
func Amount[N int | int64](all, less N) N {
	if testkit.Race || testing.Short() || scope.Carrier() != "direct" {
		return less
	}
	return all
}
