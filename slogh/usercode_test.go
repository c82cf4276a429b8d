package slogh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// foreign hides the type of a handler of log/slog.
type foreign struct{ slog.Handler }

func (f foreign) WithAttrs(attrs []slog.Attr) slog.Handler {
	return foreign{f.Handler.WithAttrs(attrs)}
}

func (f foreign) WithGroup(name string) slog.Handler { return foreign{f.Handler.WithGroup(name)} }

// handlers are those that user code is tried with.
var handlers = map[string]func(io.Writer, *slog.HandlerOptions) slog.Handler{
	"JSON":    func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) },
	"Text":    func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) },
	"foreign": func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return foreign{slog.NewJSONHandler(w, o)} },
}

// A callback is a value whose methods call code of the program.
type callback func() string

func (c callback) LogValue() slog.Value { return slog.StringValue(c()) }

type marshaling func() string

func (m marshaling) MarshalJSON() ([]byte, error) { return json.Marshal(m()) }

func (m marshaling) MarshalText() ([]byte, error) { return []byte(m()), nil }

func sortedLines(out *bytes.Buffer) []string {
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	slices.Sort(lines)
	return lines
}

func TestAScopeValueThatLogs(t *testing.T) {
	for name, build := range handlers {
		for kind, value := range map[string]func(func() string) any{
			"LogValue":  func(f func() string) any { return callback(f) },
			"marshaler": func(f func() string) any { return marshaling(f) },
			"in a group": func(f func() string) any {
				return slog.GroupValue(slog.Int("n", 1), slog.Any("v", callback(f)))
			},
		} {
			for way, line := range map[string]func(l *slog.Logger){
				"alone":          func(l *slog.Logger) { l.Info("outer") },
				"repeats a key":  func(l *slog.Logger) { l.Info("outer", "id", 9) },
				"under a group":  func(l *slog.Logger) { l.WithGroup("g").Info("outer", "a", 1) },
				"With, in group": func(l *slog.Logger) { l.WithGroup("g").With("a", 1).Info("outer") },
			} {
				t.Run(name+"/"+kind+"/"+way, func(t *testing.T) {
					var out bytes.Buffer
					l := slog.New(slogh.New(build(&out, &slog.HandlerOptions{ReplaceAttr: noTime}), nil))
					var seen any
					scope.New("id", 7, "noisy", value(func() string {
						seen, _ = scope.Get("noisy")
						l.Info("inner")
						scope.Set("lost", true) // ends with the encoding
						return "value"
					})).Run(func() {
						for range 2 {
							line(l)
						}
						if _, ok := scope.Get("lost"); ok {
							t.Error("what the value's method has set is there after the line")
						}
					})
					if seen == nil {
						t.Error("the value's method doesn't see the scope")
					}
					outer, inner := 0, 0
					for text := range strings.Lines(out.String()) {
						switch {
						case strings.Contains(text, "outer"):
							outer++
							if !strings.Contains(text, "value") {
								t.Errorf("the line lost the value: %s", text)
							}
						case strings.Contains(text, "inner"):
							inner++
							want := []string{`{"level":"INFO","msg":"inner","id":7}` + "\n", "level=INFO msg=inner id=7\n"}
							if !slices.Contains(want, text) {
								t.Errorf("the inner line is %s", text)
							}
						}
					}
					// A LogValuer is asked for each line; what a marshaler answers may be
					// remembered, and without a field a line is derived anew.
					if outer != 2 || inner < 1 || inner > 3 || kind != "marshaler" && inner != 2 {
						t.Errorf("%d outer and %d inner lines:\n%s", outer, inner, &out)
					}
				})
			}
		}
	}
}

func TestAScopeValueThatLogsOutsideWithTheContextOfItsScope(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(slogh.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime}), nil))
	var ctx context.Context
	s := scope.New("id", 7, "v", callback(func() string {
		scope.Outside(func() {
			l.Info("without")
			l.InfoContext(ctx, "with")
		})
		return "text"
	}))
	ctx = scope.NewContext(context.Background(), s)
	s.Run(func() { l.Info("outer") })
	want := "level=INFO msg=without\nlevel=INFO msg=with id=7\nlevel=INFO msg=outer id=7 v=text\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestAReplaceAttrThatLogs(t *testing.T) {
	for name, build := range handlers {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			var l *slog.Logger
			l = slog.New(slogh.New(build(&out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if a.Key == "user" {
					l.Info("inner")
				}
				return noTime(groups, a)
			}}), nil))
			scope.New("user", "ann").Run(func() { l.Info("outer") })
			// The first inner line has a user, too; for that field ReplaceAttr logs once
			// more, and there it ends.
			want := []string{
				`{"level":"INFO","msg":"inner","user":"ann"}`,
				`{"level":"INFO","msg":"inner"}`,
				`{"level":"INFO","msg":"outer","user":"ann"}`,
			}
			if name == "Text" {
				want = []string{"level=INFO msg=inner", "level=INFO msg=inner user=ann", "level=INFO msg=outer user=ann"}
			}
			if got := sortedLines(&out); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestAScopeValueThatWaitsForAnotherGoroutinesLine(t *testing.T) {
	for name, build := range handlers {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l := slog.New(slogh.New(build(&out, nil), nil))
			testkit.InTime(t, func() {
				scope.New("id", 7, "v", callback(func() string {
					logged := make(chan struct{})
					scope.Go(func() { defer close(logged); l.Info("inner") })
					<-logged
					return "value"
				})).Run(func() { l.Info("outer") })
			})
			if n := strings.Count(out.String(), "\n"); n != 2 {
				t.Errorf("%d lines, want 2:\n%s", n, &out)
			}
		})
	}
}

// A handler that Options.Filter logs with, or that it is called by.
func TestAFilterThatLogs(t *testing.T) {
	for name, build := range handlers {
		var out bytes.Buffer
		var l *slog.Logger
		l = slog.New(slogh.New(build(&out, nil), &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
			l.Info("inner")
			return a, true
		}}))
		scope.New("id", 7).Run(func() { l.Info("outer") })
		if inner, outer := strings.Count(out.String(), "inner"), strings.Count(out.String(), "outer"); inner != 2 || outer != 1 {
			t.Errorf("%s: %d inner and %d outer lines:\n%s", name, inner, outer, &out)
		}
	}
}

func TestAnAttachedMapIsNotReadAgain(t *testing.T) {
	t.Run("at the root", func(t *testing.T) { attachedMap(t, "") })
	t.Run("in a group", func(t *testing.T) { attachedMap(t, "g") })
}

func attachedMap(t *testing.T, group string) {
	tags := map[string]int{"a": 1}
	var out bytes.Buffer
	l := slog.New(slogh.New(slog.NewJSONHandler(&out, nil), nil)).WithGroup(group).With("tags", tags)
	stop, changed := make(chan struct{}), make(chan struct{})
	go func() { // the program may do what it likes with it from here on: the race detector looks
		defer close(changed)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				tags["a"] = i
			}
		}
	}()
	for i := range 200 {
		scope.New("i", i).Run(func() { l.Info("m"); l.Info("m", "i", 0) })
	}
	close(stop)
	<-changed
	if n := strings.Count(out.String(), `"tags":{"a":1}`); n != 400 {
		t.Errorf("%d of 400 lines have the tags as they were attached", n)
	}
}

type named struct{ Name string }

type (
	textual   struct{ *named }
	shown     struct{ *named }
	failing   struct{ *named }
	marshaled struct{ *named }
	explosive struct{ *named }
)

func (v textual) MarshalText() ([]byte, error)   { return []byte(v.Name), nil }
func (v shown) String() string                   { return v.Name }
func (v failing) Error() string                  { return v.Name }
func (v marshaled) MarshalJSON() ([]byte, error) { return json.Marshal("<" + v.Name + ">\u2028") }
func (v explosive) MarshalJSON() ([]byte, error) { panic(v.Name) }
func (v explosive) MarshalText() ([]byte, error) { panic(v.Name) }

// What is attached inside a group to a handler of log/slog's is written as it was then, byte for byte.
func TestWhatIsAttachedInAGroupStaysAsItWas(t *testing.T) {
	for name, build := range handlers {
		if name == "foreign" {
			continue // it has to be given the values themselves
		}
		attach := func(h slog.Handler) (l *slog.Logger, change func()) {
			n := &named{"first \"one\" = 1"}
			empty := &named{}
			list := []any{n, "x"}
			l = slog.New(h).WithGroup("g").With("pointer", n, "list", list, "textual", textual{n}, "shown", shown{n}, "failing", failing{n},
				"marshaled", marshaled{n}, "explosive", explosive{n}, "raw", json.RawMessage(`{ "a" : 1 }`), "bad", json.RawMessage(`{`), "func", strings.ToUpper,
				"chan", (chan int)(nil), "complex", 1i, "source", &slog.Source{Function: "f", File: "x.go", Line: 3}, "no source", &slog.Source{}, "empty", shown{empty},
				"nil", nil, "nil error", error((*nilError)(nil)), slog.Group("in", "pointer", n, "empty", textual{empty}), "last", "one")
			return l, func() { n.Name, list[1], empty.Name = "second", "y", "third" }
		}
		var got, want bytes.Buffer
		bare, change := attach(build(&want, nil))
		change()
		bare.Info("m", "own", 1)
		l, change := attach(slogh.New(build(&got, nil), nil))
		change()
		for i := range 2 {
			scope.New("request_id", i).Run(func() { l.Info("m", "own", 1) })
		}
		clean := func(line string) string {
			return regexp.MustCompile(`"?time"?[:=]"?[^ ,"]*"?[ ,]|"?request_id"?[:=]\d[ ,]|0x[0-9a-f]+`).ReplaceAllString(line, "")
		}
		for _, line := range strings.SplitAfter(strings.TrimSuffix(got.String(), "\n"), "\n") {
			if g, w := strings.TrimSpace(clean(line)), strings.TrimSpace(clean(want.String())); g != w {
				t.Errorf("%s:\ngot  %s\nwant %s", name, g, w)
			}
		}
	}
}

type nilError struct{}

func (*nilError) Error() string { return "of a nil pointer" }

// Values that are attached inside a group may log, as others.
func TestAnAttachedValueThatLogs(t *testing.T) {
	for name, build := range handlers {
		for _, opts := range []*slog.HandlerOptions{nil, {ReplaceAttr: noTime}} {
			var out bytes.Buffer
			var l *slog.Logger
			logged := 0
			v := marshaling(func() string {
				if logged++; logged > 100 {
					t.Fatal("it has no end")
				}
				if l != nil {
					l.Info("from the value")
				}
				return "text"
			})
			l = slog.New(slogh.New(build(&out, opts), nil)).WithGroup("g").With("v", v)
			scope.New("request_id", "r-1").Run(func() { l.Info("m") })
			if !strings.Contains(out.String(), "r-1") {
				t.Errorf("%s: %s", name, &out)
			}
		}
	}
}

func TestWhatIsAttachedIsTakenWhenItIsAttached(t *testing.T) {
	for name, build := range handlers {
		for _, group := range []string{"", "g"} {
			var got, want bytes.Buffer
			calls := 0
			make := func(h slog.Handler) (*slog.Logger, []byte) {
				buf := []byte("first")
				return slog.New(h).WithGroup(group).With("v", counting{&calls}, "b", buf, "r", json.RawMessage(`"x"`),
					slog.Group("in", slog.Any("b", buf), slog.Any("v", counting{&calls}))), buf
			}
			opts := &slog.HandlerOptions{ReplaceAttr: noTime}
			bare, _ := make(build(&want, opts))
			calls = 0
			l, buf := make(slogh.New(build(&got, opts), nil))
			copy(buf, "xxxxx")
			l.Info("m", "own", 1)
			for i := range 20 {
				scope.New("i", i).Run(func() { l.Info("m", "own", 1) })
			}
			if calls != 2 {
				t.Errorf("%s, group %q: two LogValuers were asked %d times", name, group, calls)
			}
			bare.Info("m", "own", 1)
			first, _, _ := strings.Cut(got.String(), "\n")
			if first+"\n" != want.String() {
				t.Errorf("%s, group %q: got  %s\nwant %s", name, group, first, &want)
			}
			if strings.Contains(got.String(), "xxxxx") || strings.Contains(got.String(), "eHh4eHg=") {
				t.Errorf("%s, group %q: bytes that were changed later:\n%s", name, group, &got)
			}
		}
	}
}

type nothing struct{}

func (nothing) LogValue() slog.Value { return slog.GroupValue() }

func TestALogValuerThatShowsNothingHidesNoField(t *testing.T) {
	for name, build := range handlers {
		if name == "Text" {
			continue
		}
		var out bytes.Buffer
		l := slog.New(slogh.New(build(&out, &slog.HandlerOptions{ReplaceAttr: noTime}), nil))
		scope.New("user", "ann").Run(func() {
			l.Info("m", "user", nothing{})
			wantLine(t, &out, `{"level":"INFO","msg":"m","user":"ann"}`)
			l.Info("m", slog.Group("user", slog.Any("v", nothing{})))
			if got := out.String(); strings.Count(got, `"user"`) != 1 {
				t.Errorf("%s: got %s", name, got)
			}
			out.Reset()
			l.Info("m", "", nothing{})
			wantLine(t, &out, `{"level":"INFO","msg":"m","user":"ann"}`)
		})
	}
}

func TestAFilterThatChangesAMemberInPlaceDoesNotChangeTheScope(t *testing.T) {
	for name, build := range handlers {
		var out bytes.Buffer
		l := slog.New(slogh.New(build(&out, nil), &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
			if a.Value.Kind() == slog.KindGroup {
				a.Value.Group()[0] = slog.String("card", "****")
			}
			return a, true
		}}))
		scope.New(slog.Group("pay", slog.String("card", "4111"))).Run(func() {
			l.Info("m")
			if !strings.Contains(out.String(), "****") || strings.Contains(out.String(), "4111") {
				t.Errorf("%s: got %s", name, &out)
			}
			v, _ := scope.Get("pay")
			if got := slog.AnyValue(v).String(); got != "[card=4111]" {
				t.Errorf("%s: the scope has %s", name, got)
			}
		})
	}
}

func TestALateLineWithDropEnded(t *testing.T) {
	for name, build := range handlers {
		if name == "Text" {
			continue
		}
		var out bytes.Buffer
		l := slog.New(slogh.New(build(&out, &slog.HandlerOptions{ReplaceAttr: noTime}), &logadapters.Options{Ended: logadapters.DropEnded, MaxFields: 1}))
		s := scope.New("a", 1, "b", 2)
		s.Run(func() { l.Info("m") })
		wantLine(t, &out, `{"level":"INFO","msg":"m","b":2,"scope_dropped":1}`)
		ctx := scope.NewContext(context.Background(), s)
		for range 2 {
			l.InfoContext(ctx, "m")
			wantLine(t, &out, `{"level":"INFO","msg":"m","scope_ended":true}`)
			l.InfoContext(ctx, "m", "scope_ended", "own")
			wantLine(t, &out, `{"level":"INFO","msg":"m","scope_ended":"own"}`)
		}
		s.Run(func() { l.Info("m") })
		wantLine(t, &out, `{"level":"INFO","msg":"m","b":2,"scope_dropped":1}`)
	}
}
