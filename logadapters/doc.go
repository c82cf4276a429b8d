// Package logadapters is what the adapters slogh, zaph and zeroh have in common, and
// what an adapter for another logger is written with.
//
// A program that logs needs [Options]. An adapter's author needs a handful of names more:
// [Pick] gives the scope that a line is stamped from; a [Cache] has, for each scope, what the
// logger has derived from it: a child handler, a core, encoded bytes. The first time, the
// Cache collects the scope's fields (policies of keys, LogValuers, Options.Filter,
// Options.MaxFields), has them attached to the logger, and remembers the result with the
// scope. From then on a line costs what a line of a child logger with these fields costs.
//
// # Writing an adapter
//
// The package's example, in example_test.go, is a whole one for a small logger. These are the
// steps.
//
// Choose L, what a line of one scope is written with. If the logger has children that are
// cheap to keep, L is a child: a slog.Handler, a zapcore.Core. If it only has a hook that adds
// to a line, L is what the hook adds, encoded.
//
// Write Attach. It takes an L and gives one with more fields behind those that it has. Use
// [Fields.Any] for values that the logger encodes by their Go type. Put the fields into an
// object if Fields.Group is set.
//
// Give each logger a [Cache]. Base is the logger itself. A child logger has a Cache of its own:
// when With is called on your adapter, call the logger's With at once, make a new adapter of the
// result, and add the new keys to Reserved.
//
// Write a line: Lookup(Pick(ctx)). If that is nil, the scope adds nothing: write the line with
// Base, or what Finish makes of it. If it isn't, write it with Derived.Value. Where the logger
// shows you the line's own keys, ask Derived.Has for each, and if the line repeats one, do as
// Options.Duplicates says: use [Derived.Without], or leave out the line's field.
//
// If the logger has groups or namespaces, keep what is attached inside one, and attach it again
// in Finish. Then the scope's fields stay outside. Keep it as it is when With is called, encoded
// if you can: the program may change a byte slice afterwards, and a LogValuer must be asked
// once. Add the name of the outermost group to Reserved, and no key that is inside it; and don't
// ask Derived.Has for the keys of a line that stand in it.
//
// If values of the scope are encoded later than in Attach, with the line itself, do that inside
// [Encode]. Values may have methods that log, and without Encode such a method would be called
// again for its own line.
//
// Don't ask the logger more than you have to: its levels, sampling and hooks should see each line
// once. Don't catch panics of the logger or its writer, and never write a line again.
//
// Then run the conformance suite in package adaptertest, which spells out, case by case, what a
// correct adapter does, and compares thousands of generated lines.
package logadapters
