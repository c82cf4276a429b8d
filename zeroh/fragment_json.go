//go:build !binary_log

package zeroh

import (
	"bytes"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
)

// An encoder is a logger that keeps the members of the last object that it has written.
type encoder struct {
	logger  zerolog.Logger
	members []byte
}

func (e *encoder) Write(line []byte) (int, error) {
	e.members = slices.Clone(bytes.TrimSuffix(bytes.TrimPrefix(line, []byte("{")), []byte("}\n")))
	return len(line), nil
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.logger = zerolog.New(e)
	return e
}}

// encode returns fields, at least one, encoded by zerolog, as the members of an object. It returns
// nil while all logging is disabled.
func encode(fields *logadapters.Fields) (members []byte) {
	e := encoders.Get().(*encoder)
	event := e.logger.Log()
	if event == nil {
		encoders.Put(e)
		return nil
	}
	addAll(event, fields, false)
	event.Send()
	members, e.members = e.members, nil
	encoders.Put(e) // unless a value's method has panicked
	return members
}
