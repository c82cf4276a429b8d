package carrier

import (
	"context"
	"reflect"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
)

// The portable path: a map from goroutine id to the bound object. An id is never used twice in a
// process, so a late removal can hit no other goroutine.
var portable sync.Map // of uint64 to *portableEntry

// A portableEntry is what one goroutine has bound: by Swap, which Restore takes back, or by Bind,
// which nothing takes back (see enter). Only that goroutine reads and writes it, but for gone.
type portableEntry struct {
	id     uint64
	object *Header
	outer  *portableEntry // the one that Swap found
	gone   atomic.Bool    // its goroutine has ended, or lost the anchor
}

func entryOf(id uint64) *portableEntry {
	e, _ := portable.Load(id)
	entry, _ := e.(*portableEntry)
	return entry
}

func loadPortable() *Header {
	if e := entryOf(goid()); e != nil {
		return e.object
	}
	return nil
}

func bindPortable(h *Header) {
	id := goid()
	e := entryOf(id)
	if e == nil {
		if h == nil {
			return
		}
		e = &portableEntry{id: id}
		e.enter()
	}
	e.object = h
}

// enter stores e, and sets an anchor: the goroutine's labels, the one thing that public API can set
// and that the runtime lets go of when the goroutine ends. A finalizer on them removes e. They
// replace labels of other code, which can't be read on this path, and may be replaced in turn.
func (e *portableEntry) enter() {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels(Key, ""))
	set := reflect.ValueOf(ctx.Value(LabelKey))
	if set.Kind() != reflect.Pointer || set.IsNil() {
		return // in some future Go: without a finalizer e would stay for ever
	}
	portable.Store(e.id, e)
	runtime.SetFinalizer(set.Interface(), func(any) {
		e.gone.Store(true)
		portable.CompareAndDelete(e.id, e)
	})
	pprof.SetGoroutineLabels(ctx)
}

// swapPortable is Swap. It stores an entry even if it binds nothing: without one the next Bind
// would set an anchor in place of that of the outer entry.
func swapPortable(h *Header) *portableEntry {
	e := &portableEntry{id: goid(), object: h}
	if outer, ok := portable.Swap(e.id, e); ok {
		e.outer = outer.(*portableEntry)
	}
	return e
}

func restorePortable(e *portableEntry) {
	if e.outer == nil {
		portable.Delete(e.id)
		return
	}
	portable.Store(e.id, e.outer)
	if e.outer.gone.Load() { // after Store: it may go meanwhile
		portable.CompareAndDelete(e.id, e.outer)
	}
}

// goid returns the running goroutine's id, from the first line of its traceback: "goroutine 7
// [running]:".
func goid() (id uint64) {
	var buf [64]byte
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
