package httpscope_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
)

// A client that sends slowly gets the same answer at the same time as from a bare server:
// where http.MaxBytesReader has had enough, at once, and for the last time.
func TestABodyThatIsTooLargeIsAnsweredAtOnce(t *testing.T) {
	tooLarge := func(w http.ResponseWriter, code int, err error) {
		if !errors.As(err, new(*http.MaxBytesError)) {
			t.Errorf("the body is read with %v", err)
		}
		http.Error(w, "too large", code)
	}
	for _, c := range []struct {
		rule   string
		handle http.HandlerFunc
		stays  bool // the connection does; the answer waits for the rest of the body
	}{
		{"413", func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
			tooLarge(w, http.StatusRequestEntityTooLarge, err)
		}, false},
		{"another status", func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
			tooLarge(w, http.StatusBadRequest, err)
		}, false},
		{"no status", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
			_, _ = io.WriteString(w, "too large")
		}, false},
		{"no answer by the handler", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
		}, false},
		{"in the request", func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 10)
			_, err := io.ReadAll(r.Body)
			tooLarge(w, http.StatusRequestEntityTooLarge, err)
		}, false},
		{"a form", func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 10)
			tooLarge(w, http.StatusRequestEntityTooLarge, r.ParseForm())
		}, false},
		{"http.MaxBytesHandler", func(w http.ResponseWriter, r *http.Request) {
			http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				tooLarge(w, http.StatusRequestEntityTooLarge, err)
			}), 10).ServeHTTP(w, r)
		}, false},
		{"by a decoder", func(w http.ResponseWriter, r *http.Request) {
			var v any
			tooLarge(w, http.StatusRequestEntityTooLarge, json.NewDecoder(http.MaxBytesReader(w, r.Body, 10)).Decode(&v))
		}, false},
		{"by a buffered reader", func(w http.ResponseWriter, r *http.Request) {
			_, err := bufio.NewReader(http.MaxBytesReader(w, r.Body, 10)).ReadString('\n')
			tooLarge(w, http.StatusRequestEntityTooLarge, err)
		}, false},
		{"in two steps", func(w http.ResponseWriter, r *http.Request) {
			body := http.MaxBytesReader(w, r.Body, 10)
			_, _ = io.ReadFull(body, make([]byte, 7))
			_, err := io.Copy(io.Discard, body)
			tooLarge(w, http.StatusRequestEntityTooLarge, err)
		}, false},
		{"a limit of nothing", func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 0))
			tooLarge(w, http.StatusRequestEntityTooLarge, err)
		}, false},
		{"a middleware's ResponseWriter between", func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
			tooLarge(struct{ http.ResponseWriter }{w}, http.StatusRequestEntityTooLarge, err)
		}, false},
		{"an inner Handler", httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
			tooLarge(w, http.StatusRequestEntityTooLarge, err)
		}), nil).ServeHTTP, false},

		{"another limit", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(io.LimitReader(r.Body, 10))
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}, true},
		{"another limit inside", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(io.LimitReader(http.MaxBytesReader(w, r.Body, 1000), 10))
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}, true},
		{"a part of the body", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 10, 100))
			http.Error(w, "no good", http.StatusBadRequest)
		}, true},
		{"a part within the limit", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(http.MaxBytesReader(w, r.Body, 1000), make([]byte, 10))
			http.Error(w, "no good", http.StatusBadRequest)
		}, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel() // the server waits half a second before it closes a connection
			answer := func(h http.Handler) string {
				s := http1.serve(t, h, nil)
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 40\r\n\r\n%s", strings.Repeat("1", 20))
				if c.stays {
					time.AfterFunc(50*time.Millisecond, func() { _, _ = io.WriteString(conn, strings.Repeat("1", 20)) })
				}
				_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					return err.Error()
				}
				body, _ := io.ReadAll(resp.Body)
				return fmt.Sprintf("%s %q, close: %v", resp.Status, body, resp.Close)
			}
			want := answer(c.handle)
			if strings.HasSuffix(want, "close: true") == c.stays {
				t.Fatalf("a bare server answers %s", want)
			}
			withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
				if got := answer(httpscope.Handler(c.handle, opts)); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		})
	}
}

func TestWhatComesAfterHijackIsNoAnswer(t *testing.T) {
	for rule, after := range map[string]func(http.ResponseWriter){
		"an error":       func(w http.ResponseWriter) { http.Error(w, "bad", http.StatusInternalServerError) },
		"a header":       func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"a failed write": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "late") },
		"a failed copy":  func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("late")) },
		"another Hijack, and an error": func(w http.ResponseWriter) {
			if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrHijacked) {
				t.Errorf("the second Hijack returns %v", err)
			}
			http.Error(w, "bad", http.StatusInternalServerError)
		},
	} {
		t.Run(rule, func(t *testing.T) {
			out := testkit.NewLines()
			s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 299 By hand\r\nContent-Length: 0\r\n\r\n")
				after(w)
			}), &httpscope.Options{Log: slogTo(out).LogAttrs}), nil)
			s.get("/")
			out.Next(t).Want(t, testkit.Line{
				"level": "INFO", "http.response.status_code": nil, "http.response.body.size": 0.0, "error.type": nil,
			})
		})
	}
}

// http.TimeoutHandler around Handler answers in its place, and drops whatever the handler answers,
// before or after the time is over.
func TestAnAnswerThatTimeoutHandlerDrops(t *testing.T) {
	late := testkit.Line{"level": "WARN", "error.type": "timeout", "http.response.status_code": nil, "http.response.body.size": 0.0}
	for rule, handle := range map[string]func(http.ResponseWriter, *http.Request){
		"nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"written before": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "done")
			<-r.Context().Done()
		},
		"written after": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); _, _ = io.WriteString(w, "done") },
		"a status after": func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusNoContent)
		},
		"an error after": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); http.Error(w, "too late", 500) },
	} {
		t.Run(rule, func(t *testing.T) {
			out, answered := testkit.NewLines(), make(chan bool)
			s := http1.serve(t, http.TimeoutHandler(httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handle(w, r)
				<-answered // TimeoutHandler has seen the end, too
			}), &httpscope.Options{Log: slogTo(out).LogAttrs}), 10*time.Millisecond, "too slow"), nil)
			if resp, body := s.get("/"); resp.StatusCode != http.StatusServiceUnavailable || body != "too slow" {
				t.Errorf("the client has got %s: %q", resp.Status, body)
			}
			close(answered)
			out.Next(t).Want(t, late)
		})
	}
	// A handler that answers late on its own account has answered.
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			out := testkit.NewLines()
			h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				http.Error(w, "late", http.StatusGatewayTimeout)
			}), &httpscope.Options{Log: slogTo(out).LogAttrs})
			s := p.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), time.Millisecond)
				defer cancel()
				h.ServeHTTP(w, r.WithContext(ctx))
			}), nil)
			if resp, body := s.get("/"); resp.StatusCode != http.StatusGatewayTimeout || body != "late\n" {
				t.Errorf("the client has got %s: %q", resp.Status, body)
			}
			out.Next(t).Want(t, testkit.Line{"http.response.status_code": 504.0, "http.response.body.size": 5.0, "error.type": nil})
		})
	}
}

// Such a handler may change the header until it has returned.
func TestAnIDThatIsSetAfterTheAnswerHasBegun(t *testing.T) {
	s := http1.serve(t, http.TimeoutHandler(httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "done")
		w.Header().Set("X-Request-Id", "theirs")
	}), nil), time.Minute, ""), nil)
	if resp, _ := s.get("/", "X-Request-Id", "r"); fmt.Sprint(resp.Header["X-Request-Id"]) != "[r]" {
		t.Errorf("the answer has the ids %q", resp.Header["X-Request-Id"])
	}
}

// Middleware that counts or compresses sees only what the handler writes.
func TestTheHandlersWritesAreAllThereAre(t *testing.T) {
	for _, c := range []struct {
		rule   string
		limit  time.Duration
		hijack bool
	}{{"in time", time.Hour, false}, {"taken over, too late", 0, true}} {
		w := &countingWriter{ResponseWriter: httptest.NewRecorder()}
		ctx, cancel := context.WithTimeout(t.Context(), c.limit)
		httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusSwitchingProtocols)
			if c.hijack {
				_, _, _ = http.NewResponseController(w).Hijack()
			}
		}), nil).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		cancel()
		if w.writes != 0 {
			t.Errorf("%s: %d writes", c.rule, w.writes)
		}
	}
}

type countingWriter struct {
	http.ResponseWriter
	writes int
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes++
	return w.ResponseWriter.Write(p)
}

func (w *countingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

func TestAClientThatGoesAwayBeforeAnAnswer(t *testing.T) {
	never := http1.serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), nil)
	to, _ := url.Parse(never.URL)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorLog: never.Config.ErrorLog, Transport: httpscope.Transport(never.transport, nil)}
	left := testkit.Line{"level": "WARN", "error.type": "client_closed", "http.response.status_code": nil, "http.response.body.size": 0.0}
	for _, c := range []struct {
		rule   string
		handle func(w http.ResponseWriter, r *http.Request, gone <-chan struct{})
		want   testkit.Line
	}{
		{"nothing", func(_ http.ResponseWriter, _ *http.Request, gone <-chan struct{}) { <-gone }, left},
		{"a late answer", func(w http.ResponseWriter, _ *http.Request, gone <-chan struct{}) {
			<-gone
			_, _ = io.WriteString(w, "late")
		}, left},
		{"a late error", func(w http.ResponseWriter, _ *http.Request, gone <-chan struct{}) {
			<-gone
			http.Error(w, "canceled", http.StatusInternalServerError)
		}, left},
		{"a late abort", func(_ http.ResponseWriter, _ *http.Request, gone <-chan struct{}) {
			<-gone
			panic(http.ErrAbortHandler)
		}, left},
		{"a late flush", func(w http.ResponseWriter, _ *http.Request, gone <-chan struct{}) {
			<-gone
			_ = http.NewResponseController(w).Flush()
		}, left},
		{"a 103 before", func(w http.ResponseWriter, _ *http.Request, gone <-chan struct{}) {
			w.WriteHeader(http.StatusEarlyHints)
			<-gone
			w.WriteHeader(http.StatusNoContent)
		}, left},
		{"a proxy", func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) { proxy.ServeHTTP(w, r) }, left},
		{"a panic", func(_ http.ResponseWriter, _ *http.Request, gone <-chan struct{}) {
			<-gone
			panic("boom")
		}, testkit.Line{"level": "ERROR", "exception.message": "boom", "http.response.status_code": nil, "error.type": nil}},
		{"an answer before", func(w http.ResponseWriter, _ *http.Request, gone <-chan struct{}) {
			w.WriteHeader(http.StatusAccepted)
			_ = http.NewResponseController(w).Flush()
			<-gone
		}, testkit.Line{"level": "INFO", "http.response.status_code": 202.0, "error.type": nil}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, p := range protocols {
				t.Run(p.name, func(t *testing.T) {
					out, arrived := testkit.NewLines(), make(chan struct{}, 1)
					s := p.serve(t, httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						arrived <- struct{}{}
						c.handle(w, r, r.Context().Done())
					}), &httpscope.Options{Log: slogTo(out).LogAttrs}), nil)
					ctx, leave := context.WithCancel(t.Context())
					var client sync.WaitGroup
					client.Go(func() {
						if resp, err := s.client.Do(s.request("GET", "/", nil).WithContext(ctx)); err == nil {
							_, _ = io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
					})
					testkit.Receive(t, arrived, "request")
					if c.rule == "an answer before" {
						time.Sleep(20 * time.Millisecond)
					}
					leave()
					client.Wait()
					out.Next(t).Want(t, c.want)
				})
			}
		})
	}
}

// A context may end for reasons of the program's own, while the client is still there.
func TestAContextThatEndsIsNotAlwaysTheClient(t *testing.T) {
	stop := errors.New("the server stops")
	for _, c := range []struct {
		rule string
		end  func(context.Context) (context.Context, context.CancelFunc)
		h    http.HandlerFunc
		want testkit.Line
	}{
		{"a cause of its own", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(stop) }
		}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
			testkit.Line{"level": "ERROR", "http.response.status_code": 503.0, "error.type": nil}},
		{"a deadline, and an answer", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 0)
		}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
			testkit.Line{"level": "INFO", "http.response.status_code": 204.0, "error.type": nil}},
		{"a deadline, and no answer", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 0)
		}, func(http.ResponseWriter, *http.Request) {},
			testkit.Line{"level": "WARN", "http.response.status_code": nil, "error.type": "timeout"}},
		{"a cause of its own, and no answer", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(stop) }
		}, func(http.ResponseWriter, *http.Request) {},
			testkit.Line{"level": "INFO", "http.response.status_code": 200.0, "error.type": nil}},
		{"a deadline with a cause, and no answer", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 0, stop)
		}, func(http.ResponseWriter, *http.Request) {},
			testkit.Line{"level": "WARN", "http.response.status_code": nil, "error.type": "timeout"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			out := testkit.NewLines()
			ctx, cancel := c.end(t.Context())
			cancel()
			h := httpscope.Handler(c.h, &httpscope.Options{Log: slogTo(out).LogAttrs})
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
			out.Next(t).Want(t, c.want)
		})
	}
}

// When reading the body takes too long, net/http ends the context, and the client waits on.
func TestABodyThatTakesTooLong(t *testing.T) {
	out := testkit.NewLines()
	s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // as Server.ReadTimeout
		if _, err := io.ReadAll(r.Body); err != nil {
			<-r.Context().Done()
			http.Error(w, "too slow", http.StatusRequestTimeout)
		}
	}), &httpscope.Options{Log: slogTo(out).LogAttrs}), nil)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("the client has got %d", resp.StatusCode)
	}
	out.Next(t).Want(t, testkit.Line{"level": "INFO", "http.response.status_code": 408.0, "http.response.body.size": 9.0, "error.type": nil})
}
