//go:build !purego

package carrier

import (
	"context"
	"maps"
	"reflect"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"
)

// setType is runtime/pprof.labelMap, whatever its layout; setPointer is the type of a pointer to one.
var setType, setPointer reflect.Type

// asAny returns set as a context holds it: as a pointer to a setType.
func asAny(set unsafe.Pointer) any { return reflect.NewAt(setType, set).Interface() }

// A holder is a context with this label set. runtime/pprof asks for nothing else.
type holder struct {
	context.Context
	set any
}

func (h holder) Value(any) any { return h.set }

func holding(set unsafe.Pointer) context.Context { return holder{context.Background(), asAny(set)} }

// labelsOf returns the labels of set. If they have to be copied, they are appended to room.
func labelsOf(set unsafe.Pointer, room []label) []label {
	if set == nil {
		return nil
	} else if Active() == Direct {
		return (*labelSet)(set).list
	}
	pprof.ForLabels(holding(set), func(k, v string) bool {
		room = append(room, label{k, v})
		return true
	})
	return room
}

// find returns the object that set carries: its owner, or that of a visible element among its labels.
func find(set unsafe.Pointer) *Header {
	if set != nil && Active() == Direct {
		if h := owner(set, *(*unsafe.Pointer)(set)); h != nil {
			return h
		}
	}
	var room [4]label
	for _, l := range labelsOf(set, room[:0]) {
		if isCarrierKey(l.key) {
			if h := exposedBy(l.value); h != nil {
				return h
			}
		}
	}
	return nil
}

// join appends to list: foreign without what is ours, plus labels, plus a visible element of shown,
// if that isn't nil; sorted. Where both have a key, the foreign label stays: it was set by someone
// who asked for it by name.
func join(list, foreign []label, labels []Label, shown *Header) []label {
	for _, l := range foreign {
		if !isOurs(l) {
			list = append(list, l)
		}
	}
	n := len(list)
	for _, l := range labels {
		if !slices.ContainsFunc(list[:n], func(f label) bool { return f.key == l.Key }) {
			list = append(list, label{own(l.Key), l.Value})
		}
	}
	if shown != nil {
		// A label set has each key once.
		list = slices.DeleteFunc(list, func(l label) bool { return l.key == Key })
		list = append(list, expose(shown))
	}
	slices.SortFunc(list, func(a, b label) int { return strings.Compare(a.key, b.key) })
	return list
}

func isOurs(l label) bool { return isCarrierKey(l.key) || isOwn(l.key) }

// newSet returns a set for the slot that has the labels of list and carries h, or nothing if h is
// nil. On the labels path one of the labels carries h.
func newSet(h *Header, list []label) unsafe.Pointer {
	switch {
	case len(list) == 0 && (h == nil || isHeader(unsafe.Pointer(h))):
		return unsafe.Pointer(h)
	case Active() == Labels:
		return publicSet(list)
	}
	return newBox(h, list) // for labels, or because other code has written to the Header's set
}

func publicSet(list []label) unsafe.Pointer {
	pairs := make([]string, 0, 2*len(list))
	for _, l := range list {
		pairs = append(pairs, l.key, l.value)
	}
	ctx := pprof.WithLabels(context.Background(), pprof.Labels(pairs...))
	return reflect.ValueOf(ctx.Value(LabelKey)).UnsafePointer()
}

// Answer returns what a context of ours answers with under LabelKey: given, which is the answer of
// the context that it wraps, joined with h, the object that is bound to the running goroutine right
// now (nil if there is none), and with the labels that this object wants to be seen. A context can
// answer with anything: what isn't a label set counts as no labels, as it does for runtime/pprof.
//
// Each answer is a set of its own. It keeps alive the object alone, not the context that gives it,
// and if other code writes to it, no other goroutine's set changes.
func Answer(given any, h *Header, labels []Label) any {
	if Active() == Portable {
		return given
	}
	var set unsafe.Pointer
	if reflect.TypeOf(given) == setPointer {
		set = reflect.ValueOf(given).UnsafePointer()
	}
	foreign := labelsOf(set, nil)
	if h == nil && find(set) == nil && !slices.ContainsFunc(foreign, isOurs) {
		return given
	}
	if h != nil && len(foreign) == 0 && len(labels) == 0 && Active() == Direct {
		b := new(boxOf[[1]label]) // newBox, faster for the common case
		b.labels[0] = expose(h)
		b.set.list, b.mark, b.h = b.labels[:], &mark, h
		return asAny(unsafe.Pointer(b))
	}
	var room [8]label
	list := join(room[:0], foreign, labels, h)
	if len(list) == 0 {
		return nil
	}
	return asAny(newSet(h, list))
}

// owned has the keys of all labels that we ever showed, each as a copy of our own. The address of
// its bytes tells our label from one with the same key that other code has set.
var owned atomic.Pointer[map[string]string]

func init() { owned.Store(&map[string]string{}) }

func isOwn(key string) bool {
	k, ok := (*owned.Load())[key]
	return ok && unsafe.StringData(k) == unsafe.StringData(key)
}

// own returns our copy of the text of key.
func own(key string) string {
	for {
		old := owned.Load()
		if k, ok := (*old)[key]; ok {
			return k
		}
		k, next := strings.Clone(key), maps.Clone(*old)
		next[k] = k
		if owned.CompareAndSwap(old, &next) {
			return k
		}
	}
}
