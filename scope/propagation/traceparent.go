package propagation

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// A Traceparent is the header of W3C Trace Context, in lower-case hexadecimal digits.
type Traceparent struct {
	TraceID string // 32 digits, not all zero
	SpanID  string // 16 digits, not all zero: the sender's span
	Flags   string // 2 digits; String takes "" for "00"
}

// ParseTraceparent returns what header says, and whether it is valid. From a version that
// is not known yet it takes the parts that version 00 has, as the specification asks.
func ParseTraceparent(header string) (tp Traceparent, ok bool) {
	const length = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if len(header) < length || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return Traceparent{}, false
	}
	version := header[:2]
	if !isHex(version) || version == "ff" || len(header) > length && (version == "00" || header[length] != '-') {
		return Traceparent{}, false
	}
	// A copy, so that the fields don't keep in memory a long text that header may be a part of.
	header = strings.Clone(header[:length])
	tp = Traceparent{TraceID: header[3:35], SpanID: header[36:52], Flags: header[53:55]}
	if !tp.valid() {
		return Traceparent{}, false
	}
	return tp, true
}

func (tp Traceparent) valid() bool {
	return len(tp.TraceID) == 32 && isHex(tp.TraceID) && !allZero(tp.TraceID) &&
		len(tp.SpanID) == 16 && isHex(tp.SpanID) && !allZero(tp.SpanID) &&
		len(tp.Flags) == 2 && isHex(tp.Flags)
}

// String returns the header, of version 00, or "" if tp isn't valid. It keeps the flags that
// are defined, sampled and random; the others must be sent as zero.
func (tp Traceparent) String() string {
	if tp.Flags == "" {
		tp.Flags = "00"
	}
	if !tp.valid() {
		return ""
	}
	flags := strings.IndexByte(hexDigits, tp.Flags[1]) & 3
	return "00-" + tp.TraceID + "-" + tp.SpanID + "-0" + hexDigits[flags:flags+1]
}

func newSpanID() string {
	var b [8]byte
	for n, i := rand.Uint64()|1, 0; i < len(b); i++ {
		b[i] = byte(n >> (8 * i))
	}
	return hex.EncodeToString(b[:])
}

const hexDigits = "0123456789abcdef"

func isHex(s string) bool {
	return all(s, func(c byte) bool { return strings.IndexByte(hexDigits, c) >= 0 })
}

func allZero(s string) bool { return strings.Trim(s, "0") == "" }
