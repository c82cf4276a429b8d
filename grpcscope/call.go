package grpcscope

import "strings"

// A Call describes a call.
type Call struct {
	FullMethod string // as gRPC has it: /helloworld.Greeter/SayHello
	Service    string // helloworld.Greeter
	Method     string // SayHello

	// A stream of messages comes from the client, the server, or both. A unary call has neither.
	ClientStream, ServerStream bool
}

// callOf returns the unary call of fullMethod. If that has no service, it is all Method: only a server
// with a handler for unknown services gets such a one.
func callOf(fullMethod string) Call {
	name := strings.TrimPrefix(fullMethod, "/")
	c := Call{FullMethod: fullMethod, Method: name}
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		c.Service, c.Method = name[:i], name[i+1:]
	}
	return c
}

func (c Call) streams() bool { return c.ClientStream || c.ServerStream }

// full is the method's name as newer conventions have it.
func (c Call) full() string { return strings.TrimPrefix(c.FullMethod, "/") }
