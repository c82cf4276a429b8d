//go:build !binary_log

package zeroh

import (
	"bytes"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
)

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

// encode returns fields, at least one, encoded by zerolog, or the zero fragment while all
// logging is disabled.
func encode(fields *logadapters.Fields) (f fragment) {
	e := encoders.Get().(*encoder)
	e.line = e.line[:0]
	defer func() {
		if cap(e.line) <= 64<<10 {
			encoders.Put(e)
		}
	}()
	event := e.logger.Log()
	if event == nil {
		return f
	}
	addAll(event, fields, false)
	event.Send()
	f.key = fields.Attrs[0].Key
	if fields.Group != "" {
		f.key = fields.Group
	}
	f.json = slices.Clone(bytes.TrimSuffix(bytes.TrimPrefix(e.line, []byte("{")), []byte("}\n")))
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
