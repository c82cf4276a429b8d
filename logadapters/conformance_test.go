package logadapters_test

import (
	"context"
	"io"
	"testing"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
)

// An exampleLogger is the example's logger, or its adapter, as adaptertest sees it.
type exampleLogger struct {
	log  func(ctx context.Context, msg string, fields ...Field)
	with func(fields ...Field) exampleLogger
}

func bareLogger(l *Logger) exampleLogger {
	return exampleLogger{
		func(_ context.Context, msg string, fields ...Field) { l.Log(msg, fields...) },
		func(fields ...Field) exampleLogger { return bareLogger(l.With(fields...)) },
	}
}

func stampingLogger(l *StampingLogger) exampleLogger {
	return exampleLogger{l.Log, func(fields ...Field) exampleLogger { return stampingLogger(l.With(fields...)) }}
}

func (l exampleLogger) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, msg, exampleFields(fields)...)
}

func (l exampleLogger) Disabled(context.Context, string, ...adaptertest.Field) {
	// It has one level.
}

func (l exampleLogger) With(fields ...adaptertest.Field) adaptertest.Logger {
	return l.with(exampleFields(fields)...)
}

func (l exampleLogger) Group(string) adaptertest.Logger { panic("it has no groups") }

// exampleFields inlines groups without a key, which the logger doesn't know.
func exampleFields(fields []adaptertest.Field) (converted Group) {
	for _, f := range fields {
		group, ok := f.Value.(adaptertest.Group)
		switch {
		case ok && f.Key == "":
			converted = append(converted, exampleFields(group)...)
		case ok:
			converted = append(converted, Field{f.Key, append(Group{}, exampleFields(group)...)})
		default:
			converted = append(converted, Field(f))
		}
	}
	return converted
}

var exampleAdapter = adaptertest.Adapter{
	New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
		return stampingLogger(NewStampingLogger(&Logger{w: w}, opts))
	},
	Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
		return adaptertest.AttachLast(bareLogger(&Logger{w: w}), fields)
	},
	Own:   []string{"msg"},
	Lacks: adaptertest.Groups,
}

func TestTheExampleIsACorrectAdapter(t *testing.T) {
	adaptertest.Run(t, exampleAdapter)
	adaptertest.RunGenerated(t, exampleAdapter, 5000)
}
