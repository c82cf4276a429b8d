package adaptertest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// An Adapter tells the suite how to make loggers with the adapter under test and
// without it. New and Reference must be set.
type Adapter struct {
	// New returns a logger that writes to w and is stamped by the adapter, which is
	// given opts as they are: nil too.
	New func(w io.Writer, opts *logadapters.Options) Logger

	// Reference returns the logger that New's adapter wraps, configured alike, without an
	// adapter. Its lines have fields where the adapter puts a scope's. If that is where
	// the logger's own With puts them, behind what was attached before and outside its
	// groups, [AttachLast] makes it from the logger alone. A field whose value is a [Group]
	// becomes what the logger has for an object.
	Reference func(w io.Writer, fields []Field) Logger

	// Twice, if it isn't nil, returns New's logger with nil options, with the adapter put on
	// a second time.
	Twice func(w io.Writer) Logger

	// Own has the keys that the logger writes itself on every line and that the
	// adapter keeps free for it.
	Own []string

	// Lacks says what the logger, or what it shows to an adapter, doesn't have.
	Lacks Feature

	// Slog is true iff the logger knows slog's values itself. Reference then gets groups
	// and slog.LogValuers as they are, to be turned into attributes with [Field.Attr].
	// Otherwise it gets what slog shows: LogValuers resolved, groups without a key inlined,
	// and no empty groups.
	Slog bool
}

// A Feature is something that a case needs. Features are bits.
type Feature uint8

const (
	Groups    Feature = 1 << iota // loggers that put what follows into an object: Logger.Group
	Contexts                      // lines that are given a context
	EventKeys                     // an adapter sees the keys of the line and of the logger
)

func (f Feature) String() string {
	var names []string
	for i, name := range []string{"Groups", "Contexts", "EventKeys"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// A Logger is a logger as the suite sees it. Its methods may be called by
// several goroutines, and write one line per call with one Write.
type Logger interface {
	// Log writes a line at a level that is enabled. ctx is what the caller passes to the
	// logger, and may be nil. A logger that lacks Contexts ignores it.
	Log(ctx context.Context, msg string, fields ...Field)

	// Disabled is Log at a level that New and Reference have disabled. It does nothing if
	// the logger has no levels.
	Disabled(ctx context.Context, msg string, fields ...Field)

	// With returns a child logger with these fields.
	With(fields ...Field) Logger

	// Group returns a child logger that puts what is added to it, or to its lines, into
	// an object of this name. It isn't called if the logger lacks Groups.
	Group(name string) Logger
}

// A Field is a key and any Go value, a [Group] among them.
type Field struct {
	Key   string
	Value any
}

// A Group is the value of a field that is an object. Without a key, its members lie
// where the field stands.
type Group []Field

// Attr returns f as an attribute of log/slog.
func (f Field) Attr() slog.Attr {
	if g, ok := f.Value.(Group); ok {
		return slog.Attr{Key: f.Key, Value: slog.GroupValue(g.attrs()...)}
	}
	return slog.Any(f.Key, f.Value)
}

func (g Group) attrs() []slog.Attr {
	attrs := make([]slog.Attr, len(g))
	for i, f := range g {
		attrs[i] = f.Attr()
	}
	return attrs
}

// AttachLast returns l, a logger without an adapter, with fields attached by its With: behind
// what is attached to l and its children, and outside the groups that these open.
func AttachLast(l Logger, fields []Field) Logger {
	if len(fields) == 0 {
		return l
	}
	return attachLast{l, fields}
}

type attachLast struct {
	Logger
	fields []Field
}

func (l attachLast) Log(ctx context.Context, msg string, fields ...Field) {
	l.Logger.With(l.fields...).Log(ctx, msg, fields...)
}

func (l attachLast) Disabled(ctx context.Context, msg string, fields ...Field) {
	l.Logger.With(l.fields...).Disabled(ctx, msg, fields...)
}

func (l attachLast) With(fields ...Field) Logger {
	return attachLast{l.Logger.With(fields...), l.fields}
}

func (l attachLast) Group(name string) Logger {
	return l.Logger.With(l.fields...).Group(name)
}

// A Case is one thing that a correct adapter does.
type Case struct {
	Name        string
	Rule        string  // what an adapter must do
	Explanation string  // why
	Needs       Feature // what a logger must have for the case to make sense
	check       func(*trial)
}

// Cases returns the cases that [Run] runs.
func Cases() []Case { return slices.Clone(cases) }

// Source returns the place of the case in this package, as "file:line".
func (c Case) Source() string {
	pc := reflect.ValueOf(c.check).Pointer()
	file, line := runtime.FuncForPC(pc).FileLine(pc)
	return fmt.Sprintf("%s:%d", file, line)
}

// Run runs all cases with a, each as a subtest. New must write JSON.
func Run(t *testing.T, a Adapter) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if lacks := c.Needs & a.Lacks; lacks != 0 {
				t.Skipf("the logger lacks %v", lacks)
			}
			for _, failure := range c.try(a) {
				t.Error(failure)
			}
		})
	}
}

// try runs c and returns what it finds wrong. It is apart from Run so that the tests of
// this package can run cases that must fail.
func (c Case) try(a Adapter) []string {
	t := &trial{Adapter: a}
	done := make(chan struct{})
	// In a goroutine of its own, and with nothing bound: a case may call Set.
	go func() {
		defer close(done)
		defer t.recovered()
		scope.Scope{}.Run(func() { c.check(t) })
	}()
	<-done
	for i, failure := range t.failures {
		t.failures[i] = fmt.Sprintf("%s\nrule: %s\nwhy:  %s\ncase: %s", failure, c.Rule, c.Explanation, c.Source())
	}
	return t.failures
}

// A trial is one run of a case.
type trial struct {
	Adapter
	mu       sync.Mutex
	failures []string
}

// givenUp is what fatalf panics with.
type givenUp struct{}

func (t *trial) recovered() {
	switch p := recover(); p.(type) {
	case nil, givenUp:
	default:
		t.errorf("panic: %v\n%s", p, debug.Stack())
	}
}

func (t *trial) errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

func (t *trial) fatalf(format string, args ...any) {
	t.errorf(format, args...)
	panic(givenUp{})
}

// stamped returns what a new logger of the adapter writes when write is called with it.
func (t *trial) stamped(opts *logadapters.Options, write func(Logger)) string {
	var out lines
	write(t.New(&out, opts))
	return out.String()
}

// attached returns what the reference writes when write is called with it.
func (t *trial) attached(fields []Field, write func(Logger)) string {
	var out lines
	write(t.Reference(&out, t.plain(fields)))
	return out.String()
}

// same checks that a logger of the adapter writes what the logger writes with these
// fields attached.
func (t *trial) same(opts *logadapters.Options, fields []Field, write func(Logger)) {
	t.equal(t.stamped(opts, write), t.attached(fields, write))
}

func (t *trial) equal(got, want string) {
	if got != want {
		t.errorf("the adapter wrote\n\t%s\nand not\n\t%s", indent(got), indent(want))
	}
}

func indent(s string) string {
	if s == "" {
		return "nothing"
	}
	return strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n\t")
}

// object decodes line, which must be one JSON object. Neither that nor an object in it may have a
// key twice.
func (t *trial) object(line string) object {
	o, err := decode(line)
	if err != nil {
		t.fatalf("the adapter wrote\n\t%s\nwhich is not one good JSON object: %v", indent(line), err)
	}
	return o
}

// plain returns fields as Reference gets them.
func (a *Adapter) plain(fields []Field) []Field {
	if a.Slog {
		return fields
	}
	plain := make([]Field, 0, len(fields))
	for _, f := range fields {
		switch f.Value.(type) {
		case slog.LogValuer, slog.Value, Group:
			// In a group, slog has one kind for all ints, and one for both floats.
			plain = appendResolved(plain, f.Attr())
		default:
			plain = append(plain, f)
		}
	}
	return plain
}

// appendResolved appends what log/slog shows for a: nothing for the zero Attr and for a group
// with nothing to show, and the members of a group without a key.
func appendResolved(fields []Field, a slog.Attr) []Field {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Equal(slog.Attr{}) {
			return fields
		}
		return append(fields, Field{a.Key, v.Any()})
	}
	var g Group
	for _, m := range v.Group() {
		g = appendResolved(g, m)
	}
	switch {
	case len(g) == 0:
		return fields
	case a.Key == "":
		return append(fields, g...)
	}
	return append(fields, Field{a.Key, g})
}

// bind returns a new task's scope with these fields.
func bind(fields []Field) scope.Scope {
	return scope.New(arguments(fields)...)
}

func arguments(fields []Field) (args []any) {
	for _, f := range fields {
		switch v := f.Value.(type) {
		case Group:
			args = append(args, f.Attr())
		case slog.Value:
			args = append(args, slog.Attr{Key: f.Key, Value: v})
		default:
			args = append(args, f.Key, f.Value)
		}
	}
	return args
}

// list returns the fields of alternating keys and values.
func list(pairs ...any) (fields []Field) {
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, Field{pairs[i].(string), pairs[i+1]})
	}
	return fields
}
