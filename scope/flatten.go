package scope

import (
	"log/slog"
	"slices"
)

// A collector makes one node of the fields of several.
type collector struct {
	fields []field
	orig   bool // some have one
}

// addAll is put for all fields of n, none of which c has.
func (c *collector) addAll(n *node) {
	c.fields = slices.Grow(c.fields, n.len(nil))
	n.each(nil, c.append)
}

func (c *collector) append(f field) bool {
	c.orig = c.orig || f.orig != nil
	c.fields = append(c.fields, f)
	return true
}

// put appends f, or puts it in the place of the field of its key.
func (c *collector) put(f field) bool {
	for i := range c.fields {
		if c.fields[i].key == f.key {
			c.orig = c.orig || f.orig != nil
			c.fields[i] = f
			return true
		}
	}
	return c.append(f)
}

// node returns a node of task t.
func (c *collector) node(t *task) (m *node) {
	if c.orig {
		var own *[]pair
		m, own = newNodeN[pair](len(c.fields))
		for _, f := range c.fields {
			*own = append(*own, f.pair())
		}
	} else {
		var own *[]slog.Attr
		m, own = newNodeN[slog.Attr](len(c.fields))
		for _, f := range c.fields {
			*own = append(*own, f.attr())
		}
	}
	m.task = t
	m.Init(m)
	return m
}

// without returns n without the fields of keys: n itself if there are none.
func (n *node) without(keys []string) *node {
	if !slices.ContainsFunc(keys, func(key string) bool { return n.has(normalizeKey(key)) }) {
		return n
	}
	var c collector
	n.each(nil, func(f field) bool {
		if !slices.ContainsFunc(keys, func(key string) bool { return normalizeKey(key) == f.key }) {
			c.append(f)
		}
		return true
	})
	m := c.node(n.task)
	m.inherit(n, false)
	return m
}
