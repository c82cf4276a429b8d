package connectscope

import (
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

// A Call describes a call.
type Call struct {
	Spec    connect.Spec // the procedure, as Connect has it: /acme.user.v1.UserService/GetUser; and which side streams
	Service string       // acme.user.v1.UserService
	Method  string       // GetUser
	Peer    connect.Peer // the client, or, for a client's call, the server; and the protocol
	Header  http.Header  // of the request; it must not be changed
}

func callOf(spec connect.Spec, peer connect.Peer, header http.Header) Call {
	name := strings.TrimPrefix(spec.Procedure, "/")
	c := Call{Spec: spec, Method: name, Peer: peer, Header: header}
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		c.Service, c.Method = name[:i], name[i+1:]
	}
	return c
}

func (c Call) streams() bool { return c.Spec.StreamType != connect.StreamTypeUnary }

// full is the method's name as newer conventions have it.
func (c Call) full() string { return strings.TrimPrefix(c.Spec.Procedure, "/") }

// system is the call's protocol as the semantic conventions have it.
func (c Call) system() string {
	switch c.Peer.Protocol {
	case connect.ProtocolConnect:
		return "connect_rpc"
	case connect.ProtocolGRPCWeb:
		return "grpc_web"
	}
	return c.Peer.Protocol
}

// systemName is the protocol as newer conventions have it.
func (c Call) systemName() string {
	switch c.Peer.Protocol {
	case connect.ProtocolConnect:
		return "connectrpc"
	case connect.ProtocolGRPCWeb:
		return "grpc"
	}
	return c.Peer.Protocol
}
