// Package interop shows that grpcscope works beside other people's code for gRPC: OpenTelemetry's
// stats handler, go-grpc-middleware and grpc-gateway. It is a module of its own, so that none of
// them is a requirement of grpcscope's.
package interop
