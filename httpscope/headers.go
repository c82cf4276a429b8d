package httpscope

import (
	"net/http"
	"slices"
	"strings"
)

// headers finds a key in whatever case it is: the program may have put it there without
// http.Header.Set, and net/http sends it as it is.
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

// set replaces all of them. An empty value removes the header.
func (h headers) set(key, value string) {
	for k := range h {
		if len(k) == len(key) && strings.EqualFold(k, key) {
			delete(h, k)
		}
	}
	if value != "" {
		http.Header(h).Set(key, value)
	}
}

// sent is the header of a request that is about to be sent, an entry.Header. A RoundTripper must
// not change that of the request: the first Set makes a copy.
type sent struct {
	req     *http.Request
	changed http.Header // nil until then
}

// Values returns the values of key.
func (s *sent) Values(key string) []string {
	if s.changed != nil {
		return headers(s.changed).values(key)
	}
	return headers(s.req.Header).values(key)
}

// Get returns the values, joined: baggage may be spread over several lines.
func (s *sent) Get(key string) string { return strings.Join(s.Values(key), ",") }

// Set replaces all of them. An empty value removes the header.
func (s *sent) Set(key, value string) {
	if s.changed == nil {
		if s.changed = s.req.Header.Clone(); s.changed == nil {
			s.changed = http.Header{}
		}
	}
	headers(s.changed).set(key, value)
}

// Keys returns nothing: Get needs no keys to find what is there.
func (s *sent) Keys() []string { return nil }
