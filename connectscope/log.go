package connectscope

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"connectrpc.com/connect"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope"
)

// log writes the last line of the call, which is answered with this error.
func (c *call) log(answered error) {
	attrs := make([]slog.Attr, 0, 10)
	level := slog.LevelError
	if c.get {
		answered = failure(answered)
	}
	if c.returned || c.panicked != nil && c.recovers() { // there is an answer
		code := c.rpc.codeOf(answered)
		attrs = c.names.appendCode(attrs, c.rpc, code)
		level = c.opts.CodeToLevel(code)
	}
	attrs = c.record.AppendServer(attrs, c.rpc.streams())
	var err error
	switch {
	case c.panicked == http.ErrAbortHandler:
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error.type", "abort"))
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

// failure returns err, or nil if connect.NewNotModifiedError has made it: the answer to a GET that
// tells the client that it has what it needs. If a method of err panics, err is a failure.
func failure(err error) (failed error) {
	defer func() {
		if recover() != nil {
			failed = err
		}
	}()
	if connect.IsNotModifiedError(err) {
		return nil
	}
	return err
}

// statusOf returns the code and the message that Connect makes from a handler's error, or 0 and ""
// if there is none. If a method of err panics, the code is Unknown.
func statusOf(err error) (code connect.Code, message string) {
	if err == nil {
		return 0, ""
	}
	defer func() {
		if recover() != nil {
			code, message = connect.CodeUnknown, values.Text(err)
		}
	}()
	if coded := (*connect.Error)(nil); errors.As(err, &coded) && coded != nil {
		return coded.Code(), coded.Message()
	}
	code, message = connect.CodeUnknown, err.Error()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		code = connect.CodeCanceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		code = connect.CodeDeadlineExceeded
	}
	return code, message
}

func codeOf(err error) connect.Code {
	code, _ := statusOf(err)
	return code
}

// codeOf returns the code of c's answer. The Connect protocol has no code 0: clients take an error with
// it for one whose code they don't know. In gRPC it means success, and Connect sends it.
func (c Call) codeOf(err error) connect.Code {
	code := codeOf(err)
	if code == 0 && err != nil && c.Peer.Protocol == connect.ProtocolConnect {
		return connect.CodeUnknown
	}
	return code
}

func messageOf(err error) string {
	_, message := statusOf(err)
	return message
}

// appendCode appends the code, 0 for none, as the protocol of the call has it.
func (n *names) appendCode(attrs []slog.Attr, c Call, code connect.Code) []slog.Attr {
	if c.Peer.Protocol == connect.ProtocolConnect {
		if code == 0 { // the protocol has no code for that
			return attrs
		}
		for _, name := range [...]string{n.errorCode, n.status} {
			if name != "" {
				attrs = append(attrs, slog.String(name, code.String()))
			}
		}
		return attrs
	}
	if n.statusCode != "" {
		attrs = append(attrs, slog.Uint64(n.statusCode, uint64(code)))
	}
	if n.status != "" {
		attrs = append(attrs, slog.String(n.status, grpcName(code)))
	}
	return attrs
}

// grpcName returns the name of a code in gRPC's own documentation, doc/statuscodes.md.
func grpcName(code connect.Code) string {
	switch {
	case code == 0:
		return "OK"
	case code == connect.CodeCanceled:
		return "CANCELLED"
	case code <= connect.CodeUnauthenticated:
		return strings.ToUpper(code.String())
	}
	return "CODE(" + strconv.FormatUint(uint64(code), 10) + ")"
}
