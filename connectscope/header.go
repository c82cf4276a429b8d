package connectscope

import (
	"errors"
	"maps"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

const idHeader = "X-Request-Id"

// isID reports whether key is that of the id, in any case: a program may have set it without
// http.Header.Set.
func isID(key string, _ []string) bool { return strings.EqualFold(key, idHeader) }

// withoutIDs returns h without a request id: h itself, or a copy, since others may be reading h.
func withoutIDs(h http.Header) http.Header {
	for key := range h {
		if isID(key, nil) {
			h = maps.Clone(h)
			maps.DeleteFunc(h, isID)
			break
		}
	}
	return h
}

// An answer has what is sent besides messages.
type answer interface {
	ResponseHeader() http.Header
	ResponseTrailer() http.Header
}

// adoptID puts the id into the answer's header, and into that of the request as the handler
// sees it. The map of the request's own header isn't changed: others may be reading it, such as a
// middleware that has given up waiting for the body, and the process would crash.
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
	if c.answer == nil {
		return
	}
	h := c.answer.ResponseHeader()
	if v := h[idHeader]; len(v) != 1 || v[0] != c.id {
		h[idHeader] = []string{c.id}
	}
	maps.DeleteFunc(h, func(key string, _ []string) bool { return key != idHeader && isID(key, nil) })
}

// putIDOnce is called right before the answer's header may be sent: the handler may have changed
// it. It does nothing when it is called again.
func (c *call) putIDOnce() { c.putOnce.Do(c.putID) }

// A callInfo has the header of the request with the call's id.
type callInfo struct {
	connect.CallInfo
	header http.Header
}

func (i *callInfo) RequestHeader() http.Header { return i.header }

// A response has a header and a trailer of its own.
type response struct {
	connect.AnyResponse
	header, trailer http.Header
}

func (r *response) Header() http.Header  { return r.header }
func (r *response) Trailer() http.Header { return r.trailer }

// withoutID returns resp without a request id: the answer has one. Connect would send both. resp itself
// isn't changed: it may come from a cache, and others may be reading it.
func withoutID(resp connect.AnyResponse) connect.AnyResponse {
	header, trailer := withoutIDs(resp.Header()), withoutIDs(resp.Trailer())
	if len(header) == len(resp.Header()) && len(trailer) == len(resp.Trailer()) {
		return resp
	}
	return &response{resp, header, trailer}
}

// errorWithoutID returns err without a request id in its Meta, which Connect would send too: a
// handler that makes its error from that of another call may have copied all headers. Other calls
// may return the same error meanwhile, so it isn't changed. Connect doesn't send the Meta of a wire
// error.
func errorWithoutID(err error) (answered error) {
	defer func() {
		if recover() != nil { // a method of the error's own: that is left to Connect
			answered = err
		}
	}()
	coded := (*connect.Error)(nil)
	if !errors.As(err, &coded) || coded == nil || connect.IsWireError(coded) {
		return err
	}
	own := *coded // a copy: Meta makes a map if there is none, and coded must not change
	kept := withoutIDs(own.Meta())
	if len(kept) == len(own.Meta()) {
		return err
	}
	replaced := connect.NewError(coded.Code(), coded.Unwrap())
	for _, detail := range coded.Details() {
		replaced.AddDetail(detail)
	}
	maps.Copy(replaced.Meta(), kept)
	return &codedError{err, replaced}
}

// A codedError is an error that is answered with a connect.Error other than its own.
type codedError struct {
	error
	coded *connect.Error
}

// Unwrap returns coded first: that is the one that Connect finds.
func (e *codedError) Unwrap() []error { return []error{e.coded, e.error} }
