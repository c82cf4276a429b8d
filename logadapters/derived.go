package logadapters

import (
	"cmp"
	"log/slog"
	"slices"
	"sync/atomic"
)

// Has reports whether the line gets key at its root. It is meant to be asked for each key of
// each line.
func (d *Derived[L]) Has(key string) bool {
	return d.bloom.mayHave(key) && d.has(key)
}

func (d *Derived[L]) has(key string) bool {
	if d.fields.Group != "" {
		return key == d.fields.Group
	}
	for ; d != nil; d = d.base {
		for i := range d.fields.Attrs {
			if d.fields.Attrs[i].Key == key {
				return true
			}
		}
	}
	return false
}

func (d *Derived[L]) hasAny(attrs []slog.Attr) bool {
	return slices.ContainsFunc(attrs, func(a slog.Attr) bool { return d.Has(a.Key) })
}

// all returns the fields of d and of its base.
func (d *Derived[L]) all() Fields {
	if d.base == nil {
		return d.fields
	}
	return d.base.all().plus(d.fields)
}

// variant returns what Value would be with these fields in place of all.
func (d *Derived[L]) variant(f Fields) (value L) {
	c := d.cache
	attach := func() {
		value = c.Base
		if len(f.Attrs) > 0 {
			c.attachSafely(&value, &f)
		}
		if c.Finish != nil {
			value = c.Finish(value)
		}
	}
	if c.isQuiet(f.Attrs) {
		attach()
	} else {
		d.scope.Encode(attach)
	}
	return value
}

// Without returns Value without the fields for whose keys drop reports true: keys that the
// line has itself.
func (d *Derived[L]) Without(drop func(key string) bool) L {
	f := d.all()
	var out uint64
	for i := range f.Attrs {
		if drop(cmp.Or(f.Group, f.Attrs[i].Key)) {
			if i >= 64 {
				f.drop(drop)
				return d.variant(f)
			}
			out |= 1 << i
		}
	}
	if out == 0 {
		return d.Value
	}
	known := d.variants.head.Load()
	n := 0
	for v := known; v != nil; v = v.next {
		if v.out == out {
			return v.value
		}
		n++
	}
	f.drop(drop)
	v := &variant[L]{out, d.variant(f), known}
	if n < maxVariants {
		d.variants.head.CompareAndSwap(known, v) // if another goroutine was first, v isn't remembered
	}
	return v.value
}

// variants are what Without has made, a list.
type variants[L any] struct{ head atomic.Pointer[variant[L]] }

type variant[L any] struct {
	out   uint64 // bit i: field i is left out
	value L
	next  *variant[L]
}

// maxVariants bounds the variants that are remembered. One is made for each set of keys that
// lines repeat.
const maxVariants = 8

// A bloom is a 256-bit Bloom filter over keys.
type bloom [4]uint64

func (b *bloom) add(key string) {
	i := hash(key)
	b[i/64] |= 1 << (i % 64)
}

func (b *bloom) mayHave(key string) bool {
	i := hash(key)
	return b[i/64]>>(i%64)&1 != 0
}

// hash tells most keys of a program apart: they differ in length, first, middle or last byte.
func hash(key string) uint8 {
	n := len(key)
	if n == 0 {
		return 0
	}
	return uint8(n)<<5 ^ uint8(n) ^ key[0]<<2 ^ key[n/2]<<4 ^ key[n-1]
}
