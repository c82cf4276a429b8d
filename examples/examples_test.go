package examples

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	// The go command reruns a test when a package that it imports has changed. It
	// doesn't know of the programs that this one runs.
	_ "github.com/taskscope/taskscope/httpscope"
	_ "github.com/taskscope/taskscope/jobscope"
	_ "github.com/taskscope/taskscope/slogh"
	_ "github.com/taskscope/taskscope/zaph"
	_ "github.com/taskscope/taskscope/zeroh"
)

var update = flag.Bool("update", false, "write what the examples print to their testdata/output.txt")

// An example is a row of the README's table.
type example struct{ question, folder, command string }

// elsewhere reports whether e is in a module of another folder, whose own tests run it.
func (e example) elsewhere() bool { return strings.HasPrefix(e.folder, "../") }

var row = regexp.MustCompile("(?m)^\\| (.+\\?) \\| \\[(\\w+)\\]\\(([\\w./]+)\\) \\| `([^`]+)` \\|$")

func readme(t *testing.T) (examples []example) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if m[2] != path.Base(m[3]) || !exists(filepath.Join(m[3], "main.go")) {
			t.Errorf("the link %s leads to %s", m[2], m[3])
		}
		examples = append(examples, example{m[1], m[3], m[4]})
	}
	// A row that isn't as the others are would be a command that nobody runs.
	if rows := strings.Count(string(text), "\n| ") - 1; rows != len(examples) {
		t.Fatalf("the table has %d rows, of which %d can be read", rows, len(examples))
	}
	return examples
}

func TestREADMEListsEveryExample(t *testing.T) {
	var listed []string
	for _, e := range readme(t) {
		if !e.elsewhere() {
			listed = append(listed, e.folder)
		}
	}
	mains, err := filepath.Glob("*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, main := range mains {
		folders = append(folders, filepath.Dir(main))
	}
	slices.Sort(listed)
	if !slices.Equal(listed, folders) {
		t.Errorf("the README lists %v, the folders are %v", listed, folders)
	}
}

func TestEachCommandPrintsItsGoldenFile(t *testing.T) {
	for _, e := range readme(t) {
		if e.elsewhere() {
			continue
		}
		t.Run(e.folder, func(t *testing.T) {
			if needs := testkit.NewerGo(t, e.folder); needs != "" {
				t.Skipf("it is of a module that needs %s", needs)
			}
			got := run(t, e.command)
			file := filepath.Join(e.folder, "testdata", "output.txt")
			if scope.Carrier() == "portable" {
				// Without inheritance by a plain go, an example may print something else.
				if other := filepath.Join(e.folder, "testdata", "output.portable.txt"); exists(other) {
					file = other
				}
			}
			if e.folder == "quickstart" {
				if !strings.HasSuffix(got, "each carries the id of its own request\n") {
					t.Errorf("the summary is missing:\n%s", got)
				}
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("it prints\n%s\nand %s says\n%s", got, file, want)
			}
		})
	}
}

// run runs command at the root of the checkout, on the carrier that this test runs on,
// and returns what it prints to standard output.
func run(t *testing.T, command string) string {
	t.Helper()
	args := strings.Fields(command)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "TASKSCOPE_CARRIER="+scope.Carrier())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, stderr.String())
	}
	return stdout.String()
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestExamplesAreShort(t *testing.T) {
	const limit = 100
	files, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		// The quickstart's check of itself isn't what people come to read.
		if strings.HasSuffix(file, "_test.go") || file == filepath.Join("quickstart", "selfcheck.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n >= limit {
			t.Errorf("%s has %d lines, want fewer than %d", file, n, limit)
		}
	}
}
