// Package adaptertest checks that a log adapter does what an adapter is expected to do. It is
// for authors of adapters with package logadapters, for any logger.
//
// [Run] goes through the [Cases], one subtest each. A case has a name, the rule that it
// stands for and the reason for the rule; when it fails it prints them, its source line
// and the line that the adapter wrote:
//
//	func TestConformance(t *testing.T) {
//		adaptertest.Run(t, adaptertest.Adapter{
//			New:       func(w io.Writer, opts *logadapters.Options) adaptertest.Logger { … },
//			Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger { … },
//			Own:       []string{"time", "level", "msg"},
//		})
//	}
//
// # The reference
//
// Most rules come down to one: a stamped line is, byte for byte, the line that the
// logger writes when the same fields are attached by its own With, behind what it has and
// outside its groups. So the suite asks for two loggers. New's is the adapter's,
// Reference's is the logger alone with given fields: see [AttachLast]. The suite makes both write
// the same line, New's with a scope bound, and compares. It never needs to know how a logger
// spells a level or a duration.
//
// For Run both write JSON, one object per line. Neither may write anything that differs
// from one call to the next: no time, or a fixed one.
//
// # Generated lines
//
// [RunGenerated] compares thousands of lines with scopes, loggers and events that a
// [Generator] makes from every kind of value and key. It takes any encoder, not only JSON:
// an adapter for a logger with several should call it for each. [SameBytes] does one such
// comparison, for a fuzz target:
//
//	func FuzzSameBytes(f *testing.F) {
//		for _, seed := range adaptertest.Seeds() {
//			f.Add(seed)
//		}
//		f.Fuzz(func(t *testing.T, data []byte) {
//			adaptertest.SameBytes(t, adapter, adaptertest.FromBytes(data))
//		})
//	}
//
// # Loggers that lack something
//
// Not every logger has groups or is given contexts, and some show a hook none of the
// line's keys. [Adapter].Lacks says so; the cases that need what it lacks are skipped and say why.
package adaptertest
