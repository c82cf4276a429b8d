package entry

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A Line is the last line of a task, with its own attributes.
type Line struct {
	Log   func(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr)
	Level slog.Level
	Msg   string
	Attrs []slog.Attr
	Err   error // what the task has ended with: fields that it got by scope.Error are on the line too
}

// Write writes l within s, with the totals of the task. If limit is 0, it does so now. Otherwise
// the task must be live, and l is written when it is over, or after limit: then it says how many
// calls of Run, Go and Wrap are still going on.
func (l Line) Write(ctx context.Context, s scope.Scope, limit time.Duration) {
	if limit == 0 {
		s.Run(func() { l.write(ctx, 0) })
		return
	}
	in := s.Internal()
	write := s.Wrap(func() { l.write(ctx, in.Running()-1) }) // less this one
	var written atomic.Bool
	last := func() {
		if !written.Swap(true) {
			write()
			write = nil // the task may go on, and should keep nothing of this in memory
		}
	}
	timer := time.AfterFunc(limit, last)
	in.AtEnd(func() { timer.Stop(); last() })
}

// WriteInner writes l within s, now, as a line that isn't the task's last: l is that of an entry
// inside another one, which writes the last line.
func (l Line) WriteInner(ctx context.Context, s scope.Scope) {
	s.Run(func() { l.log(ctx, l.Attrs) })
}

func (l Line) write(ctx context.Context, running int) {
	if running > 0 {
		l.Attrs = append(l.Attrs, slog.Int("scope_running", running))
	}
	l.log(ctx, scope.Current().Internal().LastTotals(l.Attrs))
}

// log calls l.Log with attrs, within what is bound and the fields of l.Err.
func (l Line) log(ctx context.Context, attrs []slog.Attr) {
	if l.Err == nil || !logadapters.HaveErrors() {
		l.Log(ctx, l.Level, l.Msg, attrs...)
		return
	}
	withError(scope.Current(), attrs, l.Err).Run(func() { l.Log(ctx, l.Level, l.Msg, attrs...) })
}

// withError returns s with those fields of err's scope whose keys aren't among attrs.
func withError(s scope.Scope, attrs []slog.Attr, err error) scope.Scope {
	own := func(key string) bool {
		return slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == key })
	}
	return logadapters.WithErrors(s, own, logadapters.AppendErrorScopes(nil, err)...)
}

// AwaitLimit returns the limit for Line.Write that follows from an entry's options.
func AwaitLimit(await bool, limit time.Duration) time.Duration {
	if !await {
		return 0
	}
	return cmp.Or(max(limit, 0), 30*time.Second)
}
