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

// A variant is a logger that was made of the plain one by With or WithGroup. All goroutines
// share them.
type variant int

const (
	plain    variant = iota
	child            // has a field of its own
	repeater         // has a field whose key is in many scopes
	nested           // has a field whose buffer has changed since; in a group, or of zeroh.For
	variants
)

const repeatedKey = "k2"

// wrappers are for tests. They stand between a logger and its adapter; nil means none.
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

// A line is one that the program writes. Which one it is its own fields "at" and "n" say.
type line struct {
	kind    kind
	variant variant
	at      int  // the sink's slot
	n       int  // of the goroutine's lines
	repeat  bool // the line itself has repeatedKey
}

// write writes a line. c is nil iff the line is given no context.
func (l *loggers) write(line line, c context.Context) {
	switch line.kind {
	case slogKind:
		attrs := []slog.Attr{slog.Int("at", line.at), slog.Int("n", line.n)}
		if line.repeat {
			attrs = append(attrs, slog.String(repeatedKey, "event's"))
		}
		if c == nil {
			c = context.Background()
		}
		l.slog[line.variant].LogAttrs(c, slog.LevelInfo, "m", attrs...)
	case zapKind:
		fields := []zap.Field{zap.Int("at", line.at), zap.Int("n", line.n)}
		if line.repeat {
			fields = append(fields, zap.String(repeatedKey, "event's"))
		}
		if c != nil {
			fields = append(fields, zaph.Context(c))
		}
		l.zap[line.variant].Info("m", fields...)
	default:
		logger := &l.zero[line.variant]
		if line.variant == nested {
			logger = l.each.L()
		}
		e := logger.Info().Int("at", line.at).Int("n", line.n)
		if line.repeat {
			e = e.Str(repeatedKey, "event's")
		}
		if c != nil {
			e = e.Ctx(c)
		}
		e.Msg("m")
	}
}

// appendTo appends what write must write, from the level on. The scope's fields are attached
// last: behind what With has attached, outside a group, in front of the line's own fields. But
// a zerolog.Hook sees the event when those are written, so there they are behind them. Shared
// fields aren't in it: they stand at place.
func (l line) appendTo(text []byte, s showing) (_ []byte, place int) {
	if l.kind == zeroKind {
		text = l.appendAttached(append(text, `"level":"info",`...))
		if l.variant == nested {
			text, place = s.appendOwn(text)
		}
		text = append(l.appendOwn(text), ',')
		if l.variant != nested {
			text, place = s.appendOwn(text)
		}
		return append(text, "\"message\":\"m\"}\n"...), place
	}
	if l.kind == slogKind {
		text = append(text, `"level":"INFO","msg":"m",`...)
	} else {
		text = append(text, `"level":"info","msg":"m",`...)
	}
	if l.variant != nested {
		text = l.appendAttached(text)
	}
	text, place = s.appendOwn(text)
	if l.variant == nested {
		text = l.appendAttached(append(text, `"group":{`...))
	}
	text = l.appendOwn(text)
	if l.variant == nested {
		text = append(text, '}')
	}
	text = append(text, '}')
	if l.kind == slogKind {
		text = append(text, '\n')
	}
	return text, place
}

// appendOwn appends the line's own fields.
func (l line) appendOwn(text []byte) []byte {
	text = strconv.AppendInt(append(text, `"at":`...), int64(l.at), 10)
	text = strconv.AppendInt(append(text, `,"n":`...), int64(l.n), 10)
	if l.repeat {
		text = append(text, `,"`+repeatedKey+`":"event's"`...)
	}
	return text
}

// appendAttached appends what the logger's With has attached.
func (l line) appendAttached(text []byte) []byte {
	switch l.variant {
	case child:
		return append(text, `"own":7,`...)
	case repeater:
		return append(text, `"`+repeatedKey+`":"mine",`...)
	case nested:
		return append(text, `"buffer":"first",`...)
	}
	return text
}

// repeated returns the key of a field that the line or its logger has, so that the scope's
// field isn't stamped. zerolog's hook doesn't see what the event has.
func (l line) repeated() string {
	if l.kind != zeroKind && (l.variant == repeater || l.repeat && l.variant != nested) {
		return repeatedKey
	}
	return ""
}

// A sink is what all loggers write to. Each goroutine has a slot of it, and a line says in its
// own field "at" which one it is for.
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
