package xslogh_test

import (
	"context"
	"io"
	"log"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	xslog "golang.org/x/exp/slog"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh/xslogh"
)

// The start-up handler can be put in place once per process, so each case has one of its own:
// this test, run again.
const (
	defaultCase = "XSLOGH_DEFAULT_CASE"
	noLine      = "XSLOGH_DEFAULT_NO_LINE" // while the adapter is slog's default
)

var defaultCases = map[string]func(){
	"plain": func() {},
	"flags": func() { log.SetFlags(log.Lshortfile | log.Lmsgprefix); log.SetPrefix("p: ") },
	"all flags": func() {
		log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC | log.Llongfile)
		log.SetPrefix("p: ")
	},
	"no flags": func() { log.SetFlags(0) },
}

// defaultLines logs in all ways that a program has, with what is bound.
func defaultLines() {
	xslog.Info("hello", "a", 1, "text", "two words", xslog.Group("g", xslog.Int("x", 1)))
	xslog.Debug("debug")
	xslog.Warn("")
	xslog.With("a", 1).Error("with", "b", 2)
	xslog.Default().WithGroup("w").With("c", 3).WithGroup("v").Info("groups", "b", 2)
	xslog.Default().WithGroup("w").Info("an empty group")
}

// withFields writes the same with a logger that has the fields of the scope.
func withFields(l *xslog.Logger) {
	l.Info("hello", "a", 1, "text", "two words", xslog.Group("g", xslog.Int("x", 1)))
	l.Debug("debug")
	l.Warn("")
	xslog.With("a", 1).With("id", 7, "s", "x y").Error("with", "b", 2)
	l.WithGroup("w").With("c", 3).WithGroup("v").Info("groups", "b", 2)
	l.WithGroup("w").Info("an empty group")
}

func TestMainOfADefaultCase(t *testing.T) {
	setUp, ok := defaultCases[os.Getenv(defaultCase)]
	if !ok {
		t.Skip("is run by TestTheDefaultHandler")
	}
	setUp()
	log.SetOutput(os.Stdout)
	s := scope.New("id", 7, "s", "x y")
	step := func(name string, fn func()) {
		_, _ = io.WriteString(os.Stdout, "# "+name+"\n")
		fn()
	}
	step("bare", defaultLines)
	step("bare, with", func() { withFields(xslog.With("id", 7, "s", "x y")) })
	l := xslog.New(xslogh.New(xslog.Default().Handler(), nil))
	step("wrapped", func() { l.Info("hello"); l.With("a", 1).WithGroup("g").Info("hello", "b", 2) })
	step("not wrapped", func() { xslog.Info("hello"); xslog.With("a", 1).WithGroup("g").Info("hello", "b", 2) })
	before := xslog.Default()
	xslog.SetDefault(l)
	if os.Getenv(noLine) == "" {
		step("unbound", defaultLines)
		step("bound", func() { s.Run(defaultLines) })
		step("print", func() { log.Print("printed"); s.Run(func() { log.Printf("printed %d", 1) }) })
	}
	xslog.SetDefault(before)
	step("taken back", func() { s.Run(func() { log.Print("printed"); xslog.Info("hello", "a", 1) }) })
	step("end", func() {})
}

var (
	times  = regexp.MustCompile(`(?m)(\d\d\d\d/\d\d/\d\d )?\d\d:\d\d:\d\d(\.\d+)? `)
	places = regexp.MustCompile(`\S+\.go:\d+: `)
)

// runDefaultCase returns what each step of a case has written.
func runDefaultCase(t *testing.T, env ...string) map[string]string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestMainOfADefaultCase$")
	cmd.Env = append(os.Environ(), env...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	steps := map[string]string{}
	for _, part := range strings.Split(times.ReplaceAllString("\n"+string(text), "<time>"), "\n# ")[1:] {
		title, lines, _ := strings.Cut(part, "\n")
		steps[title] = strings.TrimSuffix(lines, "\n")
	}
	if _, ok := steps["end"]; !ok {
		t.Fatalf("it didn't come to its end:\n%s", text)
	}
	return steps
}

func TestTheDefaultHandlerThatWasPutInPlaceAndTakenBackWithoutALine(t *testing.T) {
	got := runDefaultCase(t, defaultCase+"=plain", noLine+"=1")["taken back"]
	// What x/exp's default writes goes to package log, and so to the adapter.
	if want := "<time>INFO printed id=7 s=\"x y\"\n<time>INFO INFO hello a=1 id=7 s=\"x y\""; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheDefaultHandler(t *testing.T) {
	for name := range defaultCases {
		t.Run(name, func(t *testing.T) {
			steps := runDefaultCase(t, defaultCase+"="+name)
			same := func(got, want string) {
				t.Helper()
				g, w := places.ReplaceAllString(steps[got], "<place>"), places.ReplaceAllString(steps[want], "<place>")
				if g != w || g == "" {
					t.Errorf("%s:\n%s\n%s:\n%s", got, g, want, w)
				}
			}
			same("wrapped", "not wrapped")
			same("unbound", "bare")
			same("bound", "bare, with")
			// x/exp's default handler counts stack frames, this package's has the place.
			if n := strings.Count(steps["bound"], "default_test.go:"); strings.Contains(name, "flags") && name != "no flags" && n != 5 {
				t.Errorf("%d lines say where they were logged:\n%s", n, steps["bound"])
			}
			if g := steps["print"]; !strings.Contains(g, "printed") || !strings.Contains(g, `printed 1 id=7 s="x y"`) {
				t.Errorf("package log wrote\n%s", g)
			}
		})
	}
}
