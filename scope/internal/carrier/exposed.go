//go:build !purego

package carrier

import (
	"sync"
	"unsafe"
	"weak"
)

// A visible element is the label that carries a Header in sets that anyone can copy and change (see
// the package doc). Each Header that is shown is entered here, and a value counts only if it is
// empty and points at a Header that is entered and still there. Nothing is read through its pointer.
// Only a value that was made here can point at such a Header: no new Header is put where some string
// still points, and as long as a value points at a Header, its memory isn't used for another one.

// keyBytes are the bytes of our key, which is recognized by their address. They are no string
// literal: the linker merges equal ones.
var keyBytes = [len(Key)]byte([]byte(Key))

func key() string { return unsafe.String(&keyBytes[0], len(keyBytes)) }

func isCarrierKey(key string) bool {
	return len(key) == len(Key) && unsafe.StringData(key) == &keyBytes[0]
}

// exposed has the Headers that were ever shown, by their address. Those that are gone are removed
// from a shard when it has twice the length that it had after the last time.
var exposed [64]struct {
	mu    sync.RWMutex
	at    map[uintptr]weak.Pointer[Header]
	limit int
	_     [24]byte // shards that neighbour each other share no cache line
}

const exposedMin = 64 // no shard is cleaned up before it has this many

// expose returns a visible element of h.
func expose(h *Header) label {
	l := label{key(), unsafe.String((*byte)(unsafe.Pointer(h)), 0)}
	if exposedBy(l.value) == h {
		return l
	}
	addr := uintptr(unsafe.Pointer(h))
	s := &exposed[addr>>6%uintptr(len(exposed))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.at) >= s.limit {
		kept := map[uintptr]weak.Pointer[Header]{}
		for addr, w := range s.at {
			if w.Value() != nil {
				kept[addr] = w
			}
		}
		s.at, s.limit = kept, max(exposedMin, 2*len(kept))
	}
	s.at[addr] = weak.Make(h)
	return l
}

// exposedBy returns the Header that this value of a visible element points at, or nil.
func exposedBy(value string) *Header {
	if value != "" {
		return nil
	}
	addr := uintptr(unsafe.Pointer(unsafe.StringData(value)))
	s := &exposed[addr>>6%uintptr(len(exposed))]
	s.mu.RLock()
	w := s.at[addr]
	s.mu.RUnlock()
	return w.Value()
}
