package scope_test

import (
	"context"
	"log/slog"
	"runtime/pprof"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

// onLabelPaths is onEachPath without the path that has no labels.
func onLabelPaths(t *testing.T, test func(t *testing.T, p path)) {
	t.Helper()
	onEachPath(t, func(t *testing.T, p path) {
		if !p.labels {
			t.Skip("this path shows no labels")
		}
		test(t, p)
	})
}

// late has declarations that come when the label is there.
var late = []struct {
	option scope.KeyOption
	text   string // of the label then
}{
	{scope.Hidden, ""},
	{scope.Redacted, "[REDACTED]"},
	{scope.Hidden | scope.Redacted, ""},
}

func lateLabel(name, text string) string {
	if text == "" {
		return ""
	}
	return name + ":" + text
}

func TestAHiddenKeyHasNoLabel(t *testing.T) {
	onLabelPaths(t, func(t *testing.T, p path) {
		key := scope.NewKey[int](unique("hidden"), scope.Profiled, scope.Hidden)
		shown := scope.NewKey[int](unique("profiled"), scope.Profiled)
		key.Set(4111)
		labelsNow(t, "")
		shown.Set(1)
		labelsNow(t, shown.Name()+":1")
		scope.New(key.Attr(1), shown.Attr(2)).Run(func() { labelsNow(t, shown.Name()+":2") })
		labelsNow(t, shown.Name()+":1")
	})
}

func TestALatePolicyChangesTheLabelsOfItsGoroutineAtOnce(t *testing.T) {
	onLabelPaths(t, func(t *testing.T, p path) {
		for _, tc := range late {
			key := scope.NewKey[int](unique("pan"), scope.Profiled)
			scope.New(key.Attr(4111)).Run(func() {
				labelsNow(t, key.Name()+":4111")
				scope.NewKey[int](key.Name(), tc.option)
				labelsNow(t, lateLabel(key.Name(), tc.text))
				want(t, key.Name()+"=4111")
			})
			labelsNow(t, "")

			// Labels of other code stay, also if nothing is bound.
			pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("foreign", "1")))
			scope.NewKey[int](unique("pan"), tc.option, scope.Profiled)
			labelsNow(t, "foreign:1")
			pprof.SetGoroutineLabels(context.Background())

			// And a copy of ours, without the scope, goes.
			key = scope.NewKey[int](unique("pan"), scope.Profiled)
			scope.New(key.Attr(4111)).Run(func() {
				var pairs []string
				pprof.ForLabels(scope.NewContext(context.Background(), scope.Current()), func(k, v string) bool {
					if k == key.Name() {
						pairs = append(pairs, k, v)
					}
					return true
				})
				pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(pairs...)))
				labelsNow(t, key.Name()+":4111")
				want(t, "")
				scope.NewKey[int](key.Name(), tc.option)
				labelsNow(t, "")
			})
		}
		key := scope.NewKey[int](unique("pan"))
		scope.New(key.Attr(4111)).Run(func() {
			labelsNow(t, "")
			scope.NewKey[int](key.Name(), scope.Profiled)
			labelsNow(t, key.Name()+":4111")
			want(t, key.Name()+"=4111")
		})
	})
}

// What the end of a Run, or of a pprof.Do, puts back is newer than what was there.
func TestALatePolicyHoldsForTheLabelsThatComeBack(t *testing.T) {
	onLabelPaths(t, func(t *testing.T, p path) {
		foreign := pprof.WithLabels(context.Background(), pprof.Labels("foreign", "1"))
		for _, tc := range late {
			for _, base := range []context.Context{context.Background(), foreign} {
				key := scope.NewKey[int](unique("pan"), scope.Profiled)
				other := scope.NewKey[int](unique("tier"), scope.Profiled)
				before, after := key.Name()+":4111 "+other.Name()+":3", other.Name()+":3"
				after = joined(lateLabel(key.Name(), tc.text), after)
				if base == foreign {
					before, after = "foreign:1 "+before, "foreign:1 "+after
				}
				fields := key.Name() + "=4111 " + other.Name() + "=3"
				check := func(labels string) {
					t.Helper()
					want(t, fields)
					labelsNow(t, labels)
				}
				pprof.SetGoroutineLabels(base)
				s := scope.New(key.Attr(4111), other.Attr(3))
				s.Run(func() {
					check(before)
					scope.Run(func() {
						scope.Scope{}.Run(func() {
							scope.NewKey[int](key.Name(), tc.option)
							labelsNow(t, map[bool]string{true: "foreign:1"}[base == foreign])
						})
						check(after)
					})
					check(after)
				})

				key = scope.NewKey[int](unique("pan"), scope.Profiled)
				fields = key.Name() + "=4111 " + other.Name() + "=3"
				after = joined(lateLabel(key.Name(), tc.text), other.Name()+":3")
				if base == foreign {
					after = "foreign:1 " + after
				}
				scope.New(key.Attr(4111), other.Attr(3)).Run(func() {
					pprof.Do(scope.NewContext(base, scope.Current()), pprof.Labels("in", "do"), func(context.Context) {
						func() {
							defer func() { recover() }()
							scope.Run(func() {
								scope.NewKey[int](key.Name(), tc.option)
								panic("the end of a Run, too")
							})
						}()
						if base == foreign {
							check("foreign:1 in:do " + joined(lateLabel(key.Name(), tc.text), other.Name()+":3"))
						} else {
							check("in:do " + joined(lateLabel(key.Name(), tc.text), other.Name()+":3"))
						}
					})
					check(after)
				})
				pprof.SetGoroutineLabels(context.Background())
			}
		}
	})
}

// Another goroutine has its labels until it binds a scope the next time, in whatever way.
func TestALatePolicyHoldsForEachLabelThatAnotherGoroutineBinds(t *testing.T) {
	binds := map[string]func(key scope.Key[int], look func()){
		"Set":         func(key scope.Key[int], look func()) { key.Set(4111); look() },
		"Set another": func(key scope.Key[int], look func()) { scope.Set("other", 1); look() },
		"Delete":      func(key scope.Key[int], look func()) { scope.Delete("first"); look() },
		"Run":         func(key scope.Key[int], look func()) { scope.Run(look) },
		// The Run begins after the declaration: what it finds is older all the same.
		"the end of a Run":                 func(key scope.Key[int], look func()) { scope.Run(func() {}); look() },
		"the end of a Run without a scope": func(key scope.Key[int], look func()) { scope.Scope{}.Run(func() {}); look() },
		"the labels of a context": func(key scope.Key[int], look func()) {
			pprof.SetGoroutineLabels(scope.NewContext(context.Background(), scope.Current()))
			look()
		},
		"Go": func(key scope.Key[int], look func()) {
			done := make(chan struct{})
			scope.Go(func() { defer close(done); look() })
			<-done
		},
	}
	onLabelPaths(t, func(t *testing.T, p path) {
		for name, bind := range binds {
			for _, tc := range late {
				key := scope.NewKey[int](unique("pan"), scope.Profiled)
				set, declared, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
				go func() {
					defer close(done)
					scope.Set("first", 1)
					key.Set(4111)
					close(set)
					<-declared
					labelsNow(t, key.Name()+":4111") // it can't be recalled
					bind(key, func() {
						if got, ok := key.Get(); !ok || got != 4111 {
							t.Errorf("%s: the field is %v, %v", name, got, ok)
						}
						labelsNow(t, lateLabel(key.Name(), tc.text))
					})
				}()
				<-set
				scope.NewKey[int](key.Name(), tc.option)
				close(declared)
				<-done
			}
		}
		waitForGo(t)
	})
}

// declares is a value that declares its key to be secret while its label is made.
type declares struct{ key string }

func (d declares) LogValue() slog.Value {
	scope.NewKey[any](d.key, scope.Redacted)
	return slog.StringValue("4111")
}

func TestAPolicyThatIsDeclaredWhileALabelIsMadeHoldsForIt(t *testing.T) {
	onLabelPaths(t, func(t *testing.T, p path) {
		key := scope.NewKey[any](unique("pan"), scope.Profiled)
		key.Set(declares{key.Name()})
		labelsNow(t, key.Name()+":[REDACTED]")
		scope.Clear()
		key = scope.NewKey[any](unique("pan"), scope.Profiled)
		scope.New(key.Attr(declares{key.Name()})).Run(func() { labelsNow(t, key.Name()+":[REDACTED]") })
		labelsNow(t, "")
	})
}
