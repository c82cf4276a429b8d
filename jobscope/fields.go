package jobscope

import (
	"context"
	"log/slog"
	"strings"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// nameKey is the field with the job's name. The semantic conventions have no names for jobs.
const nameKey = "job.name"

// setFields binds the fields of the job, and sets its untrusted baggage. ctx is the caller's.
func (j *job) setFields(ctx context.Context) {
	var room [8]slog.Attr
	attrs := append(room[:0], slog.Attr{}, slog.String(nameKey, j.name)) // the id is found last
	id := ""
	if headers := j.opts.Headers; headers != nil {
		var kept *untrusted
		if !j.opts.TrustBaggage {
			kept = &untrusted{Carrier: headers}
			headers = kept
		}
		for key, value := range propagation.Extract(headers).All() {
			switch key {
			case propagation.RequestIDKey:
				id = value.String()
			case nameKey: // of the job that has sent the message
			default:
				attrs = append(attrs, slog.Attr{Key: key, Value: value})
			}
		}
		if kept != nil {
			j.untrusted = kept.baggage
		}
	}
	if id == "" && j.opts.ID != nil {
		id = j.opts.ID()
	}
	if !entry.Usable(id) {
		id = entry.NewID(j.start)
	}
	attrs[0] = slog.String(propagation.RequestIDKey, id)
	if j.opts.Fields == nil {
		scope.SetAttrs(attrs...)
		return
	}
	scope.SetAttrs(entry.Join(attrs, j.opts.Fields(ctx), propagation.TraceIDKey, propagation.ParentSpanIDKey)...)
	entry.SettleID(propagation.RequestIDKey, id, true)
}

// untrusted hides the baggage of headers, and keeps it: what the job sends on must not have it.
type untrusted struct {
	propagation.Carrier
	baggage string
}

func (u *untrusted) Get(key string) string {
	if !strings.EqualFold(key, propagation.BaggageHeader) { // propagation looks in any case
		return u.Carrier.Get(key)
	}
	came := u.Carrier.Get(key)
	if several, ok := u.Carrier.(interface{ Values(key string) []string }); ok {
		came = strings.Join(several.Values(key), ",")
	}
	if came != "" {
		u.baggage += "," + came
	}
	return ""
}
