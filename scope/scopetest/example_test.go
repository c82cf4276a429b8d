package scopetest_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/rs/zerolog/log"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/scopetest"
	"github.com/taskscope/taskscope/slogh"
)

func checkout(order string) {
	scope.Set("attempt", 2)
	slog.Info("charging", "order", order)
	zap.L().Info("charged", zap.Int("cents", 1299))
	log.Info().Bool("gift", true).Msg("sent")
}

func TestCheckout(t *testing.T) {
	lines := scopetest.Record(t) // of slog, log, zap and zerolog; the test's end puts their defaults back
	scope.New("request_id", "r-17").Run(func() { checkout("o-1") })
	if len(lines.Lines()) == 0 {
		t.Error("no lines")
	}
	for _, line := range lines.Lines() {
		if line.String("request_id") != "r-17" || line.Int("attempt") != 2 {
			t.Errorf("not stamped: %+v", line)
		}
	}
}

// In a test function, t is its own. Code that logs through the default loggers stays as it is.
func ExampleRecord() {
	t := newT()
	defer t.end()

	lines := scopetest.Record(t)
	scope.New("request_id", "r-17").Run(func() { checkout("o-1") })

	for _, line := range lines.Lines() {
		fmt.Println(line.Message, line.String("request_id"), line.Int("attempt") == 2, line.Has("order"))
	}
	// Output:
	// charging r-17 true true
	// charged r-17 true false
	// sent r-17 true false
}

// A Recorder wrapped with slogh shows what a line is stamped with: for a logger that is
// passed on, for options, for parallel tests.
func ExampleRecorder() {
	var r scopetest.Recorder
	logger := slog.New(slogh.New(&r, &logadapters.Options{Group: "scope"}))

	scope.New("request_id", "r1").Run(func() { logger.Info("hello", "n", 1) })

	line := r.Lines()[0]
	fmt.Println(line.Message, line.String("scope.request_id"), line.Int("n"))
	// Output: hello r1 1
}

// A Set that nothing takes back is an error.
func ExampleNoLeak() {
	t := newT()
	scopetest.NoLeak(t)
	scope.Set("request_id", "r-17")
	t.end()
	scope.Clear()
	fmt.Println(t.failed[0])
	// Output: the scope that was bound before, {}, has become {request_id=r-17}
}

// A fakeT is the testing.TB of an example, and of tests about failing tests.
type fakeT struct {
	testing.TB
	cleanup []func()
	failed  []string
}

func newT() *fakeT { return &fakeT{TB: new(testing.T)} }

func (t *fakeT) Helper()               {}
func (t *fakeT) Name() string          { return "TestCheckout" }
func (t *fakeT) Setenv(string, string) {}
func (t *fakeT) Cleanup(fn func())     { t.cleanup = append(t.cleanup, fn) }
func (t *fakeT) Errorf(format string, args ...any) {
	t.failed = append(t.failed, fmt.Sprintf(format, args...))
}

func (t *fakeT) end() {
	for len(t.cleanup) > 0 {
		last := len(t.cleanup) - 1
		fn := t.cleanup[last]
		t.cleanup = t.cleanup[:last]
		fn()
	}
}
