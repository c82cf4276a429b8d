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
	m  map[uint64]portableEntry
	_  [32]byte // shards that neighbour each other share no cache line
}

// An entry made by a bare Set has an anchor, which tells when its goroutine is gone.
// An entry made by Swap has none: Restore takes it back.
type portableEntry struct {
	object *Header
	anchor *anchor
}

var portableShards [64]portableShard

func init() {
	for i := range portableShards {
		portableShards[i].m = map[uint64]portableEntry{}
	}
}

func shardOf(id uint64) *portableShard { return &portableShards[id%uint64(len(portableShards))] }

func loadPortable() *Header {
	id := goid()
	s := shardOf(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[id].object
}

// bindPortable is for a bare Set, which nothing takes back.
func bindPortable(h *Header) {
	id := goid()
	s := shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, found := s.m[id]
	if !found {
		if h == nil {
			return
		}
		e.anchor = drop(id)
	}
	e.object = h
	s.m[id] = e
}

// An anchor is dropped into the goroutine's label set, the one thing that the runtime
// lets go of when a goroutine ends and that public API can reach. A finalizer on the
// set removes the entry. It replaces labels that other code has set, which can't be
// read on this path; and other code that sets labels removes it in turn.
type anchor struct{ gone bool } // guarded by the shard's mutex

func drop(id uint64) *anchor {
	a := &anchor{}
	ctx := pprof.WithLabels(context.Background(), pprof.Labels(Key, ""))
	runtime.SetFinalizer(ctx.Value(LabelKey), func(any) {
		s := shardOf(id)
		s.mu.Lock()
		defer s.mu.Unlock()
		a.gone = true
		if s.m[id].anchor == a {
			delete(s.m, id)
		}
	})
	pprof.SetGoroutineLabels(ctx)
	return a
}

type portableSaved struct {
	id    uint64
	entry portableEntry
	found bool // there was an entry, be it one that binds nothing
}

func swapPortable(h *Header) portableSaved {
	id := goid()
	s := shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, found := s.m[id]
	saved := portableSaved{id, e, found}
	s.m[id] = portableEntry{object: h}
	return saved
}

func restorePortable(saved portableSaved) {
	s := shardOf(saved.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	// An entry that binds nothing is that of an outer Swap: without it the next Bind would
	// drop a new anchor in place of that of the entry which the outer Restore puts back.
	if e := saved.entry; !saved.found || e.anchor != nil && e.anchor.gone {
		delete(s.m, saved.id)
		return
	}
	s.m[saved.id] = saved.entry
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
