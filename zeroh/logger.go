package zeroh

import (
	"log/slog"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A Logger gives loggers that have the fields of the bound scope in their context, at the cost
// of a hand-made child. [For] makes one; the zero Logger can't be used. It may be used by any number
// of goroutines.
type Logger struct {
	base  *zerolog.Logger
	cache *cache[*zerolog.Logger] // nil iff base stays as it is
}

// For returns a Logger for base. nil opts are the defaults. The scope's fields come behind those of
// base and in front of the event's own. zerolog shows neither's keys, so a key that the scope has,
// too, is written twice, whatever opts.Duplicates says. Contexts play no part. A base that has a
// hook of [New] stays as it is.
func For(base zerolog.Logger, opts *logadapters.Options) *Logger {
	if first, _ := firstOf(hooksOfLogger(&base)); first != 0 {
		return &Logger{base: &base}
	}
	return &Logger{&base, &cache[*zerolog.Logger]{options: opts, base: &base, attach: attachToLogger}}
}

// attachToLogger returns a child of l with fields.
func attachToLogger(l *zerolog.Logger, fields logadapters.Fields) *zerolog.Logger {
	c := l.With()
	for i := range fields.Attrs {
		a := &fields.Attrs[i]
		switch kind := a.Value.Kind(); {
		case kind == slog.KindString && fields.Group == "":
			c = c.Str(a.Key, a.Value.String())
		case kind == slog.KindInt64 && fields.Group == "":
			c = c.Int64(a.Key, a.Value.Int64())
		default:
			return childOf(l.With().EmbedObject(&object{fields}))
		}
	}
	return childOf(c)
}

func childOf(c zerolog.Context) *zerolog.Logger {
	l := c.Logger()
	return &l
}

// An object adds fields to an event.
type object struct{ fields logadapters.Fields }

func (o *object) MarshalZerologObject(e *zerolog.Event) { addAll(e, &o.fields, false) }

// L returns a logger with the fields of the bound scope: a copy of the base if there are none.
// The logger keeps the fields of this moment, in another goroutine and after the end of the task
// too: LogValuers are asked now, and a policy that is declared later doesn't reach it. So call L
// anew in each function. Don't call UpdateContext on the logger, which shares memory with others
// of the same base: use With.
func (l *Logger) L() *zerolog.Logger {
	copied := *l.current()
	return &copied
}

// current returns what L copies. It must not be changed.
func (l *Logger) current() *zerolog.Logger {
	if l.cache != nil {
		if d := l.cache.lookup(scope.Current()); d != nil {
			return d.Value
		}
	}
	return l.base
}

// at returns a logger for a line of this level. A line that isn't written needs no fields.
func (l *Logger) at(level zerolog.Level) *zerolog.Logger {
	if level < l.base.GetLevel() || level < zerolog.GlobalLevel() {
		return l.base
	}
	return l.current()
}

// With is the method of [zerolog.Logger], called on L. So are those that follow.
func (l *Logger) With() zerolog.Context { return l.current().With() }

func (l *Logger) Trace() *zerolog.Event { return l.at(zerolog.TraceLevel).Trace() }
func (l *Logger) Debug() *zerolog.Event { return l.at(zerolog.DebugLevel).Debug() }
func (l *Logger) Info() *zerolog.Event  { return l.at(zerolog.InfoLevel).Info() }
func (l *Logger) Warn() *zerolog.Event  { return l.at(zerolog.WarnLevel).Warn() }
func (l *Logger) Error() *zerolog.Event { return l.at(zerolog.ErrorLevel).Error() }
func (l *Logger) Fatal() *zerolog.Event { return l.at(zerolog.FatalLevel).Fatal() }
func (l *Logger) Panic() *zerolog.Event { return l.at(zerolog.PanicLevel).Panic() }
func (l *Logger) Log() *zerolog.Event   { return l.at(zerolog.NoLevel).Log() }

func (l *Logger) WithLevel(level zerolog.Level) *zerolog.Event { return l.at(level).WithLevel(level) }

func (l *Logger) Err(err error) *zerolog.Event {
	if err == nil {
		return l.Info()
	}
	return l.Error().Err(err)
}
