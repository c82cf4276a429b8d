package httpscope_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// loggers has, for each of the three, the function for Options.Log that writes to out.
var loggers = []struct {
	name            string
	log             func(out *testkit.Lines) httpscope.LogFunc
	msg             string // the key of the message
	info, warn, err string // how it writes the levels
}{
	{"slog", func(out *testkit.Lines) httpscope.LogFunc { return slogTo(out).LogAttrs }, "msg", "INFO", "WARN", "ERROR"},
	{"zap", func(out *testkit.Lines) httpscope.LogFunc { return zaph.LogAttrs(zapTo(out)) }, "msg", "info", "warn", "error"},
	{"zerolog", func(out *testkit.Lines) httpscope.LogFunc { return zeroh.LogAttrs(zeroTo(out)) }, "message", "info", "warn", "error"},
}

// deep sets a field n calls further down.
func deep(n int, key string, value any) {
	if n > 0 {
		deep(n-1, key, value)
		return
	}
	scope.Set(key, value)
}

func TestOneLineForEachRequest(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deep(20, "deep", "yes")
		scope.Run(func() { scope.Set("within_run", "gone") })
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "hello, ")
		_, _ = w.Write([]byte("world"))
		scope.SetAttrs(slog.Int("items", 3))
	})
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			overEach(t, build(h, &httpscope.Options{Log: l.log(out)}), func(t *testing.T, s *service) {
				for i := range 3 {
					id := fmt.Sprint("r-", i)
					if _, _, err := s.do(s.request("POST", "/", nil, "X-Request-Id", id)); err != nil {
						t.Fatal(err)
					}
					got := out.Next(t)
					got.Want(t, testkit.Line{
						"level": l.info, l.msg: "request", "service": "shop", "request_id": id, "http.request.method": "POST",
						"deep": "yes", "items": 3.0, "within_run": nil, "scope_ended": nil,
						"http.response.status_code": 201.0, "http.response.body.size": 12.0,
					})
					if d, ok := got["http.server.request.duration"].(float64); !ok || d < 0 || d > 60 {
						t.Errorf("duration %v", got["http.server.request.duration"])
					}
					out.None(t)
				}
			})
		})
	}
}

// Totals are on the last line alone, behind its own attributes.
func TestTotalsAreOnTheLastLine(t *testing.T) {
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		scope.Run(func() { scope.Add("rows", 3) })
		for range 4 {
			scope.Add("rows", 1)
		}
		done := make(chan struct{})
		scope.Go(func() {
			defer close(done)
			scope.Append("shards", "a")
			scope.Append("shards", "b")
		})
		<-done
		scope.Timing("db")()
		scope.Add("http.request.method", 1)       // the scope has it
		scope.Add("http.response.status_code", 1) // the line has it
	})
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			log := l.log(out)
			logs := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h(w, r)
				log(r.Context(), slog.LevelInfo, "plain")
			})
			opts := &httpscope.Options{Log: log}
			for name, h := range map[string]http.Handler{
				"alone":            httpscope.Handler(logs, opts),
				"inside":           httpscope.Handler(httpscope.Handler(logs, opts), nil),
				"outside":          httpscope.Handler(httpscope.Handler(logs, nil), opts),
				"both":             httpscope.Handler(httpscope.Handler(logs, opts), opts),
				"both, and a none": httpscope.Handler(httpscope.Handler(httpscope.Handler(logs, opts), nil), opts),
			} {
				t.Run(name, func(t *testing.T) {
					s := http1.serve(t, h, nil)
					for range 2 { // the same connection
						s.get("/")
						none := testkit.Line{"rows": nil, "shards": nil, "db_count": nil}
						want := testkit.Line{"rows": 7.0, "shards": []any{"a", "b"}, "db_count": 1.0, "http.response.status_code": 200.0, "http.request.method": "GET"}
						out.Next(t).Want(t, none)
						if strings.HasPrefix(name, "both") {
							out.Next(t).Want(t, none)
						}
						out.Next(t).Want(t, want)
						out.None(t)
					}
				})
			}
		})
	}
}

// What any goroutine of the request has shared is on the last line, and on none of the next request.
func TestTheLastLineHasSharedFields(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/none" {
					return
				}
				done := make(chan struct{})
				scope.Go(func() {
					defer close(done)
					scope.Run(func() { scope.Share("user", "u1") })
				})
				<-done
				l.log(out)(r.Context(), slog.LevelInfo, "plain")
			}), &httpscope.Options{Log: l.log(out)}), nil)
			s.get("/")
			out.Next(t).Want(t, testkit.Line{l.msg: "plain", "user": "u1"})
			out.Next(t).Want(t, testkit.Line{l.msg: "request", "user": "u1"})
			s.get("/none")
			out.Next(t).Want(t, testkit.Line{l.msg: "request", "user": nil})
		})
	}
}

// What comes after the last line is on no line, and counted.
func TestTotalsThatAreLate(t *testing.T) {
	out := testkit.NewLines()
	over := make(chan struct{})
	s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		scope.Add("rows", 1)
		scope.Go(func() {
			<-over
			scope.Add("rows", 1)
			scope.Add("others", 1)
		})
	}), &httpscope.Options{Log: slogTo(out).LogAttrs}), nil)
	before := scope.Late()
	s.get("/")
	out.Next(t).Want(t, testkit.Line{"rows": 1.0, "others": nil})
	close(over)
	if err := scope.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if late := scope.Late() - before; late != 2 {
		t.Errorf("%d are late, want 2", late)
	}
}

func TestTheLineIsWrittenAtTheEnd(t *testing.T) {
	returned := false
	var r *http.Request
	s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		r = req
		returned = true
	}), &httpscope.Options{Log: func(ctx context.Context, _ slog.Level, _ string, _ ...slog.Attr) {
		if !returned {
			t.Error("the line comes before the handler has returned")
		}
		s, _ := scope.FromContext(ctx)
		if ctx != r.Context() || !s.SameTask(scope.Current()) || s.Ended() {
			t.Error("the line isn't written within the request's scope")
		}
	}}), nil)
	s.get("/")
	if !returned {
		t.Error("not served")
	}
}

func TestStatusAndSize(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 100000)), 0o600); err != nil {
		t.Fatal(err)
	}
	forever := make(chan struct{})
	defer close(forever)
	for _, c := range []struct {
		rule, method string
		h            http.HandlerFunc
		status       any
		size         float64
		level        string
	}{
		{"nothing written", "GET", func(http.ResponseWriter, *http.Request) {}, 200.0, 0, "INFO"},
		{"only a body", "GET", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "body") }, 200.0, 4, "INFO"},
		{"only a header", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204.0, 0, "INFO"},
		{"a body that isn't allowed", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(304)
			fmt.Fprint(w, "body")
		}, 304.0, 0, "INFO"},
		{"HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "body") }, 200.0, 0, "INFO"},
		{"not found", "GET", http.NotFound, 404.0, 19, "INFO"},
		{"a failure", "GET", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad", http.StatusServiceUnavailable) }, 503.0, 4, "ERROR"},
		{"a second header", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			w.WriteHeader(500)
		}, 202.0, 0, "INFO"},
		{"a header after the body", "GET", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "body")
			w.WriteHeader(500)
		}, 200.0, 4, "INFO"},
		{"a flush first", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(500)
		}, 200.0, 0, "INFO"},
		{"a string", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") }, 200.0, 4, "INFO"},
		{"a reader", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("body")) }, 200.0, 4, "INFO"},
		{"a reader that fails, and an error", "GET", func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.Copy(w, iotest.ErrReader(io.ErrUnexpectedEOF)); err != nil {
				http.Error(w, "bad", http.StatusBadGateway)
			}
		}, 502.0, 4, "ERROR"},
		{"an empty reader, and an error", "GET", func(w http.ResponseWriter, _ *http.Request) {
			if n, _ := io.Copy(w, strings.NewReader("")); n == 0 {
				http.Error(w, "none", http.StatusNotFound)
			}
		}, 404.0, 5, "INFO"},
		{"a file", "GET", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }, 200.0, 100000, "INFO"},
		{"a status that is none", "GET", func(w http.ResponseWriter, _ *http.Request) {
			defer func() { _ = recover() }()
			w.WriteHeader(1000)
		}, 200.0, 0, "INFO"},
		{"a timeout inside", "GET", http.TimeoutHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			<-forever
		}), 1, "late").ServeHTTP, 503.0, 4, "ERROR"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			out := testkit.NewLines()
			overEach(t, httpscope.Handler(c.h, &httpscope.Options{Log: slogTo(out).LogAttrs}), func(t *testing.T, s *service) {
				resp, body, err := s.do(s.request(c.method, "/", nil))
				if err != nil {
					t.Fatal(err)
				}
				out.Next(t).Want(t, testkit.Line{
					"http.response.status_code": c.status, "http.response.body.size": c.size, "level": c.level, "error.type": nil,
				})
				// The line says what the client has got.
				if float64(resp.StatusCode) != c.status || float64(len(body)) != c.size {
					t.Errorf("the client has got %d and %d bytes", resp.StatusCode, len(body))
				}
				out.None(t)
			})
		})
	}
}

func TestInformationalResponsesAreNotTheStatus(t *testing.T) {
	out := testkit.NewLines()
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		w.WriteHeader(http.StatusAccepted)
	})
	overEach(t, httpscope.Handler(h, &httpscope.Options{Log: slogTo(out).LogAttrs}), func(t *testing.T, s *service) {
		var hints []int
		req := s.request("GET", "/", nil)
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			hints = append(hints, code)
			return nil
		}}
		resp, _, err := s.do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(hints) != "[103 102]" || resp.StatusCode != http.StatusAccepted {
			t.Errorf("the client has got %v and %d", hints, resp.StatusCode)
		}
		out.Next(t).Want(t, testkit.Line{"http.response.status_code": 202.0})
	})
}

func TestAHijackedRequestHasNoStatus(t *testing.T) {
	out := testkit.NewLines()
	s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		scope.Set("step", "hijacked")
		_, _ = io.WriteString(conn, "HTTP/1.1 299 By hand\r\nContent-Length: 0\r\n\r\n")
	}), &httpscope.Options{Log: slogTo(out).LogAttrs}), nil)
	if resp, _ := s.get("/", "X-Request-Id", "h"); resp.StatusCode != 299 {
		t.Errorf("status %d", resp.StatusCode)
	}
	out.Next(t).Want(t, testkit.Line{"request_id": "h", "step": "hijacked", "level": "INFO", "http.response.status_code": nil, "http.response.body.size": 0.0})
	out.None(t)
}

// What an http.ResponseController does to a middleware's writer that has Unwrap alone, as its
// documentation asks for, is seen too.
func TestAMiddlewareWithUnwrapAlone(t *testing.T) {
	out := testkit.NewLines()
	h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := r.Header.Get("Flusher") != ""; has[http.Flusher](w) != want {
			t.Errorf("Flush: %v, want %v", !want, want)
		}
		switch r.URL.Path {
		case "/flush":
			w.Header().Set("X-Request-Id", "theirs")
			_ = http.NewResponseController(w).Flush()
			w.WriteHeader(http.StatusTeapot)
		case "/hijack":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 299 By hand\r\nX-Request-Id: r\r\nContent-Length: 0\r\n\r\n")
		}
	}), &httpscope.Options{Log: slogTo(out).LogAttrs})
	for flusher, writer := range map[string]func(w http.ResponseWriter) http.ResponseWriter{
		"": func(w http.ResponseWriter) http.ResponseWriter { return unwrapper{struct{ http.ResponseWriter }{w}, w} },
		"too": func(w http.ResponseWriter) http.ResponseWriter { // or Flush, too
			return struct {
				unwrapper
				http.Flusher
			}{unwrapper{struct{ http.ResponseWriter }{w}, w}, w.(http.Flusher)}
		},
	} {
		s := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(writer(w), r) }), nil)
		for path, c := range map[string]struct {
			client int
			line   any
		}{"/flush": {200, 200.0}, "/hijack": {299, nil}, "/nothing": {200, 200.0}} {
			resp, _ := s.get(path, "X-Request-Id", "r", "Flusher", flusher)
			if resp.StatusCode != c.client || fmt.Sprint(resp.Header["X-Request-Id"]) != "[r]" {
				t.Errorf("%s: the client has got %d, with the id %q", path, resp.StatusCode, resp.Header["X-Request-Id"])
			}
			out.Next(t).Want(t, testkit.Line{"request_id": "r", "http.response.status_code": c.line})
		}
	}
	// Of HTTP/2 it can't hijack, with or without Handler.
	overEach(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bare := has[http.Hijacker](w)
		httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if has[http.Hijacker](w) != bare || has[http.Flusher](w) {
				t.Errorf("Hijack: %v, Flush: %v", has[http.Hijacker](w), has[http.Flusher](w))
			}
		}), nil).ServeHTTP(unwrapper{struct{ http.ResponseWriter }{w}, w}, r)
	}), func(_ *testing.T, s *service) { s.get("/") })
}

type unwrapper struct {
	http.ResponseWriter
	next http.ResponseWriter
}

func (u unwrapper) Unwrap() http.ResponseWriter { return u.next }

func TestAWriterWithoutAHeader(t *testing.T) {
	served := false
	httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "body")
		served = true
	}), nil).ServeHTTP(plain{}, newRequest(t))
	if !served {
		t.Error("not served")
	}
}

func TestAFailedHijackLeavesTheStatus(t *testing.T) {
	out := testkit.NewLines()
	httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := w.(http.Hijacker).Hijack(); err == nil {
			t.Error("hijacked")
		}
	}), &httpscope.Options{Log: slogTo(out).LogAttrs}).ServeHTTP(hijacker{plain{http.Header{}}}, newRequest(t))
	out.Next(t).Want(t, testkit.Line{"http.response.status_code": 200.0})
}

type customError struct{ text string }

func (e *customError) Error() string { return e.text }

func explode(with any) { panic(with) }

func TestAPanicIsLoggedAndPropagates(t *testing.T) {
	failure := &customError{"no \"luck\"\nat all"}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deep(3, "deep", "yes")
		switch r.URL.Path {
		case "/text":
			explode("boom")
		case "/error":
			explode(failure)
		case "/nil":
			explode(nil)
		case "/runtime":
			var none []int
			none[len(r.URL.Path)] = 1
		case "/late":
			w.WriteHeader(http.StatusAccepted)
			explode("boom")
		}
	})
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			for _, p := range protocols {
				t.Run(p.name, func(t *testing.T) {
					netHTTP := make(testkit.Chan, 10)
					propagated := make(chan any, 1)
					inner := httpscope.Handler(h, &httpscope.Options{Log: l.log(out)})
					s := p.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						defer func() {
							p := recover()
							propagated <- p
							panic(p)
						}()
						inner.ServeHTTP(w, r)
					}), netHTTP)
					for path, c := range map[string]struct {
						message, function string
						status            any
					}{
						"/text":    {"boom", "httpscope_test.explode", nil},
						"/error":   {failure.text, "httpscope_test.explode", nil},
						"/nil":     {new(runtime.PanicNilError).Error(), "httpscope_test.explode", nil},
						"/runtime": {"runtime error: index out of range [8] with length 0", "TestAPanicIsLoggedAndPropagates", nil},
						"/late":    {"boom", "httpscope_test.explode", 202.0},
					} {
						if _, _, err := s.do(s.request("POST", path, nil, "X-Request-Id", "p")); err == nil {
							t.Errorf("%s was answered", path)
						}
						got := out.Next(t)
						got.Want(t, testkit.Line{
							"level": l.err, l.msg: "request", "request_id": "p", "deep": "yes", "scope_ended": nil,
							"exception.message": c.message, "http.response.status_code": c.status, "error.type": nil,
						})
						if stack := fmt.Sprint(got["exception.stacktrace"]); !strings.Contains(stack, c.function) {
							t.Errorf("%s: %s isn't in the stack\n%s", path, c.function, stack)
						}
						seen := testkit.Receive(t, propagated, "panic")
						if fmt.Sprint(seen) != c.message {
							t.Errorf("%s: what propagates is %v", path, seen)
						}
						if path == "/error" && seen != failure {
							t.Errorf("what propagates is another error: %v", seen)
						}
						text := testkit.Receive(t, netHTTP, "line of net/http")
						if !strings.Contains(text, "panic serving") || !strings.Contains(text, c.function) {
							t.Errorf("net/http has logged\n%s", text)
						}
						out.None(t)
					}
				})
			}
		})
	}
}

func TestErrAbortHandlerIsAnAbort(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		scope.Set("step", 1)
		panic(http.ErrAbortHandler)
	})
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			for _, p := range protocols {
				t.Run(p.name, func(t *testing.T) {
					netHTTP := make(testkit.Chan, 10)
					s := p.serve(t, httpscope.Handler(h, &httpscope.Options{Log: l.log(out)}), netHTTP)
					if _, _, err := s.do(s.request("POST", "/", nil, "X-Request-Id", "a")); err == nil {
						t.Error("an aborted request was answered")
					}
					out.Next(t).Want(t, testkit.Line{
						"level": l.warn, "request_id": "a", "step": 1.0, "error.type": "abort",
						"http.response.status_code": nil, "exception.message": nil, "exception.stacktrace": nil,
					})
					s.client.CloseIdleConnections()
					s.Close()
					select {
					case text := <-netHTTP:
						t.Errorf("net/http has logged\n%s", text)
					default:
					}
				})
			}
		})
	}
}

func TestGoexitIsLogged(t *testing.T) {
	out := testkit.NewLines()
	h := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		scope.Set("step", 1)
		runtime.Goexit()
	}), &httpscope.Options{Log: slogTo(out).LogAttrs})
	overEach(t, h, func(t *testing.T, s *service) {
		if _, _, err := s.do(s.request("POST", "/", nil, "X-Request-Id", "g")); err == nil {
			t.Error("the request was answered")
		}
		out.Next(t).Want(t, testkit.Line{
			"level": "ERROR", "request_id": "g", "step": 1.0, "error.type": "goexit",
			"http.response.status_code": nil, "exception.message": nil, "scope_ended": nil,
		})
		out.None(t)
	})
}

// What Log and Route do to the goroutine goes on to whoever called Handler, and the handler's own
// panic in any case. The task ends, and nothing stays bound.
func TestLogAndRouteThatDoNotReturn(t *testing.T) {
	panics, goexits := func() { panic("Log's") }, runtime.Goexit
	for _, c := range []struct {
		handler, log func()
		want         any // what the caller recovers; nil if the goroutine ends
	}{
		{func() {}, panics, "Log's"},
		{func() {}, goexits, nil},
		{func() { panic("the handler's") }, panics, "the handler's"},
		{func() { panic("the handler's") }, goexits, "the handler's"},
		{func() { panic(http.ErrAbortHandler) }, panics, http.ErrAbortHandler},
		{runtime.Goexit, panics, "Log's"},
	} {
		for where, opts := range map[string]*httpscope.Options{
			"Log": {Log: func(context.Context, slog.Level, string, ...slog.Attr) { c.log() }},
			"Route": {
				Log:   func(context.Context, slog.Level, string, ...slog.Attr) {},
				Route: func(*http.Request) string { c.log(); return "" },
			},
			"Route, without Log": {Route: func(*http.Request) string { c.log(); return "" }, Finish: func(context.Context) {}},
			"Finish":             {Finish: func(context.Context) { c.log() }},
		} {
			var s scope.Scope
			var seen any
			returned := false
			testkit.InTime(t, func() {
				before := scope.Current()
				defer func() {
					seen = recover()
					if scope.Current() != before {
						t.Errorf("%v stays bound", scope.Current())
					}
				}()
				httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
					s = scope.Current()
					c.handler()
				}), opts).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
				returned = true
			})
			if seen != c.want || returned || !s.Ended() {
				t.Errorf("%s: the caller sees %v, want %v; Handler has returned: %v; the task is over: %v", where, seen, c.want, returned, s.Ended())
			}
		}
	}
}

func TestAPanicInAnOptionIsLoggedToo(t *testing.T) {
	for rule, opts := range map[string]httpscope.Options{
		"Fields":       {Fields: func(*http.Request) []slog.Attr { scope.Set("so", "far"); explode("no luck"); return nil }},
		"TrustBaggage": {TrustBaggage: func(*http.Request) bool { scope.Set("so", "far"); explode("no luck"); return false }},
		"NewID":        {NewID: func() string { scope.Set("so", "far"); explode("no luck"); return "" }},
		"BadID":        {BadID: func(*http.Request, int) { scope.Set("so", "far"); explode("no luck") }},
	} {
		t.Run(rule, func(t *testing.T) {
			out := testkit.NewLines()
			opts.Log, opts.AccessPath, opts.Await = slogTo(out).LogAttrs, true, true
			opts.Finish = func(context.Context) { scope.Set("finished", rule) }
			ts := httptest.NewUnstartedServer(httpscope.Handler(echo, &opts))
			ts.Config.ErrorLog = log.New(io.Discard, "", 0)
			ts.Config.BaseContext = func(net.Listener) context.Context {
				return scope.NewContext(context.Background(), scope.New("job", "another task"))
			}
			ts.Start()
			defer ts.Close()
			req, _ := http.NewRequest("POST", ts.URL+"/path", nil)
			req.Header.Set("X-Request-Id", "no good")
			req.Header.Set("Baggage", "a=b")
			if resp, err := ts.Client().Do(req); err == nil {
				resp.Body.Close()
				t.Error("the request was answered")
			}
			line := testkit.Line{
				"level": "ERROR", "msg": "request", "exception.message": "no luck", "so": "far", "job": nil, "url.path": "/path",
				"http.response.status_code": nil, "http.response.body.size": 0.0, "finished": nil,
			}
			if rule == "BadID" { // the handler could have been called
				line["finished"] = rule
			}
			out.Next(t).Want(t, line)
			out.None(t)
		})
	}
}

// A foreign SetGoroutineLabels may take the scope from the goroutine; the line has the
// fields of the request's beginning then.
func TestTheLineSurvivesALostScope(t *testing.T) {
	for _, l := range loggers {
		t.Run(l.name, func(t *testing.T) {
			out := testkit.NewLines()
			s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				pprof.SetGoroutineLabels(context.Background())
				l.log(out)(context.Background(), slog.LevelInfo, "lost")
			}), &httpscope.Options{Log: l.log(out)}), nil)
			s.get("/", "X-Request-Id", "r")
			if lost := out.Next(t); inherits { // where it isn't in the slot, it can't be lost
				lost.Want(t, testkit.Line{l.msg: "lost", "request_id": nil})
			}
			out.Next(t).Want(t, testkit.Line{l.msg: "request", "request_id": "r", "scope_ended": nil})
		})
	}
}

// So does the line of a Handler inside another one: it is written within the scope, for a Log that looks
// at no context.
func TestTheInnerLineSurvivesALostScope(t *testing.T) {
	var found []any
	opts := &httpscope.Options{Log: func(context.Context, slog.Level, string, ...slog.Attr) {
		found = append(found, scope.GetOr("request_id", ""))
	}}
	h := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		pprof.SetGoroutineLabels(context.Background())
	}), opts)
	httpscope.Handler(h, opts).ServeHTTP(httptest.NewRecorder(), requestWithID(t.Context(), "r"))
	if fmt.Sprint(found) != "[r r]" {
		t.Errorf("the lines have %v", found)
	}
}

// A client that pipelines gets its answers in order, each with a line of its own.
func TestPipelinedRequestsHaveALineEach(t *testing.T) {
	out := testkit.NewLines()
	s := http1.serve(t, httpscope.Handler(echo, &httpscope.Options{Log: slogTo(out).LogAttrs}), nil)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: b\r\nConnection: close\r\n\r\n")
	if _, err := io.Copy(io.Discard, bufio.NewReader(conn)); err != nil {
		t.Fatal(err)
	}
	out.Next(t).Want(t, testkit.Line{"request_id": "a"})
	out.Next(t).Want(t, testkit.Line{"request_id": "b"})
	out.None(t)
}

// A handler may panic with a value that leads back to itself: package fmt would end the process.
func TestAPanicWithoutAnEnd(t *testing.T) {
	loop := []any{nil}
	loop[0] = loop
	out := testkit.NewLines()
	h := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(loop) }),
		&httpscope.Options{Log: slog.New(slog.NewJSONHandler(out, nil)).LogAttrs})
	func() {
		defer func() {
			if _, same := recover().([]any); !same {
				t.Error("another panic")
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	out.Next(t).Want(t, testkit.Line{"exception.message": "!BADVALUE: nested too deep, or too large"})
}
