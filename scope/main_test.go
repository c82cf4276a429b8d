package scope_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/internal/carrier"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// An example can't skip itself, and this one shows what the portable path lacks.
	if skip := flag.Lookup("test.skip"); scope.Carrier() == "portable" && skip.Value.String() == "" {
		if err := skip.Value.Set("^Example_inheritance$"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	testkit.Main(m)
}

// A path is one of the ways to bind a scope, with what it lacks.
type path struct {
	carrier.Path
	inherits bool // a plain go statement passes the scope on
	labels   bool // profiler labels can be read and written
	hidden   bool // a scope bound by Set or Run shows in no dump, not even as a name
}

// onEachPath runs test on each path that this build has, in a goroutine of its own
// that has nothing bound.
func onEachPath(t *testing.T, test func(t *testing.T, p path)) {
	t.Helper()
	for _, p := range []path{
		{Path: carrier.Direct, inherits: true, labels: true, hidden: true},
		{Path: carrier.Labels, inherits: true, labels: true},
		{Path: carrier.Portable},
	} {
		t.Run(p.String(), func(t *testing.T) {
			undo, ok := carrier.Force(p.Path)
			if !ok {
				t.Skip("this build doesn't have this path")
			}
			t.Cleanup(undo) // not deferred: parallel subtests end later
			test(t, p)
		})
	}
}

// spawn starts fn with a plain go statement where that passes the scope on, and with
// scope.Go where it doesn't. done is closed when fn has returned.
func (p path) spawn(fn func()) (done chan struct{}) {
	done = make(chan struct{})
	if p.inherits {
		go func() { defer close(done); fn() }()
	} else {
		scope.Go(func() { defer close(done); fn() })
	}
	return done
}

// text returns the fields of s as "k=v k=v".
func text(s scope.Scope) string {
	var list []string
	for k, v := range s.All() {
		list = append(list, k+"="+v.String())
	}
	return strings.Join(list, " ")
}

// joined returns two such texts as one.
func joined(a, b string) string { return strings.TrimSpace(a + " " + b) }

// want checks the fields of the bound scope.
func want(t *testing.T, fields string) {
	t.Helper()
	if got := text(scope.Current()); got != fields {
		t.Errorf("bound is %q, want %q", got, fields)
	}
}

func wantScope(t *testing.T, s scope.Scope, fields string) {
	t.Helper()
	if got := text(s); got != fields {
		t.Errorf("the scope is %q, want %q", got, fields)
	}
}

var uniqueCount int

// unique makes key names for one run of a test: policies last as long as the process,
// and tests may run several times in one.
func unique(name string) string {
	uniqueCount++
	return fmt.Sprintf("%s_%d", name, uniqueCount)
}

func attrs(s scope.Scope) (list []slog.Attr) {
	for k, v := range s.All() {
		list = append(list, slog.Attr{Key: k, Value: v})
	}
	return list
}
