package scope

import (
	"context"
	"log/slog"
	"strings"

	"github.com/taskscope/taskscope/internal/values"
)

// String returns the fields of s for people: "request_id=r-17 user=u1", as a
// [slog.TextHandler] writes them. [Hidden] fields are left out, [Redacted] ones show
// [RedactedText]. The zero Scope is "".
func (s Scope) String() string {
	var b strings.Builder
	s.show(func(attrs []slog.Attr) {
		line := slog.Record{Message: "m"} // and INFO, and no time
		line.AddAttrs(attrs...)
		_ = slog.NewTextHandler(&b, nil).Handle(context.Background(), line) // a Builder never fails
	})
	text := strings.TrimPrefix(b.String(), "level=INFO msg=m")
	return strings.TrimSpace(text) // a space or a newline in a value is quoted
}

// LogValue returns the fields of s as a group, as String shows them, for a line that names a
// scope: slog.Any("caller", s).
func (s Scope) LogValue() slog.Value {
	var group slog.Value
	s.show(func(attrs []slog.Attr) {
		group = values.CloneGroups(slog.Attr{Value: slog.GroupValue(attrs...)}).Value // the caller may change it
	})
	return group
}

// show calls fn with the fields of s as lines show them, resolved. As on lines, a value's own
// method sees plain fields only, so that no method calls itself.
func (s Scope) show(fn func([]slog.Attr)) {
	plainOnly := max(s.n.encodingLevel(), bound().encodingLevel()) > 0
	s.n.Encode(func() {
		var attrs []slog.Attr
		for _, a := range s.n.line().shown(nil) {
			if !plainOnly || values.IsPlain(a.Value) {
				a.Value = values.Resolve(a.Value)
				attrs = append(attrs, a)
			}
		}
		fn(attrs)
	})
}
