package logadapters_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A Logger is the logger that the adapter is written for. It writes lines of JSON.
type Logger struct {
	w        io.Writer
	attached []byte // by With, encoded
}

// A Field is a key and a value. The value may be a Group.
type Field struct {
	Key   string
	Value any
}

// A Group is an object, or an item of one.
type Group []Field

// With returns a child of l with fields on each line.
func (l *Logger) With(fields ...Field) *Logger {
	return &Logger{l.w, appendFields(slices.Clip(l.attached), fields)}
}

// Log writes a line.
func (l *Logger) Log(msg string, fields ...Field) {
	line := appendFields([]byte("{"), Group{{"msg", msg}})
	line = appendFields(append(line, l.attached...), fields)
	line[len(line)-1] = '}' // was the last field's comma
	_, _ = l.w.Write(append(line, '\n'))
}

func appendFields(text []byte, fields []Field) []byte {
	for _, f := range fields {
		text = append(appendValue(text, f.Key), ':')
		if group, ok := f.Value.(Group); ok {
			text = append(appendFields(append(text, '{'), group), '}')
			if len(group) > 0 {
				text = slices.Delete(text, len(text)-2, len(text)-1) // the comma
			}
		} else {
			text = appendValue(text, f.Value)
		}
		text = append(text, ',')
	}
	return text
}

func appendValue(text []byte, v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		encoded, _ = json.Marshal(err.Error())
	}
	return append(text, encoded...)
}

// A StampingLogger is the adapter: a Logger whose lines are stamped.
type StampingLogger struct {
	cache logadapters.Cache[*Logger]
}

// NewStampingLogger returns an adapter for l. nil opts are the defaults.
func NewStampingLogger(l *Logger, opts *logadapters.Options) *StampingLogger {
	return newStampingLogger(l, opts, []string{"msg"})
}

// newStampingLogger also takes the keys that lines of l have already.
func newStampingLogger(l *Logger, opts *logadapters.Options, reserved []string) *StampingLogger {
	s := new(StampingLogger)
	s.cache.Options, s.cache.Base, s.cache.Reserved = opts, l, reserved
	s.cache.Attach = func(l *Logger, fields logadapters.Fields) *Logger { return l.With(convert(fields)...) }
	return s
}

// convert returns the scope's fields as those of a Logger.
func convert(fields logadapters.Fields) []Field {
	var converted Group
	for i, a := range fields.Attrs {
		if a.Value.Kind() == slog.KindGroup {
			converted = append(converted, Field{a.Key, convertGroup(a.Value.Group())})
		} else {
			converted = append(converted, Field{a.Key, fields.Any(i)})
		}
	}
	if fields.Group != "" {
		return []Field{{fields.Group, converted}}
	}
	return converted
}

func convertGroup(members []slog.Attr) Group {
	converted := Group{}
	for _, a := range members {
		if a.Value.Kind() == slog.KindGroup {
			converted = append(converted, Field{a.Key, convertGroup(a.Value.Group())})
		} else {
			converted = append(converted, Field{a.Key, a.Value.Any()})
		}
	}
	return converted
}

// With passes fields on at once: they are encoded now, and once.
func (s *StampingLogger) With(fields ...Field) *StampingLogger {
	reserved := slices.Clip(s.cache.Reserved)
	for _, f := range fields {
		reserved = append(reserved, f.Key)
	}
	return newStampingLogger(s.cache.Base.With(fields...), s.cache.Options, reserved)
}

// Log writes a line with the fields of the scope that speaks for it.
func (s *StampingLogger) Log(ctx context.Context, msg string, fields ...Field) {
	d := s.cache.Lookup(logadapters.Pick(ctx))
	if d == nil {
		s.cache.Base.Log(msg, fields...)
		return
	}
	repeated := func(f Field) bool { return d.Has(f.Key) }
	opts := s.cache.Options
	switch {
	case opts != nil && opts.Duplicates == logadapters.KeepBoth || !slices.ContainsFunc(fields, repeated):
		d.Value.Log(msg, fields...)
	case opts != nil && opts.Duplicates == logadapters.ScopeWins:
		d.Value.Log(msg, slices.DeleteFunc(slices.Clone(fields), repeated)...)
	default:
		d.Without(func(key string) bool {
			return slices.ContainsFunc(fields, func(f Field) bool { return f.Key == key })
		}).Log(msg, fields...)
	}
}

// A whole adapter for a small logger. The conformance suite in package adaptertest has no
// complaint about it.
func Example() {
	log := NewStampingLogger(&Logger{w: os.Stdout}, nil)
	cards := log.With(Field{"component", "cards"})

	scope.New("request_id", "r-17", "user", "ann").Run(func() {
		log.Log(context.Background(), "charging card", Field{"cents", 1299})
		cards.Log(context.Background(), "declined", Field{"user", "bob"})
	})
	log.Log(context.Background(), "idle")
	// Output:
	// {"msg":"charging card","request_id":"r-17","user":"ann","cents":1299}
	// {"msg":"declined","component":"cards","request_id":"r-17","user":"bob"}
	// {"msg":"idle"}
}
