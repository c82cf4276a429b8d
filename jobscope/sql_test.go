package jobscope_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/scope"
)

// A batch job with database/sql: a transaction for each batch, whose lines say which one it is. The
// last line has the rows of all, and of which batch an error is.
func Example_batch() {
	logger := exampleLogger()
	var db *sql.DB
	scope.Outside(func() { // or in main: its goroutine serves all jobs, and is to keep no job's scope
		db, _ = sql.Open("orders", "5 shipped, then locked")
	})
	defer db.Close()

	archive := func(ctx context.Context) (rows int64, err error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return 0, scope.Error(err)
		}
		defer tx.Rollback() // does nothing after Commit
		result, err := tx.ExecContext(ctx, "DELETE FROM orders WHERE shipped LIMIT 3")
		if err != nil {
			return 0, scope.Error(err)
		}
		rows, _ = result.RowsAffected()
		if err := tx.Commit(); err != nil {
			return 0, scope.Error(err)
		}
		logger.Info("archived", "rows", rows)
		scope.Add("rows", rows)
		return rows, nil
	}
	_ = jobscope.Run(context.Background(), "archive", func(ctx context.Context) (err error) {
		rows := int64(1)
		for batch := 1; rows > 0 && err == nil; batch++ {
			scope.With("batch", batch).Run(func() { rows, err = archive(ctx) })
		}
		return err
	}, &jobscope.Options{Log: logger.LogAttrs, ID: counted()})
	// Output:
	// level=INFO msg=archived request_id=j-1 job.name=archive batch=1 rows=3
	// level=INFO msg=archived request_id=j-1 job.name=archive batch=2 rows=2
	// level=ERROR msg=job request_id=j-1 job.name=archive batch=3 job.outcome=error error.type=*errors.errorString error.message="orders is locked" rows=5
}

// orders is the driver of a database with so many shipped orders. When they are gone, it is locked.
type orders struct{ shipped int64 }

func init() { sql.Register("orders", &orders{}) }

func (*orders) Open(name string) (driver.Conn, error) {
	o := new(orders)
	_, err := fmt.Sscan(name, &o.shipped)
	return o, err
}

func (o *orders) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	if o.shipped == 0 {
		return nil, errors.New("orders is locked")
	}
	rows := min(o.shipped, 3)
	o.shipped -= rows
	return driver.RowsAffected(rows), nil
}

func (o *orders) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (o *orders) Begin() (driver.Tx, error)           { return o, nil }
func (o *orders) Commit() error                       { return nil }
func (o *orders) Rollback() error                     { return nil }
func (o *orders) Close() error                        { return nil }

// The goroutine of an sql.DB keeps the scope of whoever opens it, but for one in scope.Outside.
func TestADatabaseKeepsNoJobsScope(t *testing.T) {
	for _, outside := range []bool{true, false} {
		var values testkit.Probe[[1 << 10]byte]
		var db *sql.DB
		open := func() { db, _ = sql.Open("orders", "1") }
		run(t, "tidy", func(context.Context) {
			scope.Set("value", values.Watch(new([1 << 10]byte)))
			if outside {
				scope.Outside(open)
			} else {
				open()
			}
		}, nil)
		if want := inherits && !outside; want != (values.LeftWithin(0, 0) > 0) {
			t.Errorf("opened in Outside: %v; the job's scope is kept: %v", outside, !want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		values.WantFreed(t, "when the database is closed")
	}
}
