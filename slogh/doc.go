// Package slogh stamps the lines of log/slog with the fields of the running goroutine's
// scope.
//
//	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(os.Stdout, nil), nil)))
//
// From then on slog.Info, log.Printf and every logger derived from slog.Default carry
// what package scope has bound.
//
// A stamped line is, byte for byte, the line that the logger writes when the same fields
// are attached with With to its root: they come first, and stay outside the groups that
// the logger has open. A field whose key the line has itself is left out, unless
// [logadapters.Options] says otherwise. A slog.LogValuer in the scope is resolved anew
// for every line; any other value may be encoded once and remembered.
//
// The wrapped handler's levels, ReplaceAttr and AddSource work as before. It is asked
// for Enabled without the scope's fields.
package slogh
