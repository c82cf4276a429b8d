package zeroh

import (
	"cmp"
	"context"
	"reflect"
	"sync/atomic"

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
	s, ctx := scope.Current(), e.GetCtx()
	var after *mark
	if hooks := hooksOfEvent(e); hooks.Len() != 1 {
		var first bool
		if first, after = h.place(e, ctx, hooks); !first {
			return
		}
	}
	if ctx != context.Background() { // most lines have none
		s = s.Pick(ctx)
	}
	if s == (scope.Scope{}) {
		return
	}
	if d := h.cache.lookup(s); d != nil {
		if f := &d.Value; f.late == nil {
			e.RawJSON(f.key, f.json) // as addTo does it, but sooner: it is so mostly
		} else {
			f.addTo(e, s)
		}
	}
	if after != nil {
		e.Ctx(after) // not earlier: what a method of some value logs may be given the context
	}
}

// A mark is the context of an event that is stamped, until no hook is left that might stamp it again.
// Another hook may pass it on to another event, which isn't stamped.
type mark struct {
	context.Context                               // that of the event
	event           atomic.Pointer[zerolog.Event] // nil once no hook is left: zerolog uses an event for other lines, too
	left            int                           // how many times the hook comes yet
}

// place reports whether h is the hook that stamps e, which has the context ctx and these hooks. after
// is nil, or the context that e is to have then, so that h doesn't stamp it again.
func (h *hook) place(e *zerolog.Event, ctx context.Context, hooks reflect.Value) (first bool, after *mark) {
	stamping, times := firstOf(hooks)
	if times > 0 && stamping != reflect.ValueOf(h).Pointer() {
		return false, nil
	}
	if m, ok := ctx.(*mark); ok && m.event.Load() == e {
		if m.left--; m.left == 0 {
			m.event.Store(nil)
			e.Ctx(m.Context)
		}
		return false, nil
	}
	if times > 1 || hooks.Len() == 0 {
		after = &mark{Context: ctx, left: times - 1}
		after.event.Store(e)
	}
	return true, after
}

// hooksOfEvent and hooksOfLogger return the hooks that an event or a logger has: none if zerolog
// keeps hooks elsewhere some day. Then a hook that is there twice isn't always noticed.
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

// firstOf returns the address of the first of hooks that is of this package, and how many times it is
// there.
func firstOf(hooks reflect.Value) (first uintptr, times int) {
	for i := range hooks.Len() {
		if h := hooks.Index(i).Elem(); h.IsValid() && h.Type() == reflect.TypeFor[*hook]() {
			if first = cmp.Or(first, h.Pointer()); h.Pointer() == first {
				times++
			}
		}
	}
	return first, times
}
