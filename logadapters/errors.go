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
// of their fields that s lacks. own reports whether the line itself, without its scope, has a key:
// fields of the errors' scopes give way to it, whatever Options.Duplicates says. The group
// [ErrorScopeKey] is a field like any other: own isn't asked, and it is left out only if s has one.
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
		for key := range e.All() {
			if !has(key) && !own(key) {
				value, _ := e.Get(key) // as it was set: a slog.Value loses types
				stamp = stamp.With(key, value)
			}
		}
	}
	return stamp
}

// AppendErrorScopes appends the scopes of those of errs that have one: see [scope.ErrorScope].
// It calls the errors' own Unwrap methods. If one of these logs, that line isn't searched for errors.
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

// BareErrors returns errs as a logger should write them: in place of an error that [scope.Error] has
// returned, the one that it was given.
func BareErrors(errs ...error) []error {
	bare := slices.Clone(errs)
	for i, err := range errs {
		if e, ok := err.(memo.Error); ok {
			bare[i] = e.Bare()
		}
	}
	return bare
}
