//go:build !purego

package carrier

import "unsafe"

//go:linkname setSlot runtime/pprof.runtime_setProfLabel
func setSlot(set unsafe.Pointer)

//go:linkname getSlot runtime/pprof.runtime_getProfLabel
func getSlot() unsafe.Pointer

// label and labelSet mirror internal/runtime/pprof/label.Label and runtime/pprof.labelMap of Go
// 1.24 and later. Nothing reads or writes them before checkLayout has said that they match.
type (
	label    struct{ key, value string }
	labelSet struct{ list []label }
)

// A Header makes an object bindable: embed it as the object's FIRST field and call Init before the
// object is shared. It begins with a label set without labels, which the slot points at while there
// are no labels, so that binding allocates nothing.
type Header struct {
	set struct { // a labelSet, with an address that is no label's
		list     unsafe.Pointer
		len, cap int
	}
	mark *byte // &mark
}

var mark byte

// Init makes h ready. object is what h is the first field of.
func (h *Header) Init(object any) {
	h.mark = &mark
	h.set.list = unsafe.Pointer(&h.mark)
}

// isHeader reports whether set, a labelSet, is the beginning of a Header. It makes no pointer to
// what is behind set: there may be nothing. See [owner].
func isHeader(set unsafe.Pointer) bool {
	list := *(*unsafe.Pointer)(set)
	return uintptr(list) == uintptr(set)+unsafe.Offsetof(Header{}.mark) && *(**byte)(list) == &mark
}

// Same is a == b. If both are the same constant, as keys mostly are, no text is compared.
func Same(a, b string) bool {
	return len(a) == len(b) && (unsafe.StringData(a) == unsafe.StringData(b) || a == b)
}

// Stripe returns a number to spread counters by: mostly a different one on each goroutine, and
// mostly the same one on the same goroutine. It is a hash of where the goroutine's stack is.
func Stripe() uintptr {
	var here byte
	const golden = 0x9E3779B9 // 2^32 over the golden ratio: a multiplicative hash
	return (uintptr(unsafe.Pointer(&here)) >> 11) * golden >> 16
}

// Load returns the object that is bound to the running goroutine, or nil. T must be the type that
// has the Header as its first field, the same one everywhere.
func Load[T any]() *T {
	if Path(active.Load()) == Direct {
		if set := getSlot(); set == nil || isHeader(set) {
			return (*T)(set)
		}
	}
	return (*T)(unsafe.Pointer(loadOther()))
}

func loadOther() *Header {
	if Active() == Portable {
		return loadPortable()
	}
	return find(getSlot())
}

// Bind binds the object of h, or nothing if h is nil, to the running goroutine, and shows labels in
// its profiles. Labels that other code has set stay.
func Bind(h *Header, labels []Label) {
	if Active() == Portable {
		bindPortable(h)
		return
	}
	if slot := getSlot(); isPlain(slot, h, labels) {
		setSlot(unsafe.Pointer(h))
	} else {
		bind(slot, h, labels)
	}
}

// isPlain reports whether the slot, which holds slot, can point at h itself: it has no labels, and
// none are added. bind comes to the same; this is faster for the common case.
func isPlain(slot unsafe.Pointer, h *Header, labels []Label) bool {
	return Active() == Direct && len(labels) == 0 && (slot == nil || len((*labelSet)(slot).list) == 0) &&
		(h == nil || isHeader(unsafe.Pointer(h)))
}

func bind(slot unsafe.Pointer, h *Header, labels []Label) {
	var shown *Header
	if Active() == Labels {
		shown = h
	}
	var room [8]label
	setSlot(newSet(h, join(room[:0], labelsOf(slot, nil), labels, shown)))
}

// Saved is what Swap found, to be put back.
type Saved struct {
	slot    unsafe.Pointer
	list    unsafe.Pointer // on the direct path, where the list of slot began; it may be replaced meanwhile
	len     int            // of list
	swapped *portableEntry // nil unless the portable path was in use
}

// Swap binds like Bind and returns what was there before.
func Swap(h *Header, labels []Label) (s Saved) {
	if Active() == Portable {
		s.swapped = swapPortable(h)
		return s
	}
	s.slot = getSlot()
	if Active() == Direct && s.slot != nil {
		s.list, s.len = *(*unsafe.Pointer)(s.slot), len((*labelSet)(s.slot).list)
	}
	if isPlain(s.slot, h, labels) {
		setSlot(unsafe.Pointer(h))
	} else {
		bind(s.slot, h, labels)
	}
	return s
}

// Restore puts back what Swap found, labels included, whatever has become of the slot since. now
// returns, for each label of ours, the label to show in its place, and whether to show one at all;
// if now is nil, they come back as they were. The goroutine that called Swap must call it.
func (s *Saved) Restore(now func(Label) (Label, bool)) {
	if s.swapped != nil {
		restorePortable(s.swapped)
		return
	}
	if s.list != nil && s.list != *(*unsafe.Pointer)(s.slot) {
		if h := owner(s.slot, s.list); h != nil { // other code has written to our set
			s.slot = newBox(h, unsafe.Slice((*label)(s.list), s.len))
		}
	}
	if now != nil {
		s.slot = renewed(s.slot, now)
	}
	setSlot(s.slot)
}

// renewed returns set, or another one with the labels that now returns for ours.
func renewed(set unsafe.Pointer, now func(Label) (Label, bool)) unsafe.Pointer {
	var room [8]label
	list, changed := room[:0], false
	for _, l := range labelsOf(set, nil) {
		if isOwn(l.key) {
			next, shown := now(Label{l.key, l.value})
			changed = changed || !shown || next.Value != l.value
			if !shown {
				continue
			}
			l.value = next.Value
		}
		list = append(list, l)
	}
	if !changed {
		return set
	}
	return newSet(find(set), list)
}
