//go:build !purego

package carrier

import (
	"context"
	"reflect"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"
)

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

// keyBytes gives our element its identity. An array of our own, not a string
// literal: the linker merges equal literals, so a literal can be had by anyone.
var keyBytes = [len(Key)]byte([]byte(Key))

func key() string { return unsafe.String(&keyBytes[0], len(keyBytes)) }

// A Header makes an object bindable: embed it as the object's FIRST field and call
// Init before the object is shared. It begins with a label set without labels, which the
// slot points at while nobody else has labels there, so that binding allocates nothing.
//
// Such a set is known by pointing at what follows it, and by the mark that is there. A copy
// of it lies elsewhere, and other people's sets and the arrays of their labels are
// allocations of their own; in a [Shown], what follows is a label, which doesn't begin with
// a mark. So the mark is read only where there is memory.
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
// pointer to what is behind set: there may be nothing.
func isHeader(set unsafe.Pointer) bool {
	list := *(*unsafe.Pointer)(set)
	return uintptr(list) == uintptr(set)+unsafe.Offsetof(Header{}.mark) && *(**byte)(list) == &mark
}

// value is the empty string that points at h, and keeps it alive.
func (h *Header) value() string { return unsafe.String((*byte)(unsafe.Pointer(h)), 0) }

func headerOf(value string) *Header { return (*Header)(unsafe.Pointer(unsafe.StringData(value))) }

func isSelf(key string) bool { return unsafe.StringData(key) == &keyBytes[0] }

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
		bindLabels(h, labels)
	default:
		bindPortable(h)
	}
}

// Saved is what Swap found, to be put back.
type Saved struct {
	slot     unsafe.Pointer
	portable *portableSaved // nil unless the portable path was in use
}

// Swap binds like Bind and returns what was there before.
func Swap(h *Header, labels []Label) Saved {
	switch Active() {
	case Direct:
		slot := getSlot()
		bindDirect((*labelSet)(slot), h, labels)
		return Saved{slot: slot}
	case Labels:
		s := Saved{slot: getSlot()}
		bindLabels(h, labels)
		return s
	}
	saved := swapPortable(h)
	return Saved{portable: &saved}
}

// Restore puts back what Swap found, labels included, whatever has become of the
// slot since. It must be called by the goroutine that called Swap.
func (s *Saved) Restore() {
	if s.portable != nil {
		restorePortable(*s.portable)
		return
	}
	setSlot(s.slot)
}

// A Shown is a label set with the element of one object, visible, and no other. A context
// has one, so that the answer that it gives most allocates nothing.
type Shown struct {
	set  labelSet
	self label
}

// Init makes s ready: the set of the object of h, which may be nil.
func (s *Shown) Init(h *Header) {
	s.self = label{key(), h.value()}
	s.set.list = unsafe.Slice(&s.self, 1)
}

// Answer is what a context answers with under LabelKey: own, the label set of the
// context it wraps, joined with h, the object that is bound to the running goroutine
// right now, or nil, and with labels, those that it wants to be seen. shown is the
// context's.
func Answer(own any, h *Header, labels []Label, shown *Shown) any {
	switch Active() {
	case Direct:
		return answerDirect(own, h, labels, shown)
	case Labels:
		return answerLabels(own, h, labels)
	default:
		return own
	}
}

// ---- direct ----

// find returns the object carried by set: the one that it is the beginning of, or that of
// an element behind its labels, or of one of them.
func find(set *labelSet) *Header {
	if set == nil {
		return nil
	}
	if isHeader(unsafe.Pointer(set)) {
		return (*Header)(unsafe.Pointer(set))
	}
	if n := len(set.list); n < cap(set.list) {
		// Spare capacity of other people's sets is zero, never garbage.
		if hidden := &set.list[:n+1][n]; isSelf(hidden.key) {
			return headerOf(hidden.value)
		}
	}
	for i := range set.list {
		if isSelf(set.list[i].key) {
			return headerOf(set.list[i].value)
		}
	}
	return nil
}

func bindDirect(slot *labelSet, h *Header, labels []Label) {
	if slot == nil || len(slot.list) == 0 {
		if h == nil {
			setSlot(nil)
			return
		}
		if len(labels) == 0 {
			setSlot(h.labelSet())
			return
		}
	}
	var foreign []label
	if slot != nil {
		foreign = slot.list
	}
	list := join(foreign, labels)
	switch {
	case h != nil && len(list) == 0:
		setSlot(h.labelSet())
	case h != nil:
		list = append(list, label{key(), h.value()})
		setSlot(unsafe.Pointer(&labelSet{list[:len(list)-1]}))
	case len(list) == 0:
		setSlot(nil)
	default:
		setSlot(unsafe.Pointer(&labelSet{list}))
	}
}

// join returns foreign without what is ours, plus labels, sorted. Where both have a
// key, the foreign label stays: it was set by someone who asked for it by name. The
// result has room for one more.
func join(foreign []label, labels []Label) []label {
	list := make([]label, 0, len(foreign)+len(labels)+1)
	for _, l := range foreign {
		if !isSelf(l.key) && !isOwn(l.key) {
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

func sortLabels(list []label) {
	slices.SortFunc(list, func(a, b label) int { return strings.Compare(a.key, b.key) })
}

func answerDirect(own any, h *Header, labels []Label, shown *Shown) any {
	var foreign []label
	if own != nil {
		set := (*labelSet)(reflect.ValueOf(own).UnsafePointer())
		if set != nil {
			foreign = set.list
		}
		if h == nil && find(set) == nil {
			return own
		}
	}
	if h != nil && len(foreign) == 0 && len(labels) == 0 {
		if headerOf(shown.self.value) != h {
			shown = new(Shown)
			shown.Init(h)
		}
		return asAny(unsafe.Pointer(&shown.set))
	}
	list := join(foreign, labels)
	if h != nil {
		list = append(list, label{key(), h.value()})
		sortLabels(list)
	}
	if len(list) == 0 {
		return nil
	}
	return asAny(unsafe.Pointer(&labelSet{list}))
}

// owned has the keys of the labels that we ever showed, by the address of their
// bytes: a copy of our own for each, so that the same name set by other code is
// told from ours.
var owned atomic.Pointer[ownedKeys]

type ownedKeys struct {
	byText map[string]string
	byAddr map[*byte]bool
}

func isOwn(key string) bool {
	o := owned.Load()
	return o != nil && o.byAddr[unsafe.StringData(key)]
}

// own returns our copy of the text of key.
func own(key string) string {
	for {
		old := owned.Load()
		next := &ownedKeys{map[string]string{}, map[*byte]bool{}}
		if old != nil {
			if k, ok := old.byText[key]; ok {
				return k
			}
			for text, k := range old.byText {
				next.byText[text], next.byAddr[unsafe.StringData(k)] = k, true
			}
		}
		k := strings.Clone(key)
		next.byText[k], next.byAddr[unsafe.StringData(k)] = k, true
		if owned.CompareAndSwap(old, next) {
			return k
		}
	}
}

// ---- labels ----

// setType is runtime/pprof.labelMap, whatever that is in the running Go version.
var setType reflect.Type

// asAny returns set, which points at a setType, the way a context holds it.
func asAny(set unsafe.Pointer) any { return reflect.NewAt(setType, set).Interface() }

// A holder is a context with this label set and nothing else.
type holder struct {
	context.Context
	set any
}

func (h holder) Value(k any) any {
	if k == LabelKey {
		return h.set
	}
	return nil
}

func holding(slot unsafe.Pointer) context.Context {
	if slot == nil {
		return context.Background()
	}
	return holder{context.Background(), asAny(slot)}
}

func findByLabels(slot unsafe.Pointer) (h *Header) {
	if slot == nil {
		return nil
	}
	pprof.ForLabels(holding(slot), func(k, v string) bool {
		if isSelf(k) {
			h = headerOf(v)
		}
		return h == nil
	})
	return h
}

func bindLabels(h *Header, labels []Label) {
	pprof.SetGoroutineLabels(joined(holding(getSlot()), h, labels))
}

// joined returns a context whose label set is that of ctx without what is ours, plus
// labels and the element of h.
func joined(ctx context.Context, h *Header, labels []Label) context.Context {
	var pairs []string
	foreign := map[string]bool{}
	pprof.ForLabels(ctx, func(k, v string) bool {
		if !isSelf(k) && !isOwn(k) {
			pairs, foreign[k] = append(pairs, k, v), true
		}
		return true
	})
	for _, l := range labels {
		if !foreign[l.Key] {
			pairs = append(pairs, own(l.Key), l.Value)
		}
	}
	if h != nil {
		pairs = append(pairs, key(), h.value())
	}
	if len(pairs) == 0 {
		return context.Background()
	}
	return pprof.WithLabels(context.Background(), pprof.Labels(pairs...))
}

func answerLabels(own any, h *Header, labels []Label) any {
	var ctx context.Context = context.Background()
	if own != nil {
		ctx = holder{ctx, own}
	}
	return joined(ctx, h, labels).Value(LabelKey)
}
