package memo

import (
	"runtime"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
)

func store[T any](c *Cache[T], t *Table, v T) {
	e := NewEntry[T]()
	e.Value = v
	c.Store(t, e)
}

// load returns what c has stored in t, or the zero T.
func load[T any](c *Cache[T], t *Table) (v T) {
	if p := c.Load(t); p != nil {
		v = *p
	}
	return v
}

func TestACacheRemembersPerTable(t *testing.T) {
	var c, other Cache[string]
	var a, b Table
	if c.Load(&a) != nil {
		t.Error("something is there before Store")
	}
	store(&c, &a, "a")
	store(&c, &b, "b")
	store(&other, &a, "other's")
	for _, tc := range []struct {
		c    *Cache[string]
		t    *Table
		want string
	}{{&c, &a, "a"}, {&c, &b, "b"}, {&other, &a, "other's"}, {&other, &b, ""}, {&c, new(Table), ""}} {
		if got := load(tc.c, tc.t); got != tc.want {
			t.Errorf("Load gives %q, want %q", got, tc.want)
		}
	}
	store(&c, &a, "newer")
	if got := load(&c, &a); got != "newer" {
		t.Errorf("after a second Store: %q", got)
	}
	if got := load(&other, &a); got != "other's" {
		t.Errorf("after the Store of another: %q", got)
	}
}

func TestNoTableRemembersNothing(t *testing.T) {
	var c Cache[int]
	store(&c, nil, 1)
	if c.Load(nil) != nil {
		t.Error("something is remembered without a table")
	}
}

func TestCachesOfOtherTypesShareATable(t *testing.T) {
	var c Cache[string]
	var d Cache[[100]int]
	var table Table
	store(&c, &table, "x")
	store(&d, &table, [100]int{99: 7})
	if load(&c, &table) != "x" || load(&d, &table)[99] != 7 {
		t.Error("values are mixed up")
	}
}

func TestInvalidateMakesAllForget(t *testing.T) {
	var c Cache[string]
	var table Table
	store(&c, &table, "old")
	Invalidate()
	if c.Load(&table) != nil {
		t.Error("a value is there after Invalidate")
	}
	e := NewEntry[string]()
	e.Value = "made meanwhile"
	Invalidate()
	c.Store(&table, e)
	if c.Load(&table) != nil {
		t.Error("a value that was begun before Invalidate is there")
	}
	store(&c, &table, "new")
	if load(&c, &table) != "new" {
		t.Error("nothing can be stored after Invalidate")
	}
}

type object struct{ _ [64]byte }

//go:noinline
func remember(t *Table, c *Cache[*object], watched *testkit.Probe[object]) {
	store(c, t, watched.Watch(new(object)))
}

func TestWhatATableRemembersIsBounded(t *testing.T) {
	table := new(Table)
	caches := make([]Cache[*object], 5000)
	var watched testkit.Probe[object]
	for i := range caches {
		remember(table, &caches[i], &watched)
		if caches[i].Load(table) == nil {
			t.Fatalf("value %d is forgotten at once", i)
		}
	}
	for range 5000 { // one that stores again and again is no exception
		remember(table, &caches[0], &watched)
	}
	if n := watched.Left(maxLinks); n > maxLinks {
		t.Errorf("%d values are left", n)
	}
	if caches[0].Load(table) == nil {
		t.Error("the last one is forgotten")
	}
	runtime.KeepAlive(table)
}

func TestValuesDieWithTheirTable(t *testing.T) {
	var c Cache[*object]
	table := new(Table)
	var watched testkit.Probe[object]
	remember(table, &c, &watched)
	runtime.GC()
	if len(watched.Live()) != 1 {
		t.Error("a value is gone while its table is there")
	}
	runtime.KeepAlive(table)
	table = nil
	watched.WantFreed(t, "after their table")
	runtime.KeepAlive(&c)
}

func TestCachesAreSharedWithoutARace(t *testing.T) {
	var caches [4]Cache[int]
	var table Table
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			c := &caches[g%len(caches)]
			for range 200 {
				if p := c.Load(&table); p != nil && *p != g%len(caches) {
					t.Errorf("another's value %d", *p)
				}
				store(c, &table, g%len(caches))
			}
		})
	}
	wg.Wait()
}

func TestLoadAllocatesNothing(t *testing.T) {
	var c Cache[string]
	var table Table
	store(&c, &table, "x")
	if n := testing.AllocsPerRun(100, func() { c.Load(&table) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
