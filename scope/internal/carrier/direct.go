//go:build !purego

package carrier

import (
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"
)

// find returns the object carried by set: its owner, or that of an element among its
// labels.
func find(set *labelSet) *Header {
	if h := owner(unsafe.Pointer(set)); h != nil || set == nil {
		return h
	}
	for i := range set.list {
		if l := &set.list[i]; isSelf(l.key) {
			if h := exposedBy(l.value); h != nil {
				return h
			}
		}
	}
	return nil
}

func bindDirect(slot *labelSet, h *Header, labels []Label) {
	if (slot == nil || len(slot.list) == 0) && len(labels) == 0 {
		if h == nil {
			setSlot(nil)
			return
		}
		if isHeader(h.labelSet()) {
			setSlot(h.labelSet())
			return
		}
	}
	bindBeside(listOf(unsafe.Pointer(slot)), h, labels)
}

func bindBeside(foreign []label, h *Header, labels []Label) {
	var room [8]label
	setSlot(newSet(h, join(room[:0], foreign, labels)))
}

func listOf(set unsafe.Pointer) []label {
	if set == nil {
		return nil
	}
	return (*labelSet)(set).list
}

// newSet returns what the slot points at to carry h, or nothing if h is nil, and to have
// the labels of list.
func newSet(h *Header, list []label) unsafe.Pointer {
	switch {
	case len(list) > 0:
	case h == nil:
		return nil
	case isHeader(h.labelSet()):
		return h.labelSet()
	}
	// A list, or a Header whose set has been written to by other code.
	return newBox(h, list)
}

// join appends to list: foreign without what is ours, plus labels, sorted. Where both have
// a key, the foreign label stays: it was set by someone who asked for it by name.
func join(list, foreign []label, labels []Label) []label {
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
	if len(list) > n {
		sortLabels(list)
	}
	return list
}

func isOurs(l label) bool { return isSelf(l.key) || isOwn(l.key) }

func sortLabels(list []label) {
	slices.SortFunc(list, func(a, b label) int { return strings.Compare(a.key, b.key) })
}

// answerDirect is Answer. A context can answer with anything: what isn't a label set counts
// as no labels, as it does for runtime/pprof.
func answerDirect(given any, h *Header, labels []Label) any {
	var foreign []label
	unchanged := h == nil
	if reflect.TypeOf(given) == setPointer {
		if set := reflect.ValueOf(given).UnsafePointer(); set != nil {
			foreign = (*labelSet)(set).list
			unchanged = unchanged && owner(set) == nil && !slices.ContainsFunc(foreign, isOurs)
		}
	}
	if unchanged {
		return given
	}
	if len(foreign) == 0 && len(labels) == 0 && h != nil { // as it is mostly
		b := new(boxOf[[1]label])
		b.labels[0] = label{key(), expose(h)}
		b.fill(h, b.labels[:])
		return asAny(unsafe.Pointer(b))
	}
	var room [8]label
	list := join(room[:0], foreign, labels)
	if h != nil {
		// Only here: a label set has each key once, and this one is going to be merged.
		list = slices.DeleteFunc(list, func(l label) bool { return l.key == Key })
		list = append(list, label{key(), expose(h)})
		sortLabels(list)
	}
	if len(list) == 0 {
		return nil
	}
	return asAny(newBox(h, list))
}

// owned has the keys of the labels that we ever showed: a copy of our own of each, whose
// bytes tell the same name set by other code from ours.
var owned atomic.Pointer[map[string]string]

func isOwn(key string) bool {
	o := owned.Load()
	if o == nil {
		return false
	}
	k, ok := (*o)[key]
	return ok && unsafe.StringData(k) == unsafe.StringData(key)
}

// own returns our copy of the text of key.
func own(key string) string {
	for {
		old := owned.Load()
		next := map[string]string{}
		if old != nil {
			if k, ok := (*old)[key]; ok {
				return k
			}
			for _, k := range *old {
				next[k] = k
			}
		}
		k := strings.Clone(key)
		next[k] = k
		if owned.CompareAndSwap(old, &next) {
			return k
		}
	}
}
