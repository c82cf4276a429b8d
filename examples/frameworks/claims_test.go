package frameworks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/requestid"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/mux"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	echo4 "github.com/labstack/echo/v4"
	echo4middleware "github.com/labstack/echo/v4/middleware"
	echo5 "github.com/labstack/echo/v5"
	echo5middleware "github.com/labstack/echo/v5/middleware"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/examples/frameworks/userspb"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope/scopetest"
	"github.com/taskscope/taskscope/zaph"
)

// The tests of this file are of what docs/frameworks.md says besides its table.

func init() { gin.SetMode(gin.ReleaseMode) } // as Gin does it; else gin prints routes

// get sends one request, and returns the last line besides the answer.
func get(t *testing.T, server http.Handler, path string) (answer, scopetest.Line) {
	t.Helper()
	rec := scopetest.Record(t)
	a := send(t, server, request{method: "GET", path: path})
	lines := linesOf(rec, 1)
	return a, lines[len(lines)-1]
}

// Other middleware that makes ids takes ours, which is in the request's header.
func TestMiddlewareThatMakesIDs(t *testing.T) {
	seen := make(chan string, 1)
	r := chi.NewRouter()
	r.Use(middleware.RequestID)
	r.Get("/", func(_ http.ResponseWriter, r *http.Request) { seen <- middleware.GetReqID(r.Context()) })

	e := echo4.New()
	e.Use(echo4middleware.RequestID())
	e.GET("/", func(c echo4.Context) error {
		seen <- c.Response().Header().Get(echo4.HeaderXRequestID)
		return nil
	})

	e5 := echo5.New()
	e5.Use(echo5middleware.RequestID())
	e5.GET("/", func(c *echo5.Context) error {
		seen <- c.Response().Header().Get(echo5.HeaderXRequestID)
		return nil
	})

	g := gin.New()
	g.Use(requestid.New())
	g.GET("/", func(c *gin.Context) { seen <- requestid.Get(c) })
	for name, server := range map[string]http.Handler{"chi": r, "echo v4": e, "echo v5": e5, "gin": g} {
		rec := scopetest.Record(t)
		a := send(t, wrap(server), request{method: "GET", path: "/"})
		if id := <-seen; id != a.id || id != linesOf(rec, 1)[0].String("request_id") {
			t.Errorf("%s: the middleware's id is %q, that of the answer %q", name, id, a.id)
		}
	}
}

func TestGinsRecoveryKeepsThePanic(t *testing.T) {
	g := gin.New()
	g.Use(gin.RecoveryWithWriter(io.Discard))
	g.GET("/fail", gin.WrapF(fail))
	if a, last := get(t, wrap(g), "/fail"); a.status != 500 || last.Int("http.response.status_code") != 500 || last.Has("exception.message") {
		t.Errorf("the answer is %d, the last line %v", a.status, last)
	}
}

// A proxy says by a panic that its answer broke off. gin's Recovery takes that for the client's fault.
func TestGinsRecoveryAndABackendThatBreaksOff(t *testing.T) {
	rec := scopetest.Record(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer backend.Close()
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := gin.New()
	g.Use(gin.RecoveryWithWriter(io.Discard))
	proxy := httputil.NewSingleHostReverseProxy(u)
	g.GET("/", func(c *gin.Context) { proxy.ServeHTTP(c.Writer, c.Request) })
	server := httptest.NewServer(wrap(g))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client gets %q, %v", body, err)
	}
	lines := linesOf(rec, 1)
	if last := lines[len(lines)-1]; last.Int("http.response.status_code") != 200 || last.Has("error.type") {
		t.Errorf("the last line is %v", last)
	}
}

// What gin's and chi's own middleware writes doesn't go through a logger.
func TestTheirOwnLinesHaveNoID(t *testing.T) {
	var written bytes.Buffer
	out, errs := gin.DefaultWriter, gin.DefaultErrorWriter
	gin.DefaultWriter, gin.DefaultErrorWriter = &written, &written
	defer func() { gin.DefaultWriter, gin.DefaultErrorWriter = out, errs }()
	g := gin.Default()
	g.GET("/fail", gin.WrapF(fail))
	r := chi.NewRouter()
	r.Use(middleware.Recoverer) // writes to os.Stderr, whatever that is when the program starts
	r.Get("/fail", fail)
	for name, server := range map[string]http.Handler{"gin": g, "chi": r} {
		rec := scopetest.Record(t)
		a := send(t, wrap(server), request{method: "GET", path: "/fail"})
		lines := linesOf(rec, 1)
		if last := lines[len(lines)-1]; a.status != 500 || last.Int("http.response.status_code") != 500 || last.Has("exception.message") || len(lines) != 2 {
			t.Errorf("%s: the answer is %d, the lines %v", name, a.status, lines)
		}
		if text := written.String(); name == "gin" && (!strings.Contains(text, "panic recovered") || !strings.Contains(text, "| 500 |") || strings.Contains(text, a.id)) {
			t.Errorf("gin writes %q", text)
		}
	}
}

// A *gin.Context isn't the request's context.
func TestGinsContext(t *testing.T) {
	pool := make(chan func()) // its worker is in no task
	defer close(pool)
	go func() {
		for job := range pool {
			job()
		}
	}()
	for name, c := range map[string]struct {
		fallback bool
		choose   func(*gin.Context) context.Context
		stamped  bool
	}{
		"c":                   {false, func(c *gin.Context) context.Context { return c }, false},
		"ContextWithFallback": {true, func(c *gin.Context) context.Context { return c }, true},
		"c.Request.Context()": {false, func(c *gin.Context) context.Context { return c.Request.Context() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			rec := scopetest.Record(t)
			sent := make(chan string, 1)
			next := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent <- r.Header.Get("X-Request-Id") }))
			defer next.Close()
			client := &http.Client{Transport: httpscope.Transport(new(http.Transport), nil)}
			defer client.CloseIdleConnections()
			g := gin.New()
			g.ContextWithFallback = c.fallback
			g.GET("/", func(gc *gin.Context) {
				ctx, done := c.choose(gc), make(chan struct{})
				pool <- func() {
					defer close(done)
					slog.InfoContext(ctx, "job")
					r, err := http.NewRequestWithContext(ctx, "GET", next.URL, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if resp, err := client.Do(r); err != nil {
						t.Error(err)
					} else {
						resp.Body.Close()
					}
				}
				<-done
			})
			a := send(t, wrap(g), request{method: "GET", path: "/"})
			want := ""
			if c.stamped {
				want = a.id
			}
			if got := linesOf(rec, 1)[0].String("request_id"); got != want {
				t.Errorf("the job's line has the id %q, want %q", got, want)
			}
			if got := <-sent; got != want {
				t.Errorf("the next service gets the id %q, want %q", got, want)
			}
		})
	}
}

// Where an engine makes an answer of an error, middleware inside doesn't see it.
func TestEchosUseDoesNotSeeTheAnswerToAnError(t *testing.T) {
	opts := &httpscope.Options{Log: slog.LogAttrs}
	e := echo4.New()
	e.Use(echo4.WrapMiddleware(httpscope.Middleware(opts)))
	e.GET("/teapot", func(echo4.Context) error { return echo4.NewHTTPError(http.StatusTeapot, "short and stout") })
	e5 := echo5.New()
	e5.Use(echo5.WrapMiddleware(httpscope.Middleware(opts)))
	e5.GET("/teapot", func(*echo5.Context) error { return echo5.NewHTTPError(http.StatusTeapot, "short and stout") })
	for name, server := range map[string]http.Handler{"echo v4": e, "echo v5": e5} {
		if a, last := get(t, server, "/teapot"); a.status != 418 || last.Int("http.response.status_code") != 200 {
			t.Errorf("%s: the answer is %d, the last line %v", name, a.status, last)
		}
	}
}

// The middleware that sets the route runs before the handler, but for chi's; what a gRPC server logs is another process's.
func TestTheRouteIsOnTheHandlersLines(t *testing.T) {
	for name, c := range map[string]struct {
		server http.Handler
		route  string
	}{
		"chi": {Chi(), ""}, "gin": {Gin(), "/users/:id"}, "echo v4": {Echo4(), "/users/:id"}, "echo v5": {Echo5(), "/users/:id"},
		"gorilla/mux": {Gorilla(), "/users/{id}"},
	} {
		rec := scopetest.Record(t)
		send(t, c.server, request{method: "GET", path: "/users/7"})
		if first := linesOf(rec, 1)[0]; first.Message != "user" || first.String("http.route") != c.route {
			t.Errorf("%s: want the route %q: %v", name, c.route, first)
		}
	}
}

// A router that gives the handler a copy of the request keeps the form from net/http, which would remove the files.
func TestCopiesLeaveFiles(t *testing.T) {
	parse := func(_ http.ResponseWriter, r *http.Request) {
		if _, _, err := r.FormFile("file"); err != nil {
			t.Error(err)
		}
	}
	c := chi.NewRouter()
	c.Post("/upload", parse)
	m := mux.NewRouter()
	m.HandleFunc("/upload", parse)
	gw := runtime.NewServeMux()
	if err := gw.HandlePath("POST", "/upload", func(w http.ResponseWriter, r *http.Request, _ map[string]string) { parse(w, r) }); err != nil {
		t.Fatal(err)
	}
	g := gin.New()
	g.POST("/upload", gin.WrapF(parse))
	e := echo4.New()
	e.POST("/upload", echo4.WrapHandler(http.HandlerFunc(parse)))
	e5 := echo5.New()
	e5.POST("/upload", echo5.WrapHandler(http.HandlerFunc(parse)))
	for name, s := range map[string]struct {
		engine http.Handler
		left   int
	}{"chi": {c, 1}, "gorilla/mux": {m, 1}, "grpc-gateway": {gw, 1}, "gin": {g, 0}, "echo v4": {e, 0}, "echo v5": {e5, 0}} {
		for with, server := range map[string]http.Handler{"without": s.engine, "with": httpscope.Handler(s.engine, nil)} {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			srv := httptest.NewServer(server)
			body, contentType := form("file")
			resp, err := http.Post(srv.URL+"/upload", contentType, body)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			srv.Close()
			if left, err := os.ReadDir(temp); err != nil || len(left) != s.left {
				t.Errorf("%s, %s Handler: %d files are left, want %d, %v", name, with, len(left), s.left, err)
			}
		}
	}
}

// The gateway without a connection calls the service on the request's goroutine.
func TestGatewayWithoutAConnection(t *testing.T) {
	gw := runtime.NewServeMux()
	if err := userspb.RegisterUsersHandlerServer(t.Context(), gw, users{}); err != nil {
		t.Fatal(err)
	}
	rec := scopetest.Record(t)
	a := send(t, wrap(gw), request{method: "GET", path: "/users/7"})
	if lines := linesOf(rec, 1); len(lines) != 2 || lines[0].Message != "user" || lines[0].String("request_id") != a.id {
		t.Errorf("the lines are %v", lines)
	}
	if a, last := get(t, wrap(gw), "/watch"); a.status != 501 || last.Int("http.response.status_code") != 501 {
		t.Errorf("a stream: the answer is %d, the last line %v", a.status, last)
	}
}

// http.TimeoutHandler between two Handlers answers with the id, and both see its answer.
func TestTimeoutHandler(t *testing.T) {
	opts := &httpscope.Options{Log: slog.LogAttrs}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(_ http.ResponseWriter, r *http.Request) {
		slog.Info("waiting")
		<-r.Context().Done()
	})
	const limit = 20 * time.Millisecond
	a, last := get(t, http.TimeoutHandler(httpscope.Handler(mux, opts), limit, "too slow"), "/orders/7")
	if a.status != 503 || a.id != "" || last.String("error.type") != "timeout" || last.Has("http.response.status_code") {
		t.Errorf("around Handler: the answer is %v, the last line %v", a, last)
	}
	rec := scopetest.Record(t)
	a = send(t, limited(mux, limit), request{method: "GET", path: "/orders/7"})
	lines := linesOf(rec, 1)
	for _, l := range lines {
		if l.String("request_id") != a.id {
			t.Errorf("a line with another id: %v", l)
		}
	}
	last = lines[len(lines)-1]
	if a.status != 503 || len(a.id) < 30 || last.Int("http.response.status_code") != 503 || last.String("http.route") != "/orders/{id}" {
		t.Errorf("between two Handlers: the answer is %v, the last line %v", a, last)
	}
}

// WriteTimeout of the http.Server is kept where Handler doesn't see it.
func TestWriteTimeout(t *testing.T) {
	const limit = 50 * time.Millisecond
	rec := scopetest.Record(t)
	srv := httptest.NewUnstartedServer(wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * limit)
		_, _ = io.WriteString(w, "late")
	})))
	srv.Config.WriteTimeout = limit
	srv.Start()
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err == nil {
		resp.Body.Close()
	}
	lines := linesOf(rec, 1)
	if last := lines[len(lines)-1]; !errors.Is(err, io.EOF) || last.Int("http.response.status_code") != 200 {
		t.Errorf("the client gets %v, the last line %v", err, last)
	}
}

// zap adds a stack to lines at level Error, which the last line of a 5xx is.
func TestZapsStacks(t *testing.T) {
	for without, log := range map[bool]func(*zap.Logger) httpscope.LogFunc{
		false: func(l *zap.Logger) httpscope.LogFunc { return zaph.LogAttrs(l) },
		true:  zapsLog,
	} {
		var out bytes.Buffer
		config := zap.NewProductionConfig()
		core := zapcore.NewCore(zapcore.NewJSONEncoder(config.EncoderConfig), zapcore.AddSync(&out), config.Level)
		logger := zap.New(core, zap.AddStacktrace(zap.ErrorLevel), zaph.WrapCore(nil)) // as zap.NewProduction has it
		broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			logger.Error("own")
			w.WriteHeader(http.StatusInternalServerError)
		})
		httpscope.Handler(broken, &httpscope.Options{Log: log(logger)}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		own, last, _ := strings.Cut(out.String(), "\n")
		if !strings.Contains(own, `"stacktrace":`) || strings.Contains(last, `"stacktrace":`) == without || !strings.Contains(last, `"request"`) {
			t.Errorf("without a stack: %v\n%s", without, out.String())
		}
	}
}
