// Package carrier binds one object to the running goroutine.
//
// It is the only package of this module that uses unsafe and go:linkname. The
// object sits in the goroutine's profiler-label slot: the one pointer that the
// runtime copies to a new goroutine at every go statement and clears when the
// goroutine ends (runtime/proflabel.go, runtime/proc.go). Inheritance, isolation
// and clean-up are the runtime's; there is no map, no lock and no goroutine id.
//
// # What the slot holds
//
// Always a genuine label set of the running Go version, so that profilers,
// tracebacks and other libraries read it safely. Where nobody else has labels, it is
// an empty one, at the beginning of the bound object (see [Header]). Else it has
// other people's labels and an element of ours: a label whose key is [Key] and whose
// value is an empty string that points at the start of the bound object. The pointer
// keeps the object alive, the length keeps it out of every profile. The element is
// recognised by the address of its key's bytes, which no other package can have,
// and never by its text.
//
// In a set that we write, the element lies beyond the list's length and within
// its capacity: readers don't see it. In a set that a context of ours answers
// with, it lies within the length, because runtime/pprof drops what lies beyond
// when it merges two sets. Load understands all three.
//
// # Three paths
//
//   - direct reads and writes the label set's memory. A check at start-up proves
//     the layout, by reflection and public API, before the first unsafe read.
//   - labels takes over if the layout is another one (portable, if the slot itself
//     fails the check). It knows nothing about the layout:
//     it wraps the slot's pointer with reflect.NewAt and walks it with
//     pprof.ForLabels, and writes with pprof.SetGoroutineLabels. Only the two
//     linknamed functions are needed, which the runtime keeps for outside users
//     (runtime/proflabel.go, go.dev/issue/67401).
//   - portable needs neither unsafe nor linkname (build tag purego): a sharded map
//     keyed by the goroutine id that runtime.Stack prints. Nothing is inherited by
//     a plain go statement.
package carrier
