package logadapters

import "log/slog"

// Options says how lines are stamped. Every adapter's New takes it; nil means the zero
// Options, which are the defaults.
type Options struct {
	// Group is the name of an object that all scope fields are put into. If it is
	// empty, they lie at the root of the line. Either way they stay out of the groups
	// and namespaces that the logger itself has open.
	Group string

	// Filter is called with each field, resolved, and returns the field to log in its
	// place and whether to log it at all. It may rename, change or drop. A field
	// without a key whose value is a group is inlined, as slog does it. nil keeps all
	// fields as they are. Filter must be safe for concurrent use and answer the same
	// to the same field: what it answers is remembered. If it panics, the field says so.
	// It doesn't see hidden fields, nor scope_ended and scope_dropped.
	Filter func(slog.Attr) (slog.Attr, bool)

	// Duplicates says what happens to a scope field whose key is on the line already.
	Duplicates Duplicates

	// MaxFields limits the number of scope fields on a line, hidden and dropped ones
	// not counted. Beyond it the oldest are left out, and scope_dropped tells how many.
	// 0 means no limit.
	MaxFields int
}

// Duplicates says which of two fields with the same key is logged. The keys that a
// logger writes itself (slog: time, level, msg, source; zap: those of its
// EncoderConfig; zerolog: level, message, time) are its own: only with KeepBoth
// does a scope field of that name appear beside them, and none ever replaces them. The
// same goes for the name of a group or namespace that the logger has open.
type Duplicates int

const (
	EventWins Duplicates = iota // the line's own field, or one attached with the logger's With
	ScopeWins                   // the scope's
	KeepBoth                    // both, the scope's first: no check, for handlers that do it
)

// The fields that say something about the scope itself.
const (
	EndedKey   = "scope_ended"   // true: the line's task is over, see scope.Scope.Ended
	DroppedKey = "scope_dropped" // how many fields MaxFields left out
)
