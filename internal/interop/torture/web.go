package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	echo4 "github.com/labstack/echo/v4"
	echo5 "github.com/labstack/echo/v5"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
)

const idHeader = "X-Request-Id"

// An entry is how a framework's requests get a scope.
type entry int

const (
	bareSet entry = iota // scope.Set in a middleware
	inside               // httpscope.Middleware or a Run in a middleware
	outside              // httpscope.Handler around all of it
)

var webCases = []scenario{
	frameworkCase("net/http", "`httpscope.Middleware` around the handler only", func(t *trial, e entry) http.Handler {
		var h http.Handler = http.HandlerFunc(t.serveTask)
		switch e {
		case bareSet:
			h = setting(h)
		case inside:
			h = httpscope.Middleware(nil)(h)
		}
		return t.access(h)
	}),
	frameworkCase("chi", "`r.Use(httpscope.Middleware(nil))`", func(t *trial, e entry) http.Handler {
		r := chi.NewRouter()
		r.Use(t.access)
		switch e {
		case bareSet:
			r.Use(setting)
		case inside:
			r.Use(httpscope.Middleware(nil))
		}
		r.Get("/task/{id}", t.serveTask)
		return r
	}),
	frameworkCase("gin", "a middleware with `scope.New(…).Run(c.Next)`", func(t *trial, e entry) http.Handler {
		gin.SetMode(gin.ReleaseMode)
		g := gin.New()
		g.Use(func(c *gin.Context) {
			t.line(taskOf(c.Request))
			defer t.line(taskOf(c.Request))
			c.Next()
		}, gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) {
			t.line(taskOf(c.Request))
			c.AbortWithStatus(http.StatusInternalServerError)
		}))
		switch e {
		case bareSet:
			g.Use(func(c *gin.Context) { scope.Set(idKey, c.GetHeader(idHeader)) })
		case inside:
			g.Use(func(c *gin.Context) { scope.New(idKey, c.GetHeader(idHeader)).Run(c.Next) })
		}
		g.GET("/task/:id", func(c *gin.Context) { t.serveTask(c.Writer, c.Request) })
		return g
	}),
	frameworkCase("echo v4", "`e.Use(echo.WrapMiddleware(httpscope.Middleware(nil)))`", func(t *trial, e entry) http.Handler {
		router := echo4.New()
		router.HTTPErrorHandler = func(err error, c echo4.Context) {
			t.line(taskOf(c.Request()))
			router.DefaultHTTPErrorHandler(err, c)
		}
		router.Use(echo4.WrapMiddleware(t.access))
		switch e {
		case bareSet:
			router.Use(echo4.WrapMiddleware(setting))
		case inside:
			router.Use(echo4.WrapMiddleware(httpscope.Middleware(nil)))
		}
		router.GET("/task/:id", func(c echo4.Context) error {
			t.serveTask(c.Response(), c.Request())
			if t.random(taskOf(c.Request()), "error").IntN(4) == 0 {
				return echo4.NewHTTPError(http.StatusTeapot)
			}
			return nil
		})
		return router
	}),
	frameworkCase("echo v5", "`e.Use(echo.WrapMiddleware(httpscope.Middleware(nil)))`", func(t *trial, e entry) http.Handler {
		router := echo5.New()
		router.HTTPErrorHandler = func(c *echo5.Context, err error) {
			t.line(taskOf(c.Request()))
			echo5.DefaultHTTPErrorHandler(false)(c, err)
		}
		router.Use(echo5.WrapMiddleware(t.access))
		switch e {
		case bareSet:
			router.Use(echo5.WrapMiddleware(setting))
		case inside:
			router.Use(echo5.WrapMiddleware(httpscope.Middleware(nil)))
		}
		router.GET("/task/:id", func(c *echo5.Context) error {
			t.serveTask(c.Response(), c.Request())
			if t.random(taskOf(c.Request()), "error").IntN(4) == 0 {
				return echo5.NewHTTPError(http.StatusTeapot, "")
			}
			return nil
		})
		return router
	}),
	{"http.TimeoutHandler", []form{
		{
			name: "`httpscope.Handler(http.TimeoutHandler(h, d, \"\"), nil)`", shows: of(late),
			why: "the task is over when the answer is sent, and the handler goes on. Put TimeoutHandler outside",
			run: func(t *trial) { t.serve(httpscope.Handler(http.TimeoutHandler(t.slow(), timeout, ""), nil)) },
		},
		{
			name: "`http.TimeoutHandler(httpscope.Handler(h, nil), d, \"\")`", recommended: true,
			run: func(t *trial) { t.serve(http.TimeoutHandler(httpscope.Handler(t.slow(), nil), timeout, "")) },
		},
	}},
}

// frameworkCase is that of a framework whose own middleware logs, too, before and after.
func frameworkCase(name, insideName string, build func(*trial, entry) http.Handler) scenario {
	return scenario{name, []form{
		{
			name: "`scope.Set` in a middleware", shows: of(wrong), may: of(unstamped),
			why: "a bare Set lasts as long as its goroutine, which serves all requests of a kept-alive connection: what logs before the Set has the id of the previous request. Wrap all of it in `httpscope.Handler`",
			run: func(t *trial) { t.serve(build(t, bareSet)) },
		},
		{
			name: insideName, shows: of(unstamped),
			why: "what logs outside of the middleware has no scope. Wrap all of it in `httpscope.Handler`",
			run: func(t *trial) { t.serve(build(t, inside)) },
		},
		{
			name: "`httpscope.Handler` around all of it", recommended: true,
			run: func(t *trial) {
				t.serve(httpscope.Handler(build(t, outside), &httpscope.Options{Log: t.accessLine}))
			},
		},
	}}
}

// taskOf returns the task that a request is. No adapter and no entry looks there.
func taskOf(r *http.Request) string { return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] }

// setting is the middleware that people write first.
func setting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope.Set(idKey, r.Header.Get(idHeader))
		h.ServeHTTP(w, r)
	})
}

// serveTask is the handler of all servers. It panics now and then.
func (t *trial) serveTask(_ http.ResponseWriter, r *http.Request) {
	id := taskOf(r)
	t.work(id, "handler")
	t.lineContext(r.Context(), id)
	if t.random(id, "panic").IntN(16) == 0 {
		panic("a handler's")
	}
}

// access is a middleware that logs before and after, and when a handler panics.
func (t *trial) access(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := taskOf(r)
		t.line(id)
		defer func() {
			if recover() != nil {
				t.line(id)
				w.WriteHeader(http.StatusInternalServerError)
			}
			t.line(id)
		}()
		h.ServeHTTP(w, r)
	})
}

type ownerKey struct{}

// accessLine is httpscope's last line. Which task it belongs to it takes from the context
// that serve has given to the server's connection.
func (t *trial) accessLine(ctx context.Context, _ slog.Level, _ string, _ ...slog.Attr) {
	t.lineContext(ctx, ctx.Value(ownerKey{}).(string))
}

// serve sends tasks as requests to h, over kept-alive connections.
func (t *trial) serve(h http.Handler) {
	server := t.start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ownerKey{}, taskOf(r))))
	}))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: drivers}}
	t.drive(func(id string) { request(client, server.URL, id) })
	client.CloseIdleConnections()
	server.Close()
}

// start starts a server that says nothing of handlers that panic.
func (t *trial) start(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	return server
}

// request is a request of a task.
func request(client *http.Client, url, id string) {
	r := got(http.NewRequest(http.MethodGet, fmt.Sprint(url, "/task/", id), nil))
	r.Header.Set(idHeader, id)
	resp := got(client.Do(r))
	_ = got(io.Copy(io.Discard, resp.Body))
	must(resp.Body.Close())
}

const timeout = 2 * time.Millisecond

// slow is a handler that takes longer than the timeout now and then.
func (t *trial) slow() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.behind.Add(1)
		defer t.behind.Done()
		t.work(taskOf(r), "before")
		if t.random(taskOf(r), "slow").IntN(8) == 0 {
			<-r.Context().Done()
			time.Sleep(100 * time.Microsecond)
		}
		t.work(taskOf(r), "after")
	})
}
