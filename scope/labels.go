package scope

import (
	"log/slog"
	"strings"

	"github.com/taskscope/taskscope/internal/memo"
	"github.com/taskscope/taskscope/internal/values"
	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// The fields of a scope whose keys are Profiled are its profiler labels. Which ones these are, and
// what they show, is decided when the scope is bound.

// profiling returns the policies if some key is Profiled, else nil.
func profiling() *policySet {
	if p := policies.Load(); p != nil && p.profiled {
		return p
	}
	return nil
}

// bind binds n to the running goroutine. If NewKey returns meanwhile, in another goroutine, the
// labels are made again.
func (n *node) bind() {
	for {
		p := profiling()
		carrier.Bind(n.header(), n.labels(p))
		if profiling() == p {
			return
		}
	}
}

// swap binds n and returns what was bound before, for restore.
func (n *node) swap() carrier.Saved {
	p := profiling()
	saved := carrier.Swap(n.header(), n.labels(p))
	if profiling() != p {
		n.bind()
	}
	return saved
}

// restore puts back what was bound before. Its labels may be older than the policies: those that
// may not be shown any more don't come back.
func restore(saved *carrier.Saved) {
	for {
		p := profiling()
		if p == nil {
			saved.Restore(nil)
		} else {
			saved.Restore(labelNow)
		}
		if profiling() == p {
			return
		}
	}
}

// labelNow returns a label that was made earlier as the policies have it now, and whether it may
// still be shown.
func labelNow(l carrier.Label) (carrier.Label, bool) {
	policy := Policy(l.Key)
	if policy&Redacted != 0 {
		l.Value = RedactedText
	}
	return l, policy&Hidden == 0
}

// labels returns the fields of n that profiles show, under p.
func (n *node) labels(p *policySet) []carrier.Label {
	if p == nil {
		return nil
	}
	return n.profiled(p)
}

func (n *node) profiled(p *policySet) (labels []carrier.Label) {
	var attrs []slog.Attr
	quiet, inside := true, n.encodingLevel() > 0
	look := func(f field) {
		if p.byName[f.Key]&Profiled == 0 {
			return
		}
		if a, ok := f.shown(); ok {
			if plain := values.IsPlain(a.Value); plain || !inside {
				attrs, quiet = append(attrs, a), quiet && plain
			}
		}
	}
	n.each(nil, look)
	if n != nil {
		n.eachShared(n.task.shared(), look)
	}
	show := func() {
		for _, a := range attrs {
			labels = append(labels, carrier.Label{Key: a.Key, Value: labelText(a.Value)})
		}
	}
	switch {
	case quiet:
		show()
	case !memo.RunsAway():
		n.Encode(show) // a method of a value may call Set, which asks for labels again
	}
	return labels
}

// labelText returns v as text that a profile may hold. If a method of v panics, the text says so,
// and the caller of Set goes on.
func labelText(v slog.Value) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = values.Panic(p).String()
		}
	}()
	text, _ = values.String(values.Resolve(v))
	return strings.ToValidUTF8(text, "\uFFFD")
}
