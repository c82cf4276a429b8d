package httpscope

import (
	"time"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope/propagation"
)

// NewID returns a new request id, as Handler makes them: a UUID of version 7, which sorts by
// time.
func NewID() string { return entry.NewID(time.Now()) }

// PlainID reports whether id is 1 to 128 of the characters A-Z a-z 0-9 . _ -, which are safe
// in file names, URLs and shells too. It is the default of [Options.ValidID].
func PlainID(id string) bool { return propagation.ValidRequestID(id) }

// ProxyID reports whether id is 1 to 256 of the characters of [PlainID] and @ : # = + / ~.
// It is an [Options.ValidID] for servers behind proxies that make ids of their own: Apache's
// mod_unique_id, HAProxy, Kong, AWS's X-Ray ids, base64. Such an id isn't safe as a file name.
func ProxyID(id string) bool { return entry.ProxyID(id) }
