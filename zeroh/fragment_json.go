//go:build !binary_log

package zeroh

import (
	"bytes"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
)

// A fragment is a piece of a JSON object, encoded by zerolog: the first key, and all
// that follows its colon, up to the object's closing brace. RawJSON writes a key and
// then any bytes, which makes it one call for all fields.
type fragment struct {
	key  string
	rest []byte
}

func encode(fields logadapters.Fields) fragment {
	if len(fields.Attrs) == 0 {
		return fragment{}
	}
	var line bytes.Buffer
	l := zerolog.New(&line)
	e := l.WithLevel(zerolog.NoLevel)
	addAll(e, fields)
	e.Send()
	encoded := bytes.TrimSuffix(bytes.TrimSpace(line.Bytes()), []byte("}"))
	f := fragment{key: fields.Attrs[0].Key}
	if fields.Group != "" {
		f.key = fields.Group
	}
	// Behind {"key": — the key as it was escaped.
	i := len(`{"`)
	for ; i < len(encoded) && encoded[i] != '"'; i++ {
		if encoded[i] == '\\' {
			i++
		}
	}
	f.rest = encoded[min(i+len(`":`), len(encoded)):]
	return f
}

func (f fragment) addTo(e *zerolog.Event) {
	if f.rest != nil {
		e.RawJSON(f.key, f.rest)
	}
}

func (f fragment) addToLogger(base zerolog.Logger) zerolog.Logger {
	return base.With().RawJSON(f.key, f.rest).Logger()
}
