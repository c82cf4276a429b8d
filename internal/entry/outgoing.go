package entry

import (
	"context"
	"log/slog"
	"net/url"
	"strings"

	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// A Header is what a request or call is sent with. Values returns each value of a key, and Get
// all of them, joined by commas. Set replaces them; an empty value removes the key.
type Header interface {
	propagation.Carrier
	Values(key string) []string
}

// An Outgoing says what is sent of a scope.
type Outgoing struct {
	RequestID, TraceID string            // the names of these fields; "" if there is none
	ValidID            func(string) bool // which ids may be sent; asked about usable ids only; nil means ProxyID
}

// Send writes the headers for s into h. What h has stays, unless it isn't valid.
func (out *Outgoing) Send(s scope.Scope, h Header) {
	s, id := out.standard(s)
	if had := h.Values(propagation.RequestIDHeader); id != "" && (len(had) != 1 || had[0] != id && !out.valid(had[0])) {
		h.Set(propagation.RequestIDHeader, id)
	}
	propagation.Inject(s, identified{h})
}

func (out *Outgoing) valid(id string) bool {
	if out.ValidID == nil {
		return Usable(id) && ProxyID(id)
	}
	return Usable(id) && out.asked(id)
}

// asked returns what the program's own ValidID says. What that sets ends with it.
func (out *Outgoing) asked(id string) (valid bool) {
	scope.Run(func() { valid = out.ValidID(id) })
	return valid
}

// standard returns s with the names that package propagation knows, and the id to send, or
// "" if there is none.
func (out *Outgoing) standard(s scope.Scope) (standard scope.Scope, id string) {
	if out.TraceID != propagation.TraceIDKey {
		trace, ok := s.Get(out.TraceID)
		s = s.Without(propagation.TraceIDKey)
		if ok && out.TraceID != "" {
			s = s.With(propagation.TraceIDKey, trace)
		}
	}
	if v, ok := s.Get(out.RequestID); ok && out.RequestID != "" {
		if id = sentText(s, slog.AnyValue(v)); !out.valid(id) {
			id = ""
		}
	}
	return s, id
}

// sentText is textOf for a value of s. Its own method may send something too, with s: that goes without
// the value, or the method would call itself.
func sentText(s scope.Scope, v slog.Value) (text string) {
	if values.IsPlain(v) {
		return textOf(v)
	}
	s.Internal().Ask(func() { text = textOf(v) })
	return text
}

// An identified is a Header for which Send has seen to the request id.
type identified struct{ Header }

func (h identified) Get(key string) string {
	if key == propagation.RequestIDHeader {
		return "there"
	}
	return h.Header.Get(key)
}

// UntrustedKey is the key under which an entry's context has what Untrusted has returned, as a
// string: baggage that came in with what is being served.
type UntrustedKey struct{}

// maxBaggage is how much untrusted baggage is kept: as much as W3C Baggage, section 3.3.2, requires a
// service to pass on. tooLong stands for more.
const maxBaggage = 8192

var tooLong = strings.Repeat(",", maxBaggage+1)

// Untrusted returns what is kept of baggage that isn't trusted, for UntrustedKey.
func Untrusted(baggage string) string {
	if len(baggage) > maxBaggage {
		return tooLong
	}
	return strings.Clone(baggage)
}

// DropUntrusted removes from h the members of baggage that aren't trusted and came in with the request
// or call of ctx: a proxy would send them on.
func DropUntrusted(ctx context.Context, h Header) {
	isUntrusted := IsUntrusted(ctx)
	if isUntrusted == nil {
		return
	}
	if had := h.Get(propagation.BaggageHeader); had != "" {
		var kept []string
		for member := range strings.SplitSeq(had, ",") {
			if !isUntrusted(member) {
				kept = append(kept, strings.Trim(member, " \t"))
			}
		}
		if trusted := strings.Join(kept, ","); trusted != had {
			h.Set(propagation.BaggageHeader, trusted)
		}
	}
}

// IsUntrusted returns a func that reports whether a member of baggage came in with the request or call of
// ctx and isn't trusted. If what came in was too long to keep, the func says so of every member. It is
// nil if nothing came in.
func IsUntrusted(ctx context.Context) func(member string) bool {
	untrusted, _ := ctx.Value(UntrustedKey{}).(string)
	switch {
	case untrusted == "":
		return nil
	case len(untrusted) > maxBaggage:
		return func(string) bool { return true }
	}
	seen := map[string]bool{meaning(""): true}
	for member := range strings.SplitSeq(untrusted, ",") {
		seen[meaning(member)] = true
	}
	return func(member string) bool { return seen[meaning(member)] }
}

// meaning returns the key and the unescaped value of a member of baggage, for comparison:
// OpenTelemetry rewrites what came in, with escapes and properties of its own.
func meaning(member string) string {
	member, _, _ = strings.Cut(member, ";")
	key, value, _ := strings.Cut(member, "=")
	value = strings.TrimSpace(value)
	if unescaped, err := url.PathUnescape(value); err == nil {
		value = string([]rune(unescaped)) // with a replacement character for each byte that isn't UTF-8
	}
	return strings.TrimSpace(key) + "=" + value
}
