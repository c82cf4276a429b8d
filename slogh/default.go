package slogh

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// isDefault reports whether h is the handler that slog.Default has at start-up. Its type has
// no name outside log/slog.
func isDefault(h slog.Handler) bool { return fmt.Sprintf("%T", h) == "*slog.defaultHandler" }

// A defaultHandler does what log/slog's default handler does, also after slog.SetDefault has
// made package log write to slog, where a line that goes to package log would come back, for
// ever, or wait for the lock of package log, which it has itself.
type defaultHandler struct {
	slog.Handler // log/slog's
	out          *log.Logger
	flags        int
	prefix       string
	bridged      *atomic.Bool // iff SetDefault is known to have been called
	attached     string       // what was attached, as text
	groups       []string     // that are open
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

// calledByBridge reports whether this is a line of package log. It is found out so late only
// if SetDefault has been called and taken back without a line in between.
func calledByBridge() bool {
	return bytes.Contains(debug.Stack(), []byte("log/slog.(*handlerWriter).Write("))
}

func newDefaultHandler(h slog.Handler) *defaultHandler {
	d := &defaultHandler{Handler: h, flags: log.Flags(), prefix: log.Prefix(), bridged: new(atomic.Bool)}
	flags, prefix := d.flags&^(log.Lshortfile|log.Llongfile), d.prefix
	if flags&log.Lmsgprefix != 0 {
		prefix = "" // it stands behind the place of the call, which Handle writes
	}
	d.out = log.New(log.Writer(), prefix, flags)
	return d
}

func (d *defaultHandler) Handle(ctx context.Context, r slog.Record) error {
	if !d.isBridged() {
		return d.Handler.Handle(ctx, r)
	}
	// As log/slog's: level, message and attributes. Package log adds the time.
	line := r.Level.String() + " " + r.Message + d.attached + d.text(attrsOf(r))
	if d.flags&log.Lmsgprefix != 0 {
		line = d.prefix + line
	}
	return d.out.Output(0, d.place(r.PC)+line)
}

// place returns where the line was logged, as package log writes it.
func (d *defaultHandler) place(pc uintptr) string {
	if d.flags&(log.Lshortfile|log.Llongfile) == 0 {
		return ""
	}
	file, line := "???", 0
	if pc != 0 {
		if f, _ := runtime.CallersFrames([]uintptr{pc}).Next(); f.File != "" {
			file, line = f.File, f.Line
		}
	}
	if d.flags&log.Lshortfile != 0 {
		file = filepath.Base(file)
	}
	return file + ":" + strconv.Itoa(line) + ": "
}

func (d *defaultHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *d
	c.attached += d.text(attrs)
	c.Handler = d.Handler.WithAttrs(attrs)
	return &c
}

func (d *defaultHandler) WithGroup(name string) slog.Handler {
	c := *d
	c.groups = append(slices.Clip(d.groups), name)
	c.Handler = d.Handler.WithGroup(name)
	return &c
}

// text returns attrs, in the open groups, as log/slog's default handler writes them: as its
// TextHandler does, each behind a space.
func (d *defaultHandler) text(attrs []slog.Attr) string {
	if len(attrs) == 0 {
		return ""
	}
	var out bytes.Buffer
	var h slog.Handler = slog.NewTextHandler(&out, nil)
	for _, name := range d.groups {
		h = h.WithGroup(name)
	}
	r := slog.Record{}
	r.AddAttrs(attrs...)
	_ = h.Handle(context.Background(), r) // a Buffer's Write doesn't fail
	return strings.TrimSuffix(strings.TrimPrefix(out.String(), `level=INFO msg=""`), "\n")
}
