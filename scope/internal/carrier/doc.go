// Package carrier binds one object to the running goroutine.
//
// It is the only package of this module that uses unsafe and go:linkname. The object sits in the
// goroutine's profiler-label slot: the one pointer that the runtime copies to a new goroutine at
// every go statement and clears when the goroutine ends (runtime/proflabel.go, runtime/proc.go).
// The runtime inherits, isolates and cleans up: there is no map, no lock and no goroutine id.
//
// # What the slot holds
//
// Always a genuine label set of the running Go version, so that profilers, tracebacks and other
// libraries read it safely. Without labels it is an empty set at the beginning of the bound object
// (see [Header]). With labels it is at the beginning of a box, which also has a pointer to the
// object. Both are recognized by where their list begins (see owner), show no label of ours, and
// have no room for an append.
//
// A set that a context of ours answers with has one label of ours, because runtime/pprof copies
// labels alone when it merges two sets. Its key is [Key], and its value is an empty string that
// points at the bound object: the pointer keeps the object alive, the length keeps it out of every
// profile. The key is recognized by the address of its bytes, never by its text. Anyone can copy the
// label and put another value there, so a value counts only if we have shown it (see exposed.go).
//
// # Three paths
//
//   - direct reads and writes the label set's memory. A check at start-up proves the layout, by
//     reflection and public API, before the first unsafe read.
//   - labels takes over if the layout is another one. It wraps the slot's pointer with reflect.NewAt,
//     reads it with pprof.ForLabels, and makes sets with pprof.WithLabels. It needs the two linknamed
//     functions alone, which the runtime keeps for outside users (go.dev/issue/67401).
//   - portable takes over if the slot fails the check, or with the build tag purego. It needs neither
//     unsafe nor linkname: it is a map keyed by the goroutine id that runtime.Stack prints. A plain
//     go statement inherits nothing.
package carrier
