//go:build !binary_log

package zeroh

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
)

// An encoder is a logger that writes to memory.
type encoder struct {
	bytes.Buffer
	logger zerolog.Logger
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.logger = zerolog.New(e)
	return e
}}

// encode returns fields, at least one, encoded by zerolog, as a fragment and as the members of
// an object. It returns nothing while all logging is disabled.
func encode(fields *logadapters.Fields) (f fragment, members []byte) {
	e := encoders.Get().(*encoder)
	defer func() {
		if e.Reset(); e.Cap() <= 64<<10 {
			encoders.Put(e)
		}
	}()
	event := e.logger.Log()
	if event == nil {
		return f, nil
	}
	addAll(event, fields, false)
	event.Send()
	members = slices.Clone(bytes.TrimSuffix(bytes.TrimPrefix(e.Bytes(), []byte("{")), []byte("}\n")))
	// Behind "key": with the key as it was escaped.
	end := 1
	for end < len(members) && members[end] != '"' {
		if members[end] == '\\' {
			end++
		}
		end++
	}
	f.key = cmp.Or(fields.Group, fields.Attrs[0].Key)
	f.json = members[min(end+len(`":`), len(members)):]
	return f, members
}
