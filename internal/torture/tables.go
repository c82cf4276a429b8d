package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/taskscope/taskscope/internal/results"
)

// A build is this program built and run in one way.
type build struct {
	name     string
	flags    []string // of go build
	buildEnv []string
	env      []string // of the run
	divide   int64    // how much slower it is: it runs as many lines less
	optional bool     // where it can't be built, that is said, and is no failure
}

// carrier is the path that it must run on.
func (b build) carrier() string {
	for _, setting := range b.env {
		if path, asked := strings.CutPrefix(setting, "TASKSCOPE_CARRIER="); asked {
			return path
		}
	}
	if slices.Contains(b.flags, "-tags=purego") {
		return "portable"
	}
	return "direct"
}

var tableBuilds = []build{
	{name: "plain", divide: 1},
	{name: "`-race`", flags: []string{"-race"}, buildEnv: []string{"CGO_ENABLED=1"}, divide: 10},
	{name: "`-gcflags=all=-d=checkptr`", flags: []string{"-gcflags=all=-d=checkptr"}, divide: 10},
	{name: "`TASKSCOPE_CARRIER=labels`", env: []string{"TASKSCOPE_CARRIER=labels"}, divide: 10},
	{name: "`TASKSCOPE_CARRIER=portable`", env: []string{"TASKSCOPE_CARRIER=portable"}, divide: 50},
	{name: "`-tags purego`", flags: []string{"-tags=purego"}, divide: 50},
}

// The experiments are those that the release notes of Go offer to its users. One that is
// on by default is switched off.
var stressBuilds = []build{
	{name: "plain", divide: 1},
	{name: "`GOTOOLCHAIN=go1.25.0`", buildEnv: []string{"GOTOOLCHAIN=go1.25.0"}, divide: 2, optional: true}, // the oldest that go.mod takes
	{name: "`GOGC=1`", env: []string{"GOGC=1"}, divide: 4},
	{name: "`GODEBUG=gccheckmark=1`", env: []string{"GODEBUG=gccheckmark=1"}, divide: 4},
	{name: "`GODEBUG=clobberfree=1`", env: []string{"GODEBUG=clobberfree=1"}, divide: 2},
	{name: "`GODEBUG=invalidptr=1`", env: []string{"GODEBUG=invalidptr=1"}, divide: 2},
	{name: "`GODEBUG=tracebacklabels=1`", env: []string{"GODEBUG=tracebacklabels=1"}, divide: 2},
	{name: "all of these", env: []string{"GOGC=1", "GODEBUG=gccheckmark=1,clobberfree=1,invalidptr=1,tracebacklabels=1"}, divide: 10},
	{name: "all of these, `TASKSCOPE_CARRIER=labels`", env: []string{"TASKSCOPE_CARRIER=labels", "GOGC=1", "GODEBUG=gccheckmark=1,clobberfree=1,invalidptr=1,tracebacklabels=1"}, divide: 20},
	{name: "`-gcflags=all=-d=checkptr`, `GOGC=1`", flags: []string{"-gcflags=all=-d=checkptr"}, env: []string{"GOGC=1"}, divide: 10},
	{name: "`-race`", flags: []string{"-race"}, buildEnv: []string{"CGO_ENABLED=1"}, divide: 10},
	{name: "`-race`, `GOGC=1`, `GODEBUG=clobberfree=1`", flags: []string{"-race"}, buildEnv: []string{"CGO_ENABLED=1"}, env: []string{"GOGC=1", "GODEBUG=clobberfree=1"}, divide: 20},
	{name: "`-asan`", flags: []string{"-asan"}, buildEnv: []string{"CGO_ENABLED=1"}, env: []string{"ASAN_OPTIONS=detect_leaks=0"}, divide: 10, optional: true},
	{name: "`-msan`", flags: []string{"-msan"}, buildEnv: []string{"CGO_ENABLED=1", "CC=clang"}, divide: 10, optional: true},
	{name: "`GOEXPERIMENT=nogreenteagc`", buildEnv: []string{"GOEXPERIMENT=nogreenteagc"}, env: []string{"GOGC=5"}, divide: 4, optional: true},
	{name: "`GOEXPERIMENT=greenteagc`", buildEnv: []string{"GOEXPERIMENT=greenteagc"}, env: []string{"GOGC=5"}, divide: 4, optional: true},
	{name: "`GOEXPERIMENT=jsonv2`", buildEnv: []string{"GOEXPERIMENT=jsonv2"}, divide: 4, optional: true},
	{name: "`GOEXPERIMENT=norandomizedheapbase64`", buildEnv: []string{"GOEXPERIMENT=norandomizedheapbase64"}, divide: 4, optional: true},
	{name: "`GOEXPERIMENT=goroutineleakprofile`", buildEnv: []string{"GOEXPERIMENT=goroutineleakprofile"}, divide: 4, optional: true},
	{name: "`GOEXPERIMENT=nosizespecializedmalloc`", buildEnv: []string{"GOEXPERIMENT=nosizespecializedmalloc"}, divide: 4, optional: true},
}

// The last line that tortured prints, and the one about what watched.
var (
	reported = regexp.MustCompile(`(?m)^seed \d+: (\d+) units, (\d+) goroutines, (\d+) lines \(slog (\d+), zap (\d+), zerolog (\d+)\), (\d+) reads, carrier (\w+), ([\d.]+) s$`)
	watching = regexp.MustCompile(`(?m)^watched: (\d+) CPU profiles, (\d+) goroutine profiles, (\d+) execution traces, (\d+) heap dumps$`)
)

func writeTable(out io.Writer, file string, lines int64, seed uint64) error {
	var text strings.Builder
	fmt.Fprintf(&text, `# Attribution torture

Written by `+"`make torture N=%d SEED=%d`"+`, not by hand. A generated program of goroutines sets, deletes and
clears fields, runs scopes, forks (go, WaitGroup.Go, scope.Go, pools, timers, context.AfterFunc, iter.Pull),
panics, exits, changes profiler labels, hands contexts, scopes and work over, and leaves goroutines behind. An exact model,
passed on in plain variables, predicts each line: all its fields, their order, and scope_ended. Each line was
compared with its prediction, byte for byte behind the time, and the answers of the store ("reads") with the model.
A seed makes the same program again; how many units of it run depends on the number of lines.

Measured with %s.

| build | carrier | lines | slog | zap | zerolog | reads | goroutines | deviations | s |
|---|---|---|---|---|---|---|---|---|---|
`, lines, seed, results.MeasuredWith())
	return writeRuns(out, file, &text, tableBuilds, func(b build) []string {
		return []string{"-n", strconv.FormatInt(max(lines/b.divide, 1000), 10), "-seed", strconv.FormatUint(seed, 10)}
	}, func(row *strings.Builder, b build, output string) {
		m := reported.FindStringSubmatch(output)
		fmt.Fprintf(row, "| %s | %s | %s | %s | %s | %s | %s | %s | 0 | %s |\n", b.name, m[8], m[3], m[4], m[5], m[6], m[7], m[2], m[9])
	})
}

func writeStress(out io.Writer, file string, lines int64, seed uint64) error {
	var text strings.Builder
	fmt.Fprintf(&text, `# Under the runtime's own stress

Written by `+"`make stress N=%d SEED=%d`"+`, not by hand. Each row is a run of the program that [torture.md](torture.md)
describes, while CPU profiles, goroutine profiles (as protobuf, as text, as tracebacks), execution traces and heap dumps
are taken all the while; slower builds write fewer lines. Each line was compared with the model; there was no deviation, no crash
and no report by a sanitizer where a row has figures. Go 1.26 and later get no heap dumps: one ends the program if a
goroutine is just entering a system call (dumpgs in runtime/heapdump.go). "not run" says why a row has none; -msan needs clang (Debian's
packages clang and libclang-rt-dev). s is the time of the run, without that of the build.

Measured with %s.

| build and environment | carrier | lines | goroutines | CPU profiles | goroutine profiles | traces | heap dumps | s |
|---|---|---|---|---|---|---|---|---|
`, lines, seed, results.MeasuredWith())
	return writeRuns(out, file, &text, stressBuilds, func(b build) []string {
		return []string{"-watched", "-n", strconv.FormatInt(max(lines/b.divide, 1000), 10), "-seed", strconv.FormatUint(seed, 10)}
	}, func(row *strings.Builder, b build, output string) {
		m, w := reported.FindStringSubmatch(output), watching.FindStringSubmatch(output)
		if w == nil {
			w = make([]string, 5)
		}
		fmt.Fprintf(row, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", b.name, m[8], m[3], m[2], w[1], w[2], w[3], w[4], m[9])
	})
}

// writeRuns builds and runs all builds and writes a row of each behind text.
func writeRuns(out io.Writer, file string, text *strings.Builder, builds []build, args func(build) []string, row func(*strings.Builder, build, string)) error {
	folder, err := os.MkdirTemp("", "torture")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	var failed []error
	for _, b := range builds {
		program := filepath.Join(folder, "torture.exe")
		fmt.Fprintf(out, "== %s\n", b.name)
		if output, err := results.Command(b.buildEnv, "go", append([]string{"build", "-o", program}, append(b.flags, "./internal/torture")...)...); err != nil {
			if b.optional {
				fmt.Fprintf(text, "| %s | not run: %s |\n", b.name, lastLine(output, err))
				fmt.Fprintf(out, "not run: %s\n", lastLine(output, err))
				continue
			}
			return fmt.Errorf("%s: %w\n%s", b.name, err, output)
		}
		output, err := results.Command(b.env, program, args(b)...)
		fmt.Fprint(out, output)
		if err == nil {
			if m := reported.FindStringSubmatch(output); m == nil {
				err = errors.New("no report")
			} else if m[8] != b.carrier() {
				err = fmt.Errorf("carrier %s, want %s", m[8], b.carrier())
			}
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", b.name, err))
			fmt.Fprintf(text, "| %s | **failed**: %v |\n", b.name, err)
			continue
		}
		row(text, b, output)
	}
	return errors.Join(append(failed, results.Write(file, text.String()))...)
}

func lastLine(output string, err error) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if line := lines[len(lines)-1]; line != "" {
		return strings.ReplaceAll(line, "|", `\|`)
	}
	return err.Error()
}
