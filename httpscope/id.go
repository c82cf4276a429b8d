package httpscope

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/taskscope/taskscope/scope/propagation"
)

// NewID returns a new request id, as Handler makes them: a UUID of version 7, which sorts by
// time.
func NewID() string {
	var id [16]byte
	_, _ = rand.Read(id[8:]) // never fails
	// Milliseconds, and then their fraction, as RFC 9562 has it in section 6.2, method 3.
	now := uint64(time.Now().UnixNano())
	fraction := now % 1e6 << 12 / 1e6
	binary.BigEndian.PutUint64(id[:], now/1e6<<16|7<<12|fraction)
	id[8] = id[8]&0x3f | 0x80

	var text [36]byte
	hex.Encode(text[0:], id[0:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
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
