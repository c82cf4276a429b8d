//go:build !binary_log

package zeroh

import (
	"bytes"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
)

// A fragment is a piece of a JSON object, encoded by zerolog: what stands between its
// braces. RawJSON writes a key and then any bytes, which makes it one call for all fields.
type fragment struct {
	key  string // the first key
	json []byte
	rest int // json[rest:] is what follows the first key and its colon
}

// An encoder is a logger that writes to memory.
type encoder struct {
	line   []byte
	logger zerolog.Logger
}

func (e *encoder) Write(line []byte) (int, error) {
	e.line = append(e.line[:0], line...)
	return len(line), nil
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.logger = zerolog.New(e)
	return e
}}

func encode(fields logadapters.Fields) fragment {
	if len(fields.Attrs) == 0 {
		return fragment{}
	}
	if f, ok := encodePlain(fields); ok {
		return f
	}
	e := encoders.Get().(*encoder)
	e.line = e.line[:0]
	defer func() {
		if cap(e.line) <= 64<<10 {
			encoders.Put(e)
		}
	}()
	event := e.logger.Log()
	addAll(event, fields)
	event.Send()
	if len(e.line) == 0 {
		return fragment{} // all logging is disabled
	}
	f := fragment{
		key:  fields.Attrs[0].Key,
		json: slices.Clone(bytes.TrimSuffix(bytes.TrimPrefix(e.line, []byte("{")), []byte("}\n"))),
	}
	if fields.Group != "" {
		f.key = fields.Group
	}
	// Behind "key": with the key as it was escaped.
	for i := 1; i < len(f.json); i++ {
		if f.json[i] == '\\' {
			i++
		} else if f.json[i] == '"' {
			f.rest = min(i+len(`":`), len(f.json))
			break
		}
	}
	return f
}

// encodePlain is encode for fields that need no escaping, which most are: no reader could
// tell what zerolog does with them from what it does here. It reports false for others.
func encodePlain(fields logadapters.Fields) (f fragment, ok bool) {
	if fields.Group != "" {
		return f, false
	}
	size := 0
	for i := range fields.Attrs {
		a := &fields.Attrs[i]
		size += len(a.Key) + len(`"":,`)
		switch a.Value.Kind() {
		case slog.KindString:
			if v := a.Value.String(); plain(v) {
				size += len(v) + len(`""`)
				break
			}
			return f, false
		case slog.KindInt64, slog.KindUint64, slog.KindBool:
			size += len("-9223372036854775808")
		default:
			return f, false
		}
		if !plain(a.Key) {
			return f, false
		}
	}
	json := make([]byte, 0, size)
	for i := range fields.Attrs {
		a := &fields.Attrs[i]
		if i > 0 {
			json = append(json, ',')
		}
		json = append(json, '"')
		json = append(json, a.Key...)
		json = append(json, '"', ':')
		switch a.Value.Kind() {
		case slog.KindString:
			json = append(json, '"')
			json = append(json, a.Value.String()...)
			json = append(json, '"')
		case slog.KindInt64:
			json = strconv.AppendInt(json, a.Value.Int64(), 10)
		case slog.KindUint64:
			json = strconv.AppendUint(json, a.Value.Uint64(), 10)
		case slog.KindBool:
			json = strconv.AppendBool(json, a.Value.Bool())
		}
	}
	key := fields.Attrs[0].Key
	return fragment{key: key, json: json, rest: len(key) + len(`"":`)}, true
}

// plain reports whether s is written as it is: printable ASCII without quote and backslash.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// extend returns f with more fields behind.
func extend(f fragment, added logadapters.Fields) fragment {
	more := encode(added)
	if f.json == nil || more.json == nil {
		return fragment{}
	}
	f.json = slices.Concat(f.json, []byte(","), more.json)
	return f
}

func (f *fragment) addTo(e *zerolog.Event) {
	if f.json != nil {
		e.RawJSON(f.key, f.json[f.rest:])
	}
}

func (f *fragment) addToLogger(base zerolog.Logger) zerolog.Logger {
	if f.json == nil {
		return base
	}
	return base.With().RawJSON(f.key, f.json[f.rest:]).Logger()
}
