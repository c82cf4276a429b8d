package zaph_test

import (
	"runtime"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// A watched encoder is one whose clones, of which each core that zap derives has one, are
// watched.
type watched struct {
	zapcore.Encoder
	clones *testkit.Probe[watched]
}

func (e *watched) Clone() zapcore.Encoder {
	return e.clones.Watch(&watched{e.Encoder.Clone(), e.clones})
}

func newWatched() (zapcore.Core, *testkit.Probe[watched]) {
	clones := new(testkit.Probe[watched])
	enc := &watched{zapcore.NewJSONEncoder(encoderConfig()), clones}
	return zapcore.NewCore(enc, nowhere{}, zap.InfoLevel), clones
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
	if clones.Len() < scopes {
		t.Fatalf("%d cores were derived: the test watches the wrong thing", clones.Len())
	}
	if n := clones.Left(0); n > 0 {
		t.Errorf("%d of %d derived cores are alive after their scopes", n, clones.Len())
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
	if n := clones.Len(); n != 1 {
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
	if n := clones.Left(400); n > 400 {
		t.Errorf("%d of %d derived cores are alive", n, clones.Len())
	}
	runtime.KeepAlive(s)
}
