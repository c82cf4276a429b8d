package adaptertest_test

import (
	"testing"

	"github.com/taskscope/taskscope/logadapters/adaptertest"
)

// The adapter of the example is a correct one.
func TestJournal(t *testing.T) {
	adaptertest.Run(t, journal)
	adaptertest.RunGenerated(t, journal, 2000)
}
