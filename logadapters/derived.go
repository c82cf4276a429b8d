package logadapters

import "sync/atomic"

// Has reports whether the line gets key at its root. It is meant to be asked for each key of
// each line.
func (d *Derived[L]) Has(key string) bool {
	return d.keys.bloom.mayHave(key) && d.has(key)
}

func (d *Derived[L]) has(key string) bool {
	if d.keys.exact != nil {
		return d.keys.exact[key]
	}
	for ; d != nil; d = d.base {
		if d.fields.Group != "" {
			return !d.empty && key == d.fields.Group
		}
		for i := range d.fields.Attrs {
			if d.fields.Attrs[i].Key == key {
				return true
			}
		}
	}
	return false
}

// all returns all fields.
func (d *Derived[L]) all() Fields {
	if d.base == nil {
		return d.fields
	}
	f := d.base.all()
	f.Attrs, f.orig = f.Attrs[:len(f.Attrs):len(f.Attrs)], f.orig[:len(f.orig):len(f.orig)]
	for i := range d.fields.Attrs {
		f.append(d.fields, i)
	}
	return f
}

// variant returns what Value would be with these fields in place of all.
func (d *Derived[L]) variant(f Fields) (value L) {
	c := d.cache
	attach := func() {
		value = c.Base
		if len(f.Attrs) > 0 {
			value, _ = c.attachOrSay(value, f)
		}
		if c.Finish != nil {
			value = c.Finish(value)
		}
	}
	if c.isQuiet(f.Attrs) {
		attach()
	} else {
		d.scope.Internal().Encode(attach)
	}
	return value
}

// Without returns Value without the fields whose keys drop names: those that the line has
// itself.
func (d *Derived[L]) Without(drop func(key string) bool) L {
	f := d.all()
	var out uint64
	for i, a := range f.Attrs {
		if f.Group != "" && drop(f.Group) || f.Group == "" && drop(a.Key) {
			if i >= 64 {
				return d.variant(f.without(drop))
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
	v := &variant[L]{out, d.variant(f.without(drop)), known}
	if n < maxVariants {
		d.variants.head.CompareAndSwap(known, v) // else another goroutine was first: no matter
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

// A keySet has the keys that a line gets at its root.
type keySet struct {
	bloom bloom
	exact map[string]bool // nil if the keys are few, and then are compared one by one
}

// fewKeys is how many keys are compared one by one.
const fewKeys = 16

// setKeys sets the keys of d, whose fields are set.
func (d *Derived[L]) setKeys() {
	if d.base != nil {
		d.keys.bloom = d.base.keys.bloom
	}
	if d.fields.Group != "" {
		d.keys.bloom.add(d.fields.Group)
		return
	}
	for i := range d.fields.Attrs {
		d.keys.bloom.add(d.fields.Attrs[i].Key)
	}
	if d.len() > fewKeys {
		d.keys.exact = make(map[string]bool, d.len())
		for _, a := range d.all().Attrs {
			d.keys.exact[a.Key] = true
		}
	}
}

// len returns how many fields there are.
func (d *Derived[L]) len() (fields int) {
	for ; d != nil; d = d.base {
		fields += len(d.fields.Attrs)
	}
	return fields
}

// A bloom is a Bloom filter with one hash function over 256 bits. It tells in a nanosecond
// of most keys that they are not in a set.
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
