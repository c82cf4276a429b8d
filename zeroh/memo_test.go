package zeroh_test

import (
	"io"
	"log/slog"
	"runtime"
	"testing"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// A derivation is a value that only what was made of a scope refers to.
type derivation struct{ Key string }

// watching returns options whose Filter puts a derivation in place of each value.
func watching() (*logadapters.Options, *testkit.Probe[derivation]) {
	watched := new(testkit.Probe[derivation])
	return &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
		return slog.Any(a.Key, watched.Watch(&derivation{a.Key})), true
	}}, watched
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
	if watched.Len() != scopes {
		t.Errorf("%d scopes were encoded %d times", scopes, watched.Len())
	}
	if n := watched.Left(0); n > 0 {
		t.Errorf("of %d of %d scopes something is left", n, watched.Len())
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
	if n := watched.Left(100); n > 100 {
		t.Errorf("a scope keeps what %d of %d hooks made of it", n, watched.Len())
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
	if watched.Len() != scopes {
		t.Errorf("%d scopes were encoded %d times", scopes, watched.Len())
	}
	if n := watched.Left(0); n > 0 {
		t.Errorf("of %d of %d scopes something is left", n, watched.Len())
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
	var watched testkit.Probe[sink]
	s := scope.New("k", 1)
	s.Run(func() {
		for range 1000 {
			w := watched.Watch(new(sink))
			zeroh.For(zerolog.New(w), nil).Info().Msg("m")
			if w.lines != 1 {
				t.Fatal("the line went elsewhere")
			}
		}
	})
	if n := watched.Left(100); n > 100 {
		t.Errorf("a scope keeps %d of %d bases", n, watched.Len())
	}
	runtime.KeepAlive(s)
}
