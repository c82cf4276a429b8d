// Package counted stands in for sync and sync/atomic in a build of taskscope that counts writes to
// memory that several goroutines may write. Its types do what theirs do, and while [Record] runs
// they note each write. A build fails if taskscope uses something that isn't here: add it.
package counted

import (
	"maps"
	"sync"
	"sync/atomic"
)

var (
	recording atomic.Bool
	mu        sync.Mutex
	writes    = map[any]int{}
)

// Record calls fn and returns how often each variable was written meanwhile, by any goroutine. A
// lock that is taken, for reading too, is written, and so it is when it is released. The variables
// are kept, so that no address is used twice.
func Record(fn func()) map[any]int {
	mu.Lock()
	clear(writes)
	mu.Unlock()
	recording.Store(true)
	fn()
	recording.Store(false)
	mu.Lock()
	defer mu.Unlock()
	return maps.Clone(writes)
}

func note(variable any) {
	if recording.Load() {
		mu.Lock()
		writes[variable]++
		mu.Unlock()
	}
}

// Of these a Get or Put writes memory of the running core only, and what happens in a Map isn't
// counted: only the portable carrier has one.
type (
	Pool = sync.Pool
	Map  = sync.Map
)

type Bool struct{ atomic.Bool }

func (x *Bool) Store(v bool)                    { note(x); x.Bool.Store(v) }
func (x *Bool) Swap(v bool) bool                { note(x); return x.Bool.Swap(v) }
func (x *Bool) CompareAndSwap(old, v bool) bool { note(x); return x.Bool.CompareAndSwap(old, v) }

type Int32 struct{ atomic.Int32 }

func (x *Int32) Store(v int32)                    { note(x); x.Int32.Store(v) }
func (x *Int32) Add(n int32) int32                { note(x); return x.Int32.Add(n) }
func (x *Int32) Swap(v int32) int32               { note(x); return x.Int32.Swap(v) }
func (x *Int32) CompareAndSwap(old, v int32) bool { note(x); return x.Int32.CompareAndSwap(old, v) }

type Int64 struct{ atomic.Int64 }

func (x *Int64) Store(v int64)                    { note(x); x.Int64.Store(v) }
func (x *Int64) Add(n int64) int64                { note(x); return x.Int64.Add(n) }
func (x *Int64) Swap(v int64) int64               { note(x); return x.Int64.Swap(v) }
func (x *Int64) CompareAndSwap(old, v int64) bool { note(x); return x.Int64.CompareAndSwap(old, v) }

type Uint32 struct{ atomic.Uint32 }

func (x *Uint32) Store(v uint32)                    { note(x); x.Uint32.Store(v) }
func (x *Uint32) Add(n uint32) uint32               { note(x); return x.Uint32.Add(n) }
func (x *Uint32) Or(mask uint32) uint32             { note(x); return x.Uint32.Or(mask) }
func (x *Uint32) Swap(v uint32) uint32              { note(x); return x.Uint32.Swap(v) }
func (x *Uint32) CompareAndSwap(old, v uint32) bool { note(x); return x.Uint32.CompareAndSwap(old, v) }

type Uint64 struct{ atomic.Uint64 }

func (x *Uint64) Store(v uint64)                    { note(x); x.Uint64.Store(v) }
func (x *Uint64) Add(n uint64) uint64               { note(x); return x.Uint64.Add(n) }
func (x *Uint64) Or(mask uint64) uint64             { note(x); return x.Uint64.Or(mask) }
func (x *Uint64) Swap(v uint64) uint64              { note(x); return x.Uint64.Swap(v) }
func (x *Uint64) CompareAndSwap(old, v uint64) bool { note(x); return x.Uint64.CompareAndSwap(old, v) }

type Pointer[T any] struct{ atomic.Pointer[T] }

func (x *Pointer[T]) Store(v *T)                    { note(x); x.Pointer.Store(v) }
func (x *Pointer[T]) Swap(v *T) *T                  { note(x); return x.Pointer.Swap(v) }
func (x *Pointer[T]) CompareAndSwap(old, v *T) bool { note(x); return x.Pointer.CompareAndSwap(old, v) }

type Mutex struct{ sync.Mutex }

func (x *Mutex) Lock()         { note(x); x.Mutex.Lock() }
func (x *Mutex) TryLock() bool { note(x); return x.Mutex.TryLock() }
func (x *Mutex) Unlock()       { note(x); x.Mutex.Unlock() }

type RWMutex struct{ sync.RWMutex }

func (x *RWMutex) Lock()    { note(x); x.RWMutex.Lock() }
func (x *RWMutex) Unlock()  { note(x); x.RWMutex.Unlock() }
func (x *RWMutex) RLock()   { note(x); x.RWMutex.RLock() }
func (x *RWMutex) RUnlock() { note(x); x.RWMutex.RUnlock() }

type Once struct{ sync.Once }

func (x *Once) Do(fn func()) {
	x.Once.Do(func() {
		note(x)
		fn()
	})
}
