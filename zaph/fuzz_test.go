package zaph_test

import (
	"testing"

	"github.com/taskscope/taskscope/logadapters/adaptertest"
)

func FuzzSameBytes(f *testing.F) {
	for _, seed := range adaptertest.Seeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		adaptertest.SameBytes(t, conformantJSON, adaptertest.FromBytes(data))
		adaptertest.SameBytes(t, conformantConsole, adaptertest.FromBytes(data))
		adaptertest.SameBytes(t, conformantFiltered, adaptertest.FromBytes(data))
		adaptertest.SameBytes(t, conformantForeign, adaptertest.FromBytes(data))
	})
}
