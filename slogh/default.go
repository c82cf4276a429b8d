package slogh

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"path/filepath"
	"reflect"
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
// package log write to slog. A line that goes to package log would then come back to slog, for ever,
// or wait for package log's lock, which it holds itself.
type defaultHandler struct {
	slog.Handler              // log/slog's
	text         slog.Handler // writes the same lines to where package log wrote
	*output
	bridged *atomic.Bool // iff SetDefault is known to have been called
}

// An output is where, and how, package log writes.
type output struct {
	*log.Logger
	flags  int
	prefix string // of a message
}

// lastOutput is that of package log when New last saw it write to something other than slog.
var lastOutput atomic.Pointer[output]

func newDefaultHandler(h slog.Handler) *defaultHandler {
	d := &defaultHandler{Handler: h, output: lastOutput.Load(), bridged: new(atomic.Bool)}
	if d.output == nil || !isBridge(log.Writer()) {
		d.output = &output{flags: log.Flags()}
		prefix := log.Prefix()
		if d.flags&log.Lmsgprefix != 0 {
			d.prefix, prefix = prefix, "" // it comes behind the file and line, which Handle writes
		}
		d.Logger = log.New(log.Writer(), prefix, d.flags&^(log.Lshortfile|log.Llongfile))
		lastOutput.Store(d.output)
	}
	attached, groups := attachedTo(h)
	d.text = slog.NewTextHandler(unquoting{d.Logger, attached}, nil)
	for _, name := range groups {
		d.text = d.text.WithGroup(name)
	}
	return d
}

// isBridge reports whether w is what slog.SetDefault makes package log write to.
func isBridge(w io.Writer) bool { return fmt.Sprintf("%T", w) == "*slog.handlerWriter" }

// attachedTo returns what With has attached to h, a default handler, as text, and its open groups.
// It looks at unexported fields (log/slog/handler.go, the same in x/exp/slog); if they aren't there,
// nothing is known.
func attachedTo(h slog.Handler) (attached string, groups []string) {
	v := reflect.ValueOf(h)
	if x := inside(v, "x"); x.IsValid() { // package xslogh's
		v = x
	}
	ch := inside(v, "ch")
	if text := inside(ch, "preformattedAttrs"); text.IsValid() && text.Type() == reflect.TypeFor[[]byte]() && text.Len() > 0 {
		attached = " " + string(text.Bytes())
	}
	if names := inside(ch, "groups"); names.IsValid() && names.Type() == reflect.TypeFor[[]string]() {
		for i := range names.Len() {
			groups = append(groups, names.Index(i).String())
		}
	}
	return attached, groups
}

// inside returns a field of the struct that v is or points at, without an interface around it, or
// the zero Value if there is none.
func inside(v reflect.Value, field string) reflect.Value {
	if v = reflect.Indirect(v); v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	if v = v.FieldByName(field); v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// isBridged reports whether package log writes to slog.
func (d *defaultHandler) isBridged() bool {
	if d.bridged.Load() {
		return true
	}
	// In this order: log.Writer takes a lock that a line of log.Print holds.
	if isDefault(slog.Default().Handler()) && !calledByBridge() && !isBridge(log.Writer()) {
		return false
	}
	d.bridged.Store(true)
	return true
}

// calledByBridge reports whether this is a line of package log. It comes to that only if SetDefault
// was called and undone with no line in between: otherwise bridged has been set already.
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
	text := slog.Record{Message: d.place(r.PC) + d.prefix + r.Level.String() + " " + r.Message}
	text.AddAttrs(appendAttrs(nil, &r)...)
	return d.text.Handle(ctx, text)
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
type unquoting struct {
	out      *log.Logger
	attached string // in front of a line's attributes
}

func (u unquoting) Write(line []byte) (int, error) {
	text := strings.TrimPrefix(string(line), "level=INFO msg=")
	quoted, _ := strconv.QuotedPrefix(text) // it is quoted, since it has a space
	message, _ := strconv.Unquote(quoted)
	return len(line), u.out.Output(0, message+u.attached+strings.TrimSuffix(text[len(quoted):], "\n"))
}
