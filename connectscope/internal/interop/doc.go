// Package interop shows that connectscope works beside other people's code for Connect:
// otelconnect, the services for health checks and reflection, and interceptors that validate. It
// is a module of its own, so that none of them is a requirement of connectscope's.
package interop
