// Package logadapters is what the adapters slogh, zaph and zeroh have in common, and
// what an adapter for another logger is written with.
//
// A program that logs needs [Options]. An adapter's author needs a handful of names more:
// [Pick] gives the scope that speaks for a line; a [Cache] has, for each scope, what the
// logger has derived from it: a child handler, a core, encoded bytes. The first time, the
// Cache collects the scope's fields (policies of keys, LogValuers, Options.Filter,
// Options.MaxFields), has them attached to the logger, and remembers the result with the
// scope. From then on a line costs what a line of a child logger with these fields costs.
//
// # Writing an adapter
//
//  1. Choose L, the type of what a scope's fields become: a child logger if the logger has a
//     With, else encoded bytes or a list of fields.
//  2. Make a [Cache] for each logger, and for each of its children. Base is the logger itself.
//     Attach attaches [Fields] to an L: a function of ten lines that takes each attribute,
//     [Fields.Any] for its value, members of groups, and the name of the group that all go
//     into, if there is one.
//  3. Say in Reserved which keys the logger writes itself. A child adds those that its With
//     attaches. Pass With on at once, so that values are encoded when the program attaches them.
//  4. For a line that is enabled, ask [Pick] for the scope, giving it the line's context if
//     there is one, and [Cache.Lookup] for what was derived from it. If that is nil, write
//     the line as the logger does.
//  5. Else look for keys that the line has as well: [Derived.Has] tells. By default write with
//     [Derived.Without] these; with ScopeWins leave them out of the line and write with
//     Derived.Value; with KeepBoth just write with Derived.Value.
//  6. If the logger can open a group, attach what is inside it in Finish, so that the scope's
//     fields stay outside, and reserve the group's name. Keep what the program attaches there
//     as it was at that moment.
//  7. If the logger encodes attached values later than Attach, with the line, wrap that in
//     [Encode]. Then a value whose method logs can't make the program log without end.
//  8. Run the cases of package adaptertest.
//
// The example is a whole small adapter that passes them. What a correct one does is spelled
// out, case by case, in package adaptertest.
package logadapters
