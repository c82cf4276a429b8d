//go:build !purego

package carrier

import (
	"context"
	"reflect"
	"runtime/pprof"
	"unsafe"
)

// setType is runtime/pprof.labelMap, whatever that is in the running Go version, and
// setPointer is the type of a pointer to one.
var setType, setPointer reflect.Type

// asAny returns set, which points at a setType, the way a context holds it.
func asAny(set unsafe.Pointer) any { return reflect.NewAt(setType, set).Interface() }

// A holder is a context with this label set and nothing else.
type holder struct {
	context.Context
	set any
}

func (h holder) Value(k any) any {
	if k == LabelKey {
		return h.set
	}
	return nil
}

func holding(slot unsafe.Pointer) context.Context {
	if slot == nil {
		return context.Background()
	}
	return holder{context.Background(), asAny(slot)}
}

func findByLabels(slot unsafe.Pointer) (h *Header) {
	if slot == nil {
		return nil
	}
	pprof.ForLabels(holding(slot), func(k, v string) bool {
		if isSelf(k) {
			h = exposedBy(v)
		}
		return h == nil
	})
	return h
}

func bindLabels(slot unsafe.Pointer, h *Header, labels []Label) {
	pprof.SetGoroutineLabels(joined(holding(slot), h, labels))
}

// joined returns a context whose label set is that of ctx without what is ours, plus
// labels and the element of h.
func joined(ctx context.Context, h *Header, labels []Label) context.Context {
	var pairs []string
	foreign := map[string]bool{}
	pprof.ForLabels(ctx, func(k, v string) bool {
		if !isOurs(label{k, v}) {
			pairs, foreign[k] = append(pairs, k, v), true
		}
		return true
	})
	for _, l := range labels {
		if !foreign[l.Key] {
			pairs = append(pairs, own(l.Key), l.Value)
		}
	}
	if h != nil {
		pairs = append(pairs, key(), expose(h))
	}
	return labelled(pairs)
}

func labelled(pairs []string) context.Context {
	if len(pairs) == 0 {
		return context.Background()
	}
	return pprof.WithLabels(context.Background(), pprof.Labels(pairs...))
}

// restoreChangedLabels is [Saved.restoreChanged].
func restoreChangedLabels(slot unsafe.Pointer, now func(Label) (Label, bool)) (changed bool) {
	var pairs []string
	pprof.ForLabels(holding(slot), func(k, v string) bool {
		if isOwn(k) {
			next, shown := now(Label{k, v})
			changed = changed || !shown || next.Value != v
			if !shown {
				return true
			}
			v = next.Value
		}
		pairs = append(pairs, k, v)
		return true
	})
	if changed {
		pprof.SetGoroutineLabels(labelled(pairs))
	}
	return changed
}

func answerLabels(own any, h *Header, labels []Label) any {
	var ctx context.Context = context.Background()
	if own != nil {
		ctx = holder{ctx, own}
	}
	return joined(ctx, h, labels).Value(LabelKey)
}
