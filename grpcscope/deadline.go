package grpcscope

import (
	"context"
	"sync/atomic"
	"time"
)

// A deadlineWatch notes when a context with a deadline was canceled: a client whose deadline has
// passed cancels its call, and it may do so before the server's own clock says the same.
type deadlineWatch struct {
	unwatch func() bool
	at      atomic.Pointer[time.Time]
}

func (w *deadlineWatch) start(ctx context.Context) {
	if _, ok := ctx.Deadline(); ok {
		w.unwatch = context.AfterFunc(ctx, func() {
			now := time.Now()
			w.at.Store(&now)
		})
	}
}

// stop returns when the context was canceled, or what the time is, if that can't be told.
func (w *deadlineWatch) stop() time.Time {
	if w.unwatch != nil {
		w.unwatch()
	}
	if at := w.at.Load(); at != nil {
		return *at
	}
	return time.Now()
}
