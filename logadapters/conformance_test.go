package logadapters_test

import (
	"context"
	"io"
	"testing"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
)

// conformant is the example's adapter as adaptertest sees it.
type conformant struct{ *Stamped }

func (l conformant) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.Info(ctx, msg, conformantPairs(fields)...)
}

func (l conformant) Disabled(context.Context, string, ...adaptertest.Field) {
	// A Diary has one level.
}

func (l conformant) With(fields ...adaptertest.Field) adaptertest.Logger {
	return conformant{l.Stamped.With(conformantPairs(fields)...)}
}

func (l conformant) Group(string) adaptertest.Logger { panic("a Diary has no groups") }

// bare is a Diary as adaptertest sees it.
type bare struct{ Diary }

func (l bare) Log(_ context.Context, msg string, fields ...adaptertest.Field) {
	l.Info(msg, conformantPairs(fields)...)
}

func (l bare) Disabled(context.Context, string, ...adaptertest.Field) {}

func (l bare) With(fields ...adaptertest.Field) adaptertest.Logger {
	return bare{l.Diary.With(conformantPairs(fields)...)}
}

func (l bare) Group(string) adaptertest.Logger { panic("a Diary has no groups") }

func conformantPairs(fields []adaptertest.Field) (pairs []Pair) {
	for _, f := range fields {
		switch group, ok := f.Value.(adaptertest.Group); {
		case !ok:
			pairs = append(pairs, Pair{f.Key, f.Value})
		case f.Key == "":
			pairs = append(pairs, conformantPairs(group)...)
		default:
			pairs = append(pairs, Pair{f.Key, conformantPairs(group)})
		}
	}
	return pairs
}

func TestTheExampleIsACorrectAdapter(t *testing.T) {
	a := adaptertest.Adapter{
		New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
			return conformant{New(Diary{w: w}, opts)}
		},
		Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
			return adaptertest.AttachLast(bare{Diary{w: w}}, fields)
		},
		Own:   []string{"msg"},
		Lacks: adaptertest.Groups,
	}
	adaptertest.Run(t, a)
	adaptertest.RunGenerated(t, a, 2000)
}
