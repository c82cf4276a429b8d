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
	var room [256]byte
	json := room[:0]
	for i := range fields.Attrs {
		a := &fields.Attrs[i]
		if !plain(a.Key) {
			return f, false
		}
		if i > 0 {
			json = append(json, ',')
		}
		json = append(json, '"')
		json = append(json, a.Key...)
		json = append(json, '"', ':')
		switch a.Value.Kind() {
		case slog.KindString:
			v := a.Value.String()
			if !plain(v) {
				return f, false
			}
			json = append(json, '"')
			json = append(json, v...)
			json = append(json, '"')
		case slog.KindInt64:
			json = strconv.AppendInt(json, a.Value.Int64(), 10)
		case slog.KindUint64:
			json = strconv.AppendUint(json, a.Value.Uint64(), 10)
		case slog.KindBool:
			json = strconv.AppendBool(json, a.Value.Bool())
		default:
			return f, false
		}
	}
	f.key = fields.Attrs[0].Key
	f.json, f.rest = make([]byte, len(json)), len(f.key)+len(`"":`)
	copy(f.json, json)
	return f, true
}

// plain reports whether s is written as it is: printable ASCII without quote and backslash.
func plain(s string) bool {
	escapes := byte(0)
	for i := range len(s) {
		escapes |= escaped[s[i]]
	}
	return escapes == 0
}

// escaped has a 1 for each byte that may be written in another way.
var escaped = func() (table [256]byte) {
	for c := range table {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			table[c] = 1
		}
	}
	return table
}()

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
