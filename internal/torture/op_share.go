package main

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/taskscope/taskscope/scope"
)

// Operations on shared fields. Their model is in model_shared.go.

// share changes the keys that all goroutines of the task share, in turn. Where nothing is bound,
// that begins a task.
func (g *goroutine) share() {
	t := g.startedTask()
	all := t.all()
	all.turn.Lock()
	defer all.turn.Unlock()
	if g.rng.IntN(4) == 0 {
		key := g.key()
		g.did("Unshare", key, 0)
		all.change(less(all.now(), key), func() { scope.Unshare(key, "none") })
		return
	}
	shareable := func() (field, any, slog.Attr) { return g.shareable(t) }
	if g.rng.IntN(2) == 0 {
		f, value, _ := shareable()
		g.did("Share", f.key, 0)
		all.change(merged(all.now(), f.asSet(value)), func() { scope.Share(f.key, value) })
	} else {
		fields, attrs := attrsOf(1+g.rng.IntN(3), shareable)
		g.did("ShareAttrs", "", len(attrs))
		all.change(merged(all.now(), fields...), func() { scope.ShareAttrs(attrs...) })
	}
	if g.bound == nil {
		g.bound = (*state)(nil).with(t)
	}
}

// shareable draws a field to be shared. If several goroutines have the task it is no talker: that
// needs to know each line that it is on.
func (g *goroutine) shareable(t *task) (f field, value any, attr slog.Attr) {
	for {
		if f, value, attr = g.newField(); !f.talks() || !t.common.Load() {
			return f, value, attr
		}
	}
}

// shareOwn changes shared keys that this goroutine alone changes, whatever others do. It returns how
// many calls would count as late ones.
func (g *goroutine) shareOwn() (calls int64) {
	if g.bound == nil || !g.bound.task.common.Load() {
		g.share()
		return 0
	}
	s := g.ownSharer()
	keys := s.keys()[g.rng.IntN(3):]
	if g.rng.IntN(5) == 0 {
		g.did("Unshare", "own", 0)
		s.change(less(s.now(), keys...), func() { scope.Unshare(keys...) })
		return 0
	}
	version := g.version()
	var fields []field
	var attrs []slog.Attr
	for _, key := range keys {
		fields = append(fields, versionField(key, version))
		attrs = append(attrs, slog.String(key, version))
	}
	g.did("Share", "own", len(fields))
	s.change(merged(s.now(), fields...), func() {
		if len(attrs) == 1 {
			scope.Share(keys[0], version)
		} else {
			scope.ShareAttrs(attrs...)
		}
	})
	return 1
}

// ownSharer returns the sharer of the keys of the bound task that this goroutine alone changes.
func (g *goroutine) ownSharer() *sharer {
	t := g.bound.task
	s := g.own[t]
	if s == nil {
		if g.own == nil {
			g.own = map[*task]*sharer{}
		}
		s = t.ownSharer(fmt.Sprintf("s%s/%d.", g.name, len(g.own)))
		g.own[t] = s
	}
	return s
}

// keys are those that a goroutine shares on its own.
func (s *sharer) keys() []string { return []string{s.prefix + "a", s.prefix + "b", s.prefix + "c"} }

// version returns a value that nothing else in the program has.
func (g *goroutine) version() string {
	g.values++
	return fmt.Sprintf("%d/%s v%d", g.unit.number, g.name, g.values)
}

func versionField(key, version string) field {
	return field{key: key, want: version, json: strconv.Quote(version)}
}
