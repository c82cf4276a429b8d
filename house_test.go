package taskscope_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// goFiles calls fn with each Go file of the project, parsed up to its imports.
func goFiles(t *testing.T, fn func(path string, imports []string, text string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		var imports []string
		for _, spec := range file.Imports {
			imports = append(imports, strings.Trim(spec.Path.Value, `"`))
		}
		fn(filepath.ToSlash(path), imports, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// All unsafe code is in one package, which is short enough to be read.
func TestOneUnsafePackage(t *testing.T) {
	seen := 0
	goFiles(t, func(path string, imports []string, text string) {
		unsafe := slices.Contains(imports, "unsafe") || strings.Contains(text, "\n//go:"+"linkname ")
		switch in := strings.HasPrefix(path, "scope/internal/carrier/"); {
		case unsafe && in:
			seen++
		case unsafe:
			t.Errorf("%s uses unsafe or go:linkname", path)
		}
	})
	if seen == 0 {
		t.Error("no unsafe code found at all: is this test looking in the right place?")
	}
}

// Imports point one way, and scope has no dependency.
func TestArrows(t *testing.T) {
	const module = "github.com/taskscope/taskscope/"
	ranks := []string{"scope/internal/carrier", "scope", "logadapters", "slogh", "zaph", "zeroh", "httpscope", "examples"}
	rank := func(path string) int {
		best := -1
		for i, folder := range ranks {
			if path == folder || strings.HasPrefix(path, folder+"/") {
				if best < 0 || len(folder) > len(ranks[best]) {
					best = i
				}
			}
		}
		return best
	}
	goFiles(t, func(path string, imports []string, _ string) {
		from := rank(filepath.ToSlash(filepath.Dir(path)))
		if from < 0 || strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, imported := range imports {
			if inside, ok := strings.CutPrefix(imported, module); ok {
				if to := rank(inside); to > from {
					t.Errorf("%s imports %s, which stands above it", path, inside)
				}
			} else if from <= 1 && strings.Contains(imported, ".") {
				t.Errorf("%s imports %s; package scope has the standard library only", path, imported)
			}
		}
	})
}

// A replace directive in the root go.mod would be ignored where the module is used.
func TestNoReplace(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^\s*(replace|exclude|toolchain)\b`).Match(mod) {
		t.Errorf("go.mod has a replace, exclude or toolchain directive:\n%s", mod)
	}
}

// Every package says in its doc comment what it is.
func TestPackageDocs(t *testing.T) {
	packages, err := exec.Command("go", "list", "-f", "{{.ImportPath}}\t{{.Name}}\t{{.Doc}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(packages)) {
		path, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
		name, doc, _ := strings.Cut(rest, "\t")
		if doc == "" && name != "taskscope" && !strings.HasSuffix(path, "/examples") {
			t.Errorf("%s has no package doc", path)
		}
	}
}

// A block is a fenced piece of a Markdown file.
type block struct{ language, text string }

func blocks(t *testing.T, file string) (found []block) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		found = append(found, block{m[1], m[2]})
	}
	return found
}

// The README's programs and commands work as pasted: a program prints the text that
// follows it, a command runs in a new module that has the first program as its main, next
// to the checkout, or in the checkout if it names a path of it. A piece of Go that is no
// program stands, as it is, in an example that is compiled.
func TestReadme(t *testing.T) {
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
	var examples strings.Builder
	goFiles(t, func(path string, _ []string, text string) {
		if strings.HasPrefix(path, "examples/") || strings.HasSuffix(path, "example_test.go") {
			examples.WriteString(text)
		}
	})
	all := blocks(t, "README.md")
	program := ""
	ran := 0
	for i, b := range all {
		switch {
		case b.language == "go" && strings.HasPrefix(b.text, "package main"):
			if program == "" {
				program = b.text
			}
			got := run(t, newModule(t, app, b.text), "go mod edit -require=github.com/taskscope/taskscope@v0.0.0 -replace=github.com/taskscope/taskscope=../taskscope && go mod tidy >/dev/null 2>&1 && go run .")
			if i+1 < len(all) && all[i+1].language == "text" {
				got = regexp.MustCompile(`time=\S+`).ReplaceAllString(got, "time=…")
				if got != all[i+1].text {
					t.Errorf("the program prints\n%s\nand the README says\n%s", got, all[i+1].text)
				}
			}
			ran++
		case b.language == "go":
			for line := range strings.Lines(b.text) {
				if line = strings.TrimSpace(line); line != "" && !strings.Contains(examples.String(), line) {
					t.Errorf("no example has this line of the README:\n%s", line)
				}
			}
		case b.language == "sh" && strings.Contains(b.text, "make test"):
			// This is what is running now.
		case b.language == "sh" && strings.HasPrefix(b.text, "make "):
			run(t, root, "make --dry-run "+strings.TrimPrefix(b.text, "make ")) // takes too long
		case b.language == "sh" && strings.Contains(b.text, " -serve"):
			serve(t, root, b.text)
			ran++
		case b.language == "sh" && strings.HasPrefix(b.text, "curl"):
			if got := run(t, root, b.text); strings.Count(got, "X-Request-Id: r-17") != 1 || strings.Count(got, "X-Request-Id: ") != 2 {
				t.Errorf("curl prints\n%s", got)
			}
			ran++
		case b.language == "sh" && strings.Contains(b.text, "./"+"examples"):
			run(t, root, b.text)
			ran++
		case b.language == "sh":
			run(t, newModule(t, app, program), b.text)
			ran++
		case b.language != "text":
			t.Errorf("a block of %q, which this test doesn't know:\n%s", b.language, b.text)
		}
	}
	if ran < 6 {
		t.Errorf("only %d programs and commands found", ran)
	}
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
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
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
