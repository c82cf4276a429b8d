// Package zeroh stamps the lines of github.com/rs/zerolog with the fields of the running
// goroutine's scope.
//
//	log.Logger = log.Hook(zeroh.New(nil))
//
// From then on every line of the logger and of its children carries what package scope has bound:
//
//	scope.New("request_id", "r-1").Run(func() { log.Info().Int("cents", 1299).Msg("charging card") })
//	// {"level":"info","cents":1299,"request_id":"r-1","message":"charging card"}
//
// [For] is the other way in, for programs that pass their loggers on: its loggers have the fields
// in front of the event's own.
//
// # Same bytes
//
// A line stamped by the hook is, byte for byte, the line that zerolog writes when the same fields
// are added with Event.Fields after the event's own and before the message. A line of For is that
// of a child made with With. A group is a Dict. While zerolog.ErrorStackMarshaler is set, errors and
// objects are encoded with each line: it depends on the event whether their stack is written.
//
// zerolog copies a json.RawMessage to the line as it is. Here one that isn't JSON is a text that
// begins with !ERROR:, one that is nil is null, and line breaks are left out.
//
// # Duplicates
//
// zerolog shows the keys of events and loggers neither to a hook nor to For. So a key that the scope
// has, too, is on the line twice: here alone, duplicates can't be prevented. Only the names of
// level, message and time are kept free.
//
// # Performance
//
// The fields of a scope are encoded once. A line of the hook adds them with one call of RawJSON,
// and one of For is that of a child; neither allocates. With the build tag binary_log, lines are
// CBOR, and the hook encodes the fields for each line.
//
// # A line without fields
//
// [docs/unstamped.md] says, from symptom to cause to cure, why a line isn't stamped, or late.
//
// [docs/unstamped.md]: https://github.com/taskscope/taskscope/blob/main/docs/unstamped.md
package zeroh
