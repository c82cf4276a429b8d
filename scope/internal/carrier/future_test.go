//go:build !purego

package carrier

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A Go to come is made of this one here: the go command's -overlay builds the tests of
// this package with other files in place of some of the standard library's, or of two
// functions of our own. Then the start-up check has to refuse what it finds, and the
// contract has to hold on the path that takes over.

// wantPath is the environment variable that tells such a process which path must be
// its best one.
const wantPath = "TASKSCOPE_TEST_WANT_PATH"

func TestPathOfAnAlteredGo(t *testing.T) {
	want := os.Getenv(wantPath)
	if want == "" {
		t.Skip("the other tests of this file run it")
	}
	if best.String() != want || Active() != best {
		t.Errorf("best is %v, active %v, want %s", best, Active(), want)
	}
	if why := Why(); (why == "") != (best == Direct) || best != Direct && !strings.Contains(why, runtime.Version()) {
		t.Errorf("%v is the best one, because %q", best, why)
	}
}

// layouts are ways to hold labels that this code doesn't know. Each is the type
// labelMap with a function that makes one of sorted pairs, and one that gives them back.
var layouts = map[string]string{
	"unaltered": `
		type pair struct{ key, value string }
		type labelMap struct{ list []pair }
		func newLabelMap(pairs [][2]string) *labelMap {
			m := &labelMap{}
			for _, p := range pairs { m.list = append(m.list, pair{p[0], p[1]}) }
			return m
		}
		func (m *labelMap) pairs() (pairs [][2]string) {
			for _, p := range m.list { pairs = append(pairs, [2]string{p.key, p.value}) }
			return pairs
		}`,
	"another field": `
		type pair struct{ key, value string }
		type labelMap struct{ list []pair; hash uint32 }
		func newLabelMap(pairs [][2]string) *labelMap {
			m := &labelMap{hash: 1}
			for _, p := range pairs { m.list = append(m.list, pair{p[0], p[1]}) }
			return m
		}
		func (m *labelMap) pairs() (pairs [][2]string) {
			for _, p := range m.list { pairs = append(pairs, [2]string{p.key, p.value}) }
			return pairs
		}`,
	"a map": `
		type labelMap map[string]string
		func newLabelMap(pairs [][2]string) *labelMap {
			m := labelMap{}
			for _, p := range pairs { m[p[0]] = p[1] }
			return &m
		}
		func (m *labelMap) pairs() (pairs [][2]string) {
			for k, v := range *m { pairs = append(pairs, [2]string{k, v}) }
			slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
			return pairs
		}`,
	"a chain": `
		type labelMap struct{ parent *labelMap; key, value string }
		func newLabelMap(pairs [][2]string) *labelMap {
			m := &labelMap{}
			for _, p := range pairs { m = &labelMap{m, p[0], p[1]} }
			return m
		}
		func (m *labelMap) pairs() (pairs [][2]string) {
			if m.parent == nil { return nil }
			return append(m.parent.pairs(), [2]string{m.key, m.value})
		}`,
	"a reordered pair": `
		type pair struct{ value, key string }
		type labelMap struct{ list []pair }
		func newLabelMap(pairs [][2]string) *labelMap {
			m := &labelMap{}
			for _, p := range pairs { m.list = append(m.list, pair{p[1], p[0]}) }
			return m
		}
		func (m *labelMap) pairs() (pairs [][2]string) {
			for _, p := range m.list { pairs = append(pairs, [2]string{p.key, p.value}) }
			return pairs
		}`,
	"a larger pair": `
		type pair struct{ key, value string; unit uint64 }
		type labelMap struct{ list []pair }
		func newLabelMap(pairs [][2]string) *labelMap {
			m := &labelMap{}
			for _, p := range pairs { m.list = append(m.list, pair{p[0], p[1], 1}) }
			return m
		}
		func (m *labelMap) pairs() (pairs [][2]string) {
			for _, p := range m.list { pairs = append(pairs, [2]string{p.key, p.value}) }
			return pairs
		}`,
	"pointers to pairs": `
		type pair struct{ key, value string }
		type labelMap struct{ list []*pair }
		func newLabelMap(pairs [][2]string) *labelMap {
			m := &labelMap{}
			for _, p := range pairs { m.list = append(m.list, &pair{p[0], p[1]}) }
			return m
		}
		func (m *labelMap) pairs() (pairs [][2]string) {
			for _, p := range m.list { pairs = append(pairs, [2]string{p.key, p.value}) }
			return pairs
		}`,
	"an unsorted list": `
		type pair struct{ key, value string }
		type labelMap struct{ list []pair }
		func newLabelMap(pairs [][2]string) *labelMap {
			m := &labelMap{}
			for _, p := range slices.Backward(pairs) { m.list = append(m.list, pair{p[0], p[1]}) }
			return m
		}
		func (m *labelMap) pairs() (pairs [][2]string) {
			for _, p := range slices.Backward(m.list) { pairs = append(pairs, [2]string{p.key, p.value}) }
			return pairs
		}`,
}

// labelsOnAnyLayout is the part of runtime/pprof that has to do with labels, over
// whatever layout is put below it.
const labelsOnAnyLayout = `package pprof

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

type LabelSet struct{ pairs [][2]string }

type labelContextKey struct{}

func Labels(args ...string) LabelSet {
	if len(args)%2 != 0 { panic("an odd number of arguments") }
	var pairs [][2]string
	for i := 0; i < len(args); i += 2 { pairs = append(pairs, [2]string{args[i], args[i+1]}) }
	return LabelSet{merged(nil, pairs)}
}

func merged(old, more [][2]string) [][2]string {
	list := slices.Clone(old)
	for _, p := range more {
		list = slices.DeleteFunc(list, func(o [2]string) bool { return o[0] == p[0] })
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return list
}

func pairsOf(ctx context.Context) [][2]string {
	if m, _ := ctx.Value(labelContextKey{}).(*labelMap); m != nil { return m.pairs() }
	return nil
}

func WithLabels(ctx context.Context, labels LabelSet) context.Context {
	return context.WithValue(ctx, labelContextKey{}, newLabelMap(merged(pairsOf(ctx), labels.pairs)))
}

func Label(ctx context.Context, key string) (string, bool) {
	for _, p := range pairsOf(ctx) {
		if p[0] == key { return p[1], true }
	}
	return "", false
}

func ForLabels(ctx context.Context, f func(key, value string) bool) {
	for _, p := range pairsOf(ctx) {
		if !f(p[0], p[1]) { return }
	}
}

func (m *labelMap) String() string {
	if m == nil { return "" }
	return fmt.Sprint(m.pairs())
}

// all is what the profile writers range over.
func (m *labelMap) all() (list []struct{ Key, Value, key, value string }) {
	if m == nil { return nil }
	for _, p := range m.pairs() {
		list = append(list, struct{ Key, Value, key, value string }{p[0], p[1], p[0], p[1]})
	}
	return list
}
`

// overLabels is how the profile writers of Go 1.25 and later reach the list of labels.
var overLabels = regexp.MustCompile(`(for _, lbl := range .*)\.(Set\.List|list) \{`)

func TestAnotherLayoutIsRefusedAndTheLabelsPathTakesOver(t *testing.T) {
	std := filepath.Join(goroot(t), "src", "runtime", "pprof")
	files := map[string]string{}
	for _, name := range []string{"pprof.go", "proto.go"} {
		text := readFile(t, filepath.Join(std, name))
		altered := overLabels.ReplaceAllString(text, "$1.all() {")
		if altered == text {
			t.Skipf("%s of %s reaches labels in another way than Go 1.25 to 1.27", name, runtime.Version())
		}
		files[filepath.Join(std, name)] = altered
	}
	for name, layout := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := map[string]string{filepath.Join(std, "label.go"): labelsOnAnyLayout + layout}
			for path, text := range files {
				all[path] = text
			}
			want := Labels
			if name == "unaltered" { // or the others would prove nothing
				want = Direct
			}
			runAltered(t, all, want)
		})
	}
}

// slots are ways in which the slot can fail to be what it is, as functions that stand
// in front of the runtime's.
var slots = map[string]string{
	"the slot holds another pointer": `
		func setSlot(set unsafe.Pointer) { runtimeSet(set) }
		func getSlot() unsafe.Pointer {
			if p := runtimeGet(); p != nil { return unsafe.Pointer(&struct{ p unsafe.Pointer }{p}) }
			return nil
		}`,
	"a new goroutine gets nothing": `
		var owners struct { sync.Mutex; of map[unsafe.Pointer]uint64 }
		func setSlot(set unsafe.Pointer) { runtimeSet(set) }
		func getSlot() unsafe.Pointer {
			p, id := runtimeGet(), goid()
			owners.Lock()
			defer owners.Unlock()
			if owners.of == nil { owners.of = map[unsafe.Pointer]uint64{} }
			if _, ok := owners.of[p]; !ok { owners.of[p] = id }
			if owners.of[p] != id { return nil }
			return p
		}`,
	"the slot can't be written": `
		func setSlot(unsafe.Pointer) {}
		func getSlot() unsafe.Pointer { return runtimeGet() }`,
	"the slot is always empty": `
		func setSlot(set unsafe.Pointer) { runtimeSet(set) }
		func getSlot() unsafe.Pointer { return nil }`,
}

var pulled = regexp.MustCompile(`(//go:linkname )([gs]etSlot)( .*\nfunc )([gs]etSlot)`)

func TestAnotherSlotIsRefusedAndThePortablePathTakesOver(t *testing.T) {
	goroot(t)
	file, err := filepath.Abs("slot.go")
	if err != nil {
		t.Fatal(err)
	}
	renames := strings.NewReplacer("getSlot", "runtimeGet", "setSlot", "runtimeSet")
	text := pulled.ReplaceAllStringFunc(readFile(t, file), renames.Replace)
	for name, slot := range slots {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			altered := strings.Replace(text, "import \"unsafe\"", "import (\n\t\"sync\"\n\t\"unsafe\"\n)", 1) + "\nvar _ sync.Mutex\n" + slot
			runAltered(t, map[string]string{file: altered}, Portable)
		})
	}
}

// runAltered builds the contract tests with these files in place of the originals, and runs them.
// The best path must be want.
func runAltered(t *testing.T, files map[string]string, want Path) {
	t.Helper()
	folder := t.TempDir()
	replace := map[string]string{}
	for path, text := range files {
		replace[path] = filepath.Join(folder, fmt.Sprint(len(replace), ".go"))
		writeFile(t, replace[path], text)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, "overlay.json"), string(overlay))
	// The tests on garbage collection take long and have nothing to do with layouts.
	out, err := goCommand("", []string{wantPath + "=" + want.String()}, "test", "-v", "-vet=off", "-overlay", filepath.Join(folder, "overlay.json"),
		"-run", "^(TestPathOfAnAlteredGo|TestContract|TestContractLabels|TestLabelKeyIsTheOneThatContextsUse)$", ".")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, passed := range []string{
		"--- PASS: TestPathOfAnAlteredGo",
		"    --- PASS: TestContract/load_gives_the_object_that_was_bound_last/" + want.String(),
	} {
		if !strings.Contains(out, passed) {
			t.Errorf("%q is missing in\n%s", passed, out)
		}
	}
	if want < Direct && strings.Contains(out, "--- PASS: TestContract/load_gives_the_object_that_was_bound_last/direct") {
		t.Errorf("the direct path was taken:\n%s", out)
	}
}

// The linker accepts what we pull, checks it, and refuses what isn't for everyone.
func TestLinkerAcceptsTheTwoFunctions(t *testing.T) {
	goroot(t)
	program := filepath.Join(t.TempDir(), "carrier.exe")
	if out, err := goCommand("", nil, "test", "-c", "-o", program, "-ldflags=-checklinkname=1", "."); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "-test.v", "-test.run=^TestPathOfAnAlteredGo$")
	cmd.Env = append(os.Environ(), wantPath+"=direct", EnvPath+"=")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}

	// By default it is just as strict: this is what docs/carrier.md says it would print.
	refused := t.TempDir()
	version, _, _ := strings.Cut(strings.TrimPrefix(runtime.Version(), "go"), "-")
	writeFile(t, filepath.Join(refused, "go.mod"), "module example.com/app\n\ngo "+version+"\n")
	writeFile(t, filepath.Join(refused, "empty.s"), "")
	writeFile(t, filepath.Join(refused, "main.go"), `package main

import _ "unsafe"

//go:linkname stopTheWorldGC runtime.stopTheWorldGC
func stopTheWorldGC(reason uint8)

func main() { stopTheWorldGC(0) }
`)
	const text = "link: main: invalid reference to runtime.stopTheWorldGC"
	out, err := goCommand(refused, nil, "build", "-o", program, ".")
	if err == nil || !strings.Contains(out, text) {
		t.Errorf("err is %v; want %q in\n%s", err, text, out)
	}
	if !strings.Contains(readFile(t, "../../../docs/carrier.md"), text) {
		t.Errorf("docs/carrier.md doesn't say %q", text)
	}
}

// With the tag purego nothing of ours needs the linker's leave.
func TestPuregoHasNoUnsafeAndNoLinkname(t *testing.T) {
	goroot(t)
	out, err := goCommand("../../..", nil, "list", "-tags=purego", "-f",
		`{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .SFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}`, "./...")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seen := map[string]bool{}
	for path := range strings.Lines(out) {
		path = strings.TrimSpace(path)
		seen[filepath.Base(path)] = true
		text := readFile(t, path)
		if filepath.Ext(path) != ".go" {
			t.Errorf("%s is assembly", path)
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			if spec.Path.Value == `"unsafe"` || spec.Path.Value == `"C"` {
				t.Errorf("%s imports %s", path, spec.Path.Value)
			}
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "//go:"+"linkname") {
				t.Errorf("%s: %s", path, line)
			}
		}
	}
	// purego.go is what is built in place of slot.go, check.go and linkname.s.
	for name, want := range map[string]bool{"purego.go": true, "slot.go": false, "check.go": false, "linkname.s": false, "carrier.go": true, "slogh.go": true} {
		if seen[name] != want {
			t.Errorf("%s in the build: %v", name, seen[name])
		}
	}
	program := filepath.Join(t.TempDir(), "carrier.exe")
	if out, err := goCommand("", nil, "test", "-c", "-tags=purego", "-o", program, "-ldflags=-checklinkname=1", "."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// ---- helpers ----

// goCommand runs the go command in folder, with these environment variables more.
func goCommand(folder string, env []string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", EnvPath+"=")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// goroot is where the standard library's source is. Where there is no go command, as on
// an emulated machine, the test is skipped.
func goroot(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a part of the standard library")
	}
	out, err := goCommand("", nil, "env", "GOROOT", "GOMODCACHE")
	if err != nil {
		t.Skipf("no go command here: %v", err)
	}
	root, cache, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if strings.HasPrefix(root, cache) {
		// A toolchain that the go command has fetched. Overlays can't replace files of the
		// module cache, but it takes no notice of where a link leads.
		link := filepath.Join(t.TempDir(), "go")
		if err := os.Symlink(root, link); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
		t.Setenv("GOROOT", link)
		root = link
	}
	return root
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
