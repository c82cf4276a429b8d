package adaptertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// logger is slog as the suite sees it.
type logger struct{ slog.Handler }

func (l logger) Log(ctx context.Context, msg string, fields ...Field) {
	l.log(ctx, slog.LevelInfo, msg, fields)
}

func (l logger) Disabled(ctx context.Context, msg string, fields ...Field) {
	l.log(ctx, slog.LevelDebug, msg, fields)
}

func (l logger) log(ctx context.Context, level slog.Level, msg string, fields []Field) {
	if l.Enabled(ctx, level) {
		r := slog.NewRecord(time.Time{}, level, msg, 0)
		r.AddAttrs(Group(fields).attrs()...)
		_ = l.Handle(ctx, r)
	}
}

func (l logger) With(fields ...Field) Logger {
	return logger{l.WithAttrs(Group(fields).attrs())}
}

func (l logger) Group(name string) Logger { return logger{l.WithGroup(name)} }

// adapterWith returns slog with the adapter that build makes.
func adapterWith(build func(w io.Writer, opts *logadapters.Options) slog.Handler) Adapter {
	return Adapter{
		New: func(w io.Writer, opts *logadapters.Options) Logger { return logger{build(w, opts)} },
		Reference: func(w io.Writer, fields []Field) Logger {
			return AttachLast(logger{slog.NewJSONHandler(w, nil)}, fields)
		},
		Twice: func(w io.Writer) Logger {
			between := func(ctx context.Context, r slog.Record, h slog.Handler) error { return h.Handle(ctx, r) }
			return logger{slogh.New(wrapper{build(w, nil), between}, nil)}
		},
		Own:  []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey},
		Slog: true,
	}
}

func correct(w io.Writer, opts *logadapters.Options) slog.Handler {
	return slogh.New(slog.NewJSONHandler(w, nil), opts)
}

// A wrapper breaks a handler: handle is called in place of its Handle.
type wrapper struct {
	slog.Handler
	handle handle
}

type handle func(ctx context.Context, r slog.Record, h slog.Handler) error

func (w wrapper) Handle(ctx context.Context, r slog.Record) error {
	return w.handle(ctx, r, w.Handler)
}

func (w wrapper) WithAttrs(attrs []slog.Attr) slog.Handler {
	return wrapper{w.Handler.WithAttrs(attrs), w.handle}
}

func (w wrapper) WithGroup(name string) slog.Handler {
	return wrapper{w.Handler.WithGroup(name), w.handle}
}

// handling returns an adapter that is correct but for handle.
func handling(handle handle) Adapter {
	return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler {
		return wrapper{correct(w, opts), handle}
	})
}

// under is handling for adapters that stamp a line from another scope than they should.
func under(change func(scope.Scope) scope.Scope) Adapter {
	return handling(func(ctx context.Context, r slog.Record, h slog.Handler) (err error) {
		change(logadapters.Pick(ctx)).Run(func() { err = h.Handle(background, r) })
		return err
	})
}

// opting is for adapters that don't do what the options say.
func opting(change func(*logadapters.Options)) Adapter {
	return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler {
		changed := logadapters.Options{}
		if opts != nil {
			changed = *opts
		}
		change(&changed)
		return correct(w, &changed)
	})
}

// noFields forgets what is attached to it.
type noFields struct{ slog.Handler }

func (h noFields) WithAttrs([]slog.Attr) slog.Handler { return h }

// fewChildren stops stamping when it has made many children.
type fewChildren struct {
	slog.Handler
	bare  slog.Handler
	count *atomic.Int64
}

func (h fewChildren) WithAttrs(attrs []slog.Attr) slog.Handler {
	if h.count.Add(1) > 100 {
		return h.bare.WithAttrs(attrs)
	}
	return h.Handler.WithAttrs(attrs)
}

// noGroups forgets the groups of lines that have no scope.
type noGroups struct{ slog.Handler }

func (h noGroups) WithGroup(name string) slog.Handler {
	if scope.Current() == (scope.Scope{}) {
		return h
	}
	return noGroups{h.Handler.WithGroup(name)}
}

func (h noGroups) WithAttrs(attrs []slog.Attr) slog.Handler {
	return noGroups{h.Handler.WithAttrs(attrs)}
}

// lateHandler attaches when a line is written, and not when it is told to.
type lateHandler struct {
	slog.Handler
	ops []func(slog.Handler) slog.Handler
}

func (h lateHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lateHandler{h.Handler, append(slices.Clip(h.ops), func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })}
}

func (h lateHandler) WithGroup(name string) slog.Handler {
	return lateHandler{h.Handler, append(slices.Clip(h.ops), func(h slog.Handler) slog.Handler { return h.WithGroup(name) })}
}

func (h lateHandler) Handle(ctx context.Context, r slog.Record) error {
	child := h.Handler
	for _, op := range h.ops {
		child = op(child)
	}
	return child.Handle(ctx, r)
}

// talkative doesn't ask the wrapped handler for Enabled.
type talkative struct{ slog.Handler }

func (talkative) Enabled(context.Context, slog.Level) bool { return true }

// rebuilt returns a scope of the fields of s that change lets pass.
func rebuilt(s scope.Scope, change func(key string, v slog.Value) (any, bool)) scope.Scope {
	var args []any
	for key, v := range s.All() {
		if changed, keep := change(key, v); keep {
			args = append(args, slog.Any(key, changed))
		}
	}
	return scope.New(args...)
}

func keysOf(r slog.Record) (keys []string) {
	r.Attrs(func(a slog.Attr) bool {
		keys = append(keys, a.Key)
		return true
	})
	return keys
}

// A mutant is a way to get it wrong, and the cases that are meant to find it.
type mutant struct {
	name  string
	fails []string
	make  func() Adapter // anew, for what it remembers
}

var mutants = []mutant{
	{"never stamps", []string{"bound", "children", "fork"}, func() Adapter {
		return under(func(scope.Scope) scope.Scope { return scope.Scope{} })
	}},
	{"stamps lines that have no scope", []string{"unbound"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			if logadapters.Pick(ctx) == (scope.Scope{}) {
				r.AddAttrs(slog.String("scope", "none"))
			}
			return h.Handle(ctx, r)
		})
	}},
	{"forgets the groups of lines that have no scope", []string{"unbound"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler { return noGroups{correct(w, opts)} })
	}},
	{"leaks the last scope into lines that have none", []string{"unbound"}, func() Adapter {
		var last atomic.Value
		return under(func(s scope.Scope) scope.Scope {
			if s != (scope.Scope{}) {
				last.Store(s)
			} else if l, ok := last.Load().(scope.Scope); ok {
				return l
			}
			return s
		})
	}},
	{"sorts the fields", []string{"order"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			var attrs []any
			for key, v := range s.All() {
				attrs = append(attrs, slog.Any(key, v))
			}
			slices.SortFunc(attrs, func(a, b any) int { return strings.Compare(a.(slog.Attr).Key, b.(slog.Attr).Key) })
			return scope.New(attrs...)
		})
	}},
	{"makes texts of all values", []string{"types", "attributes", "value fails"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			return rebuilt(s, func(_ string, v slog.Value) (any, bool) { return fmt.Sprint(v), true })
		})
	}},
	{"needs options", []string{"nil options"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler {
			changed := *opts
			return correct(w, &changed)
		})
	}},
	{"remembers one scope for all", []string{"set between lines", "alternating scopes", "goroutines"}, func() Adapter {
		var once sync.Once
		var first scope.Scope
		return under(func(s scope.Scope) scope.Scope {
			once.Do(func() { first = s })
			return first
		})
	}},
	{"remembers one logger for all", []string{"two loggers", "children"}, func() Adapter {
		var loggers sync.Map
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			first, _ := loggers.LoadOrStore(scope.Current(), h)
			return first.(slog.Handler).Handle(ctx, r)
		})
	}},
	{"gives up when it has seen many loggers", []string{"many loggers"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler {
			return fewChildren{correct(w, opts), slog.NewJSONHandler(w, nil), new(atomic.Int64)}
		})
	}},
	{"loses what is attached to the logger", []string{"children"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler { return noFields{correct(w, opts)} })
	}},
	{"stamps inside the group", []string{"root", "group option"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler {
			return wrapper{slog.NewJSONHandler(w, nil), func(ctx context.Context, r slog.Record, h slog.Handler) error {
				for key, v := range logadapters.Pick(ctx).All() {
					r.AddAttrs(slog.Any(key, v))
				}
				return h.Handle(ctx, r)
			}}
		})
	}},
	{"repeats keys", []string{"event wins", "event wins, later", "event wins, attached", "event wins, group", "scope wins, attached", "own keys", "no key twice"}, func() Adapter {
		return opting(func(o *logadapters.Options) { o.Duplicates = logadapters.KeepBoth })
	}},
	{"lets the scope win", []string{"event wins", "keep both"}, func() Adapter {
		return opting(func(o *logadapters.Options) { o.Duplicates = logadapters.ScopeWins })
	}},
	{"has other digits on a line that repeats a key", []string{"event wins, later"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) (err error) {
			s := logadapters.Pick(ctx)
			if slices.ContainsFunc(keysOf(r), func(key string) bool { _, has := s.Get(key); return has }) {
				s = rebuilt(s, func(_ string, v slog.Value) (any, bool) {
					if v.Kind() == slog.KindFloat64 {
						return math.Round(v.Float64()), true
					}
					return v.Any(), true
				})
			}
			s.Run(func() { err = h.Handle(background, r) })
			return err
		})
	}},
	{"lets the event win always", []string{"scope wins", "keep both"}, func() Adapter {
		return opting(func(o *logadapters.Options) { o.Duplicates = logadapters.EventWins })
	}},
	{"takes keys inside a group for keys at the root", []string{"inside a group", "event shows nothing"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) (err error) {
			logadapters.Pick(ctx).Without(keysOf(r)...).Run(func() { err = h.Handle(background, r) })
			return err
		})
	}},
	{"has no group for the fields", []string{"group option"}, func() Adapter {
		return opting(func(o *logadapters.Options) { o.Group = "" })
	}},
	{"doesn't filter", []string{"filter", "filter to a taken key", "filter sees", "filter panics"}, func() Adapter {
		return opting(func(o *logadapters.Options) { o.Filter = nil })
	}},
	{"knows own fields only", []string{"shared fields"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			return rebuilt(s, func(_ string, v slog.Value) (any, bool) { return v.Any(), true })
		})
	}},
	{"changes the fields that it is given", []string{"fields stay"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler {
			c := &logadapters.Cache[slog.Handler]{Options: opts, Base: slog.NewJSONHandler(w, nil)}
			c.Attach = func(h slog.Handler, fields logadapters.Fields) slog.Handler {
				h = h.WithAttrs(fields.Attrs)
				fields.Attrs[0].Value = slog.StringValue("changed")
				return h
			}
			return wrapper{c.Base, func(ctx context.Context, r slog.Record, h slog.Handler) error {
				if d := c.Lookup(logadapters.Pick(ctx)); d != nil {
					h = d.Value
				}
				return h.Handle(ctx, r)
			}}
		})
	}},
	{"shows the filter the scope itself", []string{"filter sees", "filter changes in place"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler {
			return wrapper{correct(w, opts), func(ctx context.Context, r slog.Record, h slog.Handler) error {
				if opts != nil && opts.Filter != nil {
					for key, v := range logadapters.Pick(ctx).All() {
						opts.Filter(slog.Any(key, v))
					}
				}
				return h.Handle(ctx, r)
			}}
		})
	}},
	{"drops a field whose filter panics", []string{"filter panics"}, func() Adapter {
		return opting(func(o *logadapters.Options) {
			if filter := o.Filter; filter != nil {
				o.Filter = func(a slog.Attr) (b slog.Attr, keep bool) {
					defer func() { _ = recover() }()
					return filter(a)
				}
			}
		})
	}},
	{"has no limit", []string{"max fields"}, func() Adapter {
		return opting(func(o *logadapters.Options) { o.MaxFields = 0 })
	}},
	{"shows what is hidden", []string{"hidden"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			if secret, ok := logadapters.Pick(ctx).Get(hiddenKey); ok {
				r.AddAttrs(slog.Any(hiddenKey, secret))
			}
			return h.Handle(ctx, r)
		})
	}},
	{"shows what is to be redacted", []string{"redacted"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			if secret, ok := logadapters.Pick(ctx).Get(redactedKey); ok {
				r.AddAttrs(slog.Any(redactedKey, secret)) // the line's own wins
			}
			return h.Handle(ctx, r)
		})
	}},
	{"remembers a policy for ever", []string{"late policy"}, func() Adapter {
		var known sync.Map
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			for key, v := range logadapters.Pick(ctx).All() {
				policy, _ := known.LoadOrStore(key, scope.Policy(key))
				if policy == scope.KeyOption(0) && scope.Policy(key) != 0 {
					r.AddAttrs(slog.Any(key, v))
				}
			}
			return h.Handle(ctx, r)
		})
	}},
	{"writes what shows nothing", []string{"nothing to show"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			return rebuilt(s, func(_ string, v slog.Value) (any, bool) {
				if v = v.Resolve(); v.Kind() == slog.KindGroup && len(v.Group()) == 0 {
					return struct{}{}, true
				}
				return v, true
			})
		})
	}},
	{"attaches when a line is written", []string{"attached once", "attached once, in a group"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler {
			return lateHandler{correct(w, opts), nil}
		})
	}},
	{"stamps what is stamped already", []string{"two adapters"}, func() Adapter {
		a := adapterWith(correct)
		a.Twice = func(w io.Writer) Logger {
			inner := wrapper{correct(w, nil), func(ctx context.Context, r slog.Record, h slog.Handler) error { return h.Handle(ctx, r) }}
			return logger{slogh.New(wrapper{inner, func(ctx context.Context, r slog.Record, h slog.Handler) error {
				for key, v := range logadapters.Pick(ctx).All() {
					r.AddAttrs(slog.Attr{Key: key, Value: v})
				}
				return h.Handle(ctx, r)
			}}, nil)}
		}
		return a
	}},
	{"calls methods of values for their own lines", []string{"value logs", "value sets"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			return rebuilt(s, func(_ string, v slog.Value) (any, bool) { return v.Resolve(), true })
		})
	}},
	{"doesn't stamp the lines of values", []string{"value logs"}, func() Adapter {
		var lines atomic.Int64
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) (err error) {
			defer lines.Add(-1)
			if lines.Add(1) == 1 {
				return h.Handle(ctx, r)
			}
			scope.Scope{}.Run(func() { err = h.Handle(ctx, r) })
			return err
		})
	}},
	{"drops the lines of values", []string{"value logs", "value waits"}, func() Adapter {
		var lines atomic.Int64
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			defer lines.Add(-1)
			if lines.Add(1) == 1 {
				return h.Handle(ctx, r)
			}
			return nil
		})
	}},
	{"holds a lock while it calls methods of values", []string{"value waits"}, func() Adapter {
		var mu sync.Mutex
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			mu.Lock()
			defer mu.Unlock()
			return h.Handle(ctx, r)
		})
	}},
	{"ignores contexts of the same task", []string{"context with an addition", "context with less"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			if s, ok := scope.FromContext(ctx); ok && s.SameTask(scope.Current()) {
				ctx = background
			}
			return h.Handle(ctx, r)
		})
	}},
	{"shows what an ended task had", []string{"scope ended, dropped"}, func() Adapter {
		return opting(func(o *logadapters.Options) { o.Ended = logadapters.MarkEnded })
	}},
	{"freezes LogValuers", []string{"log valuer"}, func() Adapter {
		var frozen sync.Map
		return under(func(s scope.Scope) scope.Scope {
			f, ok := frozen.Load(s)
			if !ok {
				f, _ = frozen.LoadOrStore(s, rebuilt(s, func(_ string, v slog.Value) (any, bool) { return v.Resolve(), true }))
			}
			return f.(scope.Scope)
		})
	}},
	{"calls LogValuers without care", []string{"log valuer panics"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			return rebuilt(s, func(_ string, v slog.Value) (any, bool) {
				if v.Kind() == slog.KindLogValuer {
					return v.LogValuer().LogValue(), true
				}
				return v, true
			})
		})
	}},
	{"drops a LogValuer that never ends", []string{"log valuer never ends"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			return rebuilt(s, func(_ string, v slog.Value) (any, bool) {
				_, never := v.Any().(endless)
				return v, !never
			})
		})
	}},
	{"encodes values without care", []string{"value panics"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			for _, v := range s.All() {
				if v.Kind() == slog.KindAny {
					_, _ = json.Marshal(v.Any())
				}
			}
			return s
		})
	}},
	{"hides what can't be encoded", []string{"value fails"}, func() Adapter {
		return under(func(s scope.Scope) scope.Scope {
			return rebuilt(s, func(_ string, v slog.Value) (any, bool) {
				_, err := json.Marshal(v.Any())
				return v, err == nil
			})
		})
	}},
	{"writes disabled lines", []string{"disabled"}, func() Adapter {
		return adapterWith(func(w io.Writer, opts *logadapters.Options) slog.Handler { return talkative{correct(w, opts)} })
	}},
	{"ignores contexts", []string{"context of another task"}, func() Adapter {
		return handling(func(_ context.Context, r slog.Record, h slog.Handler) error { return h.Handle(background, r) })
	}},
	{"prefers the context in the same task", []string{"context of the same task", "context with an addition"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) (err error) {
			s, ok := scope.FromContext(ctx)
			if !ok {
				return h.Handle(ctx, r)
			}
			s.Run(func() { err = h.Handle(background, r) })
			return err
		})
	}},
	{"takes a context without a scope for an empty scope", []string{"context without a scope"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) (err error) {
			if _, ok := scope.FromContext(ctx); ctx == background || ok {
				return h.Handle(ctx, r)
			}
			scope.Scope{}.Run(func() { err = h.Handle(ctx, r) })
			return err
		})
	}},
	{"looks into any context", []string{"bad context"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			_ = ctx.Value("request_id")
			return h.Handle(ctx, r)
		})
	}},
	{"never says scope_ended", []string{"scope ended"}, func() Adapter {
		return under(scope.Scope.Detach)
	}},
	{"remembers that a scope had not ended", []string{"scope ended"}, func() Adapter {
		var seen sync.Map
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) (err error) {
			s := logadapters.Pick(ctx)
			if _, again := seen.LoadOrStore(s, true); !again {
				return h.Handle(ctx, r)
			}
			s.Run(func() { err = h.Handle(background, r) })
			return err
		})
	}},
	{"says scope_ended too early", []string{"background work"}, func() Adapter {
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) error {
			r.AddAttrs(slog.Bool(logadapters.EndedKey, true))
			return h.Handle(ctx, r)
		})
	}},
	{"shares one scope within a task", []string{"fork"}, func() Adapter {
		var mu sync.Mutex
		var latest scope.Scope
		return under(func(s scope.Scope) scope.Scope {
			mu.Lock()
			defer mu.Unlock()
			if !latest.SameTask(s) || latest.Len() < s.Len() {
				latest = s
			}
			return latest
		})
	}},
	{"remembers what one line left out for the next", []string{"event wins", "one scope, many goroutines"}, func() Adapter {
		var mu sync.Mutex
		var out []string
		return handling(func(ctx context.Context, r slog.Record, h slog.Handler) (err error) {
			mu.Lock()
			out = append(out, keysOf(r)...)
			s := logadapters.Pick(ctx).Without(out...)
			mu.Unlock()
			s.Run(func() { err = h.Handle(background, r) })
			return err
		})
	}},
}

func TestCorrectAdapterPasses(t *testing.T) { Run(t, adapterWith(correct)) }

func TestEachMutantFailsTheCasesMeantForIt(t *testing.T) {
	patience = 300 * time.Millisecond
	defer func() { patience = 10 * time.Second }()
	for _, d := range mutants {
		for _, c := range cases {
			if slices.Contains(d.fails, c.Name) && len(c.try(d.make())) == 0 {
				t.Errorf("an adapter that %s passes %q", d.name, c.Name)
			}
		}
	}
}

func TestEachCaseFailsSomeMutant(t *testing.T) {
	var meant []string
	for _, d := range mutants {
		meant = append(meant, d.fails...)
	}
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.Name] {
			t.Errorf("two cases have the name %q", c.Name)
		}
		names[c.Name] = true
		if !slices.Contains(meant, c.Name) {
			t.Errorf("no mutant is meant to fail the case %q", c.Name)
		}
	}
	for _, name := range meant {
		if !names[name] {
			t.Errorf("a mutant is meant to fail the case %q, which doesn't exist", name)
		}
	}
}

func TestFailureShowsLineRuleReasonAndSource(t *testing.T) {
	c := cases[slices.IndexFunc(cases, func(c Case) bool { return c.Name == "event wins" })]
	failures := c.try(opting(func(o *logadapters.Options) { o.Duplicates = logadapters.KeepBoth }))
	if len(failures) == 0 {
		t.Fatal("there is no failure")
	}
	for _, want := range []string{`"user":"scope","b":2,"user":"event"`, c.Rule, c.Explanation, c.Source()} {
		if !strings.Contains(failures[0], want) {
			t.Errorf("the failure doesn't have %q:\n%s", want, failures[0])
		}
	}
}

func TestSourceIsTheLineOfTheCase(t *testing.T) {
	text, err := os.ReadFile("cases.go")
	if err != nil {
		t.Fatal(err)
	}
	source := strings.Split(string(text), "\n")
	for _, c := range Cases() {
		file, number, _ := strings.Cut(c.Source(), "cases.go:")
		n, err := strconv.Atoi(number)
		if err != nil || !strings.HasSuffix(file, "adaptertest/") {
			t.Fatalf("the source of %q is %q", c.Name, c.Source())
		}
		// The function begins on the line after its case's strings.
		if begin := strings.Join(source[max(0, n-6):n], "\n"); !strings.Contains(begin, strconv.Quote(c.Name)) {
			t.Errorf("%s isn't the line of the case %q:\n%s", c.Source(), c.Name, begin)
		}
	}
}

func TestCaseReportsPanicOfTheAdapter(t *testing.T) {
	a := handling(func(context.Context, slog.Record, slog.Handler) error { panic("adapter's own") })
	for _, c := range cases {
		if c.Name == "disabled" || c.Name == "filter sees" {
			continue // writes no line, or asks something else
		}
		failures := c.try(a)
		if !slices.ContainsFunc(failures, func(f string) bool { return strings.Contains(f, "panic: adapter's own") }) {
			t.Errorf("%s doesn't report the panic: %q", c.Name, failures)
		}
	}
}

func TestGeneratedLinesFindMutants(t *testing.T) {
	for _, name := range []string{
		"never stamps", "sorts the fields", "makes texts of all values", "needs options", "remembers one scope for all",
		"loses what is attached to the logger", "stamps inside the group", "repeats keys", "lets the scope win",
		"takes keys inside a group for keys at the root", "has no group for the fields", "ignores contexts",
		"remembers what one line left out for the next", "hides what can't be encoded", "attaches when a line is written",
		"drops the lines of values", "ignores contexts of the same task", "prefers the context in the same task",
		"shows what an ended task had", "never says scope_ended",
	} {
		if scope.Carrier() == "portable" && strings.Contains(name, "ended") {
			continue // there a goroutine isn't left behind with a scope
		}
		d := mutants[slices.IndexFunc(mutants, func(d mutant) bool { return d.name == name })]
		a := d.make()
		found := false
		for seed := uint64(1); seed < 200 && !found; seed++ {
			found = !agrees(a, seed)
		}
		if !found {
			t.Errorf("200 generated programs don't find an adapter that %s", name)
		}
	}
}

// agrees reports whether a writes the lines of the program of this seed as it should.
func agrees(a Adapter, seed uint64) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	difference, _ := a.compare(a.program(FromSeed(seed)))
	return difference == ""
}

func TestGeneratorMakesTheSameOfTheSame(t *testing.T) {
	a := adapterWith(correct)
	text := func(g *Generator) string {
		p := a.program(g)
		return show(p.scope) + fmt.Sprint(len(p.other), len(p.added), p.early, p.ended, len(p.steps), len(p.lines))
	}
	different := map[string]bool{}
	for seed := range uint64(50) {
		one, two := FromSeed(seed), FromSeed(seed)
		var data []byte
		for range 4096 {
			data = append(data, two.next())
		}
		// Scopes have pointers in them, so compare what doesn't depend on where they point.
		if x, y := len(text(one)), len(text(FromBytes(data))); x != y {
			t.Errorf("seed %d makes programs of %d and %d bytes", seed, x, y)
		}
		different[text(FromSeed(seed))] = true
	}
	if len(different) < 45 {
		t.Errorf("50 seeds make only %d programs", len(different))
	}
	if p := a.program(FromBytes(nil)); len(p.scope) != 0 || len(p.lines) != 1 {
		t.Errorf("no data makes %s", p)
	}
}

// TestGeneratorMakesEverything: what the generator doesn't make, nobody compares.
func TestGeneratorMakesEverything(t *testing.T) {
	a := adapterWith(correct)
	made := map[string]int{}
	for seed := range uint64(2000) {
		p := a.program(FromSeed(seed))
		made[fmt.Sprintf("options %+v", p.opts != nil)]++
		made[fmt.Sprintf("early %t", p.early)]++
		made[fmt.Sprintf("ended %t", p.ended)]++
		if p.opts != nil && p.opts.Ended == logadapters.DropEnded {
			made["dropped"]++
		}
		for _, f := range p.added {
			if slices.ContainsFunc(p.scope, func(g Field) bool { return g.Key == f.Key }) {
				made["added key that is there"]++
			}
		}
		for _, s := range p.steps {
			for _, f := range s.with {
				made[fmt.Sprintf("attached %T", f.Value)]++
			}
			made[fmt.Sprintf("group %t", s.with == nil)]++
		}
		if p.opts != nil {
			made[fmt.Sprintf("group option %t, %d", p.opts.Group != "", p.opts.Duplicates)]++
		}
		for _, f := range p.scope {
			made[fmt.Sprintf("%T", f.Value)]++
			made["kind "+f.Attr().Value.Kind().String()]++
			if slices.Contains(a.Own, f.Key) {
				made["own key"]++
			}
		}
		for _, e := range p.lines {
			made[fmt.Sprintf("context %d", e.context)]++
			for _, f := range e.fields {
				if f.Key == "" {
					made["inlined group"]++
				}
				if slices.ContainsFunc(p.scope, func(g Field) bool { return g.Key == f.Key }) {
					made["repeated key"]++
				}
			}
		}
	}
	want := []string{
		"options true", "options false", "context 0", "context 1", "context 2", "context 3", "context 4", "added key that is there",
		"ended false", "attached []uint8", fmt.Sprintf("attached %T", json.RawMessage(nil)), "attached adaptertest.Group",
		"adaptertest.noisyValuer", "adaptertest.noisyValue", "early true", "early false", "group true", "group false",
		"group option true, 0", "group option true, 2", "group option false, 0", "group option false, 2",
		"own key", "inlined group", "repeated key",
		"kind Any", "kind Bool", "kind Duration", "kind Float64", "kind Int64", "kind String", "kind Time", "kind Uint64", "kind Group", "kind LogValuer",
	}
	if scope.Carrier() != "portable" {
		want = append(want, "ended true", "dropped")
	}
	for _, makers := range [][]func(*Generator) any{plainValues, oddValues} {
		for _, maker := range makers {
			want = append(want, fmt.Sprintf("%T", maker(FromSeed(1))))
		}
	}
	for _, what := range want {
		if made[what] == 0 {
			t.Errorf("the generator makes no %s", what)
		}
	}
}

func TestDecodeTakesNoKeyTwice(t *testing.T) {
	for text, good := range map[string]bool{
		`{"a":1,"b":{"a":[{"a":null}]}}`:    true,
		`{}`:                                true,
		`{"a":1,"a":1}`:                     false,
		`{"a":1,"\u0061":1}`:                false,
		`{"b":{"a":1,"c":2,"a":3}}`:         false,
		`{"b":[0,{"a":1,"a":3}]}`:           false,
		`{"a":1}{"a":2}`:                    false,
		`{"a":1`:                            false,
		`{"a":}`:                            false,
		`[1]`:                               false,
		`level=INFO`:                        false,
		"":                                  false,
		"{\"a\":1}\n":                       true,
		`{"a":{"x":1},"b":{"x":1},"x":[1]}`: true,
	} {
		o, err := decode(text)
		if (err == nil) != good {
			t.Errorf("decode(%q) = %v, %v", text, o, err)
		}
	}
	o, err := decode(`{"z":1,"a":"x"}`)
	if err != nil || !slices.Equal(o.keys, []string{"z", "a"}) || o.values["a"] != "x" {
		t.Errorf("decode: %v, %v", o, err)
	}
}

func TestFeatureNames(t *testing.T) {
	if got := (Groups | EventKeys).String(); got != "Groups|EventKeys" {
		t.Errorf("got %q", got)
	}
}
