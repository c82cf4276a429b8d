package grpcscope

import (
	"log/slog"
	"runtime/debug"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope"
)

// log writes the last line of the call, which is answered with this error.
func (c *call) log(answered error) {
	attrs := make([]slog.Attr, 0, 10)
	level := slog.LevelError
	if c.returned || c.panicked != nil && c.opts.Recover { // there is an answer
		code := codeOf(answered)
		attrs = c.names.appendCode(attrs, code)
		level = c.opts.CodeToLevel(code)
	}
	attrs = c.record.AppendServer(attrs, c.rpc.streams())
	var err error
	switch {
	case c.panicked != nil:
		level = slog.LevelError
		attrs = append(attrs,
			slog.String("exception.message", values.Text(c.panicked)),
			slog.String("exception.stacktrace", string(debug.Stack())))
	case !c.returned:
		attrs = append(attrs, slog.String("error.type", "goexit"))
	case answered != nil:
		err = answered
		attrs = append(attrs, slog.String("error.message", messageOf(err)))
	}
	line := entry.Line{Log: c.opts.Log, Level: level, Msg: "call", Attrs: attrs, Err: err}
	s := scope.Current().Pick(c.ctx)
	if c.outer.Logs { // the task's last line is that of the entry around this one
		line.WriteInner(c.ctx, s)
		return
	}
	line.Write(c.ctx, s, entry.AwaitLimit(c.opts.Await && c.returned, c.opts.AwaitLimit))
}

// answer returns the error to answer with. gRPC sends a status as it is only if the error itself has
// one. For an error that wraps it, as that of scope.Error does, it would send the whole text, with
// "rpc error: code = …".
func answer(err error) error {
	if _, ok := err.(hasStatus); ok {
		return err
	}
	if scoped, ok := err.(memo.FullError); ok {
		if s, ok := scoped.Bare().(hasStatus); ok {
			return &statusError{scoped, s}
		}
	}
	return err
}

type hasStatus interface{ GRPCStatus() *status.Status }

// A statusError is an error of scope.Error with the status of the error that it wraps. Otherwise
// interceptors around this one see no difference.
type statusError struct {
	memo.FullError
	hasStatus
}

// Unwrap returns what scope.Error has returned, which has the scope.
func (e *statusError) Unwrap() error { return e.FullError }

// statusOf returns the status that gRPC makes from a handler's error. If a method of err panics, the
// code is Unknown.
func statusOf(err error) (s *status.Status) {
	defer func() {
		if recover() != nil {
			s = status.New(codes.Unknown, values.Text(err))
		}
	}()
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err)
	}
	return s
}

func codeOf(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	return statusOf(err).Code()
}

func messageOf(err error) string { return statusOf(err).Message() }

// appendCode appends the code, as a number and as a text.
func (n *names) appendCode(attrs []slog.Attr, code codes.Code) []slog.Attr {
	if n.statusCode != "" {
		attrs = append(attrs, slog.Uint64(n.statusCode, uint64(code)))
	}
	if n.status != "" {
		text := "CODE(" + strconv.FormatUint(uint64(code), 10) + ")"
		if uint64(code) < uint64(len(codeNames)) { // an int may have 32 bits
			text = codeNames[code]
		}
		attrs = append(attrs, slog.String(n.status, text))
	}
	return attrs
}

// codeNames are those of gRPC's own documentation, doc/statuscodes.md.
var codeNames = [...]string{
	codes.OK:                 "OK",
	codes.Canceled:           "CANCELLED",
	codes.Unknown:            "UNKNOWN",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.AlreadyExists:      "ALREADY_EXISTS",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted:            "ABORTED",
	codes.OutOfRange:         "OUT_OF_RANGE",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.DataLoss:           "DATA_LOSS",
	codes.Unauthenticated:    "UNAUTHENTICATED",
}
