// Package interop holds the tests of otelscope beside other people's code: the OTLP
// exporters and a receiver within the process, otelhttp, otelgrpc, the bridges otelslog and
// otelzap, dd-trace-go's OpenTelemetry bridge, and otel-profiling-go. It is a module of its
// own, so that otelscope's go.mod has OpenTelemetry's API and SDK alone.
//
// All servers are on the loopback interface, and all of them belong to the test.
package interop
