package grpcscope

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"
)

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
