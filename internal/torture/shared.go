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
// Each shared key has one sharer, which changes its keys in one call after the other. So what
// they are is a list of moments, and a line shows one moment of each sharer: not an older one
// than that of the last call that had returned when the line began, nor a later one than that
// of the last call that had begun when it was written. Where no call is going on, that is one
// moment. So a line is predicted exactly wherever its goroutine has waited for the others, or
// was told by them.

// A sharer changes shared fields of one task: all goroutines in turn those that any may
// change, or one goroutine its own.
type sharer struct {
	prefix string     // of the keys that are one goroutine's own; "" for those of all
	fixed  bool       // Detach has taken one of the moments over: which is known within bounds
	turn   sync.Mutex // held during a call

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

// change makes a moment of a call.
func (s *sharer) change(next []field, call func()) {
	s.mu.Lock()
	s.moments = append(s.moments, next)
	s.newest++
	begun := s.newest
	s.mu.Unlock()
	call()
	atLeast(&s.oldest, begun)
}

func atLeast(most *atomic.Int64, v int) {
	for {
		old := most.Load()
		if old >= int64(v) || most.CompareAndSwap(old, int64(v)) {
			return
		}
	}
}

// since returns the moments that may be shown, from this one on.
func (s *sharer) since(first int) [][]field {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moments[first : s.newest+1]
}

// shown notes that a line has shown one of these moments: none shows an earlier one any more.
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

// ownSharer returns that of a goroutine, with keys that nobody else has.
func (t *task) ownSharer(prefix string) *sharer {
	t.all()
	s := &sharer{prefix: prefix, moments: make([][]field, 1)}
	t.addSharer(s)
	return s
}

// detaching is called before Detach, and what it returns behind: that returns the new task, which
// has taken over the shared fields of a moment between the two.
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

// A window is the time in which a line is written, or the store asked.
type window struct {
	task   *task
	oldest []int // of each sharer that the task had when it began
}

// window begins one. room is used again.
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

// talks reports whether a line of w may show a shared talker. Once several goroutines have the
// task, none shares one.
func (w window) talks() bool {
	list := w.task.sharers()
	return len(list) > 0 && slices.ContainsFunc(list[0].since(w.first(0)), func(m []field) bool {
		return slices.ContainsFunc(m, field.talks)
	})
}

// shows reports whether line is want, which has no shared fields, with those of one moment of
// each sharer at place, in any order of the sharers. It ends w.
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
	of := make([][]byte, len(list)) // what is shown of each sharer
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

// are reports whether one of the moments that sharer i may show is this one.
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

// memberLen returns the length of the first member of the inside of a JSON object, with the comma
// behind it; or 0 if there is none.
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

// gives reports whether what Get has returned is a shared field of w, where the goroutine has none
// of its own. It ends w.
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
