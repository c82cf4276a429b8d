// Package logadapters is what the adapters slogh, zaph and zeroh have in common, and
// what an adapter for another logger is written with.
//
// An adapter is told by the logger of each line that is to be written. It asks [Pick]
// for the scope that speaks for the line, and its [Stamper] for what this logger has
// made of that scope: a [Stamp]. The first time, the Stamper collects the fields
// (policies of keys, LogValuers, Options.Filter, Options.MaxFields), calls the
// [Logger]'s Derive, and remembers the result with the scope. From then on a
// line costs what a line of a child logger with these fields costs. The first line of a
// scope, which may be the only one, can be written without: see [Stamper.First].
//
// What a correct adapter does is spelled out, case by case, in package adaptertest.
package logadapters
