package logadapters

import "log/slog"

// Options says how lines are stamped. Every adapter's New takes it; nil means the zero
// Options, which are the defaults.
type Options struct {
	// Group is the name of an object that all scope fields are put into. If it is
	// empty, they lie at the root of the line. Either way they stay out of the groups
	// and namespaces that the logger itself has open. scope_ended and scope_dropped lie
	// where the fields do.
	Group string

	// Filter is called with each field, resolved, and returns the field to log in its
	// place and whether to log it at all. It may rename, change or drop. A field
	// without a key whose value is a group is inlined, as slog does it. nil keeps all
	// fields as they are. Filter must be safe for concurrent use and deterministic: its
	// results are cached. What it is given is its own to change. If it panics, the field
	// says so. It doesn't see hidden fields, nor scope_ended and scope_dropped.
	Filter func(slog.Attr) (slog.Attr, bool)

	// Duplicates says what happens to a scope field whose key is on the line already.
	Duplicates Duplicates

	// MaxFields limits the number of scope fields on a line, hidden and dropped ones
	// not counted. Beyond it the oldest are left out, and scope_dropped tells how many.
	// 0 or less means no limit.
	MaxFields int

	// Ended says what a line shows after its task has ended.
	Ended Ended
}

// Duplicates says which of two fields with the same key is logged. Some keys are reserved:
// those that a logger writes itself (slog: time, level, msg, source; zap: those of its
// EncoderConfig; zerolog: level, message, time), those of fields attached with the logger's
// With, which are encoded already, and the name of a group or namespace that the logger has
// open. Only with KeepBoth does a scope field appear beside them, and none ever replaces
// them.
type Duplicates int

const (
	EventWins Duplicates = iota // the line's own
	ScopeWins                   // the scope's, unless the key is reserved
	KeepBoth                    // both: no check, for handlers that check themselves
)

// Ended says what a line shows after its task has ended: see [scope.Scope.Ended].
type Ended int

const (
	MarkEnded Ended = iota // the scope's fields, and scope_ended
	DropEnded              // scope_ended alone: for pools that don't keep tasks apart
)

// The fields that say something about the scope itself.
const (
	EndedKey   = "scope_ended"   // true: the line's task is over
	DroppedKey = "scope_dropped" // how many fields MaxFields left out
)
