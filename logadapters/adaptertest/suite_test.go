package adaptertest_test

import (
	"testing"

	"github.com/taskscope/taskscope/logadapters/adaptertest"
)

// The adapter of the example is a correct one.
func TestTheExamplesAdapterPasses(t *testing.T) {
	adaptertest.Run(t, slogAdapter)
	adaptertest.RunGenerated(t, slogAdapter, 2000)
}
