//go:build !purego

package carrier

import (
	"context"
	"reflect"
	"runtime/pprof"
	"slices"
	"unsafe"
)

// choose returns the best path that can be proved to work. It runs once, takes about 2 µs, and
// reads nothing through unsafe that it hasn't proved before.
func choose() Path {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("k1", "v1", "k2", "v2"))
	set := ctx.Value(LabelKey)
	if !checkSlot(ctx, set) {
		return Portable
	}
	setPointer = reflect.TypeOf(set)
	setType = setPointer.Elem()
	if !checkLayout(setType) || !checkContent(set) {
		return Labels
	}
	return Direct
}

// checkSlot proves that the slot holds what the context holds, that a child gets it, and that the
// slot can be written: all that the labels path needs. It compares pointers and follows none.
func checkSlot(ctx context.Context, set any) bool {
	v := reflect.ValueOf(set)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return false
	}
	want := v.UnsafePointer()
	result := make(chan bool)
	go func() {
		pprof.SetGoroutineLabels(ctx)
		set := getSlot()
		go func() {
			inherited := getSlot()
			setSlot(nil)
			result <- set == want && inherited == want && getSlot() == nil
		}()
	}()
	return <-result
}

// checkLayout proves that t, the type of a label set, has the layout of labelSet: it is a slice,
// alone or in structs of one field, and its elements are structs of two strings.
func checkLayout(t reflect.Type) bool {
	size := t.Size()
	for t.Kind() == reflect.Struct {
		if t.NumField() != 1 || t.Field(0).Offset != 0 {
			return false
		}
		t = t.Field(0).Type
	}
	if t.Kind() != reflect.Slice || size != unsafe.Sizeof(labelSet{}) {
		return false
	}
	e := t.Elem()
	return e.Kind() == reflect.Struct && e.NumField() == 2 && e.Size() == unsafe.Sizeof(label{}) &&
		e.Field(0).Type.Kind() == reflect.String && e.Field(0).Offset == unsafe.Offsetof(label{}.key) &&
		e.Field(1).Type.Kind() == reflect.String && e.Field(1).Offset == unsafe.Offsetof(label{}.value)
}

// checkContent proves that the first string of a label is its key and that the list is sorted. set
// has passed checkSlot and checkLayout and holds k1=v1, k2=v2.
func checkContent(set any) bool {
	list := (*labelSet)(reflect.ValueOf(set).UnsafePointer()).list
	return slices.Equal(list, []label{{"k1", "v1"}, {"k2", "v2"}})
}
