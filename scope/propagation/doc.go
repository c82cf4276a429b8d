// Package propagation carries a scope from one process to the next in the headers of a
// message: HTTP, gRPC metadata, NATS, Kafka, AMQP.
//
//	propagation.Inject(scope.Current(), carrier) // the sender
//	propagation.Extract(carrier).Run(handle)     // the receiver
//
// Four headers are used:
//
//   - x-request-id: the field request_id
//   - traceparent: the fields trace_id, parent_span_id and trace_flags, as
//     W3C Trace Context has it (https://www.w3.org/TR/trace-context/)
//   - tracestate: the field trace_state, with the traceparent that it came with
//   - baggage: the fields whose keys are declared [scope.Propagated], and no others, as
//     W3C Baggage has it (https://www.w3.org/TR/baggage/)
//
// # What is sent
//
// A value is sent as the text that slog.Value.String has for it, a slog.LogValuer
// resolved, and arrives as a string. The value of a [scope.Propagated] key that is also
// [scope.Hidden] or [scope.Redacted] is sent as it is: those two are about logs. What a
// header can't hold is left out as a whole: a request id that isn't valid, a key that
// isn't a token, a member that would exceed the limits of 64 members and 8192 bytes, nil,
// and a value whose own method panics. If a value's own method sends something while it is asked
// for its text, that has plain fields only, as its log lines have: bools, numbers, strings, times,
// durations, and groups of these.
//
// # What is taken
//
// What comes in is checked before it becomes a field. A bad header yields nothing, never
// a part of it; in baggage, this holds for each member. An escaped value may hold any
// text, even a line break, which the loggers escape in turn. [Extract] takes baggage from
// whoever sends it; the entries, such as httpscope's Handler, do so only if their option
// TrustBaggage says so.
package propagation
