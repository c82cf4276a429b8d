package slogh

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
)

// isDefault reports whether h is the handler that slog.Default, or that of x/exp/slog, has at
// start-up. Its type has no name outside log/slog.
func isDefault(h slog.Handler) bool {
	if x, ok := h.(interface{ IsDefault() bool }); ok { // package xslogh's
		return x.IsDefault()
	}
	return fmt.Sprintf("%T", h) == "*slog.defaultHandler"
}

// A defaultHandler does what log/slog's default handler does, also after slog.SetDefault has made
// package log write to slog, where a line that goes to package log would come back, for ever, or
// wait for the lock of package log, which it has itself.
type defaultHandler struct {
	slog.Handler              // log/slog's
	text         slog.Handler // writes the same to where package log wrote
	flags        int          // of package log
	prefix       string       // of a message
	bridged      *atomic.Bool // iff SetDefault is known to have been called
}

func newDefaultHandler(h slog.Handler) *defaultHandler {
	d := &defaultHandler{Handler: h, flags: log.Flags(), bridged: new(atomic.Bool)}
	prefix := log.Prefix()
	if d.flags&log.Lmsgprefix != 0 {
		d.prefix, prefix = prefix, "" // it stands behind the place of the call, which Handle writes
	}
	out := log.New(log.Writer(), prefix, d.flags&^(log.Lshortfile|log.Llongfile))
	d.text = slog.NewTextHandler(unquoting{out}, nil)
	return d
}

// isBridged reports whether package log writes to slog.
func (d *defaultHandler) isBridged() bool {
	if d.bridged.Load() {
		return true
	}
	// In this order: log.Writer takes the lock that a line of log.Print has.
	if isDefault(slog.Default().Handler()) && !calledByBridge() && fmt.Sprintf("%T", log.Writer()) != "*slog.handlerWriter" {
		return false
	}
	d.bridged.Store(true)
	return true
}

// calledByBridge reports whether this is a line of package log. It is found out so late only if
// SetDefault has been called and taken back without a line in between.
func calledByBridge() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if isBridge := strings.HasSuffix(f.Function, "/slog.(*handlerWriter).Write"); isBridge || !more {
			return isBridge
		}
	}
}

func (d *defaultHandler) Handle(ctx context.Context, r slog.Record) error {
	if !d.isBridged() {
		return d.Handler.Handle(ctx, r)
	}
	// As log/slog's: level, message and attributes. Package log adds the time.
	message := d.place(r.PC) + d.prefix + r.Level.String() + " " + r.Message
	return d.text.Handle(ctx, withAttrs(slog.Record{Message: message}, attrsOf(r)...))
}

// place returns where the line was logged, as package log writes it.
func (d *defaultHandler) place(pc uintptr) string {
	if d.flags&(log.Lshortfile|log.Llongfile) == 0 {
		return ""
	}
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	if f.File == "" {
		f.File = "???"
	}
	if d.flags&log.Lshortfile != 0 {
		f.File = filepath.Base(f.File)
	}
	return fmt.Sprintf("%s:%d: ", f.File, f.Line)
}

func (d *defaultHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *d
	c.Handler, c.text = d.Handler.WithAttrs(attrs), d.text.WithAttrs(attrs)
	return &c
}

func (d *defaultHandler) WithGroup(name string) slog.Handler {
	c := *d
	c.Handler, c.text = d.Handler.WithGroup(name), d.text.WithGroup(name)
	return &c
}

// unquoting writes the lines of a TextHandler as those of log/slog's default handler: the
// attributes are the same, but the message has no key and no quotes.
type unquoting struct{ out *log.Logger }

func (u unquoting) Write(line []byte) (int, error) {
	text := strings.TrimPrefix(string(line), "level=INFO msg=")
	quoted, _ := strconv.QuotedPrefix(text) // it is quoted: there is a space in it
	message, _ := strconv.Unquote(quoted)
	return len(line), u.out.Output(0, message+strings.TrimSuffix(text[len(quoted):], "\n"))
}
