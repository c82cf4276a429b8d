package logadapters_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A Diary is the logger that the adapter is for. It writes lines of JSON.
type Diary struct {
	w        io.Writer
	attached []byte
}

// A Pair is a field of a Diary. A Value of type []Pair is an object.
type Pair struct {
	Key   string
	Value any
}

// With returns a child of d that has these pairs on each line.
func (d Diary) With(pairs ...Pair) Diary {
	d.attached = slices.Concat(d.attached, encode(pairs))
	return d
}

// Info writes a line.
func (d Diary) Info(msg string, pairs ...Pair) {
	line := slices.Concat(encode([]Pair{{"msg", msg}}), d.attached, encode(pairs))
	_, _ = d.w.Write(slices.Concat([]byte("{"), line[:len(line)-1], []byte("}\n")))
}

// encode returns pairs with a comma behind each.
func encode(pairs []Pair) (text []byte) {
	for _, p := range pairs {
		if members, ok := p.Value.([]Pair); ok {
			p.Value = json.RawMessage("{" + strings.TrimSuffix(string(encode(members)), ",") + "}")
		}
		key, _ := json.Marshal(p.Key)
		value, err := json.Marshal(p.Value)
		if err != nil {
			value, _ = json.Marshal(err.Error())
		}
		text = append(append(append(append(text, key...), ':'), value...), ',')
	}
	return text
}

// A Stamped is the adapter: a Diary whose lines have the fields of the scope.
type Stamped struct {
	opts  *logadapters.Options
	bare  Diary // writes lines without a scope
	cache logadapters.Cache[Diary]
}

// New returns an adapter for d.
func New(d Diary, opts *logadapters.Options) *Stamped { return newStamped(d, opts, []string{"msg"}) }

func newStamped(d Diary, opts *logadapters.Options, reserved []string) *Stamped {
	if opts == nil {
		opts = new(logadapters.Options)
	}
	s := &Stamped{opts: opts, bare: d}
	s.cache.Options, s.cache.Base, s.cache.Attach, s.cache.Reserved = opts, d, attachPairs, reserved
	return s
}

// With returns a child. What is attached to it is encoded now, once, and its keys are reserved.
func (s *Stamped) With(pairs ...Pair) *Stamped {
	reserved := slices.Clone(s.cache.Reserved)
	for _, p := range pairs {
		reserved = append(reserved, p.Key)
	}
	return newStamped(s.bare.With(pairs...), s.opts, reserved)
}

// Info writes a line. ctx may be nil.
func (s *Stamped) Info(ctx context.Context, msg string, pairs ...Pair) {
	derived := s.cache.Lookup(logadapters.Pick(ctx))
	if derived == nil {
		s.bare.Info(msg, pairs...)
		return
	}
	has := func(key string) bool {
		return slices.ContainsFunc(pairs, func(p Pair) bool { return p.Key == key })
	}
	switch s.opts.Duplicates {
	case logadapters.EventWins:
		derived.Without(has).Info(msg, pairs...)
	case logadapters.ScopeWins:
		own := slices.DeleteFunc(slices.Clone(pairs), func(p Pair) bool { return derived.Has(p.Key) })
		derived.Value.Info(msg, own...)
	case logadapters.KeepBoth:
		derived.Value.Info(msg, pairs...)
	}
}

// attachPairs is called once for each scope, with the fields that d doesn't have.
func attachPairs(d Diary, fields logadapters.Fields) Diary {
	var pairs []Pair
	for i, a := range fields.Attrs {
		if a.Value.Kind() == slog.KindGroup {
			pairs = append(pairs, Pair{a.Key, members(a.Value.Group())})
		} else {
			pairs = append(pairs, Pair{a.Key, fields.Any(i)})
		}
	}
	if fields.Group != "" {
		pairs = []Pair{{fields.Group, pairs}}
	}
	return d.With(pairs...)
}

func members(attrs []slog.Attr) (pairs []Pair) {
	for _, a := range attrs {
		if a.Value.Kind() == slog.KindGroup {
			pairs = append(pairs, Pair{a.Key, members(a.Value.Group())})
		} else {
			pairs = append(pairs, Pair{a.Key, a.Value.Any()})
		}
	}
	return pairs
}

// A whole adapter. Diary stands for the logger that it is for.
func Example() {
	log := New(Diary{w: os.Stdout}, nil)
	shop := log.With(Pair{"service", "shop"})
	scope.New("request_id", "r-17", "user", "ann").Run(func() {
		log.Info(context.Background(), "charging card")
		scope.Set("step", 2)
		shop.Info(context.Background(), "charged", Pair{"cents", 1995}, Pair{"user", "bob"})
	})
	log.Info(context.Background(), "idle")
	// Output:
	// {"msg":"charging card","request_id":"r-17","user":"ann"}
	// {"msg":"charged","service":"shop","request_id":"r-17","step":2,"cents":1995,"user":"bob"}
	// {"msg":"idle"}
}
