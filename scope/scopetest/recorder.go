package scopetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A Recorder keeps the lines that it is given by any of the three loggers. [Record] makes one for
// the default loggers. For a logger that the code is given, or one with options of its own,
// the Recorder is a slog.Handler that you wrap with slogh, and [Recorder.Core] and
// [Recorder.Writer] are what zap and zerolog write to:
//
//	var r scopetest.Recorder
//	slog.New(slogh.New(&r, opts))
//	zap.New(r.Core(), zaph.WrapCore(opts))
//	zerolog.New(r.Writer()).Hook(zeroh.New(opts))
//
// The zero Recorder is ready to use, by several goroutines at once; it must not be copied.
type Recorder struct {
	mu    sync.Mutex
	lines []Line
}

// Lines returns the lines so far, in the order in which they were written.
func (r *Recorder) Lines() []Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Reset forgets the lines so far.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = nil
}

func (r *Recorder) add(l Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, l)
}

// ---- log/slog ----

// Enabled reports true: every level is recorded.
func (r *Recorder) Enabled(context.Context, slog.Level) bool { return true }

// Handle records a line.
func (r *Recorder) Handle(ctx context.Context, rec slog.Record) error {
	return (&child{r, nil, ""}).Handle(ctx, rec)
}

// WithAttrs returns a handler that records, with r's lines, lines that have attrs.
func (r *Recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return (&child{r, nil, ""}).WithAttrs(attrs)
}

// WithGroup returns a handler that records, with r's lines, lines within a group.
func (r *Recorder) WithGroup(name string) slog.Handler {
	return (&child{r, nil, ""}).WithGroup(name)
}

// A child records for the Recorder that it comes from.
type child struct {
	*Recorder
	with   map[string]any
	prefix string // the open groups, each with a dot behind it
}

func (c *child) Handle(_ context.Context, rec slog.Record) error {
	fields := c.fields()
	rec.Attrs(func(a slog.Attr) bool {
		put(fields, c.prefix, a)
		return true
	})
	c.add(Line{rec.Level, rec.Message, fields})
	return nil
}

func (c *child) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := c.fields()
	for _, a := range attrs {
		put(fields, c.prefix, a)
	}
	return &child{c.Recorder, fields, c.prefix}
}

func (c *child) WithGroup(name string) slog.Handler {
	if name == "" {
		return c
	}
	return &child{c.Recorder, c.with, c.prefix + name + "."}
}

// fields returns a copy of c.with to add to.
func (c *child) fields() map[string]any {
	fields := map[string]any{}
	maps.Copy(fields, c.with)
	return fields
}

func put(fields map[string]any, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Key != "" || v.Any() != nil {
			fields[prefix+a.Key] = v.Any()
		}
		return
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, member := range v.Group() {
		put(fields, prefix, member)
	}
}

// ---- zap ----

// Core returns a core that records lines of every level. It is zap's own, with the keys of
// zap.NewProductionEncoderConfig, so that a line is stamped as in a program.
func (r *Recorder) Core() zapcore.Core {
	config := zap.NewProductionEncoderConfig()
	config.EncodeLevel = func(l zapcore.Level, to zapcore.PrimitiveArrayEncoder) { to.AppendInt8(int8(l)) }
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	all := zap.LevelEnablerFunc(func(zapcore.Level) bool { return true })
	return zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.AddSync(zapLines{r}), all)
}

type zapLines struct{ *Recorder }

func (z zapLines) Write(p []byte) (int, error) {
	line := Line{Fields: map[string]any{}}
	var level json.Number
	// Up to the message these are the line's own: it has no time if that is zero.
	own := map[string]any{"level": &level, "ts": new(string), "msg": &line.Message}
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	_, err := d.Token() // {
	for err == nil && d.More() {
		var key json.Token
		if key, err = d.Token(); err != nil {
			break
		}
		if to, ok := own[key.(string)]; ok {
			err = d.Decode(to)
			if to == &line.Message {
				own = nil
			}
			continue
		}
		var value any
		err = d.Decode(&value)
		putJSON(line.Fields, key.(string), value)
	}
	if err != nil {
		return 0, err
	}
	n, _ := level.Int64()
	line.Level = 4 * slog.Level(n) // zap's levels are one apart, slog's four, and info is 0 in both
	z.add(line)
	return len(p), nil
}

// ---- zerolog ----

// Writer returns a writer for zerolog.New that records lines of every level. If zerolog writes to it
// as a plain io.Writer, which isn't told the level, the level is the line's zerolog.LevelFieldName.
func (r *Recorder) Writer() zerolog.LevelWriter { return zerologLines{r} }

type zerologLines struct{ *Recorder }

func (z zerologLines) Write(p []byte) (int, error) {
	return z.write(p, func(text string) zerolog.Level {
		level, _ := zerolog.ParseLevel(text) // NoLevel if text is none
		return level
	})
}

func (z zerologLines) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	return z.write(p, func(string) zerolog.Level { return level })
}

var errRead = errors.New("the line has been read")

// write lets a ConsoleWriter read the line: that knows JSON and, with the build tag
// binary_log, CBOR. levelOf is called with the level as the line has it.
func (z zerologLines) write(p []byte, levelOf func(text string) zerolog.Level) (int, error) {
	var fields map[string]any
	_, err := zerolog.ConsoleWriter{FormatPrepare: func(line map[string]any) error {
		fields = line
		return errRead
	}}.Write(p)
	if !errors.Is(err, errRead) {
		return 0, err
	}
	line := Line{Fields: map[string]any{}}
	text, _ := fields[zerolog.LevelFieldName].(string)
	if level := levelOf(text); level < zerolog.NoLevel {
		line.Level = 4 * (slog.Level(level) - slog.Level(zerolog.InfoLevel))
	}
	line.Message, _ = fields[zerolog.MessageFieldName].(string)
	for key, value := range fields {
		if key != zerolog.MessageFieldName && key != zerolog.LevelFieldName {
			putJSON(line.Fields, key, value)
		}
	}
	z.add(line)
	return len(p), nil
}

// putJSON is put for a value that was read with json.Decoder.UseNumber.
func putJSON(fields map[string]any, key string, value any) {
	object, ok := value.(map[string]any)
	if !ok {
		fields[key] = fromJSON(value)
		return
	}
	for member, value := range object {
		putJSON(fields, key+"."+member, value)
	}
}
