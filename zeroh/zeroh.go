package zeroh

import (
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A hook stamps every line with the fields of the scope that is bound to the goroutine.
type hook struct {
	stamper *logadapters.Stamper[fragment]
}

var _ zerolog.Hook = (*hook)(nil)

// New returns a hook that stamps the lines of the logger that it is added to. nil opts
// are the defaults. The scope's fields come after the event's own and before the
// message. zerolog shows a hook none of the event's keys, so a field that is in the
// scope and in the event is written twice, whatever opts.Duplicates says. A line that
// is given a context with [zerolog.Event.Ctx] is stamped as [logadapters.Pick] says.
func New(opts *logadapters.Options) zerolog.Hook {
	return &hook{logadapters.NewStamper[fragment](opts, logger{}).Extending(extend)}
}

// Run stamps e.
func (h *hook) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	s := logadapters.Pick(e.GetCtx())
	stamp, made := h.stamper.Made(s)
	if !made {
		if part, added, ok := h.stamper.First(s, logadapters.FewFields); ok {
			if part != nil {
				part.Logger.addTo(e)
			}
			addAll(e, added)
			return
		}
		stamp = h.stamper.Stamp(s)
	}
	if stamp != nil {
		stamp.Logger.addTo(e)
	}
}

// A logger is any of zerolog's as a Stamper sees it.
type logger struct{}

// Derive returns the fields as they are written.
func (logger) Derive(fields logadapters.Fields) fragment { return encode(fields) }

// Taken reports whether zerolog writes key itself.
func (logger) Taken(key string) bool {
	switch key {
	case zerolog.LevelFieldName, zerolog.MessageFieldName, zerolog.TimestampFieldName:
		return true
	}
	return false
}

// addAll adds fields to e with the methods of zerolog. Event.Fields is the one that
// takes a value of any type and has zerolog's own encoding for those that it knows.
func addAll(e *zerolog.Event, fields logadapters.Fields) {
	into := e
	if fields.Group != "" {
		into = e.CreateDict()
	}
	for i, a := range fields.Attrs {
		// As Fields, without boxing what is most common.
		switch a.Value.Kind() {
		case slog.KindString:
			into.Str(a.Key, a.Value.String())
		case slog.KindInt64:
			into.Int64(a.Key, a.Value.Int64())
		case slog.KindUint64:
			into.Uint64(a.Key, a.Value.Uint64())
		case slog.KindBool:
			into.Bool(a.Key, a.Value.Bool())
		case slog.KindGroup:
			addGroup(into, a)
		default:
			into.Fields([]any{a.Key, orNil(fields.Any(i))})
		}
	}
	if fields.Group != "" {
		e.Dict(fields.Group, into)
	}
}

func addGroup(e *zerolog.Event, a slog.Attr) {
	into := e
	if a.Key != "" { // else its members are inlined, as slog does it
		into = e.CreateDict()
	}
	for _, m := range a.Value.Group() {
		if m.Value.Kind() == slog.KindGroup {
			addGroup(into, m)
		} else {
			into.Fields([]any{m.Key, orNil(m.Value.Any())})
		}
	}
	if a.Key != "" {
		e.Dict(a.Key, into)
	}
}

// orNil returns v with nil in place of an error that is a nil pointer, alone or in a
// slice: Event.Fields writes nothing for it, which no reader of JSON accepts.
func orNil(v any) any {
	switch v := v.(type) {
	case error:
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return nil
		}
	case []error:
		errs := slices.Clone(v)
		for i, err := range errs {
			errs[i], _ = orNil(err).(error)
		}
		return errs
	}
	return v
}

// Logger returns base with the fields of the bound scope in its context: in front of
// the event's own, at the cost of a hand-made child. It is remembered with the scope.
// With no scope bound it returns a copy of base. The logger keeps the fields of this
// moment, also when it is used by another goroutine or when the task is over, so get
// it anew in each function. Others get the same one: don't call UpdateContext on it.
// base must not have the hook of [New], or each field is written twice.
func Logger(base zerolog.Logger) *zerolog.Logger {
	if zerolog.GlobalLevel() == zerolog.Disabled { // nothing can be encoded, nor is to be remembered
		bare := base
		return &bare
	}
	stamp := children.Stamp(scope.Current())
	if stamp == nil {
		bare := base
		return &bare
	}
	if l := stamp.Logger.find(base); l != nil {
		return l
	}
	return stamp.Logger.add(base)
}

// children remembers, with each scope, the loggers that Logger made for it.
var children = logadapters.NewStamper[*family](nil, parent{}).Extending(func(f *family, added logadapters.Fields) *family {
	return &family{fragment: extend(f.fragment, added)}
})

// A parent is a logger of which Logger makes others.
type parent struct{ logger }

// Derive returns a family without children.
func (parent) Derive(fields logadapters.Fields) *family { return &family{fragment: encode(fields)} }

// A family is what Logger remembers with a scope.
type family struct {
	fragment fragment
	children atomic.Pointer[child]
}

// A child is a logger made for one base. It is a list with one element, mostly.
type child struct {
	base, logger zerolog.Logger
	next         *child
	depth        int
}

// maxChildren bounds the loggers remembered with a scope: a base that is made anew each
// time would never be asked for again.
const maxChildren = 8

// bases has Loggers for find to work with. reflect makes what it is given escape, so the
// parameter itself would be allocated anew for each call.
var bases = sync.Pool{New: func() any { return new(zerolog.Logger) }}

func (f *family) find(base zerolog.Logger) *zerolog.Logger {
	b := bases.Get().(*zerolog.Logger)
	*b = base
	defer func() {
		*b = zerolog.Logger{}
		bases.Put(b)
	}()
	for c := f.children.Load(); c != nil; c = c.next {
		if same(&c.base, b) {
			return &c.logger
		}
	}
	return nil
}

func (f *family) add(base zerolog.Logger) *zerolog.Logger {
	c := &child{base: base, logger: f.fragment.addToLogger(base)}
	known := f.children.Load()
	if known != nil {
		c.next, c.depth = known, known.depth+1
	}
	if c.depth < maxChildren {
		f.children.CompareAndSwap(known, c) // else another goroutine was first: no matter
	}
	return &c.logger
}

// same reports whether a and b are copies of one logger. It goes field by field because
// a Logger has slices, which == doesn't take; two that have the same memory are the same.
// A writer or sampler of a type that == doesn't take makes Equal panic; asking it before,
// with Comparable, would cost more than all the rest.
func same(a, b *zerolog.Logger) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		f, g := x.Field(i), y.Field(i)
		if f.Kind() == reflect.Slice {
			if f.Pointer() != g.Pointer() || f.Len() != g.Len() {
				return false
			}
		} else if !f.Equal(g) {
			return false
		}
	}
	return true
}
