//go:build !purego

package carrier

import (
	"math/bits"
	"reflect"
	"unsafe"
)

// A box is a label set with labels, and the object that it carries. The labels lie in the same
// allocation, directly behind the box. The list has no spare capacity: an append of other code
// copies it.
type box struct {
	set  labelSet
	mark *byte // &mark
	h    *Header
}

type boxOf[R any] struct {
	box
	labels R
}

// newBox returns a new box with a copy of list, for the object of h, or for none if h is nil.
func newBox(h *Header, list []label) unsafe.Pointer {
	var b *box
	switch n := len(list); {
	case n <= 1: // also for no label: the list must begin in the box
		b = &new(boxOf[[1]label]).box
	case n <= 3:
		b = &new(boxOf[[3]label]).box
	case n <= 8:
		b = &new(boxOf[[8]label]).box
	default:
		n = 1 << bits.Len(uint(n-1)) // few sizes: reflect keeps the types that it makes
		b = (*box)(reflect.New(reflect.StructOf([]reflect.StructField{
			{Name: "Box", Type: reflect.TypeFor[box]()},
			{Name: "Labels", Type: reflect.ArrayOf(n, reflect.TypeFor[label]())},
		})).UnsafePointer())
	}
	b.set.list = unsafe.Slice((*label)(unsafe.Add(unsafe.Pointer(b), unsafe.Sizeof(box{}))), len(list))
	copy(b.set.list, list)
	b.mark, b.h = &mark, h
	return unsafe.Pointer(b)
}

// owner returns the object of a set that we wrote: a Header's, or that of a box. Any other set, and
// a box without an object, have none. list is where the list of set begins, or began before other
// code may have written to set. What is behind the set is read only if list is one of two places:
//
//   - At the mark of a Header, which is then read through list itself.
//   - At the end of a box. Then set and list are two pointers to valid memory, less than a page
//     apart, so what is between them can be read, and the mark is there.
//
// With the mark, it is ours: nobody else has its address, and a copy of a set lies at another
// distance from its list. The sets and lists of runtime/pprof aren't even looked at: a set is an
// object of the runtime's smallest size that it fits in (24 bytes, and 16 where pointers have 32
// bits), and lists never begin among such objects, at these distances.
func owner(set, list unsafe.Pointer) *Header {
	switch uintptr(list) - uintptr(set) {
	case unsafe.Offsetof(Header{}.mark):
		if *(**byte)(list) == &mark {
			return (*Header)(set)
		}
	case unsafe.Sizeof(box{}):
		if b := (*box)(set); b.mark == &mark {
			return b.h
		}
	}
	return nil
}
