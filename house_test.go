package taskscope_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// The layers of the house, from the ground up. A package imports from layers below its
// own and from its own folder, and nothing from the folders beside it. A folder stands for
// all below it that isn't listed.
var layers = [][]string{
	{"scope/internal/carrier"},
	{"scope"},
	{"logadapters"},
	{"internal/entry"},
	{"slogh", "zaph", "zeroh"},
	{"httpscope", "jobscope", "grpcscope", "connectscope", "otelscope", "scope/scopetest"}, // the latter is for tests: it has all three loggers
	{"internal/testkit"},
	{"examples", "benchmarks", "internal/torture", "internal/leaks", "internal/interop", "otelscope/examples", "otelscope/internal"},
}

const (
	module    = "github.com/taskscope/taskscope/"
	scopeAt   = 1  // the layer of package scope
	helpersAt = -1 // that of the packages under internal that aren't listed
)

// layerOf returns the layer of a folder and which folder of that layer it is in. Packages
// under internal that aren't listed import the standard library and one another only, so
// all others may import them.
func layerOf(folder string) (layer int, in string, ok bool) {
	for i, folders := range layers {
		for _, f := range folders {
			if (folder == f || strings.HasPrefix(folder, f+"/")) && len(f) > len(in) {
				layer, in, ok = i, f, true
			}
		}
	}
	if !ok && strings.HasPrefix(folder, "internal/") {
		return helpersAt, "internal", true
	}
	return layer, in, ok
}

// badArrow returns what is wrong with an import, if anything.
func badArrow(folder, imported string) string {
	from, home, ok := layerOf(folder)
	if !ok {
		return "has no place in the house: which of the layers is it in?"
	}
	inside, ours := strings.CutPrefix(imported, module)
	if !ours {
		if from <= scopeAt && strings.Contains(imported, ".") {
			return "imports " + imported + "; scope and what it may import have the standard library only"
		}
		return ""
	}
	switch to, there, known := layerOf(inside); {
	case !known:
		return "imports " + inside + ", which is in none of the layers"
	case to > from:
		return "imports " + inside + ", which stands above it"
	case to == from && there != home:
		return "imports " + inside + ", which stands beside it"
	}
	return ""
}

// Imports point one way, and scope has no dependency.
func TestArrows(t *testing.T) {
	goFiles(t, func(file string, imports []string, _ string) {
		folder := path.Dir(file)
		if folder == "." || strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, imported := range imports {
			if bad := badArrow(folder, imported); bad != "" {
				t.Errorf("%s %s", file, bad)
			}
		}
	})
}

func TestArrowsThatRunBackAreFound(t *testing.T) {
	for arrow, bad := range map[[2]string]bool{
		{"zaph", module + "logadapters"}:                false,
		{"slogh/xslogh", module + "slogh"}:              false,
		{"scope/propagation", module + "scope"}:         false,
		{"scope/scopetest", module + "zaph"}:            false,
		{"scope/scopetest", "go.uber.org/zap"}:          false,
		{"examples/queue", module + "scope"}:            false,
		{"internal/leaks", module + "internal/testkit"}: false,
		{"httpscope", module + "internal/entry"}:        false,
		{"scope", module + "internal/a"}:                false,
		{"logadapters", module + "internal/a/b"}:        false,
		{"internal/a", module + "internal/b"}:           false,
		{"zaph", "go.uber.org/zap"}:                     false,
		{"otelscope", module + "logadapters"}:           false,
		{"otelscope/examples/a", module + "otelscope"}:  false,
		{"scope", "log/slog"}:                           false,

		{"scope", module + "logadapters"}:                  true,
		{"scope/internal/carrier", module + "scope"}:       true,
		{"logadapters", module + "slogh"}:                  true,
		{"zaph", module + "slogh"}:                         true,
		{"zeroh", module + "httpscope"}:                    true,
		{"httpscope", module + "internal/testkit"}:         true,
		{"internal/a", module + "scope"}:                   true,
		{"internal/a", module + "internal/entry"}:          true,
		{"internal/a", "go.uber.org/zap"}:                  true,
		{"scope", "go.uber.org/zap"}:                       true,
		{"scope", module + "scope/scopetest"}:              true,
		{"httpscope", module + "scope/scopetest"}:          true,
		{"jobscope", module + "httpscope"}:                 true,
		{"otelscope", module + "httpscope"}:                true,
		{"httpscope", module + "otelscope"}:                true,
		{"scope/propagation", "go.uber.org/zap"}:           true,
		{"scope/internal/carrier", "golang.org/x/sys/cpu"}: true,
		{"internal/torture", module + "internal/leaks"}:    true,
		{"newcomer", module + "scope"}:                     true,
		{"examples/queue", module + "newcomer"}:            true,
	} {
		if got := badArrow(arrow[0], arrow[1]); (got != "") != bad {
			t.Errorf("%s imports %s: %q", arrow[0], arrow[1], got)
		}
	}
}

// drawn returns what docs/design.md draws: a line for each import between two packages to
// which no longer way of imports leads, and one for each package that has none.
func drawn(t *testing.T) (lines []string) {
	t.Helper()
	imports := map[string]map[string]bool{}
	place := func(folder string) string {
		for _, one := range []string{"examples", "otelscope/examples"} { // drawn as one
			if strings.HasPrefix(folder, one+"/") {
				return one
			}
		}
		return folder
	}
	goFiles(t, func(file string, imported []string, _ string) {
		from := place(path.Dir(file))
		if from == "." || strings.HasSuffix(file, "_test.go") {
			return
		}
		if imports[from] == nil {
			imports[from] = map[string]bool{}
		}
		for _, i := range imported {
			if to, ours := strings.CutPrefix(i, module); ours && place(to) != from {
				imports[from][place(to)] = true
			}
		}
	})
	var leads func(from, to string) bool // by one import or more
	leads = func(from, to string) bool {
		for next := range imports[from] {
			if next == to || leads(next, to) {
				return true
			}
		}
		return false
	}
	touched := map[string]bool{}
	for from := range imports {
		for to := range imports[from] {
			touched[from], touched[to] = true, true
			longer := false
			for next := range imports[from] {
				longer = longer || leads(next, to)
			}
			if !longer {
				lines = append(lines, from+" --> "+to)
			}
		}
	}
	for folder := range imports {
		if !touched[folder] {
			lines = append(lines, folder)
		}
	}
	slices.Sort(lines)
	return lines
}

// The drawing in docs/design.md shows the packages that there are, and their imports.
func TestTheDrawingShowsTheImports(t *testing.T) {
	text, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, drawing, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "```mermaid\nflowchart TD\n")
	drawing, _, ended := strings.Cut(drawing, "```")
	if !found || !ended {
		t.Fatal("docs/design.md has no drawing")
	}
	var got []string
	for line := range strings.Lines(drawing) {
		got = append(got, strings.TrimSpace(line))
	}
	slices.Sort(got)
	if want := drawn(t); !slices.Equal(got, want) {
		t.Errorf("docs/design.md draws\n\t%s\nand the imports are\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// The rules that the code cites by number stand in docs/design.md.
func TestRulesThatAreCitedAreWritten(t *testing.T) {
	text, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for i, m := range regexp.MustCompile(`(?m)^### Rule (\d+): `).FindAllStringSubmatch(string(text), -1) {
		if m[1] != strconv.Itoa(i+1) {
			t.Errorf("rule %s stands where rule %d should", m[1], i+1)
		}
		written[m[1]] = true
	}
	cited := 0
	goFiles(t, func(file string, _ []string, text string) {
		for _, m := range regexp.MustCompile(`\b[Rr]ule (\d+)\b`).FindAllStringSubmatch(text, -1) {
			if cited++; !written[m[1]] {
				t.Errorf("%s cites rule %s, which docs/design.md doesn't have", file, m[1])
			}
		}
	})
	if cited == 0 {
		t.Error("no rule is cited: is this test looking in the right place?")
	}
}

const maxLines = 400

// A file is short enough to be read at one sitting. Tests may be longer, and so may the
// folders that are mostly tables of cases.
func TestNoFileIsTooLong(t *testing.T) {
	goFiles(t, func(file string, _ []string, text string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, folder := range []string{"logadapters/adaptertest", "benchmarks", "examples"} {
			if strings.HasPrefix(file, folder+"/") {
				return
			}
		}
		if n := strings.Count(text, "\n"); n > maxLines {
			t.Errorf("%s has %d lines; %d are allowed", file, n, maxLines)
		}
	})
}

// The workflow has no commands of its own: what it runs can be run here.
func TestTheWorkflowRunsTheTargets(t *testing.T) {
	workflow, err := os.ReadFile(".github/workflows/ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, m := range regexp.MustCompile(`(?m)^\s+- run: (.*)$`).FindAllStringSubmatch(string(workflow), -1) {
		runs = append(runs, m[1])
		target, isMake := strings.CutPrefix(m[1], "make ")
		switch {
		case isMake && strings.Contains(string(makefile), "\n"+target+":"):
		case m[1] == ".ci/run" && there(m[1]):
		case strings.HasPrefix(m[1], "sudo apt-get "):
		default:
			t.Errorf("the workflow runs %q, which is no target of the Makefile", m[1])
		}
	}
	for _, want := range []string{"make check", ".ci/run"} {
		if !slices.Contains(runs, want) {
			t.Errorf("the workflow doesn't run %s: it runs %q", want, runs)
		}
	}
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

// otelscope requires OpenTelemetry's API and SDK alone. What exports, bridges or instruments is of modules of
// their own, inside its folder.
func TestWhatOtelscopeRequires(t *testing.T) {
	mod, err := os.ReadFile("otelscope/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	direct := regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) v\S+$`).FindAllSubmatch(mod, -1)
	may := regexp.MustCompile(`^(github\.com/taskscope/taskscope|go\.opentelemetry\.io/otel(/sdk)?(/log|/metric|/trace)?)$`)
	for _, m := range direct {
		if !may.Match(m[1]) {
			t.Errorf("otelscope/go.mod requires %s", m[1])
		}
	}
	if len(direct) < 5 {
		t.Errorf("only %d requirements are found: is this test looking in the right place?", len(direct))
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
