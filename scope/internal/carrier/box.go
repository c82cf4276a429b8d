//go:build !purego

package carrier

import (
	"math/bits"
	"reflect"
	"unsafe"
)

// A box is a label set with labels, and the object that it carries. The labels lie in the
// same allocation, directly behind the box. The list has no spare capacity: an append of
// other code copies it.
type box struct {
	set  labelSet
	mark *byte // &mark
	h    *Header
	n    int // labels
}

type boxOf[R any] struct {
	box
	labels R
}

// newBox returns the set of a new box: with a copy of list, for the object of h, or for
// none if h is nil.
func newBox(h *Header, list []label) unsafe.Pointer {
	b, room := makeBox(len(list))
	b.fill(h, append(room[:0:len(list)], list...))
	return unsafe.Pointer(b)
}

func (b *box) fill(h *Header, list []label) {
	b.set.list, b.mark, b.h, b.n = list, &mark, h, len(list)
}

// rebuilt returns a set with the labels that set had, of which h was the owner.
func rebuilt(set unsafe.Pointer, h *Header) unsafe.Pointer {
	if set == h.labelSet() {
		return newBox(h, nil)
	}
	b := (*box)(set)
	return newBox(h, unsafe.Slice((*label)(unsafe.Add(set, unsafe.Sizeof(box{}))), b.n))
}

// makeBox returns a box with room for n labels, and for one if n is 0: the list must begin
// in the box.
func makeBox(n int) (b *box, room []label) {
	switch {
	case n <= 1:
		m := new(boxOf[[1]label])
		return &m.box, m.labels[:]
	case n <= 2:
		m := new(boxOf[[2]label])
		return &m.box, m.labels[:]
	case n <= 4:
		m := new(boxOf[[4]label])
		return &m.box, m.labels[:]
	case n <= 8:
		m := new(boxOf[[8]label])
		return &m.box, m.labels[:]
	}
	n = 1 << bits.Len(uint(n-1)) // few sizes: reflect keeps the types that it makes
	m := reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: "Box", Type: reflect.TypeFor[box]()},
		{Name: "Labels", Type: reflect.ArrayOf(n, reflect.TypeFor[label]())},
	})).UnsafePointer()
	return (*box)(m), unsafe.Slice((*label)(unsafe.Add(m, unsafe.Sizeof(box{}))), n)
}

// owner returns the object of a set that we wrote: a Header's, or that of a box. Any other
// set, and a box without an object, have none. What is behind the set is read only if the
// set's list begins at one of two places behind it:
//
//   - At the mark of a Header, which is then read through the list's own pointer.
//   - At the end of a box. Then set and list are two pointers to valid memory, less than a
//     page apart, so what is between them can be read, and the mark is there.
//
// With the mark, it is ours: nobody else has its address, and a copy of a set lies at
// another distance from its list. The sets and lists of runtime/pprof aren't even looked
// at: a set is an object of the runtime's smallest size that it fits in (24 bytes, and 16
// where pointers have 32 bits), and lists never begin among such objects, at these
// distances. If other code writes to a set of ours, its list begins elsewhere, and it has
// no owner any more.
func owner(set unsafe.Pointer) *Header {
	if set == nil {
		return nil
	}
	switch uintptr(*(*unsafe.Pointer)(set)) - uintptr(set) {
	case unsafe.Offsetof(Header{}.mark):
		if isHeader(set) {
			return (*Header)(set)
		}
	case unsafe.Sizeof(box{}):
		if b := (*box)(set); b.mark == &mark {
			return b.h
		}
	}
	return nil
}
