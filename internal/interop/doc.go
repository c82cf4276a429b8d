// Package interop holds the tests of scopes beside other code that writes profiler
// labels: the tracer of dd-trace-go, otel-profiling-go, and TagWrapper of pyroscope-go.
// It is a module of its own, so that their dependencies stay out of the root's.
//
// docs/labels.md says what is kept and what is lost in which use. Its tables are what
// TestTables sees; after a change, write them anew with
//
//	go test . -run TestTables -update
package interop
