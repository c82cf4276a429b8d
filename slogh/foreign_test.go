package slogh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// An unshared handler has a lock of its own, as have those that it makes: the writer is safe
// only while a program has one of them.
type unshared struct {
	mu  *sync.Mutex
	out *bytes.Buffer

	attached []slog.Attr
}

func (h *unshared) Enabled(context.Context, slog.Level) bool { return true }

func (h *unshared) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &unshared{new(sync.Mutex), h.out, slices.Concat(h.attached, attrs)}
}

func (h *unshared) WithGroup(string) slog.Handler { panic("unused") }

func (h *unshared) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprint(h.out, r.Message)
	for _, a := range h.attached {
		fmt.Fprint(h.out, " ", a)
	}
	r.Attrs(func(a slog.Attr) bool { fmt.Fprint(h.out, " ", a); return true })
	fmt.Fprintln(h.out)
	return nil
}

// The race detector sees two handlers that write at once.
func TestAHandlerWhoseChildrenShareNoLockWritesOneLineAtATime(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(slogh.New(&unshared{mu: new(sync.Mutex), out: &out}, nil))
	const goroutines, lines = 16, 50
	var done sync.WaitGroup
	for g := range goroutines {
		done.Go(func() {
			for i := range lines {
				scope.New("g", g, "i", i, "v", callback(func() string { return "v" })).Run(func() {
					l.Info("m", "own", g)
					l.Info("m", "own", g, "long", strings.Repeat("x", 100))
					l.Info("m", "i", g)
				})
			}
		})
	}
	done.Wait()
	if n := strings.Count(out.String(), "\n"); n != goroutines*lines*3 {
		t.Errorf("%d lines", n)
	}
	for line := range strings.Lines(out.String()) {
		var a, b, c int
		if n, _ := fmt.Sscanf(line, "m g=%d i=%d v=v own=%d", &a, &b, &c); n == 3 && a != c {
			t.Errorf("a line has another's fields: %s", line)
		}
	}
}

// A mutatingHandler changes all that it is given.
type mutatingHandler struct{ slog.Handler }

func spoil(attrs []slog.Attr) {
	for i := range attrs {
		if attrs[i].Value.Kind() == slog.KindGroup {
			spoil(attrs[i].Value.Group())
		}
		attrs[i] = slog.String("spoiled", "spoiled")
	}
}

func (h mutatingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	child := mutatingHandler{h.Handler.WithAttrs(attrs)}
	spoil(attrs)
	return child
}

func (h mutatingHandler) WithGroup(name string) slog.Handler {
	return mutatingHandler{h.Handler.WithGroup(name)}
}

func (h mutatingHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.Kind() == slog.KindGroup {
			spoil(a.Value.Group())
		}
		return true
	})
	return err
}

func TestAHandlerThatChangesWhatItIsGivenChangesNoLaterLine(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(slogh.New(mutatingHandler{slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime})}, nil))
	group := slog.Group("s", slog.Int("a", 1), slog.Group("t", slog.Int("b", 2)))
	child := l.WithGroup("g").With(slog.Group("w", slog.Int("c", 3)), "d", 4)
	scope.New("k", 0, group).Run(func() {
		for range 2 {
			l.Info("m")
			wantLine(t, &out, `{"level":"INFO","msg":"m","k":0,"s":{"a":1,"t":{"b":2}}}`)
			l.Info("m", "k", 1)
			wantLine(t, &out, `{"level":"INFO","msg":"m","s":{"a":1,"t":{"b":2}},"k":1}`)
			child.Info("m", "e", 5)
			wantLine(t, &out, `{"level":"INFO","msg":"m","k":0,"s":{"a":1,"t":{"b":2}},"g":{"w":{"c":3},"d":4,"e":5}}`)
		}
		if v, _ := scope.Get("s"); slog.AnyValue(v).String() != "[a=1 t=[b=2]]" {
			t.Errorf("the scope has %v", v)
		}
	})
	child.Info("m")
	wantLine(t, &out, `{"level":"INFO","msg":"m","g":{"w":{"c":3},"d":4}}`)
}

// What is remembered for one scope isn't changed by lines of others that were made from it.
func TestScopesOfOneParentShareNoRoom(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(slogh.New(&unshared{mu: new(sync.Mutex), out: &out}, nil))
	s := scope.New("a", 0)
	for i := range 10 {
		s.Run(func() { l.Info("m") }) // each is derived from the one before
		first, second := s.With("b", 1), s.With("c", 2)
		for _, s := range []scope.Scope{first, second, first} {
			out.Reset()
			s.Run(func() { l.Info("m") })
			wantLine(t, &out, "m "+s.String())
		}
		s = s.With(fmt.Sprint("k", i), i)
	}
}

func TestTwoAdaptersStampOnce(t *testing.T) {
	fields := []any{"id", 7, slog.Group("s", slog.Int("a", 1)), "v", callback(func() string { return "resolved" })}
	for name, build := range map[string]func(slog.Handler) slog.Handler{
		"over each other":       func(h slog.Handler) slog.Handler { return slogh.New(slogh.New(h, nil), nil) },
		"middleware in between": func(h slog.Handler) slog.Handler { return slogh.New(foreign{slogh.New(h, nil)}, nil) },
		"two in between":        func(h slog.Handler) slog.Handler { return slogh.New(foreign{foreign{slogh.New(h, nil)}}, nil) },
		"three of them": func(h slog.Handler) slog.Handler {
			return slogh.New(foreign{slogh.New(foreign{slogh.New(h, nil)}, nil)}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got, want bytes.Buffer
			opts := &slog.HandlerOptions{ReplaceAttr: noTime}
			l := slog.New(build(slog.NewJSONHandler(&got, opts)))
			ref := slog.New(slog.NewJSONHandler(&want, opts))
			scope.New(fields...).Run(func() {
				l.Info("m", "own", 1)
				l.Info("m", "id", 9)
				l.With("a", 1).Info("m", "own", 1)
				l.With("a", 1).WithGroup("g").With("b", 2).Info("m", "own", 1)
				l.WithGroup("id").Info("m", "own", 1)
			})
			ref.With(fields...).Info("m", "own", 1)
			ref.With(fields[1+1:]...).Info("m", "id", 9)
			ref.With("a", 1).With(fields...).Info("m", "own", 1)
			ref.With("a", 1).With(fields...).WithGroup("g").With("b", 2).Info("m", "own", 1)
			ref.With(fields[2:]...).WithGroup("id").Info("m", "own", 1)
			if got.String() != want.String() {
				t.Errorf("got\n%swant\n%s", &got, &want)
			}
		})
	}
}

// Panics of other packages' handlers go where they go without an adapter.
func TestAPanicOfAForeignHandlerComesOut(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(slogh.New(foreign{slog.NewJSONHandler(&out, nil)}, nil))
	bad := slog.New(slogh.New(panicking{}, nil))
	scope.New("k", 1).Run(func() {
		func() {
			defer func() {
				if p := recover(); p != "m" {
					t.Errorf("what came out is %v", p)
				}
			}()
			bad.Info("m")
		}()
		l.Info("after")
	})
	if !strings.Contains(out.String(), `"msg":"after","k":1`) {
		t.Errorf("got %s", &out)
	}
}

type panicking struct{}

func (panicking) Enabled(context.Context, slog.Level) bool      { return true }
func (panicking) WithAttrs([]slog.Attr) slog.Handler            { return panicking{} }
func (panicking) WithGroup(string) slog.Handler                 { return panicking{} }
func (panicking) Handle(_ context.Context, r slog.Record) error { panic(r.Message) }

func TestALineOfAForeignHandlerAllocatesNothing(t *testing.T) {
	scopekit.SkipUnlessLean(t)
	ctx := context.Background()
	l := slog.New(slogh.New(foreign{slog.NewJSONHandler(io.Discard, nil)}, nil))
	for _, fields := range []int{1, 3} { // slog.Record has room for 5
		scopekit.Of(fields).Run(func() {
			n := testing.AllocsPerRun(100, func() { l.LogAttrs(ctx, slog.LevelInfo, "m", slog.Int("own", 1)) })
			if n > 0 {
				t.Errorf("%d fields: %v allocations", fields, n)
			}
		})
	}
}

// What was attached before New isn't seen: see Limits in the package's documentation.
func TestWhatWasAttachedBeforeNew(t *testing.T) {
	var out bytes.Buffer
	h := slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime})
	scope.New("k", 1).Run(func() {
		slog.New(slogh.New(h.WithAttrs([]slog.Attr{slog.Int("k", 2)}), nil)).Info("m")
		wantLine(t, &out, `{"level":"INFO","msg":"m","k":2,"k":1}`)
		slog.New(slogh.New(h.WithGroup("g"), nil)).Info("m", "a", 3)
		wantLine(t, &out, `{"level":"INFO","msg":"m","g":{"k":1,"a":3}}`)
	})
}

func TestAForeignHandlerWithTheOptions(t *testing.T) {
	for _, tc := range []struct {
		opts logadapters.Options
		want string
	}{
		{logadapters.Options{Group: "s"}, `"s":{"a":1,"b":2},"a":9`},
		{logadapters.Options{MaxFields: 1}, `"b":2,"scope_dropped":1,"a":9`},
		{logadapters.Options{Duplicates: logadapters.ScopeWins}, `"a":1,"b":2`},
		{logadapters.Options{Duplicates: logadapters.KeepBoth}, `"a":1,"b":2,"a":9`},
		{logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, a.Key == "b" }}, `"b":2,"a":9`},
	} {
		var out bytes.Buffer
		l := slog.New(slogh.New(foreign{slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: noTime})}, &tc.opts))
		scope.New("a", 1, "b", 2).Run(func() { l.Info("m", "a", 9) })
		wantLine(t, &out, `{"level":"INFO","msg":"m",`+tc.want+`}`)
	}
}

func TestARecordWithoutATimeKeepsItsPlace(t *testing.T) {
	var out bytes.Buffer
	h := slogh.New(foreign{slog.NewTextHandler(&out, &slog.HandlerOptions{AddSource: true})}, nil)
	r := slog.NewRecord(time.Time{}, slog.LevelWarn, "m", 0)
	scope.New("k", 1).Run(func() { _ = h.Handle(context.Background(), r) })
	if got := out.String(); !strings.HasPrefix(got, "level=WARN ") || !strings.HasSuffix(got, "msg=m k=1\n") {
		t.Errorf("got %s", got)
	}
}

// logr's handler writes a group's attributes with dotted keys, and has children with prefixes.
func TestAHandlerOfLogr(t *testing.T) {
	build := func(w io.Writer) slog.Handler {
		return logr.ToSlogHandler(funcr.NewJSON(func(line string) { fmt.Fprintln(w, line) }, funcr.Options{}))
	}
	use := func(l *slog.Logger, fields ...any) {
		l.With(fields...).Info("m", "own", 1)
		l.With("a", 1).With(fields...).Info("m", "own", 1, "more", []int{1})
		l.With(fields...).WithGroup("g").Info("m", "own", 1)
		l.With(fields...).Info("m", slog.Group("in", "own", 1))
		l.With(fields...).Error("m", "err", errors.New("boom"))
		l.Debug("below the level")
	}
	fields := []any{"id", 7, "user", "ann", "when", time.Second}
	var got, want bytes.Buffer
	use(slog.New(slogh.New(build(&got), nil)))
	use(slog.New(build(&want)))
	scope.New(fields...).Run(func() { use(slog.New(slogh.New(build(&got), nil))) })
	use(slog.New(build(&want)), fields...)
	if got.String() != want.String() {
		t.Errorf("got\n%swant\n%s", &got, &want)
	}
}

// A waiting handler's lines wait for a slow writer.
type waiting struct {
	slog.Handler
	writer <-chan struct{}
	lines  *sync.WaitGroup // that have yet to arrive
}

func (w waiting) Handle(ctx context.Context, r slog.Record) error {
	w.lines.Done()
	<-w.writer
	return w.Handler.Handle(ctx, r)
}

func TestLinesThatWaitForASlowWriterAreStamped(t *testing.T) {
	const lines = 2000
	if runtime.GOARCH == "wasm" {
		t.Skip("the limit is lower: see internal/memo")
	}
	var out bytes.Buffer
	writer := make(chan struct{})
	var arriving, writing sync.WaitGroup
	arriving.Add(lines)
	l := slog.New(slogh.New(waiting{slog.NewTextHandler(&out, nil), writer, &arriving}, nil))
	for range lines {
		writing.Go(func() {
			scope.New("request_id", "r-1", "tags", []string{"a"}).Run(func() { l.Info("slow") })
		})
	}
	arriving.Wait()
	close(writer)
	writing.Wait()
	if n := strings.Count(out.String(), "request_id=r-1 tags=[a]"); n != lines {
		t.Errorf("%d of %d lines are stamped", n, lines)
	}
}

type marshaler func()

func (m marshaler) MarshalJSON() ([]byte, error) { m(); return []byte("1"), nil }

// User code that logs with the context of a scope, and hides that it does so, ends all the same.
func TestUserCodeOfALineThatRunsAwayEnds(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector makes it take long")
	}
	var l *slog.Logger
	var ctx context.Context
	called := 0
	runAway := func() {
		called++
		pprof.Do(context.Background(), pprof.Labels("a", "b"), func(context.Context) { // the goroutine's scope is lost
			for range 2 { // each of them would lead to two more
				l.InfoContext(ctx, "inner")
			}
		})
	}
	for name, c := range map[string]struct {
		replace func([]string, slog.Attr) slog.Attr
		value   any
	}{
		"ReplaceAttr": {func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "v" {
				runAway()
			}
			return a
		}, 1},
		"MarshalJSON": {nil, map[string]any{"a": marshaler(runAway)}},
	} {
		h := slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{ReplaceAttr: c.replace})
		l = slog.New(slogh.New(struct{ slog.Handler }{h}, nil))
		s := scope.New("v", c.value)
		ctx = scope.NewContext(t.Context(), s)
		called = 0
		s.Run(func() {
			for range 2 {
				l.Info("outer")
			}
		})
		if called < 2 || called > 1_000_000 {
			t.Errorf("%s was called %d times", name, called)
		}
	}
}
