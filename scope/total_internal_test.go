package scope

import (
	"math/bits"
	"reflect"
	"testing"
)

// A total's neighbours in memory, and the part of it that doesn't change, lie in other cache lines than
// what an Add writes: otherwise goroutines that add to different totals take turns.
func TestATotalTakesWholeCacheLines(t *testing.T) {
	if bits.UintSize != 64 {
		t.Skip("pointers have 32 bits")
	}
	typ := reflect.TypeFor[total]()
	if mu, _ := typ.FieldByName("mu"); mu.Offset != 64 || typ.Size() != 128 {
		t.Errorf("what changes begins at byte %d of %d, want 64 of 128", mu.Offset, typ.Size())
	}
}

// Another goroutine may add a value of another kind to a total that is only just in the list.
func TestATotalWithoutAValueOfItsKindIsNotShown(t *testing.T) {
	l := &total{key: "k", kind: listTotal}
	l.add(addend{n: 1})
	if value, _, used := l.read(true); used {
		t.Errorf("it is shown as %v", value)
	}
}
