package testkit

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// A Buffer keeps what is written to it. Goroutines may share it. The zero Buffer is empty
// and ready to use; it must not be copied.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// Sync does nothing. A Buffer with it is a zapcore.WriteSyncer.
func (b *Buffer) Sync() error { return nil }

// String returns what was written since the last Take.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Take returns what was written since the last Take, and empties the buffer.
func (b *Buffer) Take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

// Reset empties the buffer.
func (b *Buffer) Reset() { b.Take() }

// Lines returns the lines since the last Take, without their ends. A last line that has no
// end counts.
func (b *Buffer) Lines() []string {
	return slices.Collect(func(yield func(string) bool) {
		for line := range strings.Lines(b.String()) {
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	})
}
