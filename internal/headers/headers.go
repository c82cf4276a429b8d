// Package headers reads and changes the headers of HTTP requests that are about to be sent, for
// package entry.
package headers

import (
	"net/http"
	"slices"
	"strings"
)

// A Header finds a key in whatever case it is: the program may have put it there without
// http.Header.Set, and net/http sends it as it is. It is an entry.Header, whose Set changes the
// http.Header itself.
type Header http.Header

// Values returns the values of key.
func (h Header) Values(key string) []string {
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
func (h Header) Get(key string) string { return strings.Join(h.Values(key), ",") }

// Set replaces all values of key. An empty value removes the header.
func (h Header) Set(key, value string) {
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
func (h Header) Keys() []string { return nil }

// A Copy is an entry.Header that doesn't change the http.Header that it begins with: the first Set
// makes a copy.
type Copy struct {
	Header  // the copy, once there is one
	changed bool
}

// Set replaces all values of key. An empty value removes the header.
func (c *Copy) Set(key, value string) {
	if !c.changed {
		c.changed = true
		if c.Header = Header(http.Header(c.Header).Clone()); c.Header == nil {
			c.Header = Header{}
		}
	}
	c.Header.Set(key, value)
}

// Changed returns the copy, or nil if there is none.
func (c *Copy) Changed() http.Header {
	if !c.changed {
		return nil
	}
	return http.Header(c.Header)
}
