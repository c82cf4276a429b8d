package carrier

import (
	"context"
	"runtime"
	"runtime/pprof"
	"sync"
)

// The portable path: a map from goroutine id to the bound object. An id is never
// used twice in a process, so a late removal can hit no other goroutine.

type portableShard struct {
	mu sync.RWMutex
	m  map[uint64]*portableEntry
	_  [32]byte // shards that neighbour each other share no cache line
}

// An entry is what one goroutine has bound: by Swap, which Restore takes back, or by a bare Bind,
// which nothing takes back: see drop. Its shard's mutex guards it.
type portableEntry struct {
	id     uint64
	object *Header
	outer  *portableEntry // that Swap found
	gone   bool           // its goroutine has ended, or lost the anchor
}

var portableShards [64]portableShard

func init() {
	for i := range portableShards {
		portableShards[i].m = map[uint64]*portableEntry{}
	}
}

func shardOf(id uint64) *portableShard { return &portableShards[id%uint64(len(portableShards))] }

func loadPortable() *Header {
	id := goid()
	s := shardOf(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.m[id]; e != nil {
		return e.object
	}
	return nil
}

func bindPortable(h *Header) {
	id := goid()
	s := shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.m[id]
	if e == nil {
		if h == nil {
			return
		}
		e = &portableEntry{id: id}
		s.m[id] = e
		e.drop()
	}
	e.object = h
}

// drop drops an anchor into the goroutine's label set, the one thing that the runtime lets go of
// when a goroutine ends and that public API can reach. A finalizer on the set removes the entry.
// It replaces labels that other code has set, which can't be read on this path; and other code
// that sets labels removes it in turn.
func (e *portableEntry) drop() {
	ctx := pprof.WithLabels(context.Background(), pprof.Labels(Key, ""))
	runtime.SetFinalizer(ctx.Value(LabelKey), func(any) {
		s := shardOf(e.id)
		s.mu.Lock()
		defer s.mu.Unlock()
		e.gone = true
		if s.m[e.id] == e {
			delete(s.m, e.id)
		}
	})
	pprof.SetGoroutineLabels(ctx)
}

// swapPortable is Swap. Its entry is there also if it binds nothing: without one the next Bind
// would drop an anchor in place of that of the outer entry.
func swapPortable(h *Header) *portableEntry {
	id := goid()
	s := shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &portableEntry{id: id, object: h, outer: s.m[id]}
	s.m[id] = e
	return e
}

func restorePortable(e *portableEntry) {
	s := shardOf(e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.outer == nil || e.outer.gone {
		delete(s.m, e.id)
	} else {
		s.m[e.id] = e.outer
	}
}

// goid returns the running goroutine's id, from the first line of its traceback:
// "goroutine 7 [running]:".
func goid() (id uint64) {
	var buf [64]byte
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
