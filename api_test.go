package taskscope_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var updateAPI = flag.Bool("update", false, "write the files in api/ anew")

// The exported API of each package is what api/ says. docs/compatibility.md says what a
// difference means; "go test -run TestAPI . -update" takes it over.
func TestAPI(t *testing.T) {
	written := map[string]bool{}
	for _, folder := range publicFolders(t) {
		file := path.Join("api", strings.ReplaceAll(folder, "/", "-")+".txt")
		written[file] = true
		got := api(t, folder)
		// What a user may call doesn't depend on a build tag or a platform.
		for _, other := range []setting{{tag: "purego"}, {tag: "binary_log"}, {os: "js", arch: "wasm"}, {os: "windows", arch: "386"}} {
			if text := api(t, folder, other); text != got {
				t.Errorf("the API of %s with %+v differs:\n%s", folder, other, difference(got, text))
			}
		}
		if *updateAPI {
			if err := os.MkdirAll("api", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("a package without a file: %v", err)
			continue
		}
		if want := strings.ReplaceAll(string(want), "\r\n", "\n"); want != got {
			t.Errorf("the API of %s isn't what %s says (- file, + code):\n%s", folder, file, difference(want, got))
		}
	}
	files, err := filepath.Glob("api/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file = filepath.ToSlash(file); !written[file] {
			t.Errorf("%s is of no package", file)
		}
	}
	if len(written) < 5 {
		t.Errorf("only %d packages found: is this test looking in the right place?", len(written))
	}
}

// notForImport are the folders whose packages nobody is meant to import.
var notForImport = []string{"benchmarks", "examples", "internal", "testdata", "vendor"}

// publicFolders returns the folders of the packages that others may import, those of
// nested modules included.
func publicFolders(t *testing.T) (folders []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || name == "." {
			return err
		}
		if slices.Contains(notForImport, d.Name()) || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
			return filepath.SkipDir
		}
		pkg, err := build.ImportDir(name, 0)
		if err != nil {
			if _, none := err.(*build.NoGoError); none {
				return nil
			}
			return err
		}
		if pkg.Name != "main" && len(pkg.GoFiles)+len(pkg.CgoFiles) > 0 {
			folders = append(folders, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// A setting is what a build may differ in.
type setting struct{ tag, os, arch string }

// api returns the exported declarations of the package in folder, without comments and
// bodies, sorted, and the packages outside the standard library that they name.
func api(t *testing.T, folder string, settings ...setting) string {
	t.Helper()
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH, ctx.BuildTags, ctx.CgoEnabled = "linux", "amd64", nil, false
	for _, s := range settings {
		if s.tag != "" {
			ctx.BuildTags = append(ctx.BuildTags, s.tag)
		}
		if s.os != "" {
			ctx.GOOS, ctx.GOARCH = s.os, s.arch
		}
	}
	pkg, err := ctx.ImportDir(filepath.FromSlash(folder), 0)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	imports := map[string]map[string]bool{} // the name in the code -> import paths
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(pkg.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			name := nameOf(imported)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			if imports[name] == nil {
				imports[name] = map[string]bool{}
			}
			imports[name][imported] = true
		}
	}
	const module = "github.com/taskscope/taskscope/"
	p, err := doc.NewFromFiles(fset, files, module+folder)
	if err != nil {
		t.Fatal(err)
	}

	used := map[string]bool{}
	show := func(node ast.Node) string {
		ast.Inspect(node, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok {
					for imported := range imports[x.Name] {
						if strings.Contains(imported, ".") {
							used[imported] = true
						}
					}
				}
			}
			return true
		})
		var b bytes.Buffer
		if err := (&printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}).Fprint(&b, fset, node); err != nil {
			t.Fatal(err)
		}
		// Where a comment was, an empty line is left, which would split a column.
		text, err := format.Source(regexp.MustCompile(`\n\n+`).ReplaceAll(b.Bytes(), []byte("\n")))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	values := func(list []*doc.Value) (shown []string) {
		for _, v := range list {
			shown = append(shown, show(v.Decl))
		}
		return shown
	}
	functions := func(list []*doc.Func) (shown []string) {
		for _, f := range list {
			f.Decl.Body, f.Decl.Doc = nil, nil
			shown = append(shown, show(f.Decl))
		}
		return shown
	}
	// go/doc puts constructors and constants beside the type that it thinks they belong
	// to. Where they stand must not depend on what it thinks.
	consts, vars, funcs := values(p.Consts), values(p.Vars), functions(p.Funcs)
	var types []string
	for _, typ := range p.Types {
		consts = append(consts, values(typ.Consts)...)
		vars = append(vars, values(typ.Vars)...)
		funcs = append(funcs, functions(typ.Funcs)...)
		methods := functions(typ.Methods)
		slices.Sort(methods)
		types = append(types, strings.Join(append([]string{show(typ.Decl)}, methods...), "\n"))
	}

	var b strings.Builder
	fmt.Fprintf(&b, "package %s // import %q\n", p.Name, p.ImportPath)
	for _, imported := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintf(&b, "import %q\n", imported)
	}
	for _, list := range [][]string{consts, vars, funcs, types} {
		slices.Sort(list)
		for _, shown := range list {
			fmt.Fprintf(&b, "\n%s\n", shown)
		}
	}
	return b.String()
}

// nameOf guesses the name of the package with this path, as most are named.
func nameOf(imported string) string {
	name := path.Base(imported)
	if regexp.MustCompile(`^v[0-9]+$`).MatchString(name) {
		name = path.Base(path.Dir(imported))
	}
	return strings.TrimPrefix(name, "go-")
}

// difference returns the lines that only one of two texts has.
func difference(a, b string) string {
	var out strings.Builder
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, side := range []struct {
		mark        string
		these, have []string
	}{{"-", as, bs}, {"+", bs, as}} {
		for _, line := range side.these {
			if !slices.Contains(side.have, line) {
				fmt.Fprintf(&out, "%s %s\n", side.mark, line)
			}
		}
	}
	if out.Len() == 0 {
		return "(the same lines in another order)\n"
	}
	return out.String()
}

// docs/compatibility.md names the Go version that go.mod asks for.
func TestCompatibilityNamesTheLowestGo(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if m == nil {
		t.Fatal("go.mod has no go line")
	}
	if sentence := "The lowest supported version is Go " + string(m[1]) + "."; !strings.Contains(string(text), sentence) {
		t.Errorf("docs/compatibility.md doesn't say %q", sentence)
	}
}
