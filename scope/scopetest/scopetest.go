// Package scopetest helps to test code that sets fields and logs.
//
//	func TestCheckout(t *testing.T) {
//		lines := scopetest.Record(t) // slog.Default, zap.L and zerolog's log.Logger, until t ends
//		scope.New("request_id", "r-1").Run(checkout)
//		if line := lines.Lines()[0]; line.String("request_id") != "r-1" || line.Int("attempt") != 2 {
//			t.Errorf("got %+v", line)
//		}
//	}
//
// A test goroutine starts with no scope: what one test binds, another doesn't see.
// Subtests inherit, as every goroutine does. [NoLeak] finds a Set that outlives its code.
package scopetest

import (
	"log"
	"log/slog"
	"testing"

	"github.com/rs/zerolog"
	zlog "github.com/rs/zerolog/log"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// Record makes the default loggers write to the Recorder that it returns, stamped with the
// default options and at every level, until the test ends: slog.Default (and so package
// log), zap.L and zap.S, and zerolog's log.Logger, and zerolog.DefaultContextLogger if the
// program has set it. zerolog.SetGlobalLevel stays in force. At the end Record puts back what
// was there when it was called, whatever the test has set meanwhile, including the writer and the
// flags of package log. Cleanups that were registered later run before that, and
// what they log is recorded.
//
// A logger that the code has taken from a default before Record was called isn't recorded.
//
// If Record is called again, in a subtest say, that Recorder gets the lines until the subtest ends,
// and then the outer one gets them again.
//
// The default loggers belong to the whole process. So Record fails a test that is parallel,
// or has a parallel parent, and testing panics if t.Parallel is called after it. Goroutines
// that the test has started should have ended with it. In a parallel test give the code a
// logger of its own: see [Recorder].
func Record(t testing.TB) *Recorder {
	t.Helper()
	refuseParallel(t)
	oldSlog, writer, flags := slog.Default(), log.Writer(), log.Flags()
	oldZerolog, oldContext := zlog.Logger, zerolog.DefaultContextLogger

	r := new(Recorder)
	slog.SetDefault(slog.New(slogh.New(r, nil)))
	restoreZap := zap.ReplaceGlobals(zap.New(r.Core(), zaph.WrapCore(nil)))
	zlog.Logger = zerolog.New(r.Writer()).Hook(zeroh.New(nil))
	if oldContext != nil {
		zerolog.DefaultContextLogger = &zlog.Logger
	}

	t.Cleanup(func() {
		slog.SetDefault(oldSlog)
		log.SetOutput(writer) // after SetDefault, which changes both
		log.SetFlags(flags)
		restoreZap()
		zlog.Logger, zerolog.DefaultContextLogger = oldZerolog, oldContext
	})
	return r
}

// refuseParallel fails a parallel test, and makes testing refuse a later t.Parallel: two tests that
// record at the same time would see some of each other's lines. Setenv is the one method with this
// check.
func refuseParallel(t testing.TB) {
	t.Helper()
	defer func() {
		if recover() != nil {
			t.Helper()
			t.Fatal("scopetest: Record in a parallel test would record the lines of others: give the code a logger of its own")
		}
	}()
	t.Setenv("SCOPETEST_RECORD", t.Name())
}

// NoLeak makes the test fail if, at its end, its goroutine has a different scope bound than
// now, because the code under test calls scope.Set where it should call Run. Call it on the
// goroutine of the test.
func NoLeak(t testing.TB) {
	t.Helper()
	before := scope.Current()
	t.Cleanup(func() {
		if after := scope.Current(); after != before {
			t.Errorf("the scope that was bound before, {%s}, has become {%s}", before, after)
		}
	})
}
