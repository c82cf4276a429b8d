package zeroh

import (
	"cmp"
	"context"
	"reflect"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A hook stamps every line with the fields of the scope that is bound to the goroutine.
type hook struct{ cache cache[fragment] }

var _ zerolog.Hook = (*hook)(nil)

// New returns a hook that stamps the lines of the logger that it is added to. nil opts are the
// defaults. The scope's fields come behind the event's own and in front of the message. zerolog
// shows a hook none of the event's keys, so a key that both have is written twice, whatever
// opts.Duplicates says. A line that is given a context with [zerolog.Event.Ctx] is stamped as
// [logadapters.Pick] says. Of several hooks of this package the first one stamps.
func New(opts *logadapters.Options) zerolog.Hook {
	return &hook{cache[fragment]{options: opts, attach: attach}}
}

// Run stamps e.
func (h *hook) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	if !e.Enabled() {
		return // another hook has discarded it
	}
	s, ctx, after := scope.Current(), e.GetCtx(), stamped
	if ctx != context.Background() { // most lines have none
		var first bool
		if first, after = h.place(e, ctx); !first {
			return
		}
		s = s.Pick(ctx)
	}
	if s == (scope.Scope{}) {
		return
	}
	if d := h.cache.lookup(s); d != nil {
		if f := &d.Value; f.deferred == nil {
			e.RawJSON(f.key, f.json) // addTo, faster for the common case
		} else {
			f.addTo(e, s)
		}
	}
	if after != nil {
		e.Ctx(after) // not earlier: a method of a value may log with this context
	}
}

// A mark is the context of an event that is stamped.
type mark struct {
	context.Context
	event *zerolog.Event // nil: any
}

// stamped marks an event that has no context of its own. One for all costs no allocation, but
// another hook may have passed it on to another event.
var stamped context.Context = &mark{context.Background(), nil}

// place reports whether h is the hook that stamps e, which has the context ctx. after is nil, or the
// context to give e afterwards, so that h doesn't stamp it again.
func (h *hook) place(e *zerolog.Event, ctx context.Context) (first bool, after context.Context) {
	m, marked := ctx.(*mark)
	hooks := hooksOfEvent(e)
	if n := hooks.Len(); n < 2 {
		return n == 1 || !marked, nil
	}
	stamping, again := firstOf(hooks)
	if again {
		if marked && (m.event == nil || m.event == e) {
			return false, nil
		}
		after = &mark{ctx, e}
	}
	return stamping == 0 || stamping == reflect.ValueOf(h).Pointer(), after
}

// hooksOfEvent and hooksOfLogger return the hooks that an event or a logger has: none if some later
// zerolog keeps them elsewhere. Then a hook that is there twice isn't always noticed.
var (
	hooksOfEvent  = hooksOf[zerolog.Event]("ch")
	hooksOfLogger = hooksOf[zerolog.Logger]("hooks")
)

func hooksOf[T any](field string) func(*T) reflect.Value {
	f, _ := reflect.TypeFor[T]().FieldByName(field)
	if f.Type != reflect.TypeFor[[]zerolog.Hook]() {
		return func(*T) reflect.Value { return reflect.ValueOf([]zerolog.Hook{}) }
	}
	return func(p *T) reflect.Value { return reflect.ValueOf(p).Elem().FieldByIndex(f.Index) }
}

// firstOf returns the address of the first of hooks that is of this package, or 0, and whether it
// is there again.
func firstOf(hooks reflect.Value) (first uintptr, again bool) {
	for i := range hooks.Len() {
		if h := hooks.Index(i).Elem(); h.IsValid() && h.Type() == reflect.TypeFor[*hook]() {
			again = again || h.Pointer() == first
			first = cmp.Or(first, h.Pointer())
		}
	}
	return first, again
}
