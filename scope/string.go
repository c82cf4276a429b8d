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
	s.n.Encode(func() {
		var r slog.Record
		for _, a := range s.n.logged() {
			r.AddAttrs(slog.Attr{Key: a.Key, Value: values.Resolve(a.Value)})
		}
		_ = slog.NewTextHandler(&b, nil).Handle(context.Background(), r) // a Builder's Write doesn't fail
	})
	return strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(b.String(), `level=INFO msg=""`), "\n"), " ")
}

// LogValue returns the fields of s as a group, with what [Hidden] and [Redacted] say of
// them: for a line that is to show a scope that isn't its own. It makes Scope a
// [slog.LogValuer].
func (s Scope) LogValue() slog.Value { return slog.GroupValue(s.n.logged()...) }

// logged returns the fields as the policies of their keys have them on a line.
func (n *node) logged() []slog.Attr {
	var attrs []slog.Attr
	n.each(nil, func(f field) bool {
		a := f.attr()
		policy := Policy(a.Key)
		if policy&Redacted != 0 {
			a.Value = slog.StringValue(RedactedText)
		}
		if policy&Hidden == 0 {
			attrs = append(attrs, a)
		}
		return true
	})
	return attrs
}
