package taskscope_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	xslog "golang.org/x/exp/slog"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/slogh/xslogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// An output is a logger with a format, and how it treats text that comes from outside.
type output struct {
	name       string
	json       bool // each line is one JSON object
	rawKey     bool // a key is written as it is
	rawMessage bool // a message is written as it is
	log        func(w io.Writer) func(msg string)
}

func outputs() []output {
	ofZap := func(enc func(zapcore.EncoderConfig) zapcore.Encoder) func(io.Writer) func(string) {
		return func(w io.Writer) func(string) {
			core := zapcore.NewCore(enc(zap.NewProductionEncoderConfig()), zapcore.AddSync(w), zap.InfoLevel)
			l := zap.New(zaph.New(core, nil))
			return func(msg string) { l.Info(msg) }
		}
	}
	ofZerolog := func(w io.Writer) func(string) {
		l := zerolog.New(w).Hook(zeroh.New(nil))
		return func(msg string) { l.Info().Msg(msg) }
	}
	return []output{
		{name: "slog.JSONHandler", json: true, log: func(w io.Writer) func(string) {
			l := slog.New(slogh.New(slog.NewJSONHandler(w, nil), nil))
			return func(msg string) { l.Info(msg) }
		}},
		{name: "slog.TextHandler", log: func(w io.Writer) func(string) {
			l := slog.New(slogh.New(slog.NewTextHandler(w, nil), nil))
			return func(msg string) { l.Info(msg) }
		}},
		{name: "x/exp/slog.JSONHandler", json: true, log: func(w io.Writer) func(string) {
			l := xslog.New(xslogh.New(xslog.NewJSONHandler(w, nil), nil))
			return func(msg string) { l.Info(msg) }
		}},
		{name: "x/exp/slog.TextHandler", log: func(w io.Writer) func(string) {
			l := xslog.New(xslogh.New(xslog.NewTextHandler(w, nil), nil))
			return func(msg string) { l.Info(msg) }
		}},
		{name: "zapcore.NewJSONEncoder", json: true, log: ofZap(zapcore.NewJSONEncoder)},
		{name: "zapcore.NewConsoleEncoder", rawMessage: true, log: ofZap(zapcore.NewConsoleEncoder)},
		{name: "zerolog", json: true, log: ofZerolog},
		{name: "zerolog.ConsoleWriter", rawKey: true, rawMessage: true, log: func(w io.Writer) func(string) {
			return ofZerolog(zerolog.ConsoleWriter{Out: w, NoColor: true})
		}},
	}
}

// hostile is text that breaks out of a line, a string or a field where it isn't escaped.
var hostile = func() string {
	text := "a\nlevel=ERROR forged=1 \",\"forged\":1,\"x\":\"\\"
	for c := range rune(' ') {
		text += string(c)
	}
	return text + "\x7f\x1b[2Jz"
}()

type hostileStringer struct{}

func (hostileStringer) String() string { return hostile }

// breaks reports whether line, written for hostile text, is more than one line or would
// do something to a terminal. The console formats have tabs between their columns.
func breaks(line string) bool {
	line, ended := strings.CutSuffix(line, "\n")
	return !ended || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' })
}

func TestNoValueInAScopeBreaksALine(t *testing.T) {
	values := map[string]any{
		"a string":    hostile,
		"a Stringer":  hostileStringer{},
		"an error":    errors.New(hostile),
		"bytes":       []byte(hostile),
		"a slice":     []string{hostile},
		"a map":       map[string]string{hostile: hostile},
		"a group":     slog.GroupValue(slog.String("in", hostile)),
		"a LogValuer": hostileLogValuer{},
		"what panics": hostilePanic{},
	}
	for _, o := range outputs() {
		for _, what := range slices.Sorted(maps.Keys(values)) {
			var b bytes.Buffer
			log := o.log(&b)
			scope.New("k", values[what]).Run(func() { log("hello") })
			if line := b.String(); breaks(line) {
				t.Errorf("%s, %s: %q", o.name, what, line)
			}
			checkJSON(t, o, what, b.Bytes())
		}
	}
}

type hostileLogValuer struct{}

func (hostileLogValuer) LogValue() slog.Value { return slog.StringValue(hostile) }

type hostilePanic struct{}

func (hostilePanic) LogValue() slog.Value { panic(hostile) }

// A key that is hostile text breaks a line of zerolog's ConsoleWriter, which writes keys
// as they are, and of nothing else.
func TestWhereAKeyBreaksALine(t *testing.T) {
	for _, o := range outputs() {
		var b bytes.Buffer
		log := o.log(&b)
		scope.New(hostile, "v").Run(func() { log("hello") })
		if broken := breaks(b.String()); broken != o.rawKey {
			t.Errorf("%s: broken is %v: %q", o.name, broken, b.String())
		}
		checkJSON(t, o, "a key", b.Bytes())
	}
}

// The message is the logger's own affair: the console formats write it as it is.
func TestWhereAMessageBreaksALine(t *testing.T) {
	for _, o := range outputs() {
		var b bytes.Buffer
		log := o.log(&b)
		scope.New("k", "v").Run(func() { log(hostile) })
		if broken := breaks(b.String()); broken != o.rawMessage {
			t.Errorf("%s: broken is %v: %q", o.name, broken, b.String())
		}
		checkJSON(t, o, "a message", b.Bytes())
	}
}

func checkJSON(t *testing.T, o output, what string, line []byte) {
	t.Helper()
	if !o.json {
		return
	}
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Errorf("%s, %s: %v in %q", o.name, what, err, line)
	}
	if _, forged := fields["forged"]; forged {
		t.Errorf("%s, %s: a field was forged: %q", o.name, what, line)
	}
}

// Policies are about what is in the scope. A field that a line brings itself is logged
// as it is, whatever its key.
func TestPoliciesAreAboutScopeFields(t *testing.T) {
	_ = scope.NewKey[string]("security_test_token", scope.Redacted)
	var b bytes.Buffer
	l := slog.New(slogh.New(slog.NewJSONHandler(&b, nil), nil))
	scope.New("security_test_token", "in the scope").Run(func() {
		l.Info("hello")
		l.Info("hello", "security_test_token", "on the line")
	})
	first, second, _ := strings.Cut(b.String(), "\n")
	if strings.Contains(first, "in the scope") || !strings.Contains(first, scope.RedactedText) {
		t.Errorf("a redacted field: %s", first)
	}
	if !strings.Contains(second, "on the line") {
		t.Errorf("a field of the line: %s", second)
	}
}

// What is declared Profiled as well as Hidden or Redacted is in no profile with its value.
func TestASecretThatIsProfiledIsInNoProfile(t *testing.T) {
	if scope.Carrier() == "portable" {
		t.Skip("on the portable path a scope has no profiler labels")
	}
	_ = scope.NewKey[string]("security_test_hidden", scope.Hidden, scope.Profiled)
	_ = scope.NewKey[string]("security_test_redacted", scope.Redacted, scope.Profiled)
	scope.New("security_test_hidden", "value-1", "security_test_redacted", "value-2", "plain", "value-3").Run(func() {
		var b bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]bool{"security_test_hidden": false, "value-1": false, "value-2": false, scope.RedactedText: true, "value-3": false} {
			if strings.Contains(b.String(), text) != want {
				t.Errorf("%s in the goroutine profile: %v, want %v", text, !want, want)
			}
		}
	})
}

// SECURITY.md says that module otelscope alone reads the marks Traced and Measured. Whoever writes
// another package that does must say there where the values go.
func TestOnlyOtelscopeReadsTracedAndMeasured(t *testing.T) {
	marks := regexp.MustCompile(`\bscope\.(Traced|Measured)\b`)
	within := regexp.MustCompile(`\b(Traced|Measured)\b`) // package scope
	declared, read := 0, map[string]bool{}
	goFiles(t, func(file string, _ []string, text string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		for line := range strings.Lines(text) {
			code, _, _ := strings.Cut(line, "//")
			mark := marks.FindString(code)
			if path.Dir(file) == "scope" {
				mark = within.FindString(code)
			}
			switch {
			case mark == "":
			case strings.TrimSpace(code) == mark:
				declared++
			case path.Dir(file) == "otelscope":
				read[mark] = true
			case strings.Contains(code, "NewKey"): // an example declares one
			default:
				t.Errorf("%s: %s", file, line)
			}
		}
	})
	if declared != 2 || len(read) != 2 {
		t.Errorf("%d declarations are found, and otelscope reads %v: is this test looking in the right place?", declared, read)
	}
}

func readSecurity(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// SECURITY.md lists the direct requirements of the root module, and the packages whose
// code, tests aside, has them.
func TestSecurityListsTheDependencies(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\s*(\S+\.\S+/\S+) v\S+$`).FindAllSubmatch(mod, -1) {
		want[string(m[1])] = nil
	}
	if len(want) == 0 {
		t.Fatal("go.mod has no requirements")
	}
	nested := nestedModules(t)
	goFiles(t, func(name string, imports []string, _ string) {
		top, _, _ := strings.Cut(name, "/")
		if strings.HasSuffix(name, "_test.go") || top != "examples" && slices.Contains(notForImport, top) || slices.ContainsFunc(nested, func(n string) bool { return strings.HasPrefix(name, n+"/") }) {
			return // of no package that is imported
		}
		for _, imported := range imports {
			for dep := range want {
				if imported == dep || strings.HasPrefix(imported, dep+"/") {
					folder := path.Dir(name)
					if strings.HasPrefix(folder, "examples/") {
						folder = "examples"
					}
					if !slices.Contains(want[dep], folder) {
						want[dep] = append(want[dep], folder)
					}
				}
			}
		}
	})
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\S+\\.\\S+/\\S+)` \\| ([^|]*) \\|").FindAllStringSubmatch(readSecurity(t), -1) {
		listed[m[1]] = true
		folders, direct := want[m[1]]
		slices.Sort(folders)
		in := "tests only"
		if len(folders) > 0 {
			in = "`" + strings.Join(folders, "`, `") + "`"
		}
		switch {
		case !direct:
			t.Errorf("SECURITY.md lists %s, which go.mod doesn't require", m[1])
		case m[2] != in:
			t.Errorf("SECURITY.md says that %s is in %s; it is in %s", m[1], m[2], in)
		}
	}
	for dep := range want {
		if !listed[dep] {
			t.Errorf("SECURITY.md doesn't say what %s is for", dep)
		}
	}
}

// SECURITY.md names each module that is no part of this one.
func TestSecurityNamesTheModules(t *testing.T) {
	_, list, _ := strings.Cut(readSecurity(t), "nothing to generate or to fetch")
	list, _, _ = strings.Cut(list, " are modules of their own")
	named := strings.FieldsFunc(list, func(c rune) bool { return strings.ContainsRune(" ,\n", c) })
	for _, folder := range nestedModules(t) {
		if !slices.Contains(named, folder) {
			t.Errorf("SECURITY.md doesn't name the module %s", folder)
		}
	}
}

// nestedModules returns the folders below this one that are modules of their own.
func nestedModules(t *testing.T) (folders []string) {
	t.Helper()
	for _, pattern := range []string{"*/go.mod", "*/*/go.mod", "*/*/*/go.mod"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			folders = append(folders, path.Dir(filepath.ToSlash(file)))
		}
	}
	return folders
}

// Each test that SECURITY.md names is there.
func TestSecurityNamesTests(t *testing.T) {
	named := regexp.MustCompile("`([a-z/]*)\\.?((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(readSecurity(t), -1)
	if len(named) < 20 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, m := range named {
		folder, name := m[1], m[2]
		files, err := filepath.Glob(path.Join(folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			return err == nil && bytes.Contains(text, []byte("\nfunc "+name+"("))
		}) {
			t.Errorf("%q has no %s", folder, name)
		}
	}
}
