package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// A kind is a logger's.
type kind int

const (
	slogKind kind = iota
	zapKind
	zeroKind
	kinds
)

func (k kind) String() string { return [...]string{"slog", "zap", "zerolog"}[k] }

// A variant is a logger made of the first by With or WithGroup. All goroutines share
// them.
type variant int

const (
	plain    variant = iota
	child            // has a field of its own
	repeater         // has a field whose key is in many scopes
	nested           // has a field whose buffer has changed since; in a group, or of zeroh.For
	variants
)

const repeatedKey = "k2"

// wrappers stand between a logger and its adapter. They are for tests: nil means none.
type wrappers struct {
	slog func(slog.Handler) slog.Handler
	zap  func(zapcore.Core) zapcore.Core
	zero func(zerolog.Hook) zerolog.Hook
}

// loggers are the loggers under test and what they write to.
type loggers struct {
	sink
	slog [variants]*slog.Logger
	zap  [variants]*zap.Logger
	zero [variants]zerolog.Logger
	each *zeroh.Logger // in place of the nested one
}

func newLoggers(w wrappers) *loggers {
	l := &loggers{}
	buffer := []byte("first")
	defer copy(buffer, "later")

	var h slog.Handler = slogh.New(slog.NewJSONHandler(&l.sink, nil), nil)
	if w.slog != nil {
		h = w.slog(h)
	}
	s := slog.New(h)
	l.slog = [variants]*slog.Logger{s, s.With("own", 7), s.With(repeatedKey, "mine"), s.WithGroup("group").With("buffer", stringer(buffer))}

	core := zaph.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		LevelKey: "level", MessageKey: "msg", EncodeLevel: zapcore.LowercaseLevelEncoder, SkipLineEnding: true,
	}), zapcore.AddSync(&l.sink), zap.InfoLevel), nil)
	if w.zap != nil {
		core = w.zap(core)
	}
	z := zap.New(core)
	l.zap = [variants]*zap.Logger{z, z.With(zap.Int("own", 7)), z.With(zap.String(repeatedKey, "mine")), z.With(zap.Namespace("group"), zap.ByteString("buffer", buffer))}

	hook := zeroh.New(nil)
	if w.zero != nil {
		hook = w.zero(hook)
	}
	r := zerolog.New(&l.sink)
	hooked := r.Hook(hook)
	l.zero = [variants]zerolog.Logger{hooked, hooked.With().Int("own", 7).Logger(), hooked.With().Str(repeatedKey, "mine").Logger(), r}
	l.each = zeroh.For(r.With().Bytes("buffer", buffer).Logger(), nil)
	return l
}

// A stringer is a buffer that is logged as text.
type stringer []byte

func (s stringer) LogValue() slog.Value { return slog.StringValue(string(s)) }

// write writes one line. c is nil iff the line is given no context. repeat says that the
// line itself has repeatedKey.
func (l *loggers) write(k kind, v variant, c context.Context, at, n int, repeat bool) {
	switch k {
	case slogKind:
		attrs := []slog.Attr{slog.Int("at", at), slog.Int("n", n)}
		if repeat {
			attrs = append(attrs, slog.String(repeatedKey, "event's"))
		}
		if c == nil {
			c = context.Background()
		}
		l.slog[v].LogAttrs(c, slog.LevelInfo, "m", attrs...)
	case zapKind:
		fields := []zap.Field{zap.Int("at", at), zap.Int("n", n)}
		if repeat {
			fields = append(fields, zap.String(repeatedKey, "event's"))
		}
		if c != nil {
			fields = append(fields, zaph.Context(c))
		}
		l.zap[v].Info("m", fields...)
	default:
		logger := &l.zero[v]
		if v == nested {
			logger = l.each.L()
		}
		e := logger.Info().Int("at", at).Int("n", n)
		if repeat {
			e = e.Str(repeatedKey, "event's")
		}
		if c != nil {
			e = e.Ctx(c)
		}
		e.Msg("m")
	}
}

// appendLine appends the line that write must write, from its level on. The scope's fields
// are attached last: behind what With has attached, outside a group, in front of the line's
// own. A zerolog.Hook sees the event only when those are written: there they are behind.
// Shared fields aren't in it: they stand at place.
func appendLine(line []byte, k kind, v variant, s showing, at, n int, repeat bool) (_ []byte, place int) {
	own := func() {
		line = strconv.AppendInt(append(line, `"at":`...), int64(at), 10)
		line = strconv.AppendInt(append(line, `,"n":`...), int64(n), 10)
		if repeat {
			line = append(line, `,"`+repeatedKey+`":"event's"`...)
		}
	}
	of := func(v variant) {
		switch v {
		case child:
			line = append(line, `"own":7,`...)
		case repeater:
			line = append(line, `"`+repeatedKey+`":"mine",`...)
		case nested:
			line = append(line, `"buffer":"first",`...)
		}
	}
	if k == zeroKind {
		line = append(line, `"level":"info",`...)
		of(v)
		if v == nested {
			line, place = s.appendOwn(line)
		}
		own()
		line = append(line, ',')
		if v != nested {
			line, place = s.appendOwn(line)
		}
		return append(line, "\"message\":\"m\"}\n"...), place
	}
	if k == slogKind {
		line = append(line, `"level":"INFO","msg":"m",`...)
	} else {
		line = append(line, `"level":"info","msg":"m",`...)
	}
	if v != nested {
		of(v)
	}
	line, place = s.appendOwn(line)
	if v == nested {
		line = append(line, `"group":{`...)
		of(v)
	}
	own()
	if v == nested {
		line = append(line, '}')
	}
	line = append(line, '}')
	if k == slogKind {
		line = append(line, '\n')
	}
	return line, place
}

// repeated returns the key of a field that the line has itself, so that it isn't stamped with it.
// zerolog's hook doesn't see what the event has.
func repeated(k kind, v variant, repeat bool) string {
	if k != zeroKind && (v == repeater || repeat && v != nested) {
		return repeatedKey
	}
	return ""
}

// A sink is what all loggers write to. A line says itself, in its own field "at", which
// slot it is for: that of the goroutine that has written it.
type sink struct {
	slots [1 << 14]slot
	mu    sync.Mutex
	next  int
	free  []int
	stray []byte // a line that is for no slot
}

var _ io.Writer = (*sink)(nil)

type slot struct {
	mu    sync.Mutex
	line  []byte
	lines int
}

func (s *sink) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		at := s.free[n-1]
		s.free = s.free[:n-1]
		return at
	}
	s.next++
	return s.next - 1
}

func (s *sink) giveBack(at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, at)
}

func (s *sink) Write(line []byte) (int, error) {
	at := 0
	i := bytes.Index(line, []byte(`"at":`))
	level := bytes.Index(line, []byte(`"level"`))
	if i < 0 || level < 0 {
		s.mu.Lock()
		s.stray = append([]byte{}, line...)
		s.mu.Unlock()
		return len(line), nil
	}
	for i += len(`"at":`); i < len(line) && '0' <= line[i] && line[i] <= '9'; i++ {
		at = at*10 + int(line[i]-'0')
	}
	slot := &s.slots[at%len(s.slots)]
	slot.mu.Lock()
	slot.line = append(slot.line[:0], line[level:]...)
	slot.lines++
	slot.mu.Unlock()
	return len(line), nil
}

// taken returns the line that was written for this slot, and how many.
func (s *sink) taken(at int) (line []byte, lines int) {
	slot := &s.slots[at]
	slot.mu.Lock()
	defer slot.mu.Unlock()
	lines, slot.lines = slot.lines, 0
	return slot.line, lines
}
