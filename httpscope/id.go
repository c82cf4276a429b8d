package httpscope

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/taskscope/taskscope/scope/propagation"
)

// NewID returns a new request id, as Handler makes them: a UUID of version 7, which sorts by
// time.
func NewID() string { return newID(time.Now()) }

func newID(t time.Time) string {
	// Milliseconds, and then their fraction, as RFC 9562 has it in section 6.2, method 3.
	now := uint64(t.UnixNano())
	high := now/1e6<<16 | 7<<12 | now%1e6<<12/1e6
	low := rand.Uint64()&^(3<<62) | 2<<62 // an id is no secret: see package math/rand/v2
	var id [36]byte
	for i, shift := 0, 60; i < len(id); i++ {
		switch i {
		case 8, 13, 18, 23:
			id[i] = '-'
			continue
		}
		id[i] = "0123456789abcdef"[high>>shift&15]
		if shift -= 4; shift < 0 {
			high, shift = low, 60
		}
	}
	return string(id[:])
}

// PlainID reports whether id is 1 to 128 of the characters A-Z a-z 0-9 . _ -, which are safe
// in file names, URLs and shells too. It is the default of [Options.ValidID].
func PlainID(id string) bool { return propagation.ValidRequestID(id) }

// ProxyID reports whether id is 1 to 256 of the characters of [PlainID] and @ : # = + / ~.
// It is an [Options.ValidID] for servers behind proxies that make ids of their own: Apache's
// mod_unique_id, HAProxy, Kong, AWS's X-Ray ids, base64. Such an id isn't safe as a file name.
func ProxyID(id string) bool {
	return len(id) >= 1 && len(id) <= 256 && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-@:#=+/~", c)
	})
}

// usable reports whether a header can hold id as it is.
func usable(id string) bool {
	if id == "" || len(id) > 1024 || id[0] == ' ' || id[len(id)-1] == ' ' {
		return false
	}
	return !strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c > '~' })
}
