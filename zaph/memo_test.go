package zaph_test

import (
	"runtime"
	"testing"
	"weak"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// A watched encoder is one whose clones, of which each core that zap derives has one, are
// watched.
type watched struct {
	zapcore.Encoder
	clones *[]weak.Pointer[watched]
}

func (e *watched) Clone() zapcore.Encoder {
	clone := &watched{e.Encoder.Clone(), e.clones}
	*e.clones = append(*e.clones, weak.Make(clone))
	return clone
}

func newWatched() (zapcore.Core, *[]weak.Pointer[watched]) {
	clones := new([]weak.Pointer[watched])
	enc := &watched{zapcore.NewJSONEncoder(encoderConfig()), clones}
	return zapcore.NewCore(enc, nowhere{}, zap.InfoLevel), clones
}

// alive collects garbage until at most want of the watched cores are left, and returns
// how many are. zap and this package keep the last entries in pools, which takes two
// rounds to empty.
func alive(clones []weak.Pointer[watched], want int) (n int) {
	for range 10 {
		runtime.GC()
		n = 0
		for _, w := range clones {
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

func TestADerivedCoreDiesWithItsScope(t *testing.T) {
	c, clones := newWatched()
	l := zap.New(zaph.New(c, nil))
	const scopes = 200
	for i := range scopes {
		scope.New("i", i, "k", 1).Run(func() {
			l.Info("m")
			l.Info("m", zap.Int("k", 2))
			l.Check(zap.InfoLevel, "never written")
		})
	}
	if len(*clones) < scopes {
		t.Fatalf("%d cores were derived: the test watches the wrong thing", len(*clones))
	}
	if n := alive(*clones, 0); n > 0 {
		t.Errorf("%d of %d derived cores are alive after their scopes", n, len(*clones))
	}
	runtime.KeepAlive(l)
}

func TestADerivedCoreIsRemembered(t *testing.T) {
	c, clones := newWatched()
	l := zap.New(zaph.New(c, nil))
	scope.New("k", 1).Run(func() {
		for range 100 {
			l.Info("m")
		}
	})
	if n := len(*clones); n != 1 {
		t.Errorf("%d cores were derived for one scope", n)
	}
}

func TestALongLivedScopeDoesNotCollectCores(t *testing.T) {
	c, clones := newWatched()
	s := scope.New("k", 1)
	s.Run(func() {
		l := zap.New(zaph.New(c, nil))
		for i := range 1000 {
			l.With(zap.Int("i", i)).Info("m")
		}
	})
	// A scope may remember any number, as long as it is small. Each
	// logger here makes two cores.
	if n := alive(*clones, 400); n > 400 {
		t.Errorf("%d of %d derived cores are alive", n, len(*clones))
	}
	runtime.KeepAlive(s)
}
