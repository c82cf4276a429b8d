//go:build !binary_log

package zeroh_test

import (
	"testing"

	"github.com/taskscope/taskscope/logadapters/adaptertest"
)

func FuzzSameBytes(f *testing.F) {
	for _, seed := range adaptertest.Seeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, adapter := range adapters {
			adaptertest.SameBytes(t, adapter, adaptertest.FromBytes(data))
		}
	})
}
