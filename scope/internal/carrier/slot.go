//go:build !purego

package carrier

import "unsafe"

//go:linkname setSlot runtime/pprof.runtime_setProfLabel
func setSlot(set unsafe.Pointer)

//go:linkname getSlot runtime/pprof.runtime_getProfLabel
func getSlot() unsafe.Pointer

// label and labelSet mirror internal/runtime/pprof/label.Label and
// runtime/pprof.labelMap of Go 1.24 and later. Nothing reads or writes them before
// checkLayout has said that they match.
type (
	label    struct{ key, value string }
	labelSet struct{ list []label }
)

// A Header makes an object bindable: embed it as the object's FIRST field and call
// Init before the object is shared. It begins with a label set without labels, which the
// slot points at while there are no labels, so that binding allocates nothing.
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

func (h *Header) labelSet() unsafe.Pointer { return unsafe.Pointer(&h.set) }

// isHeader reports whether set, a labelSet, is the beginning of a Header. It makes no
// pointer to what is behind set: there may be nothing. See [owner].
func isHeader(set unsafe.Pointer) bool {
	list := *(*unsafe.Pointer)(set)
	return uintptr(list) == uintptr(set)+unsafe.Offsetof(Header{}.mark) && *(**byte)(list) == &mark
}

// Same is a == b. Of two that are one constant, as keys mostly are, it knows without a look
// at the text.
func Same(a, b string) bool {
	return len(a) == len(b) && (unsafe.StringData(a) == unsafe.StringData(b) || a == b)
}

// Load returns the object that is bound to the running goroutine, or nil. T must be
// the type that has the Header as its first field, the same one everywhere.
func Load[T any]() *T {
	if Path(active.Load()) == Direct {
		if set := getSlot(); set == nil || isHeader(set) {
			return (*T)(set)
		}
	}
	return (*T)(unsafe.Pointer(loadOther()))
}

func loadOther() *Header {
	switch Active() {
	case Direct:
		return find((*labelSet)(getSlot()))
	case Labels:
		return findByLabels(getSlot())
	}
	return loadPortable()
}

// Bind binds the object of h, or nothing if h is nil, to the running goroutine,
// and shows labels in its profiles. Labels that other code has set stay.
func Bind(h *Header, labels []Label) {
	switch Active() {
	case Direct:
		bindDirect((*labelSet)(getSlot()), h, labels)
	case Labels:
		bindLabels(getSlot(), h, labels)
	default:
		bindPortable(h)
	}
}

// Saved is what Swap found, to be put back.
type Saved struct {
	slot     unsafe.Pointer
	owner    *Header        // of slot, on the direct path
	portable *portableSaved // nil unless the portable path was in use
}

// Swap binds like Bind and returns what was there before.
func Swap(h *Header, labels []Label) Saved {
	switch Active() {
	case Direct:
		slot := getSlot()
		s := Saved{slot: slot, owner: owner(slot)}
		bindDirect((*labelSet)(slot), h, labels)
		return s
	case Labels:
		s := Saved{slot: getSlot()}
		bindLabels(s.slot, h, labels)
		return s
	}
	saved := swapPortable(h)
	return Saved{portable: &saved}
}

// Restore puts back what Swap found, labels included, whatever has become of the
// slot since. Labels that we show may have changed: now says what becomes of each, and
// whether it is still shown at all. If now is nil, they come back as they were. Restore
// must be called by the goroutine that called Swap.
func (s *Saved) Restore(now func(Label) (Label, bool)) {
	if s.portable == nil && now == nil && (s.owner == nil || owner(s.slot) == s.owner) {
		setSlot(s.slot)
		return
	}
	s.restoreOther(now)
}

func (s *Saved) restoreOther(now func(Label) (Label, bool)) {
	if s.portable != nil {
		restorePortable(*s.portable)
		return
	}
	if s.owner != nil && owner(s.slot) != s.owner {
		// Other code has written to the set that the slot pointed at.
		s.slot = rebuilt(s.slot, s.owner)
	}
	if now == nil || owned.Load() == nil || !s.restoreChanged(now) {
		setSlot(s.slot)
	}
}

// restoreChanged is Restore if now changes a label. Else it does nothing and returns false.
func (s *Saved) restoreChanged(now func(Label) (Label, bool)) (done bool) {
	if Active() == Labels {
		return restoreChangedLabels(s.slot, now)
	}
	var room [8]label
	list, changed := room[:0], false
	for _, l := range listOf(s.slot) {
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
	if changed {
		setSlot(newSet(find((*labelSet)(s.slot)), list))
	}
	return changed
}

// Answer is what a context answers with under LabelKey: own, what the context that it
// wraps answers with, joined with h, the object that is bound to the running goroutine
// right now, or nil, and with labels, those that it wants to be seen.
//
// Each answer is a set of its own, which keeps alive the object alone: neither the context
// that gives it, nor, if other code writes to it, the sets of other goroutines.
func Answer(own any, h *Header, labels []Label) any {
	switch Active() {
	case Direct:
		return answerDirect(own, h, labels)
	case Labels:
		return answerLabels(own, h, labels)
	default:
		return own
	}
}
