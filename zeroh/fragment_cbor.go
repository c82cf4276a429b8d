//go:build binary_log

package zeroh

import (
	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
)

// A fragment is what a line gets. Lines are CBOR in this build, which has no way to
// splice several encoded fields in, so they are encoded for each line.
type fragment logadapters.Fields

func encode(fields logadapters.Fields) fragment { return fragment(fields) }

func (f fragment) addTo(e *zerolog.Event) { addAll(e, logadapters.Fields(f)) }
