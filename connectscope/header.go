package connectscope

import (
	"maps"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

const idHeader = "X-Request-Id"

// adoptID puts the id into the answer's header, and into that of the request as the handler
// sees it. Of the request's own header it leaves the map alone: others may be reading it, a
// middleware that has given up waiting for the body, say, and the process would crash.
func (c *call) adoptID() {
	c.putID()
	if sent := c.rpc.Header[idHeader]; len(sent) == 1 && sent[0] == c.id {
		return
	}
	header := maps.Clone(c.rpc.Header)
	if header == nil {
		header = http.Header{}
	}
	header[idHeader] = []string{c.id}
	c.rpc.Header = header
	if c.info != nil && !c.rpc.streams() {
		c.adopted = &callInfo{c.info, header}
	}
}

// putID makes the id the only one in the answer's header.
func (c *call) putID() {
	if c.header == nil { // called by something else than Connect
		return
	}
	h := c.header()
	for key := range h {
		if key != idHeader && strings.EqualFold(key, idHeader) {
			delete(h, key)
		}
	}
	if v := h[idHeader]; len(v) != 1 || v[0] != c.id {
		h[idHeader] = []string{c.id}
	}
}

// putIDOnce is called right before the answer's header may be sent: the handler may have changed
// it. It does nothing when it is called again.
func (c *call) putIDOnce() { c.putLast.Do(c.putID) }

// A callInfo has the header of the request with the call's id.
type callInfo struct {
	connect.CallInfo
	header http.Header
}

func (i *callInfo) RequestHeader() http.Header { return i.header }

// A response has a header of its own.
type response struct {
	connect.AnyResponse
	header http.Header
}

func (r *response) Header() http.Header { return r.header }

// withoutID returns resp without a request id: the answer has one. Connect would send both. It
// makes a copy, since others may be reading the header: that of a response from a cache, say.
func withoutID(resp connect.AnyResponse) connect.AnyResponse {
	header, copied := resp.Header(), false
	for key := range header {
		if !strings.EqualFold(key, idHeader) {
			continue
		}
		if !copied {
			header, copied = maps.Clone(header), true
		}
		delete(header, key)
	}
	if !copied {
		return resp
	}
	return &response{resp, header}
}
