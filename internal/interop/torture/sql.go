package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"

	"github.com/taskscope/taskscope/scope"
)

var sqlCases = []scenario{{"database/sql with modernc.org/sqlite, whose driver logs", []form{
	{
		name: "the first task opens the pool", shows: of(another, wrong),
		why: "the pool's own goroutines (its opener and its cleaner) are started in a task and keep its scope. Open the pool in main or in `scope.Outside`, and let the driver use `scope.Outside` to log what belongs to no task",
		run: func(t *trial) { database(t, startInFirst, func(fn func()) { fn() }) },
	},
	{
		name: "`sql.OpenDB` in `scope.Outside`", may: of(another, wrong),
		why: "the first query that leaves something to clean starts the pool's cleaner, which keeps its scope. Let the driver use `scope.Outside` to log what belongs to no task",
		run: func(t *trial) { database(t, startOutside, func(fn func()) { fn() }) },
	},
	{
		name: "`sql.OpenDB` in `scope.Outside`, where the driver also logs what belongs to no task", recommended: true,
		run: func(t *trial) { database(t, startOutside, scope.Outside) },
	},
}}}

// workInSQL is the trial whose tasks call the SQL function work, which is registered once for the
// process.
var (
	workInSQL    atomic.Pointer[trial]
	sqliteDriver = sync.OnceValue(func() driver.Driver {
		sqlite.MustRegisterScalarFunction("work", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			workInSQL.Load().work(args[0].(string), "function")
			return int64(1), nil
		})
		db := got(sql.Open("sqlite", "")) // the registered driver, which has the function
		defer db.Close()
		return db.Driver()
	})
)

// database has tasks that query, some in transactions that they leave to their context to roll
// back. ofNoTask is called with what the driver logs when it closes a connection, and when it
// opens one that no task has asked for.
func database(t *trial, start start, ofNoTask func(func())) {
	workInSQL.Store(t)
	driver := &connector{t: t, ofNoTask: ofNoTask}
	var db *sql.DB
	use := start(func() {
		db = sql.OpenDB(driver)
		db.SetMaxOpenConns(4)
		db.SetConnMaxLifetime(2 * time.Millisecond)
	})
	t.inTasks(func(id string) {
		use()
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), ownerKey{}, id))
		defer cancel()
		var one int
		must(db.QueryRowContext(ctx, "SELECT work(?)", id).Scan(&one))
		t.line(id)
		if t.random(id, "transaction").IntN(2) == 0 {
			tx := got(db.BeginTx(ctx, nil))
			must(tx.QueryRowContext(ctx, "SELECT work(?)", id).Scan(&one))
			t.behind.Add(1) // which the driver's rollback ends
			cancel()
		}
	})
	t.behind.Wait()
	driver.keeps.Store(true)
	last := t.newID()
	scope.New(idKey, last).Run(func() { must(db.PingContext(context.WithValue(context.Background(), ownerKey{}, last))) })
	for range 500 { // the pool cleans after a second at the earliest
		if driver.cleaned.Load() > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(db.Close())
	if driver.opened.Load() == 0 || driver.cleaned.Load() == 0 {
		panic("database/sql no longer opens or cleans in goroutines of its own")
	}
}

// A connector is the driver of sqlite, and logs.
type connector struct {
	t        *trial
	ofNoTask func(func())

	opened, cleaned atomic.Int64 // by the pool itself
	keeps           atomic.Bool
}

func (c *connector) Driver() driver.Driver { return sqliteDriver() }

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if id, ok := ctx.Value(ownerKey{}).(string); ok {
		c.t.line(id)
	} else { // the pool wants one itself, for whichever task waits
		c.ofNoTask(func() { c.t.line(nobody) })
		c.opened.Add(1)
	}
	conn, err := sqliteDriver().Open(":memory:")
	if err != nil {
		return nil, err
	}
	all, ok := conn.(interface {
		driver.Conn
		driver.ConnBeginTx
		driver.ConnPrepareContext
		driver.ExecerContext
		driver.QueryerContext
	})
	if !ok {
		return nil, errors.New("sqlite's connection has changed: " + fmt.Sprintf("%T", conn))
	}
	return &connection{all, all, all, all, all, c}, nil
}

type connection struct {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	c *connector
}

// IsValid makes the pool open connections anew all the time.
func (c *connection) IsValid() bool { return c.c.keeps.Load() || rand.IntN(8) > 0 }

// Close logs if the pool's cleaner calls it. Other callers may be tasks.
func (c *connection) Close() error {
	var calls [16]uintptr
	for frames := runtime.CallersFrames(calls[:runtime.Callers(1, calls[:])]); ; {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, ".connectionCleaner") {
			c.c.ofNoTask(func() { c.c.t.line(nobody) })
			c.c.cleaned.Add(1)
		}
		if !more {
			break
		}
	}
	return c.Conn.Close()
}

func (c *connection) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.ConnBeginTx.BeginTx(ctx, opts)
	return &transaction{tx, c.c.t, ctx.Value(ownerKey{}).(string)}, err
}

type transaction struct {
	driver.Tx
	t  *trial
	id string
}

// Rollback is called by a goroutine that the task has left behind.
func (tx *transaction) Rollback() error {
	defer tx.t.behind.Done()
	tx.t.line(tx.id + left)
	return tx.Tx.Rollback()
}
