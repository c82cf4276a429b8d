package main

import (
	"log/slog"
	"slices"
	"strings"
)

// What the program is made of: operations, which are drawn one after the other, and the
// fields that they use. Each draw comes from the goroutine's own generator, and no draw may
// depend on timing: else a seed wouldn't give the same program again.

// An operation is done weight times as often as one of weight 1. Where unless holds, a line
// is logged in its place.
type operation struct {
	weight int
	do     func(g *goroutine)
	unless func(g *goroutine) bool
}

var (
	operations []operation
	allWeights int
)

// In init, since operations run blocks of operations.
func init() {
	deep := func(g *goroutine) bool { return g.depth >= 5 }
	crowded := func(g *goroutine) bool { return g.depth >= 5 || strings.Count(g.name, ".") >= 3 || g.budget < 8 }
	noLabels := func(g *goroutine) bool { return !g.inherits }
	operations = []operation{
		{40, (*goroutine).log, nil},
		{14, (*goroutine).set, nil},
		{5, (*goroutine).setAttrs, nil},
		{4, (*goroutine).delete, nil},
		{1, (*goroutine).clear, nil},
		{5, (*goroutine).look, nil},
		{4, (*goroutine).addUp, nil},
		{4, (*goroutine).share, nil},
		{4, func(g *goroutine) { g.shareOwn() }, nil},
		{4, (*goroutine).iterate, nil},
		{9, (*goroutine).runScope, deep},
		{5, (*goroutine).keepScope, nil},
		{5, (*goroutine).keepContext, nil},
		{3, (*goroutine).do, func(g *goroutine) bool { return deep(g) || noLabels(g) }},
		{2, (*goroutine).setLabels, noLabels},
		{3, (*goroutine).try, deep},
		{2, (*goroutine).panic, func(g *goroutine) bool { return g.tries == 0 }},
		{1, (*goroutine).goexit, func(g *goroutine) bool { return !g.exits }},
		{3, (*goroutine).rangeOver, deep},
		{5, (*goroutine).section, crowded},
		{2, (*goroutine).pool, crowded},
		{2, (*goroutine).pull, crowded},
		{1, (*goroutine).race, crowded},
		{1, (*goroutine).job, crowded},
	}
	for _, o := range operations {
		allWeights += o.weight
	}
}

// block does up to n operations.
func (g *goroutine) block(n int) {
	g.depth++
	defer func() { g.depth-- }()
	for range n {
		if g.budget <= 0 || g.stop.Load() {
			return
		}
		g.budget--
		if o := g.operation(); o.unless != nil && o.unless(g) {
			g.log()
		} else {
			o.do(g)
		}
	}
}

// operation draws one.
func (g *goroutine) operation() operation {
	i, w := 0, g.rng.IntN(allWeights)
	for w >= operations[i].weight {
		w -= operations[i].weight
		i++
	}
	return operations[i]
}

// key draws one of few keys, so that they meet often.
func (g *goroutine) key() string {
	return [...]string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11"}[g.rng.IntN(12)]
}

// newField draws a field. Its value tells it from nearly all others of the unit.
func (g *goroutine) newField() (f field, value any, attr slog.Attr) {
	g.values++
	n := (g.values<<16 | int(hash(g.name))) & 0x7fffffff
	return g.run.newField(g.key(), g.rng.IntN(kindsOfFields), n)
}

func hash(s string) (h uint16) {
	for _, c := range []byte(s) {
		h = h*31 + uint16(c)
	}
	return h
}

// args draws arguments of With or New, and returns the fields that they make too.
func (g *goroutine) args() (args []any, fields []field) {
	for range g.rng.IntN(4) {
		f, value, attr := g.newField()
		if g.rng.IntN(2) == 0 {
			args, fields = append(args, f.key, value), append(fields, f.asSet(value))
		} else {
			args, fields = append(args, attr), append(fields, f)
		}
	}
	return args, fields
}

const maxKept = 4

// keep adds v to a list of what g has, in the place of another if the list is full. It copies
// the list when needed: children have it too.
func keep[T any](g *goroutine, list *[]T, v T) {
	if len(*list) < maxKept {
		*list = append(slices.Clip(*list), v)
		return
	}
	*list = slices.Clone(*list)
	(*list)[g.rng.IntN(maxKept)] = v
}
