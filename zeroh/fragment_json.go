//go:build !binary_log

package zeroh

import (
	"bytes"
	"slices"
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

// with returns f with more fields behind.
func (f fragment) with(added logadapters.Fields) fragment {
	more := encode(added)
	if f.json == nil || more.json == nil {
		return fragment{}
	}
	f.json = slices.Concat(f.json, []byte(","), more.json)
	return f
}

func (f fragment) addTo(e *zerolog.Event) {
	if f.json != nil {
		e.RawJSON(f.key, f.json[f.rest:])
	}
}

func (f fragment) addToLogger(base zerolog.Logger) zerolog.Logger {
	if f.json == nil {
		return base
	}
	return base.With().RawJSON(f.key, f.json[f.rest:]).Logger()
}
