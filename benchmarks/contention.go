package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/benchmarks/counted"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

func init() {
	addCommand(2, "waits", func(measuring) (string, error) { return waitsTable(waits(20 * time.Millisecond)), nil })
	addCommand(3, "writes", func(measuring) (string, error) {
		counts, err := measureWrites()
		return writesTable(counts), err
	})
	children["count"] = func(measuring) error { return json.NewEncoder(os.Stdout).Encode(countWrites()) }
}

// ---- writes to memory that several goroutines write ----

const ours = "github.com/taskscope/taskscope/"

// A path is something that goroutines do. must is how many shared writes it may have at most, if
// the goroutines are of one task, and if they are of a task each.
type path struct {
	name string
	must [2]float64
	do   func(s scope.Scope) // s is bound
}

func paths() []path {
	nothing := func() {}
	sl, zl, ze := slog.New(slogh.New(slogBase(), nil)), zap.New(zaph.New(zapBase(), nil)), zerolog.New(io.Discard).Hook(zeroh.New(nil))
	each := zeroh.For(zerolog.New(io.Discard), nil)
	wrapped := map[scope.Scope]func(){}
	return []path{
		{"`Get`", [2]float64{0, 0}, func(scope.Scope) { scope.Get("a") }},
		{"`Set`", [2]float64{0, 0}, func(scope.Scope) { scope.Set("step", 1) }},
		{"a line, slog", [2]float64{0, 0}, func(scope.Scope) { slogHello(sl) }},
		{"a line, zap", [2]float64{0, 0}, func(scope.Scope) { zapHello(zl) }},
		{"a line, zerolog hook", [2]float64{0, 0}, func(scope.Scope) { zeroHello(&ze) }},
		{"a line, `zeroh.For`", [2]float64{0, 0}, func(scope.Scope) { each.Info().Msg("hello") }},
		{"`Set` and a line, slog", [2]float64{0, 0}, func(scope.Scope) { scope.Set("step", 1); slogHello(sl) }},
		{"a plain `go`", [2]float64{0, 0}, func(scope.Scope) { join(1, func(fn func()) { go fn() }) }},
		{"`Run`", [2]float64{2, 0}, func(s scope.Scope) { s.Run(nothing) }},
		{"`With` and `Run`", [2]float64{2, 0}, func(scope.Scope) { scope.With("step", 1).Run(nothing) }},
		{"a call of what `Wrap` has returned", [2]float64{2, 0}, func(s scope.Scope) {
			if wrapped[s] == nil {
				wrapped[s] = s.Wrap(nothing)
			}
			wrapped[s]()
		}},
		{"`Go`", [2]float64{4, 2}, func(scope.Scope) {
			scope.Go(nothing)
			_ = scope.Wait(context.Background())
		}},
		{"`Outside`", [2]float64{0, 0}, func(scope.Scope) { scope.Outside(nothing) }},
		{"`Add`, to one total", [2]float64{2, 0}, func(scope.Scope) { scope.Add("rows", 1) }},
		{"`Append`, to one total", [2]float64{2, 0}, func(scope.Scope) { scope.Append("list", 1) }},
		{"`Share`", [2]float64{1, 0}, func(scope.Scope) { scope.Share("user", "u1") }},
		{"`Error`", [2]float64{0, 0}, func(scope.Scope) { _ = scope.Error(io.EOF) }},
		{"`NewContext`", [2]float64{0, 0}, func(s scope.Scope) { keep(scope.NewContext(context.Background(), s)) }},
		{"a request: `New`, `Run`, `Set`, a line of slog, `Go`", [2]float64{2, 2}, func(scope.Scope) {
			scope.New("request_id", id).Run(func() {
				scope.Set("user", "u1")
				slogHello(sl)
				scope.Go(nothing)
			})
			_ = scope.Wait(context.Background())
		}},
	}
}

// A count is how many writes a path makes, each time, to variables that another goroutine which
// does the same writes, too: if both are of one task, and if they are of a task each.
type count struct {
	Name    string
	Written [2]float64
}

// countWrites counts, in a build with package counted.
func countWrites() (counts []count) {
	const n = 16
	// writes returns what n times do write on a goroutine of its own under s.
	writes := func(s scope.Scope, do func(s scope.Scope)) (written map[any]int) {
		done := make(chan bool)
		go func() {
			defer close(done)
			s.Run(func() {
				for range 3 { // so that all is remembered that will be
					do(s)
				}
				written = counted.Record(func() {
					for range n {
						do(s)
					}
				})
			})
		}()
		<-done
		return written
	}
	request := func() scope.Scope { return scope.New("a", 1, "b", "x") }
	for _, p := range paths() {
		c := count{Name: p.name}
		one := request()
		for i, pair := range [2][2]scope.Scope{{one, one}, {request(), request()}} {
			a, b := writes(pair[0], p.do), writes(pair[1], p.do)
			for variable, times := range a {
				if b[variable] > 0 {
					c.Written[i] += float64(times) / n
				}
			}
		}
		counts = append(counts, c)
	}
	return counts
}

// measureWrites builds this program with package counted in place of sync and sync/atomic, in
// taskscope alone, and has it count.
func measureWrites() (counts []count, err error) {
	folder, err := os.MkdirTemp("", "counted")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	list, err := exec.Command("go", "list", "-deps", "-f", `{{if not .Standard}}{{range .GoFiles}}{{$.ImportPath}} {{$.Dir}}/{{.}}{{"\n"}}{{end}}{{end}}`, ".").Output()
	if err != nil {
		return nil, err
	}
	replaced := map[string]string{}
	for line := range strings.Lines(string(list)) {
		pkg, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !isOurs(pkg) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		with := strings.NewReplacer("\t\"sync/atomic\"\n", "\tatomic \""+ours+"benchmarks/counted\"\n", "\t\"sync\"\n", "\tsync \""+ours+"benchmarks/counted\"\n",
			"import \"sync/atomic\"\n", "import atomic \""+ours+"benchmarks/counted\"\n", "import \"sync\"\n", "import sync \""+ours+"benchmarks/counted\"\n").Replace(string(text))
		if with == string(text) {
			continue
		}
		replaced[file] = filepath.Join(folder, fmt.Sprintf("%d.go", len(replaced)))
		if err := os.WriteFile(replaced[file], []byte(with), 0o644); err != nil {
			return nil, err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "overlay.json"), overlay, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "run", "-overlay", filepath.Join(folder, "overlay.json"), ".", "count")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	return counts, json.Unmarshal(out, &counts)
}

func writesTable(counts []count) string {
	var b strings.Builder
	b.WriteString("\n## Shared writes\n\nHow many writes each makes to variables that another goroutine which does the same writes, too: cores that do it at once wait for one another's cache lines. " +
		"`make bench` counts them in a build in which a package that counts stands in for sync and sync/atomic, in all of taskscope; a lock that is taken and released counts as two. " +
		"What the runtime, loggers and sync.Pool do isn't in it. A test holds each number to what it may be at most. " +
		"`Run`, `Go` and calls of what `Wrap` has returned write the count of their task. Where they collide, and the task goes on, each counts in a cache line of its own instead: see the figures below.\n\n| | one task | a task each |\n|---|---|---|\n")
	for _, c := range counts {
		fmt.Fprintf(&b, "| %s | %g | %g |\n", c.Name, c.Written[0], c.Written[1])
	}
	return b.String()
}

// ---- waits ----

// waits runs the rows of lines and requests on two cores, and returns how often something waited
// for a lock or a channel, by the package that did, and how much of the time that was.
func waits(each time.Duration) map[string][2]float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	before := runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	for _, c := range chapters {
		for _, make := range c.tables {
			t := make()
			if !t.cores {
				continue
			}
			for _, r := range t.rows {
				n := calibrate(r.run, each)
				join(2, func(fn func()) {
					go func() {
						defer fn()
						r.run(n)
					}()
				})
			}
		}
	}
	runtime.SetMutexProfileFraction(before)
	runtime.SetBlockProfileRate(0)
	found, total := map[string][2]float64{}, 0.0
	collect := func(profile func([]runtime.BlockProfileRecord) (int, bool), locks bool) {
		n, _ := profile(nil)
		records := make([]runtime.BlockProfileRecord, n+100)
		n, _ = profile(records)
		for _, r := range records[:n] {
			where := waiter(r.Stack(), locks)
			if where == "main" { // these are the goroutines of the measurement
				continue
			}
			sum := found[where]
			found[where] = [2]float64{sum[0] + float64(r.Count), sum[1] + float64(r.Cycles)}
			total += float64(r.Cycles)
		}
	}
	collect(runtime.MutexProfile, true)
	collect(runtime.BlockProfile, false)
	for where, sum := range found {
		found[where] = [2]float64{sum[0], sum[1] / total}
	}
	return found
}

// waiter returns the package that waits, or makes others wait, in a record of a profile.
func waiter(stack []uintptr, locks bool) string {
	frames, synced := runtime.CallersFrames(stack), false
	for {
		frame, more := frames.Next()
		slash := strings.LastIndex(frame.Function, "/")
		dot := strings.Index(frame.Function[slash+1:], ".")
		pkg := frame.Function[:slash+1+max(0, dot)]
		switch {
		case pkg == "sync" || pkg == "internal/sync":
			synced = true
		case pkg == "runtime" || pkg == "":
		case locks && !synced: // a lock of its own, which whoever allocates may meet
			return "runtime"
		default:
			return pkg
		}
		if !more {
			return "runtime"
		}
	}
}

// isOurs reports whether a package is of taskscope.
func isOurs(pkg string) bool {
	return strings.HasPrefix(pkg, ours) && !strings.HasPrefix(pkg, ours+"benchmarks")
}

func waitsTable(found map[string][2]float64) string {
	ours := 0.0
	for pkg, sum := range found {
		if isOurs(pkg) {
			ours += sum[0]
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n## Waits\n\nWhat the mutex and the block profile say when each row of a line and of a request runs on two goroutines, with one logger: which packages have waited for a lock or a channel. "+
		"The runtime's are in its allocator and collector. Of taskscope's packages: %.0f.\n\n| package | waits | share of the time |\n|---|---|---|\n", ours)
	for _, pkg := range slices.SortedFunc(maps.Keys(found), func(a, b string) int { return int(1e6 * (found[b][1] - found[a][1])) }) {
		fmt.Fprintf(&b, "| %s | %.0f | %.1f %% |\n", pkg, found[pkg][0], 100*found[pkg][1])
	}
	return b.String()
}
