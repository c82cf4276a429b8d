package taskscope_test

import (
	"go/format"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
)

// A document is a Markdown file of the project.
type document struct{ name, text string }

// documents returns all of them, README.md first.
func documents(t *testing.T) (found []document) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == ".git" {
			return errOr(err, fs.SkipDir)
		}
		if d.IsDir() || filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(name)
		found = append(found, document{filepath.ToSlash(name), strings.ReplaceAll(string(text), "\r\n", "\n")})
		if strings.Contains("\n"+string(text), "\n<<<<<<< ") {
			t.Errorf("%s has a conflict of a merge in it", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(found, func(a, b document) int {
		switch {
		case a.name == "README.md":
			return -1
		case b.name == "README.md":
			return 1
		}
		return 0
	})
	if len(found) < 5 || found[0].name != "README.md" {
		t.Fatalf("only %d Markdown files found: is this test looking in the right place?", len(found))
	}
	return found
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// A block is a fenced piece of a document.
type block struct{ language, text string }

var fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

func (d document) blocks(t *testing.T) (found []block) {
	t.Helper()
	for _, m := range fenced.FindAllStringSubmatch(d.text, -1) {
		found = append(found, block{m[1], m[2]})
	}
	if fences := strings.Count(d.text, "```"); fences != 2*len(found) {
		t.Errorf("%s has %d fences, and %d blocks that can be read", d.name, fences, len(found))
	}
	return found
}

// printedBy says of text that no program of the documents prints which test looks for it.
var printedBy = map[string]string{
	"link: main: invalid reference to runtime.stopTheWorldGC\n": "scope/internal/carrier.TestLinkerAcceptsTheTwoFunctions",
}

// The programs and commands of the documents work as pasted: a program prints the text that
// follows it. A command runs in the checkout if it names something of it, else in a new
// module next to it that has the first program as its main. What make does takes too long
// here or is what runs now: TestDocumentsNameWhatIsThere looks at it. A piece of Go that is
// no program stands, as it is, in an example that is compiled.
func TestBlocksOfDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the go command many times")
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	app := filepath.Join(t.TempDir(), "app")
	if err := os.Symlink(root, filepath.Join(filepath.Dir(app), "taskscope")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	const replace = "go mod edit -require=github.com/taskscope/taskscope@v0.0.0 -replace=github.com/taskscope/taskscope=../taskscope && go mod tidy >/dev/null 2>&1\n"
	var examples strings.Builder
	goFiles(t, func(path string, _ []string, text string) {
		if strings.HasPrefix(path, "examples/") || strings.Contains(path, "/examples/") || strings.HasSuffix(path, "example_test.go") {
			examples.WriteString(text)
		}
	})
	tests := allTests(t)
	program := ""
	ran := 0
	for _, d := range documents(t) {
		if needs := testkit.NewerGo(t, path.Dir(d.name)); needs != "" {
			t.Logf("%s is of a module that needs %s", d.name, needs)
			continue
		}
		printed := "" // by the block before
		for _, b := range d.blocks(t) {
			text := b.text
			prints := printed
			printed = ""
			if b.language == "go" {
				if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
					t.Errorf("gofmt would change this block of %s, %v:\n%s", d.name, err, text)
				}
			}
			switch {
			case b.language == "go" && strings.HasPrefix(text, "package main"):
				if program == "" {
					program = text
				}
				printed = regexp.MustCompile(`time=\S+`).ReplaceAllString(run(t, newModule(t, app, text), replace+"go run ."), "time=…")
				ran++
			case b.language == "go" && isServer(text): // TestTheServerOfTheREADME runs it
			case b.language == "go":
				for line := range strings.Lines(text) {
					if line = strings.TrimSpace(line); line != "" && !strings.Contains(examples.String(), line) {
						t.Errorf("no example has this line of %s:\n%s", d.name, line)
					}
				}
			case b.language == "text" && prints != "":
				if prints != text {
					t.Errorf("the program prints\n%s\nand %s says\n%s", prints, d.name, text)
				}
			case b.language == "mermaid": // TestTheDrawingShowsTheImports compares it with the code
			case b.language == "text" && d.name == "CONTRIBUTING.md": // a commit message
			case b.language == "text":
				if !tests.has(printedBy[text]) {
					t.Errorf("no test looks for what %s says is printed:\n%s", d.name, text)
				}
			case b.language == "sh" && strings.HasPrefix(text, "make "):
			case b.language == "sh" && strings.Contains(text, " -serve"):
				serve(t, root, text)
				ran++
			case b.language == "sh" && strings.HasPrefix(text, "curl"):
				if got := run(t, root, text); strings.Count(got, "X-Request-Id: r-17") != 1 || strings.Count(got, "X-Request-Id: ") != 2 {
					t.Errorf("curl prints\n%s", got)
				}
				ran++
			case b.language == "sh" && strings.HasPrefix(text, "go test -run "):
				// Here nothing may be written to the checkout. The flag is known, then.
				if strings.Contains(text, " -update") {
					text = regexp.MustCompile(`-run \S+`).ReplaceAllString(text, "-run '^$'")
				}
				run(t, root, text)
				ran++
			case b.language == "sh" && strings.Contains(text, "./"+"examples"):
				run(t, root, text)
				ran++
			case b.language == "sh" && (strings.Contains(text, "go mod edit ") || strings.Contains(text, "go work ")):
				run(t, newModule(t, app, program), text)
				ran++
			case b.language == "sh":
				run(t, newModule(t, app, program), replace+text)
				ran++
			default:
				t.Errorf("%s has a block of %q, which this test doesn't know:\n%s", d.name, b.language, b.text)
			}
		}
	}
	if ran < 9 {
		t.Errorf("only %d programs and commands found", ran)
	}
}

// The first screen is true word for word: it counts imports and lines.
func TestTheFirstScreenCountsRight(t *testing.T) {
	readme := documents(t)[0]
	program := readme.blocks(t)[0].text
	before, _, _ := strings.Cut(readme.text, "```go")
	if !strings.Contains(before, "It takes two imports and two lines:") {
		t.Error("README.md doesn't say what it takes")
	}
	if n := strings.Count(program, `"`+module); n != 2 {
		t.Errorf("the first program of README.md has %d imports of ours", n)
	}
	// Only the lines that are counted mention us.
	for line := range strings.Lines(program) {
		ours := regexp.MustCompile(`\b(scope|slogh)\.`).MatchString(line)
		if counted := regexp.MustCompile(`// (one|two): `).MatchString(line); ours != counted {
			t.Errorf("counted: %v, ours: %v\n%s", counted, ours, line)
		}
	}
}

// What the documents name is there: the targets, packages, tests, files and exported names
// in their code, be it a block of commands or a word in a line, and what their links lead to.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	names := namer{makefile: string(makefile), api: map[string]string{}, index: allTests(t)}
	golden, err := filepath.Glob("api/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range golden {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		names.api[name[strings.LastIndex(name, "-")+1:]] = string(text)
	}
	for _, d := range documents(t) {
		names.document, names.folder = d.name, path.Dir(d.name)
		complain := func(where, what string) {
			if what != "" {
				t.Errorf("%s, %s: %s", d.name, where, what)
			}
		}
		for _, b := range d.blocks(t) {
			if b.language == "sh" {
				for line := range strings.Lines(b.text) {
					complain(strings.TrimSpace(line), names.missing(line))
				}
			}
		}
		text := fenced.ReplaceAllString(d.text, "")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
			complain(m[0], names.missing(strings.Join(strings.Fields(m[1]), " ")))
		}
		for _, m := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(text, -1) {
			complain("a link to "+m[1], names.leads(m[1]))
		}
	}
	for kind, n := range map[string]int{"targets": names.targets, "tests": names.tests, "paths": names.paths, "exported names": names.exported, "links": names.links} {
		if n < 5 {
			t.Errorf("only %d %s found: does this test still read them?", n, kind)
		}
	}
}

// A namer knows what may be named.
type namer struct {
	makefile string
	api      map[string]string // of a package, by the last element of its path
	index    testIndex
	document string // that is read
	folder   string // of the document

	targets, tests, paths, exported, links int // that were looked at
}

var (
	aTest     = regexp.MustCompile(`^(?:[\w/]+\.)?(?:Test|Fuzz|Benchmark)[A-Z]\w*$`)
	aPath     = regexp.MustCompile(`^\.{0,2}[\w./-]+$`)
	aName     = regexp.MustCompile(`^\*?(\w+)\.([A-Z]\w*)`)
	variable  = regexp.MustCompile(`^([A-Z_]+)=`)
	separator = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// missing returns what is wrong with code in a document, if anything.
func (n *namer) missing(code string) string {
	words := strings.Fields(code)
	if len(words) == 0 {
		return ""
	}
	switch m := aName.FindStringSubmatch(words[0]); {
	case words[0] == "make":
		for _, word := range words[1:] {
			n.targets++
			if m := variable.FindStringSubmatch(word); m != nil {
				if !strings.Contains(n.makefile, "$("+m[1]+")") {
					return "the Makefile doesn't use " + m[1]
				}
			} else if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(word) + `:.* ## `).MatchString(n.makefile) {
				return "the Makefile has no documented target " + word
			}
		}
	case words[0] == "go" && len(words) > 1:
		in := "."
		if len(words) > 2 && words[1] == "-C" {
			in = words[2]
		}
		for i, word := range words {
			switch {
			case words[i-min(i, 1)] == "-run":
				if !n.index.has(word) {
					return "there is no test " + word
				}
			case words[i-min(i, 1)] == "-C":
				if !there(word) {
					return "there is no " + word
				}
			case strings.HasPrefix(word, "./") && !strings.HasSuffix(word, "..."):
				n.paths++
				if !there(path.Join(in, word)) {
					return "there is no " + word
				}
			}
		}
	case aTest.MatchString(code):
		n.tests++
		if !n.index.has(code) {
			return "there is no such test"
		}
	case m != nil && n.api[m[1]] != "":
		n.exported++
		if !regexp.MustCompile(`\b` + m[2] + `\b`).MatchString(n.api[m[1]]) {
			return "package " + m[1] + " exports no " + m[2]
		}
	case m != nil && strings.HasSuffix(m[1], "Options"):
		for _, text := range n.api {
			if _, options, found := strings.Cut(text, "\ntype "+m[1]+" struct {"); found {
				options, _, _ = strings.Cut(options, "\n}")
				if regexp.MustCompile(`\n\t` + m[2] + `\b`).MatchString(options) {
					n.exported++
					return ""
				}
			}
		}
		return "no type " + m[1] + " has a field " + m[2]
	case aPath.MatchString(code):
		first, _, nested := strings.Cut(code, "/")
		switch {
		case nested && first != ".." && there(first): // else it is an import path, say
			n.paths++
			if !there(code) {
				return "there is no such file or folder"
			}
		case regexp.MustCompile(`\w\.(go|md|sh|mod|sum|s|txt)$`).MatchString(code) && !nested:
			n.paths++
			if !anywhere(code) {
				return "there is no such file"
			}
		}
	}
	return ""
}

// leads returns what is wrong with the target of a link, if anything.
func (n *namer) leads(target string) string {
	n.links++
	if strings.Contains(target, "://") {
		return ""
	}
	target, heading, _ := strings.Cut(target, "#")
	file := path.Join(n.folder, target)
	if target == "" { // a heading of the same page
		file = n.document
	}
	if strings.HasPrefix(file, "..") || !there(file) {
		return "there is no " + file
	}
	if heading == "" {
		return ""
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && line[0] == '#' &&
			strings.ReplaceAll(separator.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-") == heading {
			return ""
		}
	}
	return file + " has no such heading"
}

func there(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// anywhere reports whether some folder has a file of this name.
func anywhere(name string) (found bool) {
	_ = filepath.WalkDir(".", func(_ string, d fs.DirEntry, err error) error {
		found = found || err == nil && d.Name() == name
		return err
	})
	return found
}

// A testIndex has the folders of the tests, by their names.
type testIndex map[string][]string

func allTests(t *testing.T) testIndex {
	t.Helper()
	index := testIndex{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	goFiles(t, func(file string, _ []string, text string) {
		if strings.HasSuffix(file, "_test.go") {
			for _, m := range function.FindAllStringSubmatch(text, -1) {
				index[m[1]] = append(index[m[1]], path.Dir(file))
			}
		}
	})
	return index
}

// has reports whether there is a test of this name: in a folder if it is written before
// the name, as in "scope/propagation.FuzzExtract", else in any.
func (index testIndex) has(test string) bool {
	if i := strings.LastIndex(test, "."); i >= 0 {
		return slices.Contains(index[test[i+1:]], test[:i])
	}
	return len(index[test]) > 0
}

// newModule makes folder a module of its own with this main.go, and returns it.
func newModule(t *testing.T, folder, main string) string {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(main), 0o644); err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(runtime.Version(), "go"), "-")
	mod := "module example.com/app\n\ngo " + version + "\n"
	if err := os.WriteFile(filepath.Join(folder, "go.mod"), []byte(mod), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

// run runs commands as pasted into a shell in folder, and returns what they print.
func run(t *testing.T, folder, commands string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", commands)
	cmd.Dir = folder
	// The settings of this run, a build tag say, aren't those of who reads the README.
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "TASKSCOPE_CARRIER=")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("in %s:\n%s\n%v\n%s%s", folder, commands, err, out, stderr.String())
	}
	return string(out)
}

// serve starts what command, a "go run" with arguments, runs, and ends it with the test.
func serve(t *testing.T, root, command string) {
	t.Helper()
	args := strings.Fields(strings.TrimPrefix(command, "go run "))
	program := filepath.Join(t.TempDir(), "server.exe")
	run(t, root, "go build -o '"+program+"' "+args[0])
	cmd := exec.Command(program, args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 200 {
		if c, err := net.Dial("tcp", "127.0.0.1:8080"); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s doesn't serve", command)
}
