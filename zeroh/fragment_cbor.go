//go:build binary_log

package zeroh

import (
	"io"
	"slices"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
)

// A fragment is what a line gets. Lines are CBOR in this build, which has no way to
// splice several encoded fields in, so they are encoded for each line.
type fragment logadapters.Fields

// encode encodes the fields once for nothing: a value that panics is to be found here.
func encode(fields logadapters.Fields) fragment {
	l := zerolog.New(io.Discard)
	addAll(l.Log(), fields)
	return fragment(fields)
}

// extend returns f with more fields behind.
func extend(f fragment, added logadapters.Fields) fragment {
	f.Attrs = slices.Concat(f.Attrs, added.Attrs)
	return f
}

func (f *fragment) addTo(e *zerolog.Event) { addAll(e, logadapters.Fields(*f)) }

func (f *fragment) addToLogger(base zerolog.Logger) zerolog.Logger {
	return base.With().EmbedObject(f).Logger()
}

// MarshalZerologObject adds the fields to e.
func (f *fragment) MarshalZerologObject(e *zerolog.Event) { addAll(e, logadapters.Fields(*f)) }
