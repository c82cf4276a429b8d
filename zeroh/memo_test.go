package zeroh_test

import (
	"io"
	"log/slog"
	"runtime"
	"testing"
	"weak"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// A made is a value that only what was made of a scope refers to.
type made struct{ Key string }

// watching returns options whose Filter puts a made in place of each value.
func watching() (*logadapters.Options, *[]weak.Pointer[made]) {
	watched := new([]weak.Pointer[made])
	return &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
		m := &made{a.Key}
		*watched = append(*watched, weak.Make(m))
		return slog.Any(a.Key, m), true
	}}, watched
}

// alive collects garbage until at most want of the watched objects are left, and
// returns how many are. zerolog keeps the last events in a pool, which takes two rounds
// to empty.
func alive[T any](watched []weak.Pointer[T], want int) (n int) {
	for range 10 {
		runtime.GC()
		n = 0
		for _, w := range watched {
			if w.Value() != nil {
				n++
			}
		}
		if n <= want {
			break
		}
	}
	return n
}

func TestWhatTheHookMadeDiesWithItsScope(t *testing.T) {
	opts, watched := watching()
	l := zerolog.New(io.Discard).Hook(zeroh.New(opts))
	const scopes = 200
	for i := range scopes {
		scope.New("i", i).Run(func() {
			l.Info().Msg("m")
			l.Info().Msg("remembered")
		})
	}
	if len(*watched) != scopes {
		t.Errorf("%d scopes were encoded %d times", scopes, len(*watched))
	}
	if n := alive(*watched, 0); n > 0 {
		t.Errorf("of %d of %d scopes something is left", n, len(*watched))
	}
	runtime.KeepAlive(l)
}

func TestALongLivedScopeDoesNotCollectWhatHooksMade(t *testing.T) {
	opts, watched := watching()
	s := scope.New("k", 1)
	s.Run(func() {
		for range 1000 {
			l := zerolog.New(io.Discard).Hook(zeroh.New(opts))
			l.Info().Msg("m")
		}
	})
	if n := alive(*watched, 100); n > 100 {
		t.Errorf("a scope keeps what %d of %d hooks made of it", n, len(*watched))
	}
	runtime.KeepAlive(s)
}

func TestWhatForMadeDiesWithItsScope(t *testing.T) {
	opts, watched := watching()
	f := zeroh.For(zerolog.New(io.Discard), opts)
	const scopes = 200
	for i := range scopes {
		scope.New("i", i).Run(func() {
			f.Info().Msg("m")
			f.Info().Msg("remembered")
		})
	}
	if len(*watched) != scopes {
		t.Errorf("%d scopes were encoded %d times", scopes, len(*watched))
	}
	if n := alive(*watched, 0); n > 0 {
		t.Errorf("of %d of %d scopes something is left", n, len(*watched))
	}
	runtime.KeepAlive(f)
}

// A sink is a writer that is watched: a remembered logger refers to its base's. It has a
// pointer so that it gets memory of its own: small objects without share a block, and Go
// 1.25 keeps weak pointers to all of it.
type sink struct {
	lines int
	_     *int
}

func (s *sink) Write(p []byte) (int, error) { s.lines++; return len(p), nil }

func TestALongLivedScopeDoesNotCollectLoggersAndTheirBases(t *testing.T) {
	var watched []weak.Pointer[sink]
	s := scope.New("k", 1)
	s.Run(func() {
		for range 1000 {
			w := new(sink)
			zeroh.For(zerolog.New(w), nil).Info().Msg("m")
			if w.lines != 1 {
				t.Fatal("the line went elsewhere")
			}
			watched = append(watched, weak.Make(w))
		}
	})
	if n := alive(watched, 100); n > 100 {
		t.Errorf("a scope keeps %d of %d bases", n, len(watched))
	}
	runtime.KeepAlive(s)
}
