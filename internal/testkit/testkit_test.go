package testkit_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
)

// The test that leaks runs in a process of its own, for TestMainFindsAGoroutineLeftBehind.
const leakOnPurpose = "TASKSCOPE_TEST_LEAK"

func TestMain(m *testing.M) { testkit.Main(m) }

func TestAGoroutineIsLeftBehind(t *testing.T) {
	if os.Getenv(leakOnPurpose) == "" {
		t.Skip("TestMainFindsAGoroutineLeftBehind runs it")
	}
	go func() { select {} }()
}

func TestMainFindsAGoroutineLeftBehind(t *testing.T) {
	if runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("a program can't start another on " + runtime.GOOS)
	}
	for _, leak := range []bool{false, true} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAGoroutineIsLeftBehind$", "-test.count=1")
		cmd.Env = os.Environ()
		if leak {
			cmd.Env = append(cmd.Env, leakOnPurpose+"=1")
		}
		output, err := cmd.CombinedOutput()
		if found := err != nil && strings.Contains(string(output), "TestAGoroutineIsLeftBehind.func1"); found != leak {
			t.Errorf("left behind: %v, found: %v, %v\n%s", leak, found, err, output)
		}
	}
}

// A fake is a testing.TB that keeps what a test would report.
type fake struct {
	testing.TB
	errors  []string
	skipped bool
}

func (f *fake) Helper()                      {}
func (f *fake) Errorf(text string, a ...any) { f.errors = append(f.errors, fmt.Sprintf(text, a...)) }
func (f *fake) Skip(...any)                  { f.skipped = true }

func TestSkipUnderRaceFollowsTheConstant(t *testing.T) {
	f := &fake{TB: t}
	testkit.SkipUnderRace(f)
	if f.skipped != testkit.Race {
		t.Errorf("skipped: %v, race detector: %v", f.skipped, testkit.Race)
	}
}

func TestRaceIsWhetherTheBuildHasTheRaceDetector(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if !ok || len(info.Settings) == 0 {
		t.Skip("this test binary doesn't say how it was built")
	}
	if on := slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}); on != testkit.Race {
		t.Errorf("Race is %v, and -race was given: %v", testkit.Race, on)
	}
}

func TestABufferTakesWritesOfManyGoroutines(t *testing.T) {
	var b testkit.Buffer
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				fmt.Fprintf(&b, "%d-%d\n", g, i)
			}
		})
	}
	wg.Wait()
	lines := b.Lines()
	slices.Sort(lines)
	if len(lines) != 800 || len(slices.Compact(lines)) != 800 {
		t.Errorf("%d lines, of 800", len(lines))
	}
}

func TestABufferIsEmptyAfterTake(t *testing.T) {
	var b testkit.Buffer
	fmt.Fprint(&b, "a\nb")
	if got := b.Lines(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("lines %q", got)
	}
	if got := b.String(); got != "a\nb" {
		t.Errorf("String gives %q", got)
	}
	if got := b.Take(); got != "a\nb" || b.String() != "" || len(b.Lines()) != 0 {
		t.Errorf("Take gives %q and leaves %q", got, b.String())
	}
	fmt.Fprint(&b, "c")
	if got := b.Take(); got != "c" {
		t.Errorf("then %q", got)
	}
}

func TestLinesAreParsedAndWaitedFor(t *testing.T) {
	l := testkit.NewLines()
	go fmt.Fprint(l, `{"a":"x","n":1}`+"\n"+"no JSON\n")
	first, second := l.Next(t), l.Next(t)
	first.Want(t, testkit.Line{"a": "x", "n": 1.0, "missing": nil})
	second.Want(t, testkit.Line{"bad": "no JSON\n", "a": nil})
	l.None(t)
	if n := len(l.All()); n != 2 {
		t.Errorf("%d lines in all", n)
	}
}

func TestALineNobodyHasAskedForIsReported(t *testing.T) {
	l := testkit.NewLines()
	fmt.Fprint(l, "{\"a\":1}\n{\"a\":2}\n")
	f := &fake{TB: t}
	l.None(f)
	if len(f.errors) != 2 {
		t.Errorf("reported %q", f.errors)
	}
}

func TestWantReportsAWrongAMissingAndAnExtraField(t *testing.T) {
	f := &fake{TB: t}
	testkit.Line{"a": "x", "b": "y", "c": "z"}.Want(f, testkit.Line{"a": "other", "d": "missing", "b": nil, "c": "z"})
	if len(f.errors) != 3 {
		t.Errorf("reported %q", f.errors)
	}
}

func TestReceiveGivesWhatWasWrittenToAChan(t *testing.T) {
	c := make(testkit.Chan)
	go fmt.Fprint(c, "text")
	if got := testkit.Receive(t, c, "text"); got != "text" {
		t.Errorf("received %q", got)
	}
}

func TestInTimeWaitsForTheFunction(t *testing.T) {
	called := false
	testkit.InTime(t, func() { called = true })
	testkit.InTime(t, runtime.Goexit)
	if !called {
		t.Error("the function was not called")
	}
}

type object struct{ _ [1 << 10]byte }

func TestAProbeSeesWhatIsFreedAndWhatIsKept(t *testing.T) {
	var p testkit.Probe[object]
	kept := func() []*object { // its stack is gone when it has returned
		for range 10 {
			p.Watch(new(object))
		}
		return []*object{p.Watch(new(object)), p.Watch(new(object))}
	}()
	if n := p.Len(); n != 12 {
		t.Errorf("%d objects are watched", n)
	}
	if n := p.Left(2); n != 2 {
		t.Errorf("%d objects are left, and 2 are in use", n)
	}
	if live := p.Live(); !slices.Equal(live, []int{10, 11}) {
		t.Errorf("objects %v are live", live)
	}
	if n := p.LeftWithin(0, 0); n != 2 {
		t.Errorf("%d objects are left while 2 are in use", n)
	}
	runtime.KeepAlive(kept)
}

func TestWantFreedWaitsForTheGarbageCollector(t *testing.T) {
	var p testkit.Probe[object]
	func() { p.Watch(new(object)) }()
	p.WantFreed(t, "after the call")
	if n := len(p.Live()); n != 0 {
		t.Errorf("%d objects are in memory", n)
	}
}

func TestEventuallyCollectsGarbage(t *testing.T) {
	var p testkit.Probe[object]
	func() { p.Watch(new(object)) }()
	testkit.Eventually(t, "the object is freed", func() bool { return len(p.Live()) == 0 })

	late := time.Now().Add(5 * time.Millisecond)
	testkit.Eventually(t, "it is later", func() bool { return time.Now().After(late) })
}
