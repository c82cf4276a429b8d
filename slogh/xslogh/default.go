package xslogh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	xslog "golang.org/x/exp/slog"
)

// isDefault reports whether h is the handler that x/exp's Default has at start-up. Its type
// has no name outside that package.
func isDefault(h xslog.Handler) bool { return fmt.Sprintf("%T", h) == "*slog.defaultHandler" }

// isBridge reports whether w is what SetDefault makes package log write to.
func isBridge(w io.Writer) bool {
	t := reflect.TypeOf(w)
	return t != nil && t.Kind() == reflect.Pointer && t.Elem().Name() == "handlerWriter" && t.Elem().PkgPath() == xslogPath
}

var xslogPath = reflect.TypeFor[xslog.Logger]().PkgPath()

// A defaultHandler does what x/exp's default handler does, also after SetDefault has made
// package log write to slog. There, a line that goes to package log would wait for ever for
// the lock of package log, which it has itself. It is slogh's defaultHandler, for x/exp.
type defaultHandler struct {
	xslog.Handler // x/exp's
	out           *log.Logger
	flags         int
	prefix        string
	bridged       *atomic.Bool // iff SetDefault is known to have been called
	attached      string       // what was attached, as text
	groups        []string     // that are open
}

func newDefaultHandler(h xslog.Handler) *defaultHandler {
	d := &defaultHandler{Handler: h, flags: log.Flags(), prefix: log.Prefix(), bridged: new(atomic.Bool)}
	flags, prefix := d.flags&^(log.Lshortfile|log.Llongfile), d.prefix
	if flags&log.Lmsgprefix != 0 {
		prefix = "" // it stands behind the place of the call, which Handle writes
	}
	d.out = log.New(log.Writer(), prefix, flags)
	return d
}

// isBridged reports whether package log writes to slog.
func (d *defaultHandler) isBridged() bool {
	if d.bridged.Load() {
		return true
	}
	// In this order: log.Writer takes the lock that a line of log.Print has.
	if isDefault(xslog.Default().Handler()) && !calledByBridge() && !isBridge(log.Writer()) {
		return false
	}
	d.bridged.Store(true)
	return true
}

// calledByBridge reports whether this is a line of package log. It is found out so late only
// if SetDefault has been called and taken back without a line in between.
func calledByBridge() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if f.Function == xslogPath+".(*handlerWriter).Write" {
			return true
		}
		if !more {
			return false
		}
	}
}

func (d *defaultHandler) Handle(ctx context.Context, r xslog.Record) error {
	if !d.isBridged() {
		return d.Handler.Handle(ctx, r)
	}
	var attrs []xslog.Attr
	r.Attrs(func(a xslog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	// As x/exp's: level, message and attributes. Package log adds the time.
	line := r.Level.String() + " " + r.Message + d.attached + d.text(attrs)
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

func (d *defaultHandler) WithAttrs(attrs []xslog.Attr) xslog.Handler {
	c := *d
	c.attached += d.text(attrs)
	c.Handler = d.Handler.WithAttrs(attrs)
	return &c
}

func (d *defaultHandler) WithGroup(name string) xslog.Handler {
	c := *d
	c.groups = append(slices.Clip(d.groups), name)
	c.Handler = d.Handler.WithGroup(name)
	return &c
}

// text returns attrs, in the open groups, as x/exp's default handler writes them: as its
// TextHandler does, each behind a space.
func (d *defaultHandler) text(attrs []xslog.Attr) string {
	if len(attrs) == 0 {
		return ""
	}
	var out bytes.Buffer
	var h xslog.Handler = xslog.NewTextHandler(&out, nil)
	for _, name := range d.groups {
		h = h.WithGroup(name)
	}
	r := xslog.Record{}
	r.AddAttrs(attrs...)
	_ = h.Handle(context.Background(), r) // a Buffer's Write doesn't fail
	return strings.TrimSuffix(strings.TrimPrefix(out.String(), `level=INFO msg=""`), "\n")
}
