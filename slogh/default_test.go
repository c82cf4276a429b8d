package slogh_test

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// The start-up handler of log/slog can be put in place once per process, so each case has one
// of its own: this test, run again.
const (
	defaultCase = "SLOGH_DEFAULT_CASE"
	noLine      = "SLOGH_DEFAULT_NO_LINE" // while the adapter is slog's default
)

var defaultCases = map[string]func(){
	"plain": func() {},
	"flags": func() { log.SetFlags(log.Lshortfile | log.Lmsgprefix); log.SetPrefix("p: ") },
	"all flags": func() {
		log.SetFlags(log.LstdFlags | log.Lmicroseconds | log.LUTC | log.Llongfile)
		log.SetPrefix("p: ")
	},
	"no flags":   func() { log.SetFlags(0) },
	"only debug": func() { slog.SetLogLoggerLevel(slog.LevelDebug) },
	"another adapter, before package log got its writer": func() { log.SetOutput(io.Discard); slogh.New(slog.Default().Handler(), nil) },
}

// defaultLines logs in all ways that a program has, with what is bound.
func defaultLines() {
	slog.Info("hello", "a", 1, "text", "two words", slog.Group("g", slog.Int("x", 1)))
	slog.Debug("debug")
	slog.Warn("")
	slog.Info("a \"message\" = \t\xff\u00fc\u2028")
	slog.With("a", 1).Error("with", "b", 2)
	slog.Default().WithGroup("w").With("c", 3).WithGroup("v").Info("groups", "b", 2)
	slog.Default().WithGroup("w").Info("an empty group")
}

// withFields writes the same with a logger that has the fields of the scope.
func withFields(l *slog.Logger) {
	l.Info("hello", "a", 1, "text", "two words", slog.Group("g", slog.Int("x", 1)))
	l.Debug("debug")
	l.Warn("")
	l.Info("a \"message\" = \t\xff\u00fc\u2028")
	slog.With("a", 1).With("id", 7, "s", "x y").Error("with", "b", 2)
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
	step("bare, with", func() { withFields(slog.With("id", 7, "s", "x y")) })
	start := slog.Default()
	attached := func() *slog.Logger { return start.With("service", "a b").WithGroup("g").With("c", 1).WithGroup("h") }
	step("bare, attached", func() { attached().Info("hello", "b", 2); attached().WithGroup("i").Info("hello", "b", 2) })
	step("bare, again", func() {
		for range 3 {
			slog.With("id", 7, "s", "x y").Info("hello")
		}
	})
	h := slogh.New(slog.Default().Handler(), nil)
	l := slog.New(h)
	step("bare, before", func() { l.Info("hello"); l.With("a", 1).WithGroup("g").Info("hello", "b", 2) })
	step("bare, after", func() { slog.Info("hello"); slog.With("a", 1).WithGroup("g").Info("hello", "b", 2) })
	before := slog.Default()
	slog.SetDefault(l)
	if os.Getenv(noLine) == "" {
		step("unbound", defaultLines)
		step("bound", func() { s.Run(defaultLines) })
		step("print", func() { log.Print("printed"); s.Run(func() { log.Printf("printed %d", 1) }) })
	}
	slog.SetDefault(before)
	step("taken back", func() { s.Run(func() { log.Print("printed"); slog.Info("hello", "a", 1) }) })
	step("again", func() {
		for range 3 {
			slog.SetDefault(slog.New(slogh.New(start.Handler(), nil)))
			s.Run(func() { slog.Info("hello") })
			slog.SetDefault(start)
		}
	})
	step("attached", func() {
		slog.SetDefault(slog.New(slogh.New(attached().Handler(), nil)))
		slog.Info("hello", "b", 2)
		slog.Default().WithGroup("i").Info("hello", "b", 2)
	})
	step("end", func() {})
}

var (
	times  = regexp.MustCompile(`(?m)(\d\d\d\d/\d\d/\d\d )?\d\d:\d\d:\d\d(\.\d+)? `)
	places = regexp.MustCompile(`default_test\.go:\d+: `)
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
	// What slog's default writes goes to package log, and so to the adapter.
	if want := "<time>INFO printed id=7 s=\"x y\"\n<time>INFO INFO hello a=1 id=7 s=\"x y\""; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheDefaultHandler(t *testing.T) {
	for name := range defaultCases {
		t.Run(name, func(t *testing.T) {
			steps := runDefaultCase(t, defaultCase+"="+name)
			// The lines come from other places, but each says which file.
			same := func(got, want string) {
				t.Helper()
				g, w := steps[got], steps[want]
				if strings.Count(g, "default_test.go:") != strings.Count(w, "default_test.go:") {
					t.Errorf("%s and %s: not the same places:\n%s\nand\n%s", got, want, g, w)
				}
				g, w = places.ReplaceAllString(g, "default_test.go: "), places.ReplaceAllString(w, "default_test.go: ")
				if g != w || g == "" {
					t.Errorf("%s:\n%s\n%s:\n%s", got, g, want, w)
				}
			}
			same("bare, before", "bare, after")
			same("unbound", "bare")
			same("bound", "bare, with")
			same("again", "bare, again")       // each New writes to where package log wrote before the first SetDefault
			same("attached", "bare, attached") // before New
			// The text is what package log wrote, its prefix included.
			if got := steps["print"]; !strings.Contains(got, "printed\n") || !strings.HasSuffix(got, "printed 1 id=7 s=\"x y\"") {
				t.Errorf("log.Print:\n%s", got)
			}
			if got := steps["taken back"]; strings.Count(got, "\n") != 1 || strings.Count(got, "id=7") != 2 {
				t.Errorf("after SetDefault was taken back:\n%s", got)
			}
			if debug := strings.Contains(steps["bound"], "DEBUG"); debug != (name == "only debug") {
				t.Errorf("a debug line: %t\n%s", debug, steps["bound"])
			}
		})
	}
}
