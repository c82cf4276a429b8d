package propagation

import (
	"slices"
	"strings"
)

// The limits of W3C Trace Context, section 3.3: how many members there may be, and how many
// bytes of them must be passed on at least.
const (
	maxStateMembers = 32
	maxStateBytes   = 512
)

// ParseTracestate returns a copy of the members of a tracestate header, to be sent on with the
// traceparent that came with it. Beyond 512 bytes the members at the end are left out. If any part
// of the header isn't valid, it returns "". Join the values of several headers with commas.
func ParseTracestate(header string) string {
	if header == "" || len(header) > maxBytes {
		return "" // nothing, or not worth a look
	}
	var b strings.Builder
	var keys []string
	for member := range strings.SplitSeq(header, ",") {
		if member = trim(member); member == "" {
			continue
		}
		key, value, ok := strings.Cut(member, "=")
		if !ok || len(keys) == maxStateMembers || !isStateKey(key) || !isStateValue(value) || slices.Contains(keys, key) {
			return ""
		}
		keys = append(keys, key)
		if b.Len()+len(",")+len(member) > maxStateBytes {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(member)
	}
	return b.String()
}

// isStateKey reports whether key is one of section 3.3.2.2: letters, digits and _-*/, with a
// tenant in front of an @ or without.
func isStateKey(key string) bool {
	tenant, system, two := strings.Cut(key, "@")
	if !two {
		return isStateName(key, 256) && key[0] > '9'
	}
	return isStateName(tenant, 241) && isStateName(system, 14) && system[0] > '9'
}

func isStateName(name string, limit int) bool {
	return len(name) >= 1 && len(name) <= limit && (name[0] >= 'a' && name[0] <= 'z' || name[0] >= '0' && name[0] <= '9') &&
		all(name, func(c byte) bool {
			return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("_-*/", c) >= 0
		})
}

// isStateValue reports whether value is one of section 3.3.2.3: printable ASCII without comma
// and equals sign.
func isStateValue(value string) bool {
	return len(value) >= 1 && len(value) <= 256 && all(value, func(c byte) bool {
		return c >= ' ' && c <= '~' && c != ',' && c != '='
	})
}
