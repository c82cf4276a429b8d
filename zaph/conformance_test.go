package zaph_test

import (
	"context"
	"io"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
	"github.com/taskscope/taskscope/zaph"
)

// conformant is zap as adaptertest sees it.
type conformant struct{ *zap.Logger }

func (l conformant) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.Info(msg, append(conformantFields(fields), zaph.Context(ctx))...)
}

func (l conformant) Disabled(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.Debug(msg, append(conformantFields(fields), zaph.Context(ctx))...)
}

func (l conformant) With(fields ...adaptertest.Field) adaptertest.Logger {
	return conformant{l.Logger.With(conformantFields(fields)...)}
}

func (l conformant) Group(name string) adaptertest.Logger {
	return conformant{l.Logger.With(zap.Namespace(name))}
}

func conformantFields(fields []adaptertest.Field) (zf []zap.Field) {
	for _, f := range fields {
		group, ok := f.Value.(adaptertest.Group)
		object := zapcore.ObjectMarshalerFunc(func(enc zapcore.ObjectEncoder) error {
			for _, member := range conformantFields(group) {
				member.AddTo(enc)
			}
			return nil
		})
		switch {
		case !ok:
			zf = append(zf, zap.Any(f.Key, f.Value))
		case f.Key == "":
			zf = append(zf, zap.Inline(object))
		default:
			zf = append(zf, zap.Object(f.Key, object))
		}
	}
	return zf
}

// conformantClock tells the same time to all lines.
type conformantClock struct{}

func (conformantClock) Now() time.Time                         { return time.Unix(1700000000, 0).UTC() }
func (conformantClock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

func conformanceOf(enc zapcore.Encoder, wrap func(zapcore.Core) zapcore.Core) adaptertest.Adapter {
	core := func(w io.Writer) zapcore.Core {
		return wrap(zapcore.NewCore(enc.Clone(), zapcore.AddSync(w), zapcore.InfoLevel))
	}
	return adaptertest.Adapter{
		New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
			return conformant{zap.New(core(w), zap.WithClock(conformantClock{}), zaph.WrapCore(opts))}
		},
		Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
			return adaptertest.AttachLast(conformant{zap.New(core(w), zap.WithClock(conformantClock{}))}, fields)
		},
		Own: []string{"ts", "level", "msg"},
	}
}

func conformantTee(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, zapcore.NewNopCore()) }

func conformantPlain(c zapcore.Core) zapcore.Core { return c }

var (
	conformantJSON     = conformanceOf(conformantEncoder(), conformantPlain)
	conformantTeeJSON  = conformanceOf(conformantEncoder(), conformantTee)
	conformantFiltered = conformanceOf(conformantEncoder(), filtered)
	conformantForeign  = func() adaptertest.Adapter {
		// Its own keys aren't known, so they are none that a scope has.
		cfg := zapcore.EncoderConfig{MessageKey: "the text", EncodeTime: zapcore.EpochTimeEncoder, EncodeDuration: zapcore.SecondsDurationEncoder}
		a := conformanceOf(zapcore.NewJSONEncoder(cfg), func(c zapcore.Core) zapcore.Core { return foreign{c} })
		a.Own = nil
		return a
	}()
	conformantConsole = conformanceOf(zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()), conformantPlain)
)

func TestConformance(t *testing.T) { adaptertest.Run(t, conformantJSON) }

func TestConformanceInsideAFilter(t *testing.T) { adaptertest.Run(t, conformantFiltered) }

func TestConformanceInsideAnotherPackagesCore(t *testing.T) { adaptertest.Run(t, conformantForeign) }

func TestConformanceBehindTee(t *testing.T) { adaptertest.Run(t, conformantTeeJSON) }

func TestSameBytesJSON(t *testing.T) { adaptertest.RunGenerated(t, conformantJSON, 5000) }

func TestSameBytesBehindTee(t *testing.T) { adaptertest.RunGenerated(t, conformantTeeJSON, 2000) }

func TestSameBytesConsole(t *testing.T) { adaptertest.RunGenerated(t, conformantConsole, 5000) }
