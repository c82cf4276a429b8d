// Package zaph stamps the lines of go.uber.org/zap with the fields of the running goroutine's
// scope.
//
//	logger, err := zap.NewProduction(zaph.WrapCore(nil))
//
// From then on every line of the logger, of its children, and of zap.L after zap.ReplaceGlobals,
// carries what package scope has bound.
//
// A stamped line is, byte for byte, the line that the logger writes when the same fields are
// attached as zap.Any with With, behind what it has attached itself and outside the namespaces
// that it has open. A field whose key the line has already is left out, unless
// [logadapters.Options] says otherwise.
//
// Levels, tees, samplers and hooks of the wrapped core work as before: lines are stamped below
// them, and each line is counted once. Caller and stack trace need no other skip.
//
// # What With is given
//
// With passes its fields on at once. Those in a namespace are needed again for each scope, so they
// are recorded: marshalers run once, bytes are copied, and values that take reflection are encoded.
// Only an encoder of another package, or with a NewReflectedEncoder, looks at such values again.
//
// # Errors
//
// A line whose fields have an error that scope.Error has made gets the fields of its scope. It is
// looked for in what zap.Error, NamedError, Errors, Any, Reflect, Stringer and Inline are given, and
// in the members and elements of zap.Dict, Objects, ObjectValues and Stringers, on the line and in
// With. No marshaler is called for that, so an error inside an object or an array of the program's
// own isn't seen. scope.Error has no marshaler: zap.Any writes what it returns as zap.Error does, also
// if the error is an object.
//
// # Cores of other packages
//
// Inside a core that isn't zap's own, nothing is known of the encoder, so
//   - a scope's field appears beside a key that this encoder writes itself, such as its message's,
//     or that was attached before New; keep such keys out of scopes, or let Options.Filter rename
//     them;
//   - such a core gets the scope's fields with each line, in front of the line's own, in a slice
//     that it may keep; for marshalers and Stringers it gets what they have produced;
//   - what With is given in a namespace reaches it with each line, as recorded, and not by its
//     With; an error is its text there;
//   - zap.Inline and zap.Error in With run once for their keys, and then again for the core.
//
// # A line without fields
//
// [docs/unstamped.md] says, from symptom to cause to cure, why a line isn't stamped, or late.
//
// [docs/unstamped.md]: https://github.com/taskscope/taskscope/blob/main/docs/unstamped.md
package zaph
