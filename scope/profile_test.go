package scope_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/taskscope/taskscope/scope"
)

// labelsOf returns the labels of all samples of prof that have this function in their
// stack, as "k=[v] k=[v]", and how many samples there are.
func labelsOf(prof *profile.Profile, function string) (labels map[string]bool, samples int) {
	labels = map[string]bool{}
	for _, s := range prof.Sample {
		for _, l := range s.Location {
			for _, line := range l.Line {
				if line.Function != nil && strings.HasSuffix(line.Function.Name, "scope_test."+function) {
					samples++
					labels[strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(sampleLabels(s)), "map["), "]")] = true
				}
			}
		}
	}
	return labels, samples
}

func sampleLabels(s *profile.Sample) map[string]string {
	m := map[string]string{}
	for k, v := range s.Label {
		m[k] = strings.Join(v, ",")
	}
	for k, v := range s.NumLabel {
		m[k] = fmt.Sprint(v)
	}
	return m
}

func wantLabels(t *testing.T, prof *profile.Profile, function, labels string) {
	t.Helper()
	got, n := labelsOf(prof, function)
	if n == 0 || len(got) != 1 || !got[labels] {
		t.Errorf("%d samples of %s have the labels %v, want %q", n, function, got, labels)
	}
}

func parse(t *testing.T, data []byte) *profile.Profile {
	t.Helper()
	prof, err := profile.ParseData(data)
	if err != nil {
		t.Fatal(err)
	}
	return prof
}

func goroutineProfile(t *testing.T) *profile.Profile {
	t.Helper()
	var buf bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&buf, 0); err != nil {
		t.Fatal(err)
	}
	return parse(t, buf.Bytes())
}

func goroutineDump(t *testing.T, debug int) string {
	t.Helper()
	var buf bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&buf, debug); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// labelsNow checks the labels of the running goroutine, as a profile shows them.
//
//go:noinline
func labelsNow(t *testing.T, labels string) {
	t.Helper()
	wantLabels(t, goroutineProfile(t), "labelsNow", labels)
}

// Each of these marks samples in a profile by its name.

//go:noinline
func burnPlain(until func() bool) { burn(until) }

//go:noinline
func burnProfiled(until func() bool) { burn(until) }

//go:noinline
func burnRedacted(until func() bool) { burn(until) }

//go:noinline
func burnInDo(until func() bool) { burn(until) }

//go:noinline
func parkPlain(park func()) { park() }

//go:noinline
func parkProfiled(park func()) { park() }

//go:noinline
func parkRedacted(park func()) { park() }

//go:noinline
func parkInDo(park func()) { park() }

var sink uint64

func burn(until func() bool) {
	for !until() {
		for i := range uint64(1 << 16) {
			sink += i * i
		}
	}
}

// workloads are goroutines of all kinds, with the labels that their samples must have.
func workloads(p path, run func(name string, burn, park string, do func(fn func()))) map[string]string {
	plain := unique("plain")
	profiled := scope.NewKey[int](unique("profiled"), scope.Profiled)
	secret := scope.NewKey[string](unique("secret"), scope.Profiled, scope.Redacted)
	labels := map[string]string{
		"Plain":    "",
		"Profiled": profiled.Name() + ":42",
		"Redacted": secret.Name() + ":[REDACTED]",
		"InDo":     "foreign:f " + profiled.Name() + ":42",
	}
	if !p.labels {
		labels = map[string]string{"Plain": "", "Profiled": "", "Redacted": "", "InDo": "foreign:f"}
	}
	run("Plain", "burnPlain", "parkPlain", func(fn func()) {
		scope.Set(plain, "value")
		scope.Set("user", "alice")
		fn()
	})
	run("Profiled", "burnProfiled", "parkProfiled", func(fn func()) {
		scope.New(plain, 1, profiled.Attr(42)).Run(fn)
	})
	run("Redacted", "burnRedacted", "parkRedacted", func(fn func()) {
		scope.New(secret.Attr("s3cret"), plain, 1).Run(fn)
	})
	run("InDo", "burnInDo", "parkInDo", func(fn func()) {
		scope.New(plain, 1, profiled.Attr(42)).Run(func() {
			ctx := scope.NewContext(context.Background(), scope.Current())
			pprof.Do(ctx, pprof.Labels("foreign", "f"), func(context.Context) {
				scope.Set("late", 1)
				fn()
			})
		})
	})
	return labels
}

func TestCPUProfileHasNoLabelOfOursUnlessProfiled(t *testing.T) {
	burners := map[string]func(func() bool){
		"burnPlain": burnPlain, "burnProfiled": burnProfiled, "burnRedacted": burnRedacted, "burnInDo": burnInDo,
	}
	onEachPath(t, func(t *testing.T, p path) {
		// On a busy machine a short profile may have no sample of some function.
		for length := 50 * time.Millisecond; ; length *= 2 {
			var buf bytes.Buffer
			if err := pprof.StartCPUProfile(&buf); err != nil {
				t.Skip(err) // the test itself is being profiled
			}
			labels := workloads(p, func(_, burn, _ string, do func(func())) {
				done := make(chan struct{})
				go func() {
					defer close(done)
					end := time.Now().Add(length)
					do(func() { burners[burn](func() bool { return time.Now().After(end) }) })
				}()
				<-done
			})
			pprof.StopCPUProfile()
			prof := parse(t, buf.Bytes())
			complete := true
			for name := range labels {
				_, n := labelsOf(prof, "burn"+name)
				complete = complete && n > 0
			}
			if !complete && length < 3*time.Second {
				continue
			}
			for name, wanted := range labels {
				wantLabels(t, prof, "burn"+name, wanted)
			}
			return
		}
	})
}

func TestGoroutineProfileHasNoLabelOfOursUnlessProfiled(t *testing.T) {
	parkers := map[string]func(func()){
		"parkPlain": parkPlain, "parkProfiled": parkProfiled, "parkRedacted": parkRedacted, "parkInDo": parkInDo,
	}
	onEachPath(t, func(t *testing.T, p path) {
		stop := make(chan struct{})
		var ended []chan struct{}
		labels := workloads(p, func(_, _, park string, do func(func())) {
			ready, done := make(chan struct{}), make(chan struct{})
			ended = append(ended, done)
			go func() {
				defer close(done)
				do(func() {
					parkers[park](func() {
						close(ready)
						<-stop
					})
				})
			}()
			<-ready
		})
		prof := goroutineProfile(t)
		for name, wanted := range labels {
			wantLabels(t, prof, "park"+name, wanted)
		}
		close(stop)
		for _, done := range ended {
			<-done
		}
	})
}

// Dumps show labels even if they are empty: there a bound scope must not show at all.
func TestDumpsShowNothingOfABoundScope(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1")
	onEachPath(t, func(t *testing.T, p path) {
		if !p.hidden {
			t.Skip("this path shows an empty label")
		}
		stop := make(chan struct{})
		var ended []chan struct{}
		for _, set := range []func(){
			func() { scope.Set("user", "alice") },
			func() {
				pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("foreign", "seen")))
				scope.Set("user", "alice")
			},
		} {
			ready, done := make(chan struct{}), make(chan struct{})
			ended = append(ended, done)
			go func() {
				defer close(done)
				set()
				parkPlain(func() { close(ready); <-stop })
			}()
			<-ready
		}
		for _, debug := range []int{1, 2} {
			dump := goroutineDump(t, debug)
			foreign := false
			for line := range strings.Lines(dump) {
				// Lines of stack frames have the name of this module.
				if !strings.Contains(line, "labels:") {
					continue
				}
				foreign = foreign || strings.Contains(line, `"foreign"`)
				for _, ours := range []string{"taskscope", "user", "alice"} {
					if strings.Contains(line, ours) {
						t.Errorf("debug=%d: a dump shows %s", debug, line)
					}
				}
			}
			// Go 1.25 has no labels in tracebacks.
			if debug == 1 && !foreign {
				t.Errorf("debug=%d: a dump doesn't show a label of other code:\n%s", debug, dump)
			}
		}
		close(stop)
		for _, done := range ended {
			<-done
		}
	})
}

func TestProfiledValuesAsText(t *testing.T) {
	key := scope.NewKey[any](unique("profiled"), scope.Profiled)
	onEachPath(t, func(t *testing.T, p path) {
		if !p.labels {
			t.Skip("this path shows no labels")
		}
		for _, tc := range []struct {
			value any
			want  string
		}{
			{"text", "text"}, {7, "7"}, {time.Second, "1s"}, {textual{"resolved"}, "resolved"},
			{"bad\xffutf", "bad\uFFFDutf"}, {panics{}, "!PANIC: LogValue"},
		} {
			key.Set(tc.value)
			labelsNow(t, key.Name()+":"+tc.want)
		}
		scope.Delete(key.Name())
		labelsNow(t, "")
	})
}

func TestProfiledLabelsFollowTheScope(t *testing.T) {
	key := scope.NewKey[string](unique("profiled"), scope.Profiled)
	onEachPath(t, func(t *testing.T, p path) {
		if !p.labels {
			t.Skip("this path shows no labels")
		}
		label := func(v string) string { return key.Name() + ":" + v }
		scope.Set("other", 1)
		labelsNow(t, "")
		key.Set("a")
		labelsNow(t, label("a"))
		scope.Set(key.Name(), "b") // the policy belongs to the name
		labelsNow(t, label("b"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			labelsNow(t, label("b"))
			key.Set("child")
			labelsNow(t, label("child"))
		}()
		<-done
		scope.New(key.Attr("c")).Run(func() {
			labelsNow(t, label("c"))
			scope.Scope{}.Run(func() { labelsNow(t, "") })
			scope.Clear()
			labelsNow(t, "")
		})
		labelsNow(t, label("b"))
		scope.Clear()
		labelsNow(t, "")
	})
}

// ---- code that sets labels ----

func TestForeignLabelsSurvive(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("k", "v")))
		scope.New("a", 1).Run(func() {
			labelsNow(t, "k:v")
			scope.Set("b", 2)
			labelsNow(t, "k:v")
			scope.Clear()
			labelsNow(t, "k:v")
		})
		labelsNow(t, "k:v")
		if p.labels { // without access to the slot, a bare Set takes it
			scope.Set("a", 1)
			labelsNow(t, "k:v")
			scope.Delete("a")
			labelsNow(t, "k:v")
		}
	})
}

func TestRunPutsForeignLabelsBack(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		foreign := func(v string) {
			pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("k", v)))
		}
		foreign("before")
		scope.New("outer", 1).Run(func() {
			scope.Run(func() {
				scope.Set("b", 2)
				foreign("changed")
				if p.labels { // replacing the labels takes the scope with them
					want(t, "")
				}
				scope.Run(func() { pprof.SetGoroutineLabels(context.Background()) })
			})
			want(t, "outer=1")
			if p.labels {
				labelsNow(t, "k:before")
			}
			func() {
				defer func() { recover() }()
				scope.Run(func() { foreign("changed"); panic("boom") })
			}()
			want(t, "outer=1")
			if p.labels {
				labelsNow(t, "k:before")
			}
		})
		want(t, "")
		if p.labels {
			labelsNow(t, "k:before")
		}
	})
}

func TestScopeLivesThroughPprofDo(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.New("a", 1).Run(func() {
			base := pprof.WithLabels(context.Background(), pprof.Labels("base", "1"))
			ctx := scope.NewContext(base, scope.Current())
			scope.Set("b", 2) // after the ctx was made: the goroutine's scope is what lives on
			pprof.Do(ctx, pprof.Labels("do", "1"), func(inner context.Context) {
				want(t, "a=1 b=2")
				labelsNow(t, "base:1 do:1")
				scope.Set("c", 3)
				labelsNow(t, "base:1 do:1")
				if s, ok := scope.FromContext(inner); !ok || text(s) != "a=1" {
					t.Errorf("the inner ctx carries %q, %v", text(s), ok)
				}
				pprof.Do(scope.NewContext(inner, scope.Current()), pprof.Labels("do", "2"), func(context.Context) {
					want(t, "a=1 b=2 c=3")
					labelsNow(t, "base:1 do:2")
					scope.Set("d", 4)
				})
				want(t, "a=1 b=2 c=3 d=4")
				labelsNow(t, "base:1 do:1")
				<-p.spawn(func() { want(t, "a=1 b=2 c=3 d=4") })
			})
			want(t, "a=1 b=2 c=3 d=4")
			if p.labels {
				labelsNow(t, "base:1")
			}
		})
		want(t, "")
	})
}

func TestScopeLivesThroughSetGoroutineLabels(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		scope.New("a", 1).Run(func() {
			ctx := scope.NewContext(context.Background(), scope.New("another", 1))
			pprof.SetGoroutineLabels(ctx)
			want(t, "a=1") // it is about labels: it doesn't bind the ctx's scope
			scope.Set("b", 2)
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			pprof.SetGoroutineLabels(derived)
			want(t, "a=1 b=2")
			// What WithLabels derives is a copy of the moment, unless it is given anew.
			labelled := pprof.WithLabels(ctx, pprof.Labels("k", "v"))
			scope.Set("c", 3)
			pprof.SetGoroutineLabels(scope.NewContext(labelled, scope.Current()))
			want(t, "a=1 b=2 c=3")
			labelsNow(t, "k:v")
		})
		// A ctx never brings back what isn't bound any more.
		ctx := scope.NewContext(context.Background(), scope.New("gone", 1))
		pprof.SetGoroutineLabels(ctx)
		want(t, "")
	})
}

// A ctx can be used by goroutines of any scope: each keeps its own.
func TestContextAnswersEachGoroutineWithItsOwnScope(t *testing.T) {
	onEachPath(t, func(t *testing.T, p path) {
		ctx := scope.NewContext(context.Background(), scope.New("of", "ctx"))
		for i := range 3 {
			fields := fmt.Sprint("i=", i)
			s := scope.New("i", i)
			done := make(chan struct{})
			s.Go(func() {
				defer close(done)
				pprof.Do(ctx, pprof.Labels("k", "v"), func(context.Context) { want(t, fields) })
				want(t, fields)
			})
			<-done
		}
		waitForGo(t)
	})
}

// A label of a Profiled key that other code has covered with one of the same name comes
// back when that is gone.
func TestProfiledLabelComesBackAfterDo(t *testing.T) {
	key := scope.NewKey[string](unique("profiled"), scope.Profiled)
	onEachPath(t, func(t *testing.T, p path) {
		if !p.labels {
			t.Skip("this path shows no labels")
		}
		scope.New(key.Attr("ours")).Run(func() {
			ctx := scope.NewContext(context.Background(), scope.Current())
			pprof.Do(ctx, pprof.Labels(key.Name(), "theirs"), func(context.Context) {
				labelsNow(t, key.Name()+":theirs")
			})
			labelsNow(t, key.Name()+":ours")
		})
	})
}
