package propagation

import (
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/taskscope/taskscope/scope"
)

// The limits of W3C Baggage, section 3.3.2: what a platform must propagate at least,
// and what we send and accept at most.
const (
	maxMembers = 64
	maxBytes   = 8192
)

// mayTravel reports whether key may be sent and taken as a member of baggage. Fields that have
// headers of their own may not: these are checked when they come in, and baggage must not be a way
// round that.
func mayTravel(key string) bool {
	switch key {
	case RequestIDKey, TraceIDKey, ParentSpanIDKey, TraceFlagsKey, TraceStateKey:
		return false
	}
	return scope.Policy(key)&scope.Propagated != 0 && isToken(key)
}

// appendBaggage returns header with the propagated fields of s as further members. A
// key that header has stays as it is; what doesn't fit is left out. A header with
// characters that may not be sent stays untouched.
func appendBaggage(header string, s scope.Scope) string {
	var known []string // nil iff header hasn't been looked at
	for key, value := range s.All() {
		if !mayTravel(key) {
			continue
		}
		if known == nil {
			if !all(header, func(c byte) bool { return c >= ' ' && c < 0x7f || c == '\t' }) {
				return header
			}
			known = memberKeys(header)
		}
		sent, ok := text(s, value)
		if !ok || len(known) >= maxMembers || slices.Contains(known, key) {
			continue
		}
		longer := key + "=" + escape(sent)
		if trim(header) != "" {
			longer = header + "," + longer
		}
		if len(longer) > maxBytes {
			continue
		}
		header, known = longer, append(known, key)
	}
	return header
}

// memberKeys returns the keys of the members of header, well formed or not. It is not
// nil.
func memberKeys(header string) []string {
	keys := []string{}
	for member := range strings.SplitSeq(header, ",") {
		if member = trim(member); member != "" {
			key, _, _ := strings.Cut(member, "=")
			keys = append(keys, trim(key))
		}
	}
	return keys
}

// parseBaggage returns the members of header whose keys are declared Propagated. A
// header beyond the limits yields nothing: which part of it to believe would be a guess.
// A member that isn't well formed is skipped. Of two with the same key the first counts.
func parseBaggage(header string) (attrs []slog.Attr) {
	if len(header) > maxBytes || strings.Count(header, ",") >= maxMembers {
		return nil
	}
	for member := range strings.SplitSeq(header, ",") {
		member, _, _ = strings.Cut(member, ";") // without its properties
		key, escaped, ok := strings.Cut(member, "=")
		key, escaped = trim(key), trim(escaped)
		if !ok || !mayTravel(key) || !all(escaped, isBaggageOctet) {
			continue
		}
		value, err := url.PathUnescape(escaped)
		if err != nil || slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == key }) {
			continue
		}
		// Copies, which don't keep a long header in memory.
		attrs = append(attrs, slog.String(strings.Clone(key), strings.Clone(strings.ToValidUTF8(value, "\uFFFD"))))
	}
	return attrs
}

// trim removes what the specification calls OWS.
func trim(s string) string { return strings.Trim(s, " \t") }

// isToken reports whether key is a token of RFC 7230, section 3.2.6.
func isToken(key string) bool {
	return key != "" && all(key, func(c byte) bool {
		return c > ' ' && c < 0x7f && strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) < 0
	})
}

// isBaggageOctet reports whether c may stand in a value: printable ASCII without space,
// double quote, comma, semicolon and backslash. The percent sign may, as an escape.
func isBaggageOctet(c byte) bool {
	return c > ' ' && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\'
}

const upperHex = "0123456789ABCDEF"

// escape percent-encodes the bytes of value that may not stand for themselves.
func escape(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		if isBaggageOctet(c) && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}
