// Package carrier binds one object to the running goroutine.
//
// It is the only package of this module that uses unsafe and go:linkname. The object sits in the
// goroutine's profiler-label slot: the one pointer that the runtime copies to a new goroutine at
// every go statement and clears when the goroutine ends (runtime/proflabel.go, runtime/proc.go).
// Inheritance, isolation and clean-up are the runtime's; there is no map, no lock and no goroutine
// id.
//
// # What the slot holds
//
// Always a genuine label set of the running Go version, so that profilers, tracebacks and other
// libraries read it safely. Where there are no labels, it is an empty one, at the beginning of the
// bound object (see [Header]). Else it lies at the beginning of a box, which has the labels and a
// pointer to the object. Both are known by where their list begins (see owner), show nothing, and
// have no room for an append.
//
// A set that a context of ours answers with has an element of ours among its labels, because
// runtime/pprof copies nothing else when it merges two sets: a label whose key is [Key] and whose
// value is an empty string that points at the start of the bound object. The pointer keeps the
// object alive, the length keeps it out of every profile. The key is known by the address of its
// bytes, and never by its text; the value only if it points at an object that was shown (see
// exposed.go): anyone can copy the label and put another value there.
//
// # Three paths
//
//   - direct reads and writes the label set's memory. A check at start-up proves the layout, by
//     reflection and public API, before the first unsafe read.
//   - labels takes over if the layout is another one (portable, if the slot itself fails the check).
//     It knows nothing about the layout: it wraps the slot's pointer with reflect.NewAt and walks it
//     with pprof.ForLabels, and makes sets with pprof.WithLabels. Only the two linknamed functions
//     are needed, which the runtime keeps for outside users (runtime/proflabel.go,
//     go.dev/issue/67401).
//   - portable needs neither unsafe nor linkname (build tag purego): a map keyed by the goroutine id
//     that runtime.Stack prints. Nothing is inherited by a plain go statement.
package carrier
