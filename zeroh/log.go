package zeroh

import (
	"context"
	"log/slog"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"

	"github.com/taskscope/taskscope/logadapters"
)

// LogAttrs returns l as a function with the signature of log/slog's Logger.LogAttrs: for
// the last line of httpscope and jobscope, and for code that works with either logger. The
// line is stamped if l has the hook of [New]; a program that uses [For] gives it a copy of the base
// with that hook. A level between two of zerolog's is the lower one; below debug it is debug, and above
// error it is error. A nil l means log.Logger at the time of the line.
func LogAttrs(l *zerolog.Logger) func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	return func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
		l := l
		if l == nil {
			l = &log.Logger
		}
		// From debug to error slog's levels are four apart, and zerolog's are one.
		by := min(max(level, slog.LevelDebug), slog.LevelError) >> 2
		if e := l.WithLevel(zerolog.InfoLevel + zerolog.Level(by)).Ctx(ctx); e.Enabled() {
			fields := logadapters.FieldsOf(attrs...)
			addAll(e, &fields, false)
			e.Msg(msg)
		}
	}
}
