// Package testkit has what the tests of all packages share: whether the race detector is
// on, the check that no test leaves a goroutine behind, output that goroutines may share,
// log lines parsed and compared, probes that see whether memory is freed, and values and
// writers that count, fail or panic.
//
// It imports no package of this module, so every package's tests may use it, those inside
// package scope and its carrier too. What needs a scope is in testkit/scopekit.
package testkit

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and fails if they leave a goroutine behind. It is what
// TestMain does:
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
func Main(m *testing.M) {
	// On js the runtime has a goroutine of its own.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}

// SkipUnderRace skips a test that counts allocations if the race detector is on, which
// allocates too.
func SkipUnderRace(t testing.TB) {
	t.Helper()
	if Race {
		t.Skip("the race detector allocates")
	}
}
