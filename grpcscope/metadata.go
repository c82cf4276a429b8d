package grpcscope

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/taskscope/taskscope/scope/propagation"
)

// adoptID puts the id into the metadata that the handler sees.
func (c *call) adoptID() {
	if came := c.ids(); len(came) == 1 && came[0] == c.id {
		return
	}
	md, ok := metadata.FromIncomingContext(c.Context) // a copy
	if !ok {
		md = metadata.MD{}
	}
	md[propagation.RequestIDHeader] = []string{c.id}
	c.Context = metadata.NewIncomingContext(c.Context, md)
}

// putID puts the id into the answer, once: into the header if the answer is good, or begins now. An
// error has it in the trailer: a client's retry policy doesn't retry a call whose answer has a header.
func (c *call) putID(good bool) {
	c.putOnce.Do(func() {
		if c.id == "" || c.outer.Found() { // an option has panicked, or the outer entry puts it into the header
			return
		}
		md := metadata.MD{propagation.RequestIDHeader: {c.id}}
		// Setting it fails if the header has been sent, and if there is no answer: the call didn't come
		// through a server, or it is over.
		switch {
		case c.stream != nil:
			if !good || c.stream.SetHeader(md) != nil {
				c.stream.SetTrailer(md)
			}
		case !c.sharesID:
			if !good || grpc.SetHeader(c.Context, md) != nil {
				_ = grpc.SetTrailer(c.Context, md)
			}
		}
	})
}

// withoutID returns md without a request id: md itself, or a copy.
func withoutID(md metadata.MD) metadata.MD {
	if _, ok := md[propagation.RequestIDHeader]; ok { // gRPC refuses a key in upper case
		md = md.Copy()
		delete(md, propagation.RequestIDHeader)
	}
	return md
}

// outgoingMD is the metadata of a call that is about to be sent, as an entry.Header. It is in gRPC's
// context; what is set is put there at the end, all at once.
type outgoingMD struct {
	ctx context.Context
	set []string // keys and values in turn; an empty value removes the key
}

// Values returns the values of key.
func (md *outgoingMD) Values(key string) []string {
	for i := 0; i < len(md.set); i += 2 {
		if md.set[i] == key {
			if md.set[i+1] == "" {
				return nil
			}
			return md.set[i+1 : i+2]
		}
	}
	return metadata.ValueFromOutgoingContext(md.ctx, key)
}

// Get returns the values, joined: baggage may be spread over several.
func (md *outgoingMD) Get(key string) string { return strings.Join(md.Values(key), ",") }

// Set replaces all values of key. An empty value removes the key.
func (md *outgoingMD) Set(key, value string) {
	for i := 0; i < len(md.set); i += 2 {
		if md.set[i] == key {
			md.set[i+1] = value
			return
		}
	}
	md.set = append(md.set, key, value)
}

// Keys returns nothing: Get finds a key whatever its case.
func (md *outgoingMD) Keys() []string { return nil }

// context returns the context to send with.
func (md *outgoingMD) context() context.Context {
	replaces := false
	for i := 0; i < len(md.set); i += 2 {
		replaces = replaces || md.set[i+1] == "" || len(metadata.ValueFromOutgoingContext(md.ctx, md.set[i])) > 0
	}
	if !replaces {
		if len(md.set) == 0 {
			return md.ctx
		}
		return metadata.AppendToOutgoingContext(md.ctx, md.set...)
	}
	changed, ok := metadata.FromOutgoingContext(md.ctx) // a copy
	if !ok {
		changed = metadata.MD{}
	}
	for i := 0; i < len(md.set); i += 2 {
		if delete(changed, md.set[i]); md.set[i+1] != "" {
			changed[md.set[i]] = []string{md.set[i+1]}
		}
	}
	return metadata.NewOutgoingContext(md.ctx, changed)
}
