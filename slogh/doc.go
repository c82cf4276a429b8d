// Package slogh stamps the lines of log/slog with the fields of the running goroutine's
// scope.
//
//	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(os.Stdout, nil), nil)))
//
// From then on slog.Info, log.Printf and every logger derived from slog.Default carry
// what package scope has bound.
//
// A stamped line is, byte for byte, the line that the logger writes when the same fields
// are attached by its own With: behind what the logger has attached, outside the groups that
// it has open, and in front of the line's own. A field whose key the line has itself is left
// out, unless [logadapters.Options] says otherwise. A slog.LogValuer in the scope is resolved
// anew for every line; any other value may be encoded once and remembered.
//
// What With attaches is passed on at once. Only what it attaches inside a group is attached
// again for each scope, as it was when With was called: LogValuers resolved, byte slices
// copied. Other values that are changed afterwards, such as a map, show it on later lines.
//
// The wrapped handler's levels, ReplaceAttr and AddSource work as before. It is asked
// for Enabled without the scope's fields.
//
// # Other packages' handlers
//
// From log/slog's own handlers one is derived for each scope, and remembered, so a line costs
// what a line of a child logger costs. From any other none is derived that the program hasn't
// asked for, since children of such handlers don't always share a lock: it gets the scope's
// attributes with each record, in front of the record's own, and a line costs more.
//
// # Limits
//
// What a handler had attached before New is not seen: a field may be there twice, and a group
// that was open already takes the scope's fields in. Attach to what New returns.
//
// A handler that counts stack frames itself, such as zapslog's, counts one too many below any
// handler that wraps it; zapslog.WithCallerSkip(1) is the cure.
package slogh
