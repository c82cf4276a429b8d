package entry

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/scope"
)

// This file has what entries for remote procedure calls share.

// MethodName returns a part of a method's name as a field has it. Most names are constants of
// generated code, and are returned as they are. A server with a handler for unknown services may get
// any text.
func MethodName(name string) string {
	if len(name) > 256 {
		return Clip(name)
	}
	for i := range len(name) { // three times as fast as strings.ContainsFunc
		if c := name[i]; c <= ' ' || c > '~' {
			return Clip(name)
		}
	}
	return name
}

// Replace returns s with these fields, and without its own fields of these keys, of which "" stands
// for none: what s has there is about another call.
func Replace(s scope.Scope, fields []slog.Attr, keys ...string) scope.Scope {
	for _, key := range keys {
		if key != "" && !slices.ContainsFunc(fields, func(f slog.Attr) bool { return f.Key == key }) {
			s = s.Without(key)
		}
	}
	args := make([]any, len(fields))
	for i, f := range fields {
		args[i] = f
	}
	return s.With(args...)
}

// A Tally counts messages. Goroutines may share it.
type Tally struct {
	messages, bytes, unsized atomic.Int64
}

// Add counts a message. known is false if its size can't be told.
func (t *Tally) Add(size int, known bool) {
	t.messages.Add(1)
	if known {
		t.bytes.Add(int64(size))
	} else {
		t.unsized.Add(1)
	}
}

// Messages returns how many there were.
func (t *Tally) Messages() int64 { return t.messages.Load() }

// AppendSize appends the size of all messages together, if it is known.
func (t *Tally) AppendSize(attrs []slog.Attr, key string) []slog.Attr {
	if t.unsized.Load() > 0 || t.messages.Load() == 0 {
		return attrs
	}
	return append(attrs, slog.Int64(key, t.bytes.Load()))
}

// A Record is what the line of a call says about the call. Calls without a line have none.
type Record struct {
	Received, Sent Tally
	start          time.Time
	watch          CancelWatch
	canceledBy     string
}

// WithRecord returns a new call and, if it has a line, its Record: both are one allocation.
func WithRecord[C any](hasLine bool) (*C, *Record) {
	if !hasLine {
		return new(C), nil
	}
	both := &struct {
		call C
		Record
	}{Record: Record{start: time.Now()}}
	return &both.call, &both.Record
}

// Watch begins to watch ctx, the context of a call that is being served.
func (r *Record) Watch(ctx context.Context) { r.watch.Start(ctx, r.start) }

// Answered says that the server itself has ended the call, with an error for a message: if it cancels
// the call's context then, nobody has canceled the call.
func (r *Record) Answered() { r.watch.answered.Store(true) }

// Returned ends the watch when the handler has ended. canceled is the argument of Who.
func (r *Record) Returned(canceled bool) { r.canceledBy = r.watch.Who(canceled) }

// AppendServer appends the attributes of a server's line: how long the call took, and what was
// received and sent.
func (r *Record) AppendServer(attrs []slog.Attr, streams bool) []slog.Attr {
	attrs = append(attrs, slog.Float64("rpc.server.call.duration", time.Since(r.start).Seconds()))
	if streams {
		attrs = append(attrs,
			slog.Int64("rpc.server.requests_per_rpc", r.Received.Messages()),
			slog.Int64("rpc.server.responses_per_rpc", r.Sent.Messages()))
	}
	attrs = r.Received.AppendSize(attrs, "rpc.server.request.size")
	attrs = r.Sent.AppendSize(attrs, "rpc.server.response.size")
	if r.canceledBy != "" {
		attrs = append(attrs, slog.String("rpc.canceled_by", r.canceledBy))
	}
	return attrs
}

// AppendClient appends the attributes of a client's line.
func (r *Record) AppendClient(attrs []slog.Attr, streams bool) []slog.Attr {
	attrs = append(attrs, slog.Float64("rpc.client.call.duration", time.Since(r.start).Seconds()))
	if streams {
		attrs = append(attrs,
			slog.Int64("rpc.client.requests_per_rpc", r.Sent.Messages()),
			slog.Int64("rpc.client.responses_per_rpc", r.Received.Messages()))
	}
	attrs = r.Sent.AppendSize(attrs, "rpc.client.request.size")
	return r.Received.AppendSize(attrs, "rpc.client.response.size")
}

// A CancelWatch tells who ended a call before its handler did.
type CancelWatch struct {
	ctx      context.Context
	start    time.Time
	deadline time.Time // zero if there is none
	stop     func() bool
	at       atomic.Pointer[time.Time] // when ctx was canceled, if there is a deadline
	answered atomic.Bool
}

// Start begins to watch ctx, the context of a call that began at start. A client whose deadline has
// passed cancels its call, perhaps before the deadline has passed by the server's clock. To tell that
// from other cancellations, Start has the moment noted.
func (w *CancelWatch) Start(ctx context.Context, start time.Time) {
	w.ctx, w.start = ctx, start
	if deadline, ok := ctx.Deadline(); ok {
		w.deadline = deadline
		w.stop = context.AfterFunc(ctx, func() {
			now := time.Now()
			w.at.Store(&now)
		})
	}
}

// Who ends the watch when the handler has ended. It returns who ended the call before that,
// or "" if nobody did. canceled says that the handler has answered with the code of a call that was
// canceled or took too long.
func (w *CancelWatch) Who(canceled bool) string {
	over := w.ctx.Err()
	if w.answered.Load() {
		over = nil
	}
	if w.stop != nil {
		w.stop()
	}
	switch {
	case over == nil && canceled:
		return "handler"
	case over == nil:
		return ""
	case over == context.DeadlineExceeded:
		return "deadline"
	case context.Cause(w.ctx) != context.Canceled: // servers give none
		return "handler"
	case !w.deadline.IsZero():
		at := time.Now()
		if noted := w.at.Load(); noted != nil {
			at = *noted
		}
		if w.deadline.Sub(at) <= slack(w.deadline.Sub(w.start)) {
			return "deadline"
		}
	}
	return "client"
}

// slack returns how long before the server's deadline the client's own may pass, for a call with this
// much time: on the server it starts later, when the call arrives.
func slack(length time.Duration) time.Duration { return min(length/10, 50*time.Millisecond) }

// Messages binds a scope of its own for each message that a stream receives. Only one goroutine at a
// time may use it.
type Messages struct {
	Key  string      // of the field with the number of a message
	Task scope.Scope // any scope of the call's task

	last    int64      // the number of the last message
	outside memo.Scope // what the receiving goroutine had bound before its first message; nil if it isn't in the call's task
}

// End is called before a message is received. It puts back what was bound before the first one. The
// scope of a message knows what that was, and so do all scopes that are made from it: on goroutines
// that were started for the message, and in a Run.
func (m *Messages) End() {
	m.outside = nil
	if now := scope.Current(); now.SameTask(m.Task) { // other goroutines must keep what they have
		m.outside = now.Internal().BindOutside()
	}
}

// Begin is called when a message has been received, on the goroutine that End was called on.
func (m *Messages) Begin() {
	m.last++
	if m.outside != nil {
		m.outside.BindInside(slog.Int64(m.Key, m.last))
	}
}
