package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// The model of shared fields, which several goroutines change and show at once.
//
// Each shared key has one sharer, which changes its keys by one call after the other. So the values
// of its keys are a list of moments: what they are after each call. A line must show one moment of
// each sharer: none from before the last call that had returned when the line began, and none from
// after the last call that had begun when it was written. Where no call is going on, that leaves one
// moment. So a line is predicted exactly wherever its goroutine has waited for the others, or was
// told by them.

// A sharer changes shared fields of one task. One sharer has the keys that any goroutine may
// change, in turn. Each of the others has keys that only one goroutine changes.
type sharer struct {
	prefix string     // of the keys that only one goroutine changes; else ""
	fixed  bool       // Detach has taken over one of the moments, and the model doesn't know which
	turn   sync.Mutex // held during a call, where any goroutine may call

	mu      sync.Mutex
	moments [][]field // before the first call, and then one for each
	newest  int       // a line that is written now shows no later one

	oldest atomic.Int64 // a line that begins now shows no earlier one
}

// now returns the moment that all lines show while no call is going on.
func (s *sharer) now() []field {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moments[s.newest]
}

// change calls call, which changes the keys to next.
func (s *sharer) change(next []field, call func()) {
	s.mu.Lock()
	s.moments = append(s.moments, next)
	s.newest++
	begun := s.newest
	s.mu.Unlock()
	call()
	atLeast(&s.oldest, begun)
}

// atLeast raises most to v, if it is lower.
func atLeast(most *atomic.Int64, v int) {
	for {
		old := most.Load()
		if old >= int64(v) || most.CompareAndSwap(old, int64(v)) {
			return
		}
	}
}

// since returns the moments from this one on, up to the newest that may be shown.
func (s *sharer) since(first int) [][]field {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moments[first : s.newest+1]
}

// shown notes that a line has shown one of these moments. No later line may show an earlier one.
func (s *sharer) shown(first, last int) {
	atLeast(&s.oldest, first)
	if s.fixed {
		s.mu.Lock()
		s.newest = min(s.newest, last)
		s.mu.Unlock()
	}
}

// A sharing is the sharers of a task, in a list that only grows. The first one has the keys
// that all goroutines share.
type sharing struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*sharer]
}

// sharers returns the list. t may be nil.
func (t *task) sharers() []*sharer {
	if t == nil {
		return nil
	}
	if list := t.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (t *task) addSharer(s *sharer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := append(slices.Clip(t.sharers()), s)
	t.list.Store(&list)
}

// all returns the sharer of the keys that all goroutines share.
func (t *task) all() *sharer {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.sharers()
	if len(list) == 0 {
		list = []*sharer{{moments: make([][]field, 1)}}
		t.list.Store(&list)
	}
	return list[0]
}

// ownSharer makes a sharer for one goroutine, with keys that nobody else changes.
func (t *task) ownSharer(prefix string) *sharer {
	t.all()
	s := &sharer{prefix: prefix, moments: make([][]field, 1)}
	t.addSharer(s)
	return s
}

// detaching is called before Detach, and the function that it returns after it. That returns the
// new task, which has taken over the shared fields as they were at a moment between the two.
func (t *task) detaching() (into func() *task) {
	if t == nil || !t.common.Load() && len(t.sharers()) == 0 {
		return func() *task { return &task{} }
	}
	all := t.all()
	all.turn.Lock() // the new task goes on from what these are, so that must be known
	w := t.window(nil)
	return func() *task {
		defer all.turn.Unlock()
		next := &task{}
		for i, s := range t.sharers() {
			moments := slices.Clone(s.since(w.first(i)))
			next.addSharer(&sharer{prefix: s.prefix, fixed: s != all, moments: moments, newest: len(moments) - 1})
		}
		return next
	}
}

// ---- what a line shows ----

// A window is the time in which a line is written, or the store is asked.
type window struct {
	task   *task
	oldest []int // the first moment that may be shown, of each sharer that the task had at the beginning
}

// window begins one. It appends to room.
func (t *task) window(room []int) window {
	for _, s := range t.sharers() {
		room = append(room, int(s.oldest.Load()))
	}
	return window{t, room}
}

// first returns the first moment that sharer i may show.
func (w window) first(i int) int {
	if i < len(w.oldest) {
		return w.oldest[i]
	}
	return 0
}

// talks reports whether a line of w may show a talker that is shared. Once several goroutines have
// the task, nobody shares one.
func (w window) talks() bool {
	list := w.task.sharers()
	return len(list) > 0 && slices.ContainsFunc(list[0].since(w.first(0)), func(m []field) bool {
		return slices.ContainsFunc(m, field.talks)
	})
}

// shows reports whether line is right: want, which has no shared fields, with one moment of each
// sharer inserted at place. The sharers may come in any order. It ends w.
func (w window) shows(line, want []byte, place int, how showing) bool {
	behind := len(line) - (len(want) - place)
	if behind < place || !bytes.Equal(line[:place], want[:place]) || !bytes.Equal(line[behind:], want[place:]) {
		return false
	}
	list, shared := w.task.sharers(), line[place:behind]
	switch len(list) {
	case 0:
		return len(shared) == 0
	case 1:
		return w.showsOne(0, list[0], shared, how)
	}
	of := make([][]byte, len(list)) // what the line shows of each sharer
	for len(shared) > 0 {
		n := memberLen(shared)
		if n == 0 {
			return false
		}
		i := slices.IndexFunc(list, func(s *sharer) bool {
			return s.prefix != "" && strings.HasPrefix(string(shared[1:n]), s.prefix)
		})
		of[max(i, 0)] = append(of[max(i, 0)], shared[:n]...)
		shared = shared[n:]
	}
	for i, s := range list {
		if !w.showsOne(i, s, of[i], how) {
			return false
		}
	}
	return true
}

// showsOne reports whether shown is a moment of sharer i.
func (w window) showsOne(i int, s *sharer, shown []byte, how showing) bool {
	return w.are(i, s, func(moment []field) bool {
		var room [512]byte
		return bytes.Equal(shown, how.appendShared(room[:0], moment))
	})
}

// are reports whether sharer i may show a moment of which this is true.
func (w window) are(i int, s *sharer, this func(moment []field) bool) bool {
	first, least, last := w.first(i), -1, -1
	for n, moment := range s.since(first) {
		if this(moment) {
			if last = first + n; least < 0 {
				least = last
			}
		}
	}
	if least >= 0 {
		s.shown(least, last)
	}
	return least >= 0
}

// memberLen returns the length of the first member in text, which is the inside of a JSON object,
// with the comma behind it. It returns 0 if there is none.
func memberLen(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == ',' && depth == 0:
			return i + 1
		}
	}
	return 0
}

// String returns what may be shown, for people.
func (w window) String() string {
	var text strings.Builder
	for i, s := range w.task.sharers() {
		fmt.Fprintf(&text, "\nshared by %s: ", cmp.Or(s.prefix, "all"))
		for n, moment := range s.since(w.first(i)) {
			if n > 0 {
				text.WriteString(" or ")
			}
			fmt.Fprintf(&text, "{%s}", showing{}.appendShared(nil, moment))
		}
	}
	return text.String()
}

// gives reports whether Get has returned what it must of a key that the goroutine has no field of
// its own for. It ends w.
func (w window) gives(key string, v any, ok bool) bool {
	list := w.task.sharers()
	i := max(slices.IndexFunc(list, func(s *sharer) bool { return s.prefix != "" && strings.HasPrefix(key, s.prefix) }), 0)
	if len(list) == 0 {
		return !ok
	}
	return w.are(i, list[i], func(moment []field) bool {
		at := slices.IndexFunc(moment, func(f field) bool { return f.key == key })
		return at < 0 && !ok || at >= 0 && ok && moment[at].is(v)
	})
}
