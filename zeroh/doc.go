// Package zeroh stamps the lines of github.com/rs/zerolog with the fields of the running
// goroutine's scope.
//
//	log.Logger = log.Hook(zeroh.New(nil))
//
// From then on every line of the logger and of its children carries what package scope
// has bound. [Logger] is the other way in, for a function that logs many lines.
//
// A stamped line is, byte for byte, the line that zerolog writes when the same fields
// are added with Event.Fields after the event's own and before the message. A group is
// a Dict.
//
// zerolog shows a hook none of the event's keys. So a field that is both in the scope
// and in the event is on the line twice: here alone, duplicates can't be prevented. With
// the build tag binary_log, lines are CBOR, and the fields are encoded for each line
// instead of once.
package zeroh
