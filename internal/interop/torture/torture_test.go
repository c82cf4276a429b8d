package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// ants has a pool of its own for the process, and lumberjack never ends what rotates files.
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
		goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// A small share of what make interop runs.
func TestEachFormIsWhatItsRowSays(t *testing.T) {
	forms := int64(0)
	for _, s := range allCases() {
		forms += int64(len(s.forms))
	}
	rows, err := runAll(io.Discard, "", 1, scopekit.Amount(1000*forms, 500*forms))
	if err != nil {
		t.Error(err)
	}
	for _, r := range rows {
		if r.form.recommended && (r.seen[wrong] > 0 || r.seen[another] > 0) {
			t.Errorf("%s, %s: %v", r.scenario, r.form.name, r.seen)
		}
	}
}

// A recommended form can't be declared wrong, what isn't right has a reason, and each case has
// a recommended form.
func TestTheTableOfCases(t *testing.T) {
	names := map[string]bool{}
	for _, s := range allCases() {
		recommended := 0
		for _, f := range s.forms {
			if names[s.name+", "+f.name] {
				t.Errorf("%s, %s: twice", s.name, f.name)
			}
			names[s.name+", "+f.name] = true
			notRight := f.shows | f.may
			if f.recommended {
				recommended++
				if notRight&^of(unstamped) != 0 {
					t.Errorf("%s, %s is recommended, though lines are %v", s.name, f.name, notRight)
				}
			}
			if (f.why != "") != (notRight != 0) {
				t.Errorf("%s, %s: lines are %v, and why is %q", s.name, f.name, notRight, f.why)
			}
		}
		if recommended == 0 {
			t.Errorf("%s has no recommended form", s.name)
		}
	}
	if len(names) < 50 {
		t.Errorf("only %d forms", len(names))
	}
}

func TestWhatALineIs(t *testing.T) {
	for _, c := range []struct {
		line       string
		want       outcome
		leftBehind bool
		bad        bool
	}{
		{line: `{"msg":"m t-1","request_id":"t-1"}`, want: right},
		{line: `{"message":"m t-1","request_id":"t-1"}`, want: right},
		{line: `{"msg":"m nobody"}`, want: right},
		{line: `{"msg":"m t-1"}`, want: unstamped},
		{line: `{"msg":"m t-1","scope_ended":true}`, want: unstamped},
		{line: `{"msg":"m t-1","request_id":"t-1","scope_ended":true}`, want: late},
		{line: `{"msg":"m t-1 left","request_id":"t-1","scope_ended":true}`, want: late, leftBehind: true},
		{line: `{"msg":"m t-1","request_id":"t-11","scope_ended":true}`, want: another},
		{line: `{"msg":"m t-1","request_id":"t-11"}`, want: wrong},
		{line: `{"msg":"m t-1 left","request_id":"t-2"}`, want: wrong, leftBehind: true},
		{line: `{"msg":"m nobody","request_id":"t-1"}`, want: wrong},
		{line: `{"msg":"m nobody","request_id":"t-1","scope_ended":true}`, want: another},
		{line: `{"msg":"m t-1","request_id":"t-2","request_id":"t-1"}`, bad: true},
		{line: `{"msg":"t-1","request_id":"t-1"}`, bad: true},
		{line: `{"msg":"m t-1","request_id":`, bad: true},
	} {
		o, leftBehind, err := judge([]byte(c.line))
		if (err != nil) != c.bad || !c.bad && (o != c.want || leftBehind != c.leftBehind) {
			t.Errorf("%s is %v, left behind: %v, %v", c.line, o, leftBehind, err)
		}
	}
}

// Writers that buffer hand on several lines at once, or half a line.
func TestASinkTakesLinesInPieces(t *testing.T) {
	var s sink
	text := strings.Repeat(`{"msg":"m t-1","request_id":"t-1"}`+"\n", 20)
	for i := 0; i < len(text); i += 13 {
		if _, err := s.Write([]byte(text[i:min(i+13, len(text))])); err != nil {
			t.Fatal(err)
		}
	}
	if s.seen[right] != 20 || s.total() != 20 || len(s.odd) > 0 {
		t.Errorf("%v, %q", s.seen, s.odd)
	}
}

// The torture must see what it is there for.
func TestAFormThatIsNotWhatItsRowSaysFails(t *testing.T) {
	one := func(fn func(t *trial, id string)) func(*trial) {
		return func(t *trial) { t.drive(func(id string) { fn(t, id) }) }
	}
	stamped := one(func(t *trial, id string) { scope.New(idKey, id).Run(func() { t.work(id, "") }) })
	for name, c := range map[string]struct {
		form form
		want string // what the error says; nothing if there is none
	}{
		"right":              {form{run: stamped}, ""},
		"declared":           {form{run: one(func(t *trial, id string) { t.line(id) }), shows: of(unstamped)}, ""},
		"another's":          {form{run: one(func(t *trial, id string) { scope.New(idKey, "t-0").Run(func() { t.line(id) }) })}, "wrong: "},
		"another's, late":    {form{run: one(func(t *trial, id string) { inEnded("t-0", func() { t.line(id) }) })}, "another's: "},
		"late":               {form{run: one(func(t *trial, id string) { inEnded(id, func() { t.line(id) }) })}, "late: "},
		"late, left behind":  {form{run: one(func(t *trial, id string) { inEnded(id, func() { t.line(id + left) }) })}, ""},
		"unstamped":          {form{run: one(func(t *trial, id string) { t.line(id) })}, "unstamped: "},
		"shows nothing":      {form{run: stamped, shows: of(wrong)}, "no line is wrong"},
		"lost":               {form{run: one(func(t *trial, id string) { t.logged.Add(1) })}, "lines were logged"},
		"a line of somebody": {form{run: one(func(t *trial, id string) { t.logged.Add(1); t.slog.Info("hello") })}, "of somebody else"},
	} {
		if !scopekit.Inherits() && (c.want != "wrong: " && c.want != "") {
			continue // there, lines may be unstamped, and nothing is late
		}
		_, err := runForm(scenario{name: name}, &c.form, 1, 100)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q in it", name, err, c.want)
		}
	}
}

// inEnded calls fn in a goroutine of a task that is over.
func inEnded(id string, fn func()) {
	over, done := make(chan struct{}), make(chan struct{})
	scope.New(idKey, id).Run(func() {
		go func() {
			<-over
			fn()
			close(done)
		}()
	})
	close(over)
	<-done
}

func TestTheCommandRunsACaseAndWritesNoFile(t *testing.T) {
	before, _ := os.Stat(file)
	var out strings.Builder
	if exit := mainWith([]string{"-case", "errgroup", "-n", "20000", "-seed", "3"}, &out); exit != 0 {
		t.Errorf("exit %d:\n%s", exit, &out)
	}
	if !strings.Contains(out.String(), "seed 3\nerrgroup, `Go`: [") {
		t.Errorf("it prints\n%s", &out)
	}
	after, _ := os.Stat(file)
	if (before == nil) != (after == nil) || before != nil && before.ModTime() != after.ModTime() {
		t.Errorf("it has written %s", file)
	}
}

func TestAnUnknownFlagExitsWithTwo(t *testing.T) {
	var out strings.Builder
	if exit := mainWith([]string{"-tasks", "1"}, &out); exit != 2 || !strings.Contains(out.String(), "-tasks") {
		t.Errorf("exit %d:\n%s", exit, &out)
	}
}
