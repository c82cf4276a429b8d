// Package grpcscope gives each gRPC call a scope of its own.
package grpcscope
