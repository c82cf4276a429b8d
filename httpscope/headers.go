package httpscope

import (
	"net/http"
	"slices"
	"strings"

	"github.com/taskscope/taskscope/scope/propagation"
)

// headers is a propagation.Carrier that finds a key in whatever case it is: the program may
// have put it there without http.Header.Set, and net/http sends it as it is.
type headers http.Header

func (h headers) values(key string) []string {
	canonical := http.CanonicalHeaderKey(key)
	values := h[canonical]
	var others []string
	for k := range h {
		if k != canonical && len(k) == len(key) && strings.EqualFold(k, key) {
			others = append(others, k)
		}
	}
	slices.Sort(others)
	for _, k := range others {
		values = append(slices.Clip(values), h[k]...)
	}
	return values
}

// Get returns the values, joined: baggage may be spread over several lines.
func (h headers) Get(key string) string { return strings.Join(h.values(key), ",") }

// Set replaces all of them. An empty value removes the header.
func (h headers) Set(key, value string) {
	for k := range h {
		if len(k) == len(key) && strings.EqualFold(k, key) {
			delete(h, k)
		}
	}
	if value != "" {
		http.Header(h).Set(key, value)
	}
}

// Keys returns nothing: Get needs no keys to find what is there.
func (h headers) Keys() []string { return nil }

// An identified is headers that need no request id: Transport has seen to that.
type identified struct{ headers }

func (h identified) Get(key string) string {
	if key == propagation.RequestIDHeader {
		return "there"
	}
	return h.headers.Get(key)
}
