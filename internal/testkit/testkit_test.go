package testkit_test

import (
	"fmt"
	"os"
	"os/exec"
	"reflect"
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
func (f *fake) Fatalf(text string, a ...any) { f.Errorf(text, a...); runtime.Goexit() }
func (f *fake) Error(a ...any)               { f.errors = append(f.errors, fmt.Sprint(a...)) }
func (f *fake) Skip(...any)                  { f.skipped = true }

// reports returns what a test would report that does this.
func reports(t *testing.T, do func(t testing.TB)) []string {
	f := &fake{TB: t}
	testkit.InTime(t, func() { do(f) })
	return f.errors
}

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

func TestWantLinesComparesAndEmpties(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		ok   bool
	}{
		{"", nil, true},
		{"a\n", []string{"a"}, true},
		{"a\nb\n", []string{"a", "b"}, true},
		{"a\nb", []string{"a", "b"}, false},
		{"a\n", nil, false},
		{"", []string{"a"}, false},
		{"a\n", []string{"b"}, false},
	} {
		var b testkit.Buffer
		fmt.Fprint(&b, c.text)
		if found := reports(t, func(t testing.TB) { testkit.WantLines(t, &b, c.want...) }); (len(found) == 0) != c.ok {
			t.Errorf("%q, %q: reported %q", c.text, c.want, found)
		}
		if b.String() != "" {
			t.Errorf("%q is left", b.String())
		}
	}
}

func TestALineIsParsed(t *testing.T) {
	want := map[string]any{"a": "x y", "g": map[string]any{"b": "1", "h": map[string]any{"c": "2"}}}
	if got := testkit.ParseJSON(t, []byte(`{"a":"x y","g":{"b":"1","h":{"c":"2"}}}`+"\n")); !reflect.DeepEqual(got, want) {
		t.Errorf("of JSON: %v", got)
	}
	if got := testkit.ParseText(t, []byte(`a="x y" g.b=1 g.h.c=2`+"\n")); !reflect.DeepEqual(got, want) {
		t.Errorf("of text: %v", got)
	}
	list := map[string]any{"l": []any{1.0, nil, true, []any{}, map[string]any{}}}
	if got := testkit.ParseJSON(t, []byte(`{"l":[1,null,true,[],{}]}`)); !reflect.DeepEqual(got, list) {
		t.Errorf("of JSON with a list: %v", got)
	}
}

func TestALineThatIsNoneOrHasAKeyTwiceIsReported(t *testing.T) {
	for _, bad := range []string{
		"", "x", `"x"`, "[]", "{", `{"a":1`, `{"a":[1}`, `{"a":1}}`, `{"a":1} {"b":2}`,
		`{"a":1,"a":2}`, `{"g":{"a":1,"a":1}}`, `{"l":[{"a":1,"a":1}]}`,
	} {
		if len(reports(t, func(t testing.TB) { testkit.ParseJSON(t, []byte(bad)) })) == 0 {
			t.Errorf("nothing is reported of %s", bad)
		}
	}
	for _, bad := range []string{"x", "a=1 a=2", "g.a=1 b=2 g.a=3", `a="x`} {
		if len(reports(t, func(t testing.TB) { testkit.ParseText(t, []byte(bad)) })) == 0 {
			t.Errorf("nothing is reported of %s", bad)
		}
	}
}

func TestACounterCountsAndNeverResolvedReports(t *testing.T) {
	var c testkit.Counter
	if first, second := c.LogValue().Int64(), c.LogValue().Int64(); first != 1 || second != 2 || c.Count() != 2 {
		t.Errorf("%d, %d, counted %d", first, second, c.Count())
	}
	if found := reports(t, func(t testing.TB) { testkit.NeverResolved{T: t}.LogValue() }); len(found) != 1 {
		t.Errorf("reported %q", found)
	}
}

func TestAPanickingWriterPanicsOnceAfterItHasWritten(t *testing.T) {
	var w testkit.PanickingWriter
	write := func() (p any) {
		defer func() { p = recover() }()
		fmt.Fprint(&w, "x")
		return nil
	}
	if p := write(); p != nil {
		t.Errorf("it panics unarmed: %v", p)
	}
	w.Armed = true
	if p := write(); p != "broken" {
		t.Errorf("armed, it panics with %v", p)
	}
	if p := write(); p != nil || w.String() != "xxx" {
		t.Errorf("afterwards: %v, and %q was written", p, w.String())
	}
}
