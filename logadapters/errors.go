package logadapters

import (
	"log/slog"
	"slices"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/scope"
)

// ErrorScopeKey is the group of a line that has the fields of an error's scope, if that is of
// another task than the line: see [scope.Error].
const ErrorScopeKey = "error_scope"

// HaveErrors reports whether [scope.Error] has been called: until then no line needs to be
// looked through for errors.
func HaveErrors() bool { return memo.Errors.Load() }

// WithErrors returns the scope for a line of s that was given errors with scopes: s, with those
// of their fields that s lacks. own reports whether the line has a field of a key without its
// scope: such a field of the error's scope is left out, whatever Options.Duplicates says. The group
// [ErrorScopeKey] is a field as any other: only one that s has itself is in its way.
func WithErrors(s scope.Scope, own func(key string) bool, scopes ...scope.Scope) scope.Scope {
	stamp := s
	has := func(key string) bool { _, ok := stamp.Internal().Get(key); return ok }
	for _, e := range scopes {
		if !e.SameTask(s) {
			if group := e.LogValue(); len(group.Group()) > 0 && !has(ErrorScopeKey) {
				stamp = stamp.With(slog.Attr{Key: ErrorScopeKey, Value: group})
			}
			continue
		}
		for key, value := range e.All() {
			if !has(key) && !own(key) {
				stamp = stamp.With(slog.Attr{Key: key, Value: value})
			}
		}
	}
	return stamp
}

// AppendErrorScopes appends the scopes of those of errs that have one: see [scope.ErrorScope].
// That calls the errors' own Unwrap. What this logs meanwhile isn't looked through in turn.
func AppendErrorScopes(scopes []scope.Scope, errs ...error) []scope.Scope {
	if len(errs) == 0 {
		return scopes
	}
	s := scope.Current()
	if s == (scope.Scope{}) {
		s = scope.New()
	}
	if s.Internal().Encoding() > 0 {
		return scopes
	}
	Encode(s, func() {
		for _, err := range errs {
			if s, ok := scope.ErrorScope(err); ok {
				scopes = append(scopes, s)
			}
		}
	})
	return scopes
}

// BareErrors returns errs as a logger is to write them: what [scope.Error] was given in the place
// of what it has returned.
func BareErrors(errs ...error) []error {
	bare := slices.Clone(errs)
	for i, err := range errs {
		if e, ok := err.(memo.Error); ok {
			bare[i] = e.Bare()
		}
	}
	return bare
}
