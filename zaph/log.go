package zaph

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
)

// LogAttrs returns l as a function with the signature of log/slog's Logger.LogAttrs: for
// the last line of httpscope and jobscope, and for code that works with either logger. The
// line is stamped from ctx as [Context] does it. A level between two of zap's is the lower one; below
// debug it is debug, and above error it is error. A nil l means zap.L() at the time of the line.
func LogAttrs(l *zap.Logger) func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	if l != nil {
		l = l.WithOptions(zap.AddCallerSkip(1))
	}
	return func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
		l := l
		if l == nil {
			l = zap.L().WithOptions(zap.AddCallerSkip(1))
		}
		// From debug to error slog's levels are four apart, and zap's are one.
		by := min(max(level, slog.LevelDebug), slog.LevelError) >> 2
		if ce := l.Check(zapcore.InfoLevel+zapcore.Level(by), msg); ce != nil {
			resolved := logadapters.FieldsOf(attrs...)
			fields := make([]zapcore.Field, 0, len(resolved.Attrs)+1)
			fields = append(appendFields(fields, &resolved), Context(ctx))
			for _, a := range attrs {
				if a.Value.Kind() == slog.KindLogValuer { // resolved it is no error any more
					if err, ok := a.Value.Any().(error); ok {
						fields = append(fields, zap.Field{Type: zapcore.SkipType, Interface: err})
					}
				}
			}
			ce.Write(fields...)
		}
	}
}
