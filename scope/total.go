package scope

import (
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/scope/internal/carrier"
)

// Add adds n to a total of the bound scope's task. The task's last line shows it, such as the one
// that httpscope's Handler writes. All goroutines of the task add to one total, and those of other
// tasks don't. Totals are in the order in which they were first used, behind the line's own
// attributes; one whose key is on the line already is left out. An empty key is stored as
// "!BADKEY". With nothing bound Add does nothing.
//
// A total that was given an int and a float64 is a float64. One that reaches the limit of its type
// stays there, and key_overflow=true is on the line too. The first use decides whether a total is a
// number, a duration or a list; what is of another kind is dropped, and key_badtotal=true says so. A
// task has at most 128 totals; scope_totals_dropped counts the calls for others.
func Add[N int | int64 | float64 | time.Duration](key string, n N) {
	var a addend
	switch n := any(n).(type) {
	case int:
		a.n = int64(n)
	case int64:
		a.n = n
	case float64:
		a.f, a.isFloat = n, true
	case time.Duration:
		a.kind, a.n = durationTotal, int64(n)
	}
	bound().add(key, a)
}

// Append adds value to a total that is a list: see [Add]. The list keeps the first 64 values, and
// key_dropped counts the others. When the line is written, a [slog.LogValuer] is resolved, and an
// error shown as its text. In place of a value that can't be encoded, such as NaN in JSON, a text
// says so, and the others are shown.
func Append(key string, value any) { bound().add(key, addend{kind: listTotal, value: value}) }

// Timing adds the time until stop is called to a total, and 1 to the total key_count: see
// [Add]. Both are totals of the task that is bound when Timing is called. stop may be called
// anywhere; only its first call counts.
func Timing(key string) (stop func()) {
	n, start, stopped := bound(), time.Now(), new(atomic.Bool)
	return func() {
		if !stopped.Swap(true) && n.add(key, addend{kind: durationTotal, n: int64(time.Since(start))}) {
			n.add(normalizeKey(key)+"_count", addend{n: 1})
		}
	}
}

// Totals returns what the task of s has added up with [Add], [Append] and [Timing] so far, as
// its last line would have it.
func (s Scope) Totals() []slog.Attr { return s.n.line().totals(nil, false) }

// Late returns how many calls of Add, Append, Share, ShareAttrs and the function that Timing
// returns, in this process, came after the last line of their task was written, so that they
// aren't on it.
func Late() int64 { return lates.Load() }

var lates atomic.Int64

// The totals of a task are a linked list that only grows. What a goroutine reads on its way to
// another total doesn't share a cache line with what changes, so goroutines that add to several
// totals don't slow each other down. Where pointers have 64 bits, a total fills two cache lines, and
// its neighbours in memory lie in others.
type total struct {
	key  string
	next atomic.Pointer[total]
	kind totalKind
	_    [39]byte

	mu       sync.Mutex // guards what follows
	isFloat  bool
	overflow bool
	bad      bool
	closed   bool
	used     bool    // iff something was added: a total is in the list a moment before its first value
	n        int64   // the sum of all integers; how many values the list has no room for
	f        float64 // the sum of all float64s
	list     *[]any
	_        [24]byte
}

type totalKind uint8

const (
	numberTotal totalKind = iota
	durationTotal
	listTotal
)

const (
	maxTotals     = 128
	maxListed     = 64
	droppedTotals = "scope_totals_dropped"
)

// sealed is the end of a list to which nothing may be added any more.
var sealed = new(total)

type addend struct {
	kind    totalKind
	isFloat bool
	n       int64
	f       float64
	value   any
}

// add adds a to the total of key, and reports whether that is in time.
func (n *node) add(key string, a addend) (inTime bool) {
	if n == nil {
		return false
	}
	key = normalizeKey(key)
	link := &n.task.ensureExtras().totals
	for i := 0; ; i++ {
		if i == maxTotals {
			key, a = droppedTotals, addend{n: 1}
		}
		t := link.Load()
		if t == nil {
			t = &total{key: key, kind: a.kind}
			if !link.CompareAndSwap(nil, t) {
				t = link.Load()
			}
		}
		if t == sealed || carrier.Same(t.key, key) {
			if t == sealed || !t.add(a) {
				lates.Add(1)
				return false
			}
			return true
		}
		link = &t.next
	}
}

func (t *total) add(a addend) (inTime bool) {
	t.mu.Lock()
	inTime = !t.closed
	t.used = t.used || inTime && a.kind == t.kind // another kind may come first, from another goroutine
	switch {
	case t.closed:
	case a.kind != t.kind:
		t.bad = true
	case t.overflow: // it stays at its limit
	case a.kind == listTotal:
		if t.list == nil {
			t.list = new([]any)
		}
		if len(*t.list) < maxListed {
			*t.list = append(*t.list, a.value)
		} else {
			t.n++
		}
	case a.isFloat:
		t.isFloat = true
		sum := t.f + a.f
		if math.IsInf(sum, 0) && !math.IsInf(t.f, 0) && !math.IsInf(a.f, 0) {
			t.overflow, sum = true, math.Copysign(math.MaxFloat64, sum)
		}
		t.f = sum
	default:
		sum := t.n + a.n
		if a.n > 0 && sum < t.n {
			t.overflow, sum = true, math.MaxInt64
		} else if a.n < 0 && sum > t.n {
			t.overflow, sum = true, math.MinInt64
		}
		t.n = sum
	}
	t.mu.Unlock() // no defer: without one this takes half the time
	return inTime
}

// totalsAreRead reports whether the last line of t has been written.
func (t *task) totalsAreRead() bool {
	x := t.extras.Load()
	if x == nil {
		return false
	}
	for last := x.totals.Load(); last != nil; last = last.next.Load() {
		if last == sealed {
			return true
		}
	}
	return false
}

// totals appends the totals whose keys neither attrs nor the scope has. If last, what is added
// from now on is late.
func (n *node) totals(attrs []slog.Attr, last bool) []slog.Attr {
	if n == nil {
		return attrs
	}
	x := n.task.extras.Load()
	if x == nil && (!last || n.task.extras.CompareAndSwap(nil, sealedExtras)) {
		return attrs
	}
	for link := &n.task.ensureExtras().totals; ; {
		t := link.Load()
		if t == nil && (!last || link.CompareAndSwap(nil, sealed)) || t == sealed {
			return attrs
		}
		if t != nil {
			attrs = t.appendTo(attrs, n, last)
			link = &t.next
		}
	}
}

// appendTo appends t as the line of n has it, and the marks for what t has dropped or refused.
func (t *total) appendTo(attrs []slog.Attr, n *node, last bool) []slog.Attr {
	taken := func(key string) bool {
		return n.has(key) || slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == key })
	}
	value, marks, used := t.read(last)
	total, visible := field{Attr: slog.Attr{Key: t.key, Value: value}}.shown()
	if !used || !visible || taken(t.key) {
		return attrs
	}
	if list, ok := total.Value.Any().([]any); ok {
		n.showList(list)
		if last { // only this is shown from now on: the values themselves are let go
			t.mu.Lock()
			copy(*t.list, list)
			t.mu.Unlock()
		}
	}
	attrs = append(attrs, total)
	for _, m := range marks {
		if !taken(m.Key) {
			attrs = append(attrs, m)
		}
	}
	return attrs
}

// read returns what t has come to, and reports whether that is anything. If last, t is closed.
func (t *total) read(last bool) (value slog.Value, marks []slog.Attr, used bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = t.closed || last
	switch {
	case !t.used:
		return value, nil, false
	case t.kind == listTotal:
		value = slog.AnyValue(slices.Clone(*t.list))
		if t.n > 0 {
			marks = append(marks, slog.Int64(t.key+"_dropped", t.n))
		}
		if last && isRestricted(t.key) {
			clear(*t.list) // they are never shown: let them go
		}
	case t.kind == durationTotal:
		value = slog.DurationValue(time.Duration(t.n))
	case t.isFloat:
		value = slog.Float64Value(float64(t.n) + t.f)
	default:
		value = slog.Int64Value(t.n)
	}
	if t.overflow {
		marks = append(marks, slog.Bool(t.key+"_overflow", true))
	}
	if t.bad {
		marks = append(marks, slog.Bool(t.key+"_badtotal", true))
	}
	return value, marks, true
}
