// Package testkit has what the tests of all packages share: whether the race detector is
// on, the check that no test leaves a goroutine behind, output that goroutines may share,
// log lines parsed and compared, probes that see whether memory is freed, and values and
// writers that count, fail or panic.
//
// It imports no package of this module, so every package's tests may use it, those inside
// package scope and its carrier too. What needs a scope is in testkit/scopekit.
package testkit

import (
	"fmt"
	"go/version"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
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

// NewName returns prefix with a number behind it that it has never had: a name for a key whose
// policy a test declares, which holds for the process. The test may run there again (go test -count).
func NewName(prefix string) string { return fmt.Sprint(prefix, names.Add(1)) }

var names atomic.Int64

// SkipUnderRace skips a test that counts allocations if the race detector is on, which
// allocates too.
func SkipUnderRace(t testing.TB) {
	t.Helper()
	if Race {
		t.Skip("the race detector allocates")
	}
}

var goLine = regexp.MustCompile(`(?m)^go (\S+)`)

// NewerGo returns the Go version that the module round folder needs, such as "go1.26.0",
// if that is newer than the Go of this test, and "" if it isn't.
func NewerGo(t testing.TB, folder string) string {
	t.Helper()
	dir, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if m := goLine.FindSubmatch(mod); err == nil && m != nil {
			if needs := "go" + string(m[1]); isBefore(needs) {
				return needs
			}
			return ""
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("no go.mod is found from %s upwards", folder)
		}
		dir = filepath.Dir(dir)
	}
}

// isBefore reports whether the Go of this test is older than release, such as "go1.26". What isn't a
// release is taken for a newer one.
func isBefore(release string) bool {
	runs, _, _ := strings.Cut(runtime.Version(), " ") // experiments
	return strings.HasPrefix(runs, "go") && version.Compare(runs, release) < 0
}

// WriteHeapDump writes a heap dump to nowhere, if that is safe, and reports whether it is. Since Go
// 1.26 a dump ends the program if a goroutine is just entering or leaving a system call: dumpgs in
// runtime/heapdump.go.
func WriteHeapDump() (written bool, err error) {
	if !isBefore("go1.26") || runtime.GOOS == "js" {
		return false, nil
	}
	nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return false, err
	}
	debug.WriteHeapDump(nowhere.Fd())
	return true, nowhere.Close()
}
