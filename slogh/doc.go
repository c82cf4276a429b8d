// Package slogh stamps the lines of log/slog with the fields of the running goroutine's scope.
//
//	slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(os.Stdout, nil), nil)))
//
// From then on slog.Info, log.Printf and every logger derived from slog.Default carry what package
// scope has bound.
//
// A stamped line is, byte for byte, the line that the logger writes when the same fields are
// attached with With: they come behind what With has attached, in front of the line's own, and stay
// outside the groups that the logger has open. A field whose key the line has already is left out,
// unless [logadapters.Options] says otherwise. A slog.LogValuer in the scope is resolved anew for
// every line; any other value may be encoded once and remembered. The wrapped handler's levels,
// ReplaceAttr and AddSource work as before.
//
// # Values that log
//
// A LogValue or a marshaler method of a scope's value may log. Such a line is stamped with those
// fields that need no method: bools, numbers, strings, times, durations, and groups of these. What
// such a method sets with scope.Set ends with it.
//
// # Errors
//
// A line that has an error of scope.Error gets the fields of its scope. It is looked for in
// attributes at any depth, on the line and in With, and in what a LogValuer returns; each is called
// as often as without this package. Where a handler of another package resolves LogValuers itself,
// an error that only LogValue shows isn't seen.
//
// # What is attached inside a group
//
// With passes attributes on at once. Inside a group (WithGroup, then With) they are also kept,
// because the scope's fields have to stand in front of the group: log/slog's own handlers get them
// again for each scope, and others with each line. LogValuers are asked once, when With is called,
// and byte slices copied. A map, or what a pointer points at, is looked at again, and ReplaceAttr is
// called again.
//
// # Limits
//
// Handlers of other packages get the scope's fields with the line, in front of its own attributes,
// and the open groups as attributes: With is called on them only where the program calls it. A
// handler that treats attached attributes or open groups in a special way doesn't see them as such:
// otelslog, for one, looks for an error at the root of the line's attributes.
// Beyond five attributes such a line allocates, as any slog.Record does. If a value's method panics
// in such a handler, the panic goes to whoever logs.
//
// What a handler had before New is unknown to this package. After New(h.WithGroup("g"), nil) the
// scope's fields are in g; after New(h.WithAttrs(attrs), nil) a key of attrs that the scope has too
// is there twice. Attach to what New returns.
//
// An adapter around another package's handler around an adapter stamps once, with one exception: a
// group that the handler between them has opened gets the fields, too.
//
// What a method of a scope's value starts with a plain go statement, such as the worker of a pool,
// has plain fields only, as long as it runs: start it in main.
//
// A handler that looks for its caller on the stack finds one more frame there.
//
// # A line without fields
//
// [docs/unstamped.md] says, from symptom to cause to cure, why a line isn't stamped, or late.
//
// [docs/unstamped.md]: https://github.com/taskscope/taskscope/blob/main/docs/unstamped.md
package slogh
