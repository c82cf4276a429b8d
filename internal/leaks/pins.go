package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// A pin is a case of something that outlives the scope that it was opened in.
type pin struct {
	what, remedy string
	// open opens a thing n times, each in a scope with payload, and returns what closes
	// them. with says whether the remedy is taken.
	open func(n int, payload func() *payload, with bool) (closeAll func())
}

const payloadSize = 64 << 10

type payload [payloadSize]byte

func (p *payload) String() string { return "payload" }

var pins = []pin{
	{
		"an HTTP/1 connection kept alive, whose handler calls a bare Set",
		"an entry: httpscope.Handler, or a Run in the handler",
		func(n int, p func() *payload, with bool) func() {
			var h http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { scope.Set("payload", p()) })
			if with {
				h = httpscope.Handler(h, nil)
			}
			server := httptest.NewServer(h)
			clients := make([]*http.Transport, n)
			for i := range clients { // a connection each
				clients[i] = &http.Transport{}
				get(clients[i], server.URL)
			}
			return func() {
				for _, c := range clients {
					c.CloseIdleConnections()
				}
				server.Close()
			}
		},
	},
	{
		"an http.Transport that dials in a scope: its read and write loops inherit",
		"httpscope.Transport around it, or scope.Outside around RoundTrip",
		func(n int, p func() *payload, with bool) func() {
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			clients := make([]*http.Transport, n)
			for i := range clients {
				clients[i] = &http.Transport{}
				scope.New("payload", p()).Run(func() {
					var r http.RoundTripper = clients[i]
					if with {
						r = httpscope.Transport(r, nil)
					}
					get(r, server.URL)
				})
			}
			return func() {
				for _, c := range clients {
					c.CloseIdleConnections()
				}
				server.Close()
			}
		},
	},
	{
		"a database/sql pool opened in a scope: its connectionOpener inherits",
		"open it in main, or in scope.Outside",
		func(n int, p func() *payload, with bool) func() {
			pools := make([]*sql.DB, n)
			for i := range pools {
				scope.New("payload", p()).Run(func() {
					open := func() { pools[i] = sql.OpenDB(connector{}) }
					if with {
						scope.Outside(open)
					} else {
						open()
					}
					must(pools[i].Ping())
				})
			}
			return func() {
				for _, db := range pools {
					must(db.Close())
				}
			}
		},
	},
	{
		"a connection of a database/sql pool whose driver starts a goroutine for it, dialled by a query in a scope",
		"a Connector that connects in scope.Outside",
		func(n int, p func() *payload, with bool) func() {
			pools := make([]*sql.DB, n)
			for i := range pools {
				pools[i] = sql.OpenDB(connector{watches: true, outside: with})
				scope.New("payload", p()).Run(func() { must(pools[i].Ping()) })
			}
			return func() {
				for _, db := range pools {
					must(db.Close())
				}
			}
		},
	},
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func get(r http.RoundTripper, url string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	must(err)
	resp, err := r.RoundTrip(req)
	must(err)
	_, err = io.Copy(io.Discard, resp.Body)
	must(err)
	must(resp.Body.Close())
}

// A connector is a driver that connects to nothing.
type connector struct {
	watches bool // with a goroutine per connection, as drivers do that watch for cancelled contexts
	outside bool // connects with no scope bound
}

func (c connector) Driver() driver.Driver { return nil }

func (c connector) Connect(context.Context) (conn driver.Conn, err error) {
	connect := func() {
		if !c.watches {
			conn = &connection{}
			return
		}
		a, b := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		conn = &connection{a}
	}
	if c.outside {
		scope.Outside(connect)
	} else {
		connect()
	}
	return conn, nil
}

type connection struct{ c net.Conn }

func (c *connection) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("the driver of this test has no statements")
}
func (c *connection) Begin() (driver.Tx, error) {
	return nil, errors.New("the driver of this test has no transactions")
}
func (c *connection) Close() error {
	if c.c != nil {
		return c.c.Close()
	}
	return nil
}

// A pinned says how much of what n scopes held is still there.
type pinned struct {
	open, remedied, closed int // payloads: while things are open, likewise with the remedy, and after they are closed
	heap                   int64
}

func (p pin) measure(n int) (m pinned) {
	for _, with := range []bool{true, false} {
		before := settled(runtime.NumGoroutine())
		var made testkit.Probe[payload]
		closeAll := p.open(n, func() *payload { return made.Watch(new(payload)) }, with)
		if with {
			m.remedied = made.Left(0)
			closeAll()
			continue
		}
		m.open = made.Left(n)
		m.heap = settled(1<<30).heap - before.heap
		closeAll()
		m.closed = made.Left(0)
	}
	return m
}
