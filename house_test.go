package taskscope_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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

// Whoever builds with the module needs no C compiler.
func TestNoCgo(t *testing.T) {
	goFiles(t, func(path string, imports []string, _ string) {
		if slices.Contains(imports, "C") {
			t.Errorf("%s uses cgo", path)
		}
	})
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
